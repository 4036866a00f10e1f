//! Events of the far future. Who made them had a wrong clock, or this node has; nobody can say which, so they are not
//! refused: the node has them and passes them on, and shows them when its own clock has come near.
//!
//! Invariant: what is sent and summed is what the node would have if it held nothing, so nodes with different clocks agree.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::{Knowledge, State, Sync, Turn, Wanted};
use crate::cell::Cell;
use crate::digest::{self, Digests};
use crate::event::Event;
use crate::place::Key;

impl Sync {
    /// Whether an event is of the far future.
    pub(super) fn is_far(&self, event: &Event, turn: &Turn<'_>) -> bool {
        turn.clock.clone().observe(event.stamp(), turn.now.wall_ms).is_err()
    }

    /// Shows an event, or holds it.
    pub(super) fn take_in(&mut self, key: &Key, event: Event, turn: &mut Turn<'_>) {
        self.counters.joined += 1;
        self.dirty = true;
        let dot = event.dot;
        let held = held_of(&self.knowledge, key);
        let covered: Vec<_> = held.filter(|(_, held)| event.covers(held.dot)).map(|(at, _)| at.clone()).collect();
        for at in covered {
            self.knowledge.held.remove(&at);
        }
        if turn.clock.observe(event.stamp(), turn.now.wall_ms).is_ok() {
            turn.state.join(key, event);
        } else {
            self.knowledge.held.insert((key.clone(), dot), event);
        }
    }

    /// Shows what the clock has come near to.
    pub(super) fn release_held(&mut self, turn: &mut Turn<'_>) {
        let near: Vec<_> = self
            .knowledge
            .held
            .iter()
            .filter(|(_, event)| !self.is_far(event, turn))
            .map(|(at, _)| at.clone())
            .collect();
        for at in near {
            if let Some(event) = self.knowledge.held.remove(&at)
                && turn.clock.observe(event.stamp(), turn.now.wall_ms).is_ok()
            {
                turn.state.join(&at.0, event);
                self.dirty = true;
            }
        }
    }
}

/// The held events of one cell.
pub(super) fn held_of<'a>(
    knowledge: &'a Knowledge,
    key: &Key,
) -> impl Iterator<Item = (&'a (Key, crate::dot::Dot), &'a Event)> + use<'a> {
    let key = key.clone();
    let first = (key.clone(), crate::dot::Origin { node: crate::clock::NodeId(0), incarnation: 0 }.dot(0));
    knowledge.held.range(first..).take_while(move |((found, _), _)| *found == key)
}

/// The cell at `key` with what is held of it.
fn whole_cell(knowledge: &Knowledge, key: &Key, cell: &Cell) -> Cell {
    let mut whole = cell.clone();
    for (_, event) in held_of(knowledge, key) {
        whole.join(event.clone());
    }
    whole
}

/// Shows the cells of wanted things from `from` on, or from the first, and all with something held, in the order of their
/// keys.
pub(super) fn scan(
    knowledge: &Knowledge,
    state: &dyn State,
    from: Option<&Key>,
    wanted: Wanted<'_>,
    visit: &mut dyn FnMut(&Key, &Cell) -> ControlFlow<()>,
) {
    let mut held: BTreeSet<&Key> = knowledge.held.keys().map(|(key, _)| key).collect();
    held.retain(|key| from.is_none_or(|from| *key >= from));
    let mut stopped = false;
    let mut show = |key: Key, cell: &Cell| {
        while let Some(before) = held.first().copied().filter(|held| **held < key) {
            held.remove(before);
            visit(before, &whole_cell(knowledge, before, &state.cell(before)))?;
        }
        if held.remove(&key) { visit(&key, &whole_cell(knowledge, &key, cell)) } else { visit(&key, cell) }
    };
    if let Some(from) = from {
        let cell = state.cell(from);
        if !cell.is_empty() && show(from.clone(), &cell).is_break() {
            return;
        }
    }
    state.scan(from, wanted, &mut |key, cell| {
        let flow = show(key, cell);
        stopped = flow.is_break();
        flow
    });
    if stopped {
        return;
    }
    for key in held {
        if visit(key, &whole_cell(knowledge, key, &state.cell(key))).is_break() {
            return;
        }
    }
}

/// Turns the sums of what is shown into those of what would be shown if nothing were held.
pub(super) fn adjust(digests: &mut Digests, knowledge: &Knowledge, state: &dyn State) {
    let keys: BTreeSet<&Key> = knowledge.held.keys().map(|(key, _)| key).collect();
    for key in keys {
        let cell = state.cell(key);
        let whole = whole_cell(knowledge, key, &cell);
        let Some(sum) = digests.get_mut(digest::bucket(&key.thing)) else { continue };
        for event in cell.siblings() {
            *sum = sum.wrapping_sub(digest::share(key, event));
        }
        for event in whole.siblings() {
            *sum = sum.wrapping_add(digest::share(key, event));
        }
    }
}
