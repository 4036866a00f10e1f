//! Taking pages in.
//!
//! A page is checked as a whole before anything of it is taken. Its events are taken in at once, but the node says that it
//! has what was claimed only when the last page has come: then each event that the peer had is here, or what took its
//! place, because an event and what takes its place are of one cell.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::knowledge::{Mode, Pull};
use super::message::{Cursor, Page, PageCell};
use super::{Sync, Turn, Wanted};
use crate::clock::NodeId;
use crate::dot::Dot;
use crate::event::Event;
use crate::place::Key;
use crate::vector::VersionVector;

impl Sync {
    pub(super) fn take_page(&mut self, sender: NodeId, mut page: Page, turn: &mut Turn<'_>) {
        let Some(pull) = self.knowledge.pull.clone() else { return };
        let is_awaited = pull.peer == sender && pull.number == page.number && pull.mode == page.mode;
        // Each page with a claim was made after the claim. A question that was asked twice may be answered with two claims,
        // and a peer whose store was rolled back begins anew: pages of one claim do not complete another.
        let begins = page.after.is_none() && pull.claim.as_ref() != Some(&page.claim);
        let goes_on = page.after == pull.after && pull.claim.as_ref() == Some(&page.claim);
        if !is_awaited || !(begins || goes_on) {
            return;
        }
        page.claim = self.capped(&page.claim);
        page.floor = self.capped(&page.floor);
        page.known = self.capped(&page.known);
        if !self.is_sound(&page, turn) {
            self.counters.unfit += 1;
            return self.give_up(sender, turn);
        }
        match page.mode {
            // What was forgotten there in the meantime would be missing in what is new.
            Mode::Since if !self.knowledge.known.includes(&page.floor) => {
                self.peers.entry(sender).or_default().floor.join(&page.floor);
                return self.begin(sender, Mode::Whole, turn);
            }
            // Only between nodes that have the same, an event that is missing is one that should be there.
            Mode::Repair if self.knowledge.known != page.known => return self.give_up(sender, turn),
            Mode::Whole => self.note_absent(&page, turn),
            Mode::Since | Mode::Repair => {}
        }
        let is_known = |event: &Event, known: &VersionVector| page.mode != Mode::Repair && known.covers(event.dot);
        let mut turned_away = pull.turned_away && !begins;
        for cell in &page.cells {
            for event in &cell.events {
                if is_known(event, &self.knowledge.known) || !self.knowledge.chain.counts(event) {
                    continue;
                }
                if self.knowledge.held.len() >= self.config.held_max && self.is_far(event, turn) {
                    self.counters.turned_away += 1;
                    turned_away = true;
                    continue;
                }
                self.take_in(&cell.key, event.clone(), turn);
            }
        }
        // Noting what is absent changed the transfer.
        let dead = self.knowledge.pull.take().map(|pull| pull.dead).unwrap_or_default();
        self.advance(Pull { turned_away, dead, claim: Some(page.claim.clone()), ..pull }, page, turn);
    }

    /// Goes on to the next page, or ends the transfer.
    fn advance(&mut self, mut pull: Pull, page: Page, turn: &mut Turn<'_>) {
        self.dirty = true;
        pull.tries = 0;
        pull.asked_ms = turn.now.steady_ms.max(1);
        pull.window_left = pull.window_left.saturating_sub(1);
        let (peer, mode, is_window_over) = (pull.peer, pull.mode, pull.window_left == 0);
        if let Some(upto) = page.upto {
            pull.after = Some(upto);
            self.knowledge.pull = Some(pull);
            if is_window_over {
                self.ask(turn);
            }
            return;
        }
        let mut known = self.knowledge.known.clone();
        known.join(&page.claim);
        if pull.turned_away || mode == Mode::Repair {
            if let Some(peer) = self.peers.get_mut(&peer) {
                peer.differing = None;
            }
            self.give_up(peer, turn);
        } else if !known.includes(&page.floor) {
            // In the meantime something was forgotten there that removed what the claim does not cover.
            return self.begin(peer, Mode::Whole, turn);
        } else {
            self.knowledge.pull = None;
            self.notice_rollback(&page.claim);
            self.knowledge.known = known;
            if mode == Mode::Whole {
                self.remove_dead(pull.dead, turn);
                // What this node removed because it was absent, it cannot pass on as removed.
                self.knowledge.floor.join(&page.floor);
            }
        }
        self.tell(turn);
        self.look_after_pull(turn);
    }

