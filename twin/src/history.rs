//! What a twin was: the last changes of each, and what it looked like between them.
//!
//! A change is kept as what it replaced ([`record`]), so walking back from what is gives what was, and what it was
//! replaced by. [`ring`] says how many are kept and how. Invariants: what is shown of a revision is what was shown then;
//! where a change is missing or damaged, the history ends, and nothing is made up.

mod record;
pub(crate) mod ring;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};
use thiserror::Error;

use self::record::Recorded;
use crate::clock::{HybridTime, NodeId};
use crate::delta::delta;
use crate::document::place;
use crate::path::Path;
use crate::repository::{TwinError, Twins};
use crate::thing;
use crate::twin::{Section, Twin};

/// Where a change came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// Somebody asked this node for it.
    Request,
    /// Another node told of it.
    Exchange,
}

/// What a change did to the twin as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Deed {
    /// It began to exist.
    Create,
    /// It was changed.
    Update,
    /// It was deleted.
    Delete,
}

/// Which state of a twin is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The one with this version.
    Revision(u64),
    /// The one at this time, in milliseconds since 1970.
    Time(u64),
}

/// A change, for people.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// The version that the twin had after it.
    pub revision: u64,
    /// When, in milliseconds since 1970 by the writer's clock.
    pub time_ms: u64,
    /// Which node wrote last of what it consists of, 16 hexadecimal digits.
    pub node: String,
    /// Where it came from.
    pub cause: Cause,
    /// What it did to the whole.
    pub deed: Deed,
    /// The fields that are seen differently since, in the order of sections and paths.
    pub fields: Vec<FieldChange>,
}

/// A field before and after a change.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldChange {
    /// `desired` or `reported`.
    pub section: &'static str,
    /// JSON pointer within the section.
    pub path: String,
    /// What was seen; null if nothing was. An empty object also stands for an object with members.
    pub from: Value,
    /// What is seen since, in the same way.
    pub to: Value,
}

/// A twin as it was.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PastTwin {
    /// The thing's name.
    pub thing: String,
    /// What was wanted.
    pub desired: Map<String, Value>,
    /// What was.
    pub reported: Map<String, Value>,
    /// The fields of `desired` that differed from `reported`.
    pub delta: Map<String, Value>,
    /// The version that it had.
    pub version: u64,
    /// When it became so, in milliseconds since 1970; none if the change that made it so is not kept.
    pub updated_ms: Option<u64>,
}

/// Why a moment cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MomentError {
    /// It is to come.
    #[error("there is no revision {wanted} yet: the twin has version {newest}")]
    NotYet {
        /// What was asked for.
        wanted: u64,
        /// What there is.
        newest: u64,
    },
    /// What was then is not kept any more.
    #[error(
        "that is older than the history, which goes back to revision {oldest}: [twins] history_changes_max and history_bytes_max say how much is kept"
    )]
    Forgotten {
        /// The oldest that can be shown.
        oldest: u64,
    },
    /// The twin did not exist then.
    #[error("the twin did not exist at revision {revision}")]
    DidNotExist {
        /// The revision that was there instead.
        revision: u64,
    },
}

/// The last changes of one twin, and what it is now.
pub struct History {
    thing: String,
    twin: Arc<Twin>,
    /// The newest first: what led to the present version, what led to the one before, ...
    changes: Vec<Recorded>,
}

impl Twins {
    /// The history of `thing`; `None` if nothing was ever known of it. A deleted twin has one until it is forgotten. May
    /// show a change some milliseconds before it is durable.
    ///
    /// # Errors
    /// There can be no such thing, or the store could not be read.
    pub fn history(&self, thing: &str) -> Result<Option<History>, TwinError> {
        thing::check(thing)?;
        let inner = &self.inner;
        let mut shelf = inner.shelf.lock();
        let twin = inner.load(&mut shelf, thing)?;
        if twin.version == 0 {
            return Ok(None);
        }
        let past = ring::past(&inner.store, &shelf, thing)?;
        drop(shelf);
        let changes = past.changes(twin.version, inner.config.history_changes_max);
        Ok(Some(History { thing: thing.to_owned(), twin, changes }))
    }
}

