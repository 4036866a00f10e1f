//! The ring of changes that is kept of each twin: how much, where, and when it is forgotten.
//!
//! ```text
//! key                                  value
//! 'v' thing 0 revision:u64be           a segment: the changes that led to `revision` and those after it
//! ```
//! A change is written behind those of its segment, in the batch that makes it durable, until the segment has
//! [`SEGMENT_CHANGES`] changes or [`SEGMENT_BYTES`]: so a change writes some hundred bytes more, and a twin needs few keys,
//! which cost sled more memory than what is in them. Old segments are removed as a whole.
//!
//! Invariants: a ring has no gap, and ends with the present version; if a change is missing (the history was off, or an
//! older program wrote), what was before it is removed. The cache has the whole ring of every twin whose commits are not
//! finished.

use std::collections::VecDeque;
use std::sync::Arc;

use selvedge_store::{Batch, ReadError, Space, Store, VALUE_BYTES_MAX};

use super::Cause;
use super::record::{self, Recorded};
use crate::cache::Cache;
use crate::config::Config;
use crate::repository::{Change, Shelf, WriteError};

/// Changes of a segment.
const SEGMENT_CHANGES: usize = 8;
/// What a segment with more than one change should not be larger than, in bytes.
const SEGMENT_BYTES: usize = 2048;
/// Most segments that are read for one twin.
const SEGMENTS_MAX: usize = 4_096;

/// What all keys of the history begin with.
const PREFIX: &[u8] = b"v";

/// The kept changes of one twin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Past {
    segments: VecDeque<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Segment {
    /// The revision that its first change led to.
    first: u64,
    /// The one that its last change led to; 0 if it is damaged.
    last: u64,
    changes: usize,
    bytes: Arc<[u8]>,
}

impl Past {
    /// The changes that led to `version` and, without a gap, to the revisions before it: the newest first, at most
    /// `max`.
    pub(super) fn changes(&self, version: u64, max: usize) -> Vec<Recorded> {
        let mut newest_first: Vec<Recorded> = Vec::new();
        let mut led_to = version;
        for segment in self.segments.iter().rev() {
            for change in record::decode_segment(&segment.bytes).unwrap_or_default().into_iter().rev() {
                if change.revision != led_to || newest_first.len() >= max {
                    return newest_first;
                }
                led_to = change.previous;
                newest_first.push(change);
            }
        }
        newest_first
    }

    /// Bytes of memory that it takes, estimated.
    pub(crate) fn bytes(&self) -> usize {
        self.segments.iter().map(|segment| segment.bytes.len() + size_of::<Segment>() + 16).sum()
    }

    /// Forgets everything, and gives the revisions of the segments.
    fn clear(&mut self) -> Vec<u64> {
        self.segments.drain(..).map(|segment| segment.first).collect()
    }

    fn len(&self) -> usize {
        self.segments.iter().map(|segment| segment.changes).sum()
    }

    fn stored_bytes(&self) -> usize {
        self.segments.iter().map(|segment| segment.bytes.len()).sum()
    }

    /// Adds a change, and gives the segments that are to be removed. The one to be written is then the last, if there is
    /// any.
    fn add(&mut self, change: &Recorded, config: &Config) -> Vec<u64> {
        let mut dead = Vec::new();
        let mut bytes = Vec::new();
        change.put(&mut bytes);
        let is_kept = bytes.len() < config.history_bytes_max && bytes.len() < VALUE_BYTES_MAX;
        if !is_kept || self.segments.back().is_some_and(|last| last.last != change.previous) {
            dead = self.clear();
        }
        if !is_kept {
            return dead;
        }
        match self.segments.back_mut() {
            Some(last) if last.changes < SEGMENT_CHANGES && last.bytes.len() + bytes.len() <= SEGMENT_BYTES => {
                last.bytes = [&last.bytes[..], &bytes].concat().into();
                (last.last, last.changes) = (change.revision, last.changes + 1);
            }
            _ => {
                let bytes = [&[record::VERSION], &bytes[..]].concat().into();
                let (first, last) = (change.revision, change.revision);
                self.segments.push_back(Segment { first, last, changes: 1, bytes });
            }
        }
        while let Some(oldest) = self.segments.front() {
            let is_surplus = self.len() - oldest.changes >= config.history_changes_max
                || self.stored_bytes() > config.history_bytes_max;
            // The change itself fits alone.
            if !is_surplus || self.segments.len() == 1 {
                break;
            }
            dead.push(oldest.first);
            self.segments.pop_front();
        }
        dead
    }
}