    /// Whether a page says what it may: in order, within its bounds, nothing that does not count.
    fn is_sound(&mut self, page: &Page, turn: &Turn<'_>) -> bool {
        is_in_order(page) && page.cells.iter().all(|cell| self.is_cell_sound(page, cell, turn))
    }

    fn is_cell_sound(&mut self, page: &Page, cell: &PageCell, turn: &Turn<'_>) -> bool {
        cell.events.iter().all(|event| {
            if !self.knowledge.chain.counts(event) {
                // Of an origin that ended. It is not taken, and the peer may not know yet.
                return true;
            }
            let new = page.mode == Mode::Repair || !self.knowledge.known.covers(event.dot);
            !new || self.judged(&cell.key, event, turn)
        })
    }

    /// Notes what the peer had and does not have any more, in the part of all cells that the page is about. It is removed
    /// when all pages have come: until then the rest of what this node has still stands for what was removed.
    fn note_absent(&mut self, page: &Page, turn: &Turn<'_>) {
        let there: BTreeMap<&Key, Vec<Dot>> = page
            .cells
            .iter()
            .map(|cell| (&cell.key, cell.events.iter().map(|event| event.dot).chain(cell.present.clone()).collect()))
            .collect();
        let is_absent =
            |key: &Key, dot: Dot| page.known.covers(dot) && !there.get(key).is_some_and(|dots| dots.contains(&dot));
        // The cell of the last page's end was looked at then.
        let is_before = |key: &Key| page.after.as_ref().is_some_and(|after| *key <= after.key);
        let is_past = |key: &Key| page.upto.as_ref().is_some_and(|upto| *key > upto.key);
        let mut dead = Vec::new();
        // What is shown and what is held, each for itself: what a held event takes the place of may be absent as well.
        turn.state.scan(page.after.as_ref().map(|after| &after.key), Wanted::All, &mut |key, cell| {
            if is_past(&key) {
                return ControlFlow::Break(());
            }
            let absent = cell.siblings().iter().filter(|event| is_absent(&key, event.dot));
            dead.extend(absent.map(|event| (key.clone(), event.dot)));
            ControlFlow::Continue(())
        });
        let held = self.knowledge.held.keys().filter(|(key, _)| !is_before(key) && !is_past(key));
        dead.extend(held.filter(|(key, dot)| is_absent(key, *dot)).cloned());
        if let Some(pull) = &mut self.knowledge.pull {
            if page.after.is_none() {
                pull.dead.clear();
            }
            pull.dead.extend(dead);
        }
    }

    fn remove_dead(&mut self, dead: Vec<(Key, Dot)>, turn: &mut Turn<'_>) {
        for (key, dot) in dead {
            turn.state.drop_events(&key, &mut |event| event.dot == dot);
            self.knowledge.held.remove(&(key, dot));
        }
    }
}

fn is_in_order(page: &Page) -> bool {
    let first = |after: &Cursor, key: &Key| *key > after.key || (*key == after.key && after.dot.is_some());
    let begins_after = |after: &Cursor| page.cells.first().is_none_or(|cell| first(after, &cell.key));
    let ends_before = |upto: &Cursor| page.cells.last().is_none_or(|cell| cell.key <= upto.key);
    let moves_on = match (&page.after, &page.upto) {
        (Some(after), Some(upto)) => (&upto.key, upto.dot) != (&after.key, after.dot) && upto.key >= after.key,
        _ => true,
    };
    page.after.as_ref().is_none_or(begins_after)
        && page.upto.as_ref().is_none_or(ends_before)
        && page.cells.windows(2).all(|pair| matches!(pair, [a, b] if a.key < b.key))
        && moves_on
}
