//! Several reads and patches of twins that take effect together with other writes, or not at all: what a function's
//! invocation does.
//!
//! A twin is seen as it was when the transaction first touched it, with the transaction's own patches. Committing
//! checks that every twin that was read or patched still has that version; if not, nothing is written and the caller
//! begins anew. Nothing is locked in between.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use selvedge_store::{Batch, CommitError, PutError, ReadError};
use selvedge_twin_core::cell::Pen;
use selvedge_twin_core::dot::Origin;
use serde_json::Value;
use thiserror::Error;

use crate::json::{self, JsonError};
use crate::message::{self, Reply};
use crate::repository::{Change, Ending, Twins, WriteError};
use crate::thing::{self, ThingNameError};
use crate::twin::{Refusal, Section, SectionPatch, Touched, Twin, TwinView, Update};

/// Events of a transaction are numbered from here until it is committed: only then is their order among all events known.
const PROVISIONAL: u64 = 1 << 62;

/// Most things that one transaction may touch.
pub const THINGS_MAX: usize = 64;

/// Why a patch was not taken or a transaction not committed. Nothing has changed.
#[derive(Debug, Error)]
pub enum PatchError {
    /// There can be no such thing.
    #[error(transparent)]
    Name(#[from] ThingNameError),
    /// The patch is not JSON.
    #[error("the merge patch is {0}")]
    Json(#[from] JsonError),
    /// The patch is neither an object nor null.
    #[error("the merge patch is not a JSON object or null")]
    NotAnObject,
    /// The transaction touches more than [`THINGS_MAX`] things.
    #[error("a transaction touches at most {THINGS_MAX} things")]
    TooManyThings,
    /// A limit or the expected version is not met. `VersionConflict` carries the current version.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Someone else changed a twin that this transaction has read or patched: begin anew.
    #[error("the twin of {thing:?} has changed meanwhile and has version {current}")]
    Conflict {
        /// The thing.
        thing: String,
        /// The version it has now.
        current: u64,
    },
    /// The batch would be too large.
    #[error(transparent)]
    Put(#[from] PutError),
    /// The store could not be read.
    #[error("a twin could not be read")]
    Read(#[from] ReadError),
    /// The store takes no new work: it is poisoned or the disk is full.
    #[error("twins cannot be changed: {0}")]
    Unavailable(String),
}

/// What is to be published about a thing once the transaction is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The thing's name.
    pub thing: String,
    /// `update/delta` and `update/documents`.
    pub replies: Vec<Reply>,
}

/// A set of reads and patches. Dropping it undoes it.
pub struct Transaction {
    twins: Twins,
    wall_ms: u64,
    things: BTreeMap<String, Working>,
}

struct Working {
    before: Arc<Twin>,
    after: Arc<Twin>,
    touched: Touched,
    next_seq: u64,
}

impl Transaction {
    pub(crate) fn new(twins: Twins, wall_ms: u64) -> Self {
        Self { twins, wall_ms, things: BTreeMap::new() }
    }

    /// The twin of `thing`, or `None` if it does not exist.
    pub fn get(&mut self, thing: &str) -> Result<Option<TwinView>, PatchError> {
        let twin = &self.working(thing)?.after;
        Ok(twin.exists.then(|| twin.view(thing)))
    }

    /// Merges the JSON text `merge` into a section (RFC 7396); null empties it. Returns the version that the twin has
    /// after this patch. With `expected_version` the twin, as this transaction sees it, must have that version.
    pub fn patch(
        &mut self,
        thing: &str,
        section: Section,
        merge: &[u8],
        expected_version: Option<u64>,
    ) -> Result<u64, PatchError> {
        let inner = self.twins.inner.clone();
        inner.check_health().map_err(PatchError::Unavailable)?;
        if merge.len() > inner.config.request_bytes_max {
            let (bytes, max) = (merge.len(), inner.config.request_bytes_max);
            return Err(Refusal::SectionTooLarge { section, bytes, max }.into());
        }
        let patch = match json::parse(merge)? {
            Value::Object(members) => SectionPatch::Merge(members),
            Value::Null => SectionPatch::Clear,
            _ => return Err(PatchError::NotAnObject),
        };
        let wall_ms = self.wall_ms;
        let working = self.working(thing)?;
        let pen = {
            let mut shelf = inner.shelf.lock();
            inner.check_allowed(&shelf, thing, [section].into_iter())?;
            // A later change by anyone else is a conflict, so a time taken now is greater than all in the twin.
            shelf.pen(wall_ms)
        };
        let mut pen = Pen { next_seq: working.next_seq, ..pen };
        let update = Update { patches: vec![(section, patch)], expected_version };
        let (after, touched) = working.after.updated(&update, &mut pen, &inner.config)?;
        working.after = Arc::new(after);
        working.next_seq = pen.next_seq;
        working.touched.extend(touched);
        Ok(working.after.version)
    }

    /// Commits all patches together with `batch`, which may write to other spaces. `on_durable` runs exactly once if
    /// this returns `Ok`, after the fsync, with what is to be published. Never blocks.
    pub fn commit(
        self,
        batch: Batch,
        on_durable: impl FnOnce(Result<Vec<Publication>, CommitError>) + Send + 'static,
    ) -> Result<(), PatchError> {
        let twins = self.twins.clone();
        self.commit_with(batch, move |batch, publications, ending| {
            let on_durable = move |result: Result<(), CommitError>| {
                ending.end(result.is_ok());
                on_durable(result.map(|()| publications));
            };
            twins.inner.path().commit(batch, Box::new(on_durable));
        })
    }

    /// As [`Transaction::commit`], where the caller has the whole made durable: `submit` gets the batch, what is to be published
    /// once it is durable, and what is to be called then, or when that is known to be impossible. It must hand the batch over,
    /// in the order of its calls, to where [`Twins::commit_through`] leads; it must not block, and not call the twins.
    pub fn commit_with(
        self,
        batch: Batch,
        submit: impl FnOnce(Batch, Vec<Publication>, Ending),
    ) -> Result<(), PatchError> {
        let inner = &self.twins.inner;
        let publications: Vec<Publication> = self.changed().map(publication).collect();
        let mut shelf = inner.shelf.lock();
        for (thing, working) in &self.things {
            let current = inner.load(&mut shelf, thing)?.version;
            if current != working.before.version {
                return Err(PatchError::Conflict { thing: thing.clone(), current });
            }
        }
        let (origin, mut next_seq) = shelf.origin();
        let changes: Vec<Change> = self.changed().map(|entry| change(entry, origin, &mut next_seq)).collect();
        let (batch, ending) = if changes.is_empty() {
            (batch, inner.ending(&shelf, Vec::new(), Vec::new()))
        } else {
            inner.write(&mut shelf, &changes, batch).map_err(|error| match error {
                WriteError::Refused(refusal) => PatchError::Refused(refusal),
                WriteError::Put(error) => PatchError::Put(error),
                WriteError::Read(error) => PatchError::Read(error),
            })?
        };
        submit(batch, publications, ending);
        Ok(())
    }

    fn changed(&self) -> impl Iterator<Item = (&String, &Working)> {
        self.things.iter().filter(|(_, working)| working.after.version != working.before.version)
    }

    fn working(&mut self, thing: &str) -> Result<&mut Working, PatchError> {
        thing::check(thing)?;
        let count = self.things.len();
        match self.things.entry(thing.to_owned()) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(_) if count >= THINGS_MAX => Err(PatchError::TooManyThings),
            Entry::Vacant(entry) => {
                let inner = &self.twins.inner;
                let before = inner.load(&mut inner.shelf.lock(), thing)?;
                let (after, touched) = (before.clone(), Touched::default());
                Ok(entry.insert(Working { before, after, touched, next_seq: PROVISIONAL }))
            }
        }
    }
}

/// A change with its final numbers.
fn change((thing, working): (&String, &Working), origin: Origin, next_seq: &mut u64) -> Change {
    let Working { before, after, touched, .. } = working;
    let (mut after, mut touched) = (after.clone(), touched.clone());
    let twin = Arc::make_mut(&mut after);
    for section in Section::ALL {
        for path in touched.paths(section) {
            twin.section_mut(section).renumber(path, PROVISIONAL, origin, next_seq);
        }
    }
    // What was removed and forgotten within the transaction never had a number.
    touched.floor.cap(origin, next_seq.saturating_sub(1));
    Change::new(thing, before.clone(), Arc::unwrap_or_clone(after), touched)
}

fn publication((thing, working): (&String, &Working)) -> Publication {
    let now_ms = working.after.updated.time.ms();
    let replies = message::change_replies(&working.before, &working.after, now_ms, None);
    Publication { thing: thing.clone(), replies }
}

#[cfg(test)]
mod tests;
