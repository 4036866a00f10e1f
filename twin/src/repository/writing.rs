//! Changes of twins on their way to the store: what goes into the batch, what memory takes over, and what is told to other
//! nodes once it is durable.

use std::collections::BTreeSet;
use std::sync::Arc;

use selvedge_store::{Batch, PutError, ReadError};
use selvedge_twin_core::digest;
use selvedge_twin_core::dot::Dot;
use selvedge_twin_core::event::{Event, PolicyVersion};
use selvedge_twin_core::place::{Key, Section};
use selvedge_twin_core::sync::{Input, Knowledge, Now, Output, Turn};
use selvedge_twin_core::vector::VersionVector;
use thiserror::Error;

use super::{Inner, Shelf};
use crate::cache::Underway;
use crate::clock::HybridTime;
use crate::exchange::{Sender, Unchanging};
use crate::history::Cause;
use crate::history::ring::Recording;
use crate::record::node::{Known, State};
use crate::storage;
use crate::twin::{Refusal, Touched, Twin};

/// A twin before and after a change.
pub(crate) struct Change {
    pub(crate) thing: String,
    pub(crate) before: Arc<Twin>,
    pub(crate) after: Arc<Twin>,
    pub(crate) touched: Touched,
}

impl Change {
    pub(crate) fn new(thing: &str, before: Arc<Twin>, mut after: Twin, touched: Touched) -> Self {
        after.sums = before.sums.after(thing, &before, &after, &touched);
        Self { thing: thing.to_owned(), before, after: Arc::new(after), touched }
    }

    /// The events that this node made with numbers from `first` on.
    fn made(&self, (origin, first): (selvedge_twin_core::dot::Origin, u64)) -> Vec<(Key, Event)> {
        let mut made = Vec::new();
        for section in Section::ALL {
            for path in self.touched.paths(section) {
                for (part, event) in self.after.section(section).events_at(path, origin, first) {
                    let (thing, part) = (self.thing.as_str().into(), part.clone());
                    made.push((Key { thing, section, path: path.clone(), part }, event.clone()));
                }
            }
        }
        made
    }
}

/// Why a change could not be put into a batch. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum WriteError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Put(#[from] PutError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// What of a node's knowledge is kept beside its state record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    policies: PolicyVersion,
    held: BTreeSet<Dot>,
}

impl Kept {
    pub(crate) fn of(knowledge: &Knowledge) -> Self {
        let held = knowledge.held.keys().map(|(_, dot)| *dot).collect();
        Self { policies: knowledge.chain.version(), held }
    }
}

/// What has to happen when a change is durable, or known never to be.
#[must_use = "other nodes and readers wait for the end of a change"]
pub struct Ending {
    underway: Vec<Underway>,
    outputs: Vec<Output>,
    sender: Option<Sender>,
    /// Given back last: what was sent later may not overtake.
    _unfinished: Underway,
}

impl Ending {
    /// The change is durable, or it is not and never will be.
    pub fn end(self, is_durable: bool) {
        drop(self.underway);
        // In this order: who sees nothing unfinished sends at once.
        if let (true, Some(sender)) = (is_durable && !self.outputs.is_empty(), self.sender) {
            sender(self.outputs);
        }
    }
}

/// A batch with what memory takes over once it is sure to be handed on.
pub(crate) struct Prepared {
    recording: Recording,
    batch: Batch,
    twins: u64,
    floor: VersionVector,
    remembered: Remembered,
}

impl Inner {
    /// Puts this node's own `changes` behind what `batch` has and takes them over into memory. All or nothing.
    pub(crate) fn write(
        &self,
        shelf: &mut Shelf,
        changes: &[Change],
        batch: Batch,
    ) -> Result<(Batch, Ending), WriteError> {
        let created = changes.iter().any(|change| change.after.exists && !change.before.exists);
        if created && count_twins(shelf.twins, changes) > self.config.twins_max {
            return Err(Refusal::TooManyTwins { max: self.config.twins_max }.into());
        }
        let mut made: Vec<_> = changes.iter().flat_map(|change| change.made(shelf.origin())).collect();
        made.sort_by_key(|(_, event)| event.dot.seq);
        let through = made.last().map_or(0, |(_, event)| event.dot.seq);
        let mut state = self.state(shelf);
        state.last_seq = state.last_seq.max(through);
        state.known.add(shelf.origin().0.dot(through));
        let prepared = self.prepare(shelf, changes, state, batch, Cause::Request)?;
        let (batch, underway) = take_over(shelf, changes, prepared);
        let mut outputs = Vec::new();
        match self.group.get() {
            Some(group) if shelf.sync.is_connected() => {
                let now = Now { steady_ms: group.steady_ms(), wall_ms: shelf.clock.last().ms() };
                let turn = Turn { now, clock: &mut shelf.clock, state: &mut Unchanging, keys: group.keys() };
                outputs = shelf.sync.handle(Input::Written(&made), turn);
            }
            _ => shelf.sync.wrote(through),
        }
        Ok((batch, self.ending(shelf, underway, outputs)))
    }