/// The ring of `thing`, from memory or the store.
pub(crate) fn past(store: &Store, shelf: &Shelf, thing: &str) -> Result<Arc<Past>, ReadError> {
    match shelf.cache.past(thing) {
        Some(past) => Ok(past),
        // Nothing of it is underway, so all of it is in the store.
        None => read(store, thing).map(Arc::new),
    }
}

/// What a batch does to the history. Whatever changes twins, makes one with the batch that has the changes, and lets the
/// cache have it once the batch is on its way.
pub(crate) struct Recording {
    pasts: Vec<(String, Arc<Past>)>,
}

impl Recording {
    /// Adds to `batch` what remembers `changes`.
    pub(crate) fn put(
        batch: &mut Batch,
        store: &Store,
        shelf: &Shelf,
        config: &Config,
        changes: &[Change],
        cause: Cause,
    ) -> Result<Self, WriteError> {
        let mut pasts = Vec::with_capacity(changes.len());
        // To forget a removal is no change that anybody sees.
        let seen = changes.iter().filter(|change| change.after.version != change.before.version);
        for Change { thing, before, after, .. } in seen {
            let mut past = past(store, shelf, thing)?;
            let ring = Arc::make_mut(&mut past);
            let dead = match config.history_changes_max {
                0 => ring.clear(),
                _ => ring.add(&Recorded::of(before, after, cause), config),
            };
            for revision in dead {
                batch.delete(Space::Twin, &key(thing, revision))?;
            }
            if let Some(last) = ring.segments.back() {
                batch.put(Space::Twin, &key(thing, last.first), &last.bytes)?;
            }
            pasts.push((thing.clone(), past));
        }
        Ok(Self { pasts })
    }

    /// Adds to `batch` the removal of the whole ring of a twin that is forgotten.
    pub(crate) fn put_forgotten(
        &mut self,
        batch: &mut Batch,
        store: &Store,
        shelf: &Shelf,
        thing: &str,
    ) -> Result<(), WriteError> {
        let at = match self.pasts.iter().position(|(found, _)| found == thing) {
            Some(at) => at,
            None => {
                self.pasts.push((thing.to_owned(), past(store, shelf, thing)?));
                self.pasts.len() - 1
            }
        };
        for revision in Arc::make_mut(&mut self.pasts[at].1).clear() {
            batch.delete(Space::Twin, &key(thing, revision))?;
        }
        Ok(())
    }

    /// Takes the rings over into memory, where the changed twins are.
    pub(crate) fn keep(self, cache: &mut Cache) {
        self.pasts.into_iter().for_each(|(thing, past)| cache.keep_past(&thing, past));
    }
}

fn read(store: &Store, thing: &str) -> Result<Past, ReadError> {
    let prefix = prefix(thing);
    let mut segments = VecDeque::new();
    for entry in store.scan(Space::Twin, &prefix, None, SEGMENTS_MAX) {
        let (key, bytes) = match entry {
            Ok(found) => found,
            // One without changes ends the history where it is, and is removed with what is old.
            Err(ReadError::Corrupt { key, .. }) => (key, Vec::new()),
            Err(failed @ ReadError::Failed { .. }) => return Err(failed),
        };
        let Some(first) = key.strip_prefix(&prefix[..]).and_then(|rest| rest.try_into().ok()) else { continue };
        let changes = record::decode_segment(&bytes).unwrap_or_else(|| {
            tracing::error!(thing, "a part of a twin's history is damaged: what was before it cannot be shown");
            Vec::new()
        });
        let last = changes.last().map_or(0, |change| change.revision);
        segments.push_back(Segment {
            first: u64::from_be_bytes(first),
            last,
            changes: changes.len(),
            bytes: bytes.into(),
        });
    }
    Ok(Past { segments })
}

fn prefix(thing: &str) -> Vec<u8> {
    [PREFIX, thing.as_bytes(), &[0]].concat()
}

fn key(thing: &str, revision: u64) -> Vec<u8> {
    [&prefix(thing)[..], &revision.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests;
