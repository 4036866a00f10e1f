//! Answering questions: pages of cells, cut where a message is full.

use std::ops::ControlFlow;

use super::knowledge::Mode;
use super::message::{Cursor, Message, Page, PageCell, PullRequest, event_bytes, key_bytes};
use super::{PAGE_BYTES_MAX, Sync, Turn, Wanted, hold};
use crate::cell::Cell;
use crate::clock::NodeId;
use crate::digest;
use crate::event::Event;
use crate::keys::Keys;
use crate::place::Key;

/// Most pages that one question gives.
const PAGES_MAX: u8 = 16;
/// A dot in a page, at most, in bytes.
const DOT_BYTES: usize = 8 + 5 + 10;

impl Sync {
    /// Sends the pages that were asked for.
    pub(super) fn serve(&mut self, peer: NodeId, request: &PullRequest, turn: &mut Turn<'_>) {
        let known = &self.knowledge.known;
        let mut after = request.after.clone();
        // A claim that this node cannot make is not one that it made: its store was rolled back. From the beginning.
        let claim = match &request.claim {
            Some(claim) if known.includes(claim) => claim.clone(),
            _ => {
                after = None;
                known.clone()
            }
        };
        for _ in 0..request.pages.min(PAGES_MAX) {
            let (cells, upto) = self.cells(request, after.as_ref(), turn);
            let page = Page {
                to: peer,
                number: request.number,
                mode: request.mode,
                known: self.knowledge.known.clone(),
                floor: self.knowledge.floor.clone(),
                claim: claim.clone(),
                after,
                upto: upto.clone(),
                cells,
            };
            self.send(peer, Message::Page(Box::new(page)), turn);
            match upto {
                None => return,
                upto => after = upto,
            }
        }
    }

    /// The cells of one page, and where it ends.
    fn cells(
        &mut self,
        request: &PullRequest,
        after: Option<&Cursor>,
        turn: &Turn<'_>,
    ) -> (Vec<PageCell>, Option<Cursor>) {
        let bytes_max = self.config.page_bytes.min(PAGE_BYTES_MAX);
        let (cells, keys) = (Vec::new(), turn.keys);
        let cells_max = self.config.cells_max.max(2);
        let wanted = match request.mode {
            Mode::Since => Wanted::Beyond(&request.since),
            // What is there is named too.
            Mode::Whole => Wanted::All,
            Mode::Repair => Wanted::Buckets(&request.buckets),
        };
        let mut filling = Filling { sync: self, request, after, keys, cells, bytes: 0, bytes_max, end: None };
        let (mut last, mut looked_at) = (after.cloned(), 0);
        hold::scan(&filling.sync.knowledge, turn.state, after.map(|cursor| &cursor.key), wanted, &mut |key, cell| {
            let done = after.is_some_and(|after| after.key == *key && after.dot.is_none());
            if done {
                return ControlFlow::Continue(());
            }
            if looked_at >= cells_max {
                filling.end = last.take();
                return ControlFlow::Break(());
            }
            looked_at += 1;
            let flow = filling.add(key, cell, last.take());
            last = Some(Cursor { key: key.clone(), dot: None });
            flow
        });
        let (cells, end) = (filling.cells, filling.end);
        self.counters.given += cells.iter().map(|cell| cell.events.len() as u64).sum::<u64>();
        (cells, end)
    }
}

struct Filling<'a> {
    sync: &'a Sync,
    request: &'a PullRequest,
    after: Option<&'a Cursor>,
    keys: &'a dyn Keys,
    cells: Vec<PageCell>,
    bytes: usize,
    bytes_max: usize,
    end: Option<Cursor>,
}

impl Filling<'_> {
    /// Adds what fits of a cell. `last` is where the page ends if nothing of it fits.
    fn add(&mut self, key: &Key, cell: &Cell, last: Option<Cursor>) -> ControlFlow<()> {
        let from = self.after.filter(|after| after.key == *key).and_then(|after| after.dot);
        let is_wanted = |event: &Event| from.is_none_or(|from| event.dot > from) && self.wants(key, event);
        let wanted: Vec<&Event> = cell.siblings().iter().filter(|event| is_wanted(event)).collect();
        let whole = self.request.mode == Mode::Whole;
        if wanted.is_empty() && !whole {
            return ControlFlow::Continue(());
        }
        let mut scratch = Vec::new();
        let dots = if whole { cell.siblings().len() * DOT_BYTES } else { 0 };
        let mut bytes = self.bytes + key_bytes(key, &mut scratch) + dots + 8;
        let mut events = Vec::new();
        let mut is_cut = false;
        for event in wanted {
            let more = event_bytes(event, &mut scratch);
            if bytes + more > self.bytes_max && (!self.cells.is_empty() || !events.is_empty()) {
                is_cut = true;
                break;
            }
            bytes += more;
            events.push(self.sync.signed(key, event, self.keys));
        }
        let is_full = bytes > self.bytes_max && !self.cells.is_empty();
        if (is_cut && events.is_empty()) || is_full {
            self.end = last;
            return ControlFlow::Break(());
        }
        if is_cut {
            self.end = Some(Cursor { key: key.clone(), dot: events.last().map(|event| event.dot) });
        }
        let is_given = |event: &&Event| !events.iter().any(|given| given.dot == event.dot);
        let present =
            if whole { cell.siblings().iter().filter(is_given).map(|event| event.dot).collect() } else { vec![] };
        self.bytes = bytes;
        self.cells.push(PageCell { key: key.clone(), present, events });
        if is_cut { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn wants(&self, key: &Key, event: &Event) -> bool {
        match self.request.mode {
            Mode::Since | Mode::Whole => !self.request.since.covers(event.dot),
            // Removals too: one of them may be why an event is not there.
            Mode::Repair => digest::is_among(&self.request.buckets, &key.thing),
        }
    }
}
