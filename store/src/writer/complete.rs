//! After the fsync: callbacks and the state, in order.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Writer, full_disk};
use crate::entry::{Commit, OnDurable};
use crate::front::Pending;
use crate::health::CommitError;
use crate::journal::operations::OperationAt;

/// Batches are applied to the state in portions of about this many bytes: readers wait while one is applied.
const PORTION_BYTES: usize = 256 * 1024;

impl Writer {
    /// Answers everyone whose entry is durable, and applies the state of it.
    pub(super) fn complete(&mut self) -> Result<(), String> {
        let mut group = std::mem::take(&mut self.unsynced);
        let durable = self.durable;
        self.shared.intake.with(|front| {
            front.durable(durable);
            for pending in group.iter().filter(|pending| !pending.moved.is_empty()) {
                let Some(place) = &pending.place else { continue };
                for (number, bytes, from, to) in pending.relocations(place) {
                    front.relocate(number, bytes, from, to);
                }
            }
        });
        self.count(&group);
        for pending in &mut group {
            let result = pending.refused.clone().map_or(Ok(()), Err);
            run(std::mem::replace(&mut pending.on_durable, Box::new(|_| {})), result);
        }
        self.shared.look_at_free_space();
        self.apply(group)
    }

    /// Everyone who waits gets an error.
    pub(super) fn fail_all(&mut self, error: &CommitError) {
        let group: Vec<Pending> = self.unsynced.drain(..).chain(self.pending.drain(..)).collect();
        if group.is_empty() {
            return;
        }
        self.shared.counters.group_failed(group.iter().map(commits).sum());
        let mut state = Vec::new();
        for pending in group {
            run(pending.on_durable, Err(error.clone()));
            state.extend(pending.state);
        }
        state.into_iter().for_each(|commit| run(commit.on_durable, Err(error.clone())));
    }

    fn count(&self, group: &[Pending]) {
        let bytes = |pending: &Pending| {
            let state: usize = pending.state.iter().map(|commit| commit.batch.bytes()).sum();
            state + pending.records_bytes()
        };
        let bytes: usize = group.iter().map(bytes).sum();
        self.shared.counters.group_done(group.iter().map(commits).sum(), bytes as u64);
        let moved = group.iter().flat_map(|pending| &pending.moved);
        let (messages, bytes) = moved.fold((0, 0), |(n, bytes), moved| (n + 1, bytes + moved.message.len() as u64));
        self.shared.counters.moved(messages, bytes);
    }

    fn apply(&mut self, group: Vec<Pending>) -> Result<(), String> {
        let mut group = group.into_iter().filter(|pending| !pending.state.is_empty()).peekable();
        while group.peek().is_some() {
            let mut portion = Vec::new();
            let mut bytes = 0;
            while let Some(pending) =
                group.next_if(|pending| portion.is_empty() || bytes + state_bytes(pending) <= PORTION_BYTES)
            {
                bytes += state_bytes(&pending);
                portion.push(pending);
            }
            let applied = self.apply_portion(&portion);
            self.checkpoint.count(bytes as u64);
            let result = applied.clone().map_err(|cause| self.shared.poison.set(&cause));
            for Commit { on_durable, .. } in portion.into_iter().flat_map(|pending| pending.state) {
                run(on_durable, result.clone());
            }
            if let Err(cause) = applied {
                let error = self.shared.poison.set(&cause);
                group.flat_map(|pending| pending.state).for_each(|commit| run(commit.on_durable, Err(error.clone())));
                return Err(cause);
            }
        }
        Ok(())
    }

    fn apply_portion(&self, portion: &[Pending]) -> Result<(), String> {
        let sequence =
            portion.iter().filter(|pending| pending.has_operations()).filter_map(|pending| pending.place.as_ref());
        let Some(sequence) = sequence.map(|place| place.sequence).next_back() else { return Ok(()) };
        let operations: Vec<_> = portion.iter().flat_map(Pending::operations).map(OperationAt::of).collect();
        let applied = self.shared.state.apply(&operations, sequence, full_disk::room(&self.shared));
        applied.map_err(|cause| format!("applying to the state: {cause}"))
    }
}

/// What counts as one commit for the metrics: every batch, and an owner's entry.
fn commits(pending: &Pending) -> u64 {
    pending.state.len() as u64 + u64::from(pending.records_bytes() > 0)
}

fn state_bytes(pending: &Pending) -> usize {
    pending.state.iter().map(|commit| commit.batch.bytes()).sum()
}

fn run(callback: OnDurable, result: Result<(), CommitError>) {
    if catch_unwind(AssertUnwindSafe(|| callback(result))).is_err() {
        tracing::error!("a completion callback of the store panicked");
    }
}