    /// Puts what the exchange changed into a batch and takes it over. All or nothing.
    pub(crate) fn write_exchanged(
        &self,
        shelf: &mut Shelf,
        changes: &[Change],
        outputs: Vec<Output>,
    ) -> Result<(Batch, Ending), WriteError> {
        let mut batch = Batch::new();
        let knowledge = shelf.sync.knowledge();
        storage::put_policies(&mut batch, &knowledge.chain, shelf.kept.policies)?;
        storage::put_held(&mut batch, knowledge, &shelf.kept.held)?;
        let kept = Kept::of(knowledge);
        let prepared = self.prepare(shelf, changes, self.state(shelf), batch, Cause::Exchange)?;
        let (batch, underway) = take_over(shelf, changes, prepared);
        shelf.kept = kept;
        Ok((batch, self.ending(shelf, underway, outputs)))
    }

    pub(crate) fn ending(&self, shelf: &Shelf, underway: Vec<Underway>, outputs: Vec<Output>) -> Ending {
        let sender = self.group.get().map(|group| group.sender());
        Ending { underway, outputs, sender, _unfinished: Underway::begin(&shelf.unfinished) }
    }

    fn state(&self, shelf: &Shelf) -> State {
        let knowledge = shelf.sync.knowledge();
        State {
            time: shelf.clock.last(),
            twins: shelf.twins,
            incarnation: knowledge.origin.incarnation,
            last_seq: knowledge.known.get(knowledge.origin),
            floor: knowledge.floor.clone(),
            known: knowledge.known.clone(),
            known_of: Known::Kept,
            pull: knowledge.pull.clone(),
        }
    }

    /// Puts `changes` and `state` behind what `batch` has.
    fn prepare(
        &self,
        shelf: &mut Shelf,
        changes: &[Change],
        mut state: State,
        mut batch: Batch,
        cause: Cause,
    ) -> Result<Prepared, WriteError> {
        for change in changes {
            storage::put_change(&mut batch, &change.thing, &change.before, &change.after, &change.touched)?;
            state.floor.join(&change.touched.floor);
        }
        let mut recording = Recording::put(&mut batch, &self.store, shelf, &self.config, changes, cause)?;
        let remembered = Remembered::after(changes, &shelf.deleted, self.config.deleted_twins_max);
        for (_, thing) in &remembered.forgotten {
            let changed = changes.iter().find(|change| change.thing == *thing);
            let twin = changed.map_or_else(|| self.load(shelf, thing), |change| Ok(change.after.clone()))?;
            storage::put_forgotten(&mut batch, thing, &twin)?;
            recording.put_forgotten(&mut batch, &self.store, shelf, thing)?;
            twin.events().for_each(|event| {
                state.floor.add(event.dot);
                state.floor.join(&event.context);
            });
        }
        state.twins = count_twins(shelf.twins, changes);
        storage::put_state(&mut batch, &state)?;
        Ok(Prepared { recording, batch, twins: state.twins, floor: state.floor, remembered })
    }
}

fn count_twins(before: u64, changes: &[Change]) -> u64 {
    let created = changes.iter().filter(|change| change.after.exists && !change.before.exists).count();
    let removed = changes.iter().filter(|change| !change.after.exists && change.before.exists).count();
    (before + created as u64).saturating_sub(removed as u64)
}

fn take_over(shelf: &mut Shelf, changes: &[Change], prepared: Prepared) -> (Batch, Vec<Underway>) {
    let Prepared { recording, batch, twins, floor, remembered } = prepared;
    shelf.twins = twins;
    shelf.sync.forgot(&floor);
    if let Some(digests) = &mut shelf.digests {
        for change in changes {
            if let Some(sum) = digests.get_mut(digest::bucket(&change.thing)) {
                *sum = sum.wrapping_sub(change.before.sums.digest).wrapping_add(change.after.sums.digest);
            }
        }
    }
    let after = changes.iter().map(|change| shelf.cache.put_underway(&change.thing, change.after.clone()));
    let mut underway: Vec<Underway> = after.collect();
    let forgotten = remembered.forgotten.iter();
    underway.extend(forgotten.map(|(_, thing)| shelf.cache.put_underway(thing, Arc::default())));
    recording.keep(&mut shelf.cache);
    remembered.apply(&mut shelf.deleted);
    (batch, underway)
}

/// What changes do to the set of remembered deletions.
struct Remembered {
    deleted: Vec<(HybridTime, String)>,
    back: Vec<(HybridTime, String)>,
    forgotten: Vec<(HybridTime, String)>,
}

impl Remembered {
    fn after(changes: &[Change], before: &BTreeSet<(HybridTime, String)>, max: usize) -> Self {
        let entry = |twin: &Twin, change: &Change| (twin.updated.time, change.thing.clone());
        let deleted = changes.iter().filter(|change| !change.after.exists);
        let deleted: Vec<_> = deleted.map(|change| entry(&change.after, change)).collect();
        let back = changes.iter().map(|change| entry(&change.before, change));
        let back: Vec<_> = back.filter(|entry| before.contains(entry)).collect();
        let surplus = (before.len() + deleted.len()).saturating_sub(back.len() + max);
        let candidates = before.iter().filter(|entry| !back.contains(entry)).chain(&deleted);
        let forgotten = candidates.take(surplus).cloned().collect();
        Self { deleted, back, forgotten }
    }

    fn apply(self, to: &mut BTreeSet<(HybridTime, String)>) {
        to.extend(self.deleted);
        for entry in self.back.iter().chain(&self.forgotten) {
            to.remove(entry);
        }
    }
}