impl History {
    /// The twin's present version.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.twin.version
    }

    /// The oldest revision that can be shown: the one before the oldest change that is kept.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.changes.last().map_or(self.twin.version, |oldest| oldest.previous)
    }

    /// The changes that led to revisions after `after`, the oldest first, at most `limit` of them.
    #[must_use]
    pub fn changes(&self, after: u64, limit: usize) -> Vec<Change> {
        let mut state = State::of(&self.twin);
        let mut found = Vec::new();
        for recorded in self.changes.iter().take_while(|recorded| recorded.revision > after) {
            let exists = state.exists;
            let fields = state.undo(recorded);
            found.push(Change {
                revision: recorded.revision,
                time_ms: recorded.time.ms(),
                node: recorded.node.to_string(),
                cause: recorded.cause,
                deed: match (recorded.existed, exists) {
                    (false, true) => Deed::Create,
                    (_, false) => Deed::Delete,
                    (true, true) => Deed::Update,
                },
                fields,
            });
        }
        found.reverse();
        found.truncate(limit);
        found
    }

    /// The twin as it was.
    ///
    /// # Errors
    /// If it cannot be shown.
    pub fn at(&self, moment: Moment) -> Result<PastTwin, MomentError> {
        let (oldest, newest) = (self.oldest(), self.version());
        let revision = match moment {
            Moment::Revision(wanted) if wanted > newest => return Err(MomentError::NotYet { wanted, newest }),
            Moment::Revision(wanted) => wanted,
            Moment::Time(ms) => self.revision_at(ms).ok_or(MomentError::Forgotten { oldest })?,
        };
        if revision < oldest {
            return Err(MomentError::Forgotten { oldest });
        }
        let later = self.changes.iter().take_while(|recorded| recorded.revision > revision).count();
        let mut state = State::of(&self.twin);
        for recorded in self.changes.iter().take(later) {
            state.undo(recorded);
        }
        let made = self.changes.get(later);
        // Between the steps of a transaction there was nothing to be seen.
        let shown = later.checked_sub(1).and_then(|last| self.changes.get(last)).map_or(newest, |last| last.previous);
        if !state.exists {
            return Err(MomentError::DidNotExist { revision: shown });
        }
        let updated = if later == 0 { Some(self.twin.updated.time) } else { made.map(|made| made.time) };
        Ok(state.view(&self.thing, shown, updated))
    }

    /// The last revision of `ms` or before. Nobody knows when the one before the oldest change was made, unless it is
    /// that of the beginning.
    fn revision_at(&self, ms: u64) -> Option<u64> {
        if self.twin.updated.time.ms() <= ms {
            return Some(self.version());
        }
        let before = self.changes.iter().find(|recorded| recorded.time.ms() <= ms).map(|recorded| recorded.revision);
        before.or_else(|| (self.oldest() == 0).then_some(0))
    }
}

/// What a reader sees of a twin, as JSON text by section and path.
struct State {
    exists: bool,
    fields: BTreeMap<(Section, Path), Box<str>>,
}

impl State {
    fn of(twin: &Twin) -> Self {
        let seen = Section::ALL.into_iter().flat_map(|section| {
            let seen = twin.section(section).seen().into_iter();
            seen.map(move |(path, sight)| ((section, path.clone()), sight.shown.to_text().into()))
        });
        Self { exists: twin.exists, fields: seen.collect() }
    }

    /// Goes back behind a change, and says what it had done.
    fn undo(&mut self, recorded: &Recorded) -> Vec<FieldChange> {
        self.exists = recorded.existed;
        let undone = recorded.replaced.iter().map(|replaced| {
            let at = (replaced.section, replaced.path.clone());
            let (section, path) = (replaced.section.name(), replaced.path.to_string());
            let to = match &replaced.was {
                Some(text) => self.fields.insert(at, text.clone()),
                None => self.fields.remove(&at),
            };
            FieldChange { section, path, from: value(replaced.was.as_deref()), to: value(to.as_deref()) }
        });
        undone.collect()
    }

    fn view(&self, thing: &str, version: u64, updated: Option<HybridTime>) -> PastTwin {
        let (desired, reported) = (self.section(Section::Desired), self.section(Section::Reported));
        PastTwin {
            thing: thing.to_owned(),
            delta: delta(&desired, &reported),
            desired,
            reported,
            version,
            updated_ms: updated.map(HybridTime::ms),
        }
    }

    fn section(&self, section: Section) -> Map<String, Value> {
        let mut root = Map::new();
        for ((_, path), text) in self.fields.iter().filter(|((found, _), _)| *found == section) {
            place(&mut root, path, value(Some(text)));
        }
        root
    }
}

fn value(text: Option<&str>) -> Value {
    // What comes into a record is the text of a value.
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests;
