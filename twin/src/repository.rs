//! Twins kept in the store: requests in, replies out after the fsync.
//!
//! One lock covers clock, cache and the order of commits, so changes of a twin are serial and commits reach the store
//! in the order of their stamps. A change is seen by the next request as soon as it is queued, but a reply about a twin
//! with unfinished commits waits for them: nobody is told of what a power cut could still take. The lock is never held
//! while waiting for room in the store's queue, so callbacks may come back in.

mod requests;
mod writing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use selvedge_store::{Batch, CommitError, Health, OnDurable, ReadError, Store};
use selvedge_twin_core::cell::Pen;
use selvedge_twin_core::digest::Digests;
use selvedge_twin_core::dot::Origin;
use selvedge_twin_core::sync::{self, Sync};
use thiserror::Error;

use crate::cache::Cache;
use crate::clock::{Clock, HybridTime, NodeId, Trust};
use crate::config::{Config, ConfigError};
use crate::exchange::{Group, OnlyVerifies};
use crate::message::{self, Operation, Rejection, Reply};
use crate::query::{Query, Subject};
use crate::record::Header;
use crate::storage::{self, Damage};
use crate::thing::{self, ThingNameError};
use crate::transaction::Transaction;
use crate::twin::{Refusal, Section, Twin, TwinView};
use requests::Outcome;

pub use writing::Ending;
pub(crate) use writing::{Change, Kept, WriteError};

/// Twins whose names are listed at once for a question.
const TWINS_PER_LOOK: usize = 256;

/// Why twins could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// A setting cannot work.
    #[error("the configuration of twins is wrong")]
    Config(#[from] ConfigError),
    /// The store could not be read.
    #[error("the state of twins could not be read")]
    Read(#[from] ReadError),
}

/// Why a twin could not be shown.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TwinError {
    /// There can be no such thing.
    #[error(transparent)]
    Name(#[from] ThingNameError),
    /// The store could not be read.
    #[error("the twin could not be read")]
    Read(#[from] ReadError),
}

/// One line of a list of twins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The thing's name.
    pub thing: String,
    /// Number of changes so far.
    pub version: u64,
    /// When it changed last, in milliseconds since 1970.
    pub updated_ms: u64,
}

/// An answer to a question about all twins.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Those of which it holds.
    pub twins: Vec<TwinView>,
    /// The name to go on after; `None` at the end.
    pub next: Option<String>,
    /// How many were looked at.
    pub looked_at: usize,
}

/// Counters since the start and current sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Metrics {
    /// Twins that exist.
    pub twins: u64,
    /// Deleted twins that are remembered.
    pub deleted: u64,
    /// Twins that are kept in memory.
    pub cached: u64,
    /// Requests that were answered with `accepted`.
    pub accepted: u64,
    /// Requests that were answered with `rejected`.
    pub rejected: u64,
    /// Records that were left out because they are damaged.
    pub damaged: u64,
}

/// What a request leads to; see [`Twins::handle_with`].
pub enum Answer {
    /// These replies, now.
    Replies(Vec<Reply>),
    /// These replies, once `batch` is durable.
    Commit {
        /// What changes.
        batch: Batch,
        /// What is told of it then.
        replies: Vec<Reply>,
        /// To be called then, or when that is known to be impossible; gives what is to be told.
        finish: Finish,
    },
}

/// See [`Answer::Commit`].
pub type Finish = Box<dyn FnOnce(Result<(), CommitError>, Vec<Reply>) -> Vec<Reply> + Send>;

/// All twins of a node. Cheap to clone.
#[derive(Clone)]
pub struct Twins {
    pub(crate) inner: Arc<Inner>,
}

/// Where changes go to become durable, in the order of the calls. A [`Store`] is one; a node may put something in between, so
/// that changes keep one order with what else it keeps.
pub trait CommitPath: Send + std::marker::Sync {
    /// Makes `batch` durable; `on_durable` runs exactly once, then or when that is known to be impossible. Never blocks.
    fn commit(&self, batch: Batch, on_durable: OnDurable);
}

impl CommitPath for Store {
    fn commit(&self, batch: Batch, on_durable: OnDurable) {
        self.commit_now(batch, on_durable);
    }
}

pub(crate) struct Inner {
    pub(crate) store: Store,
    path: OnceLock<Arc<dyn CommitPath>>,
    pub(crate) config: Config,
    pub(crate) shelf: Mutex<Shelf>,
    pub(crate) group: OnceLock<Group>,
    pub(crate) damage: Damage,
    accepted: AtomicU64,
    rejected: AtomicU64,
}

/// What the lock covers.
pub(crate) struct Shelf {
    pub(crate) clock: Clock,
    pub(crate) cache: Cache,
    /// What this node counts, and knows of its group.
    pub(crate) sync: Sync,
    /// What of that is kept, or on its way there.
    pub(crate) kept: Kept,
    /// The sums of all twins, from the moment that the node is in a group.
    pub(crate) digests: Option<Box<Digests>>,
    pub(crate) twins: u64,
    pub(crate) deleted: BTreeSet<(HybridTime, String)>,
    /// Counts the changes whose [`Ending`] has not come.
    pub(crate) unfinished: Arc<AtomicU32>,
}

impl Shelf {
    /// For a change that is made now.
    pub(crate) fn pen(&mut self, wall_ms: u64) -> Pen {
        self.sync.pen(&mut self.clock, wall_ms)
    }

    /// Under which name this node writes, and the number of its next event.
    pub(crate) fn origin(&self) -> (Origin, u64) {
        let knowledge = self.sync.knowledge();
        (knowledge.origin, knowledge.known.get(knowledge.origin).saturating_add(1))
    }
}

impl Twins {
    /// Opens the twins in `store` for the node `node`. Reads little: twins are read when they are asked for.
    pub fn open(store: Store, node: NodeId, config: Config) -> Result<Self, OpenError> {
        config.check()?;
        let damage = Damage::default();
        let (state, knowledge) = storage::read_node(&store, node, &OnlyVerifies, &damage)?;
        let deleted = storage::read_deleted(&store)?.into_iter().collect();
        let clock = Clock::new(node, state.time, config.clock_floor_ms, config.clock_ahead_max_ms);
        let kept = Kept::of(&knowledge);
        let shelf = Shelf {
            clock,
            cache: Cache::new(config.cache_bytes_max),
            sync: Sync::new(knowledge, sync::Config::default()),
            kept,
            digests: None,
            twins: state.twins,
            deleted,
            unfinished: Arc::default(),
        };
        let (accepted, rejected) = (AtomicU64::new(0), AtomicU64::new(0));
        let (path, group) = (OnceLock::new(), OnceLock::new());
        let inner = Inner { store, path, config, shelf: Mutex::new(shelf), group, damage, accepted, rejected };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// From now on changes go this way, and not to the store directly. To be called once, before the first change.
    pub fn commit_through(&self, path: Arc<dyn CommitPath>) {
        // A second call would change nothing, and there is none.
        let _ = self.inner.path.set(path);
    }

    /// Answers the request `payload` for `thing`. `wall_ms` is the wall clock in milliseconds since 1970.
    ///
    /// `on_done` runs exactly once: on the store's thread after the fsync, or here if nothing has to be waited for.
    /// Replies for one thing come in the order of the requests. Blocks while the store's queue is full
    /// ([`Store::commit`]).
    pub fn handle(
        &self,
        thing: &str,
        operation: Operation,
        payload: &[u8],
        wall_ms: u64,
        on_done: impl FnOnce(Vec<Reply>) + Send + 'static,
    ) {
        let twins = self.clone();
        self.handle_with(thing, operation, payload, wall_ms, move |answer| match answer {
            Answer::Replies(replies) => on_done(replies),
            Answer::Commit { batch, replies, finish } => {
                let on_durable = move |result: Result<(), CommitError>| on_done(finish(result, replies));
                twins.inner.path().commit(batch, Box::new(on_durable));
            }
        });
    }

    /// As [`Twins::handle`], where the caller has a change made durable together with something else. `on_answer` runs exactly
    /// once; with [`Answer::Commit`] it must hand the batch over, in the order of its calls, to where
    /// [`Twins::commit_through`] leads, and must neither block nor call the twins.
    pub fn handle_with(
        &self,
        thing: &str,
        operation: Operation,
        payload: &[u8],
        wall_ms: u64,
        on_answer: impl FnOnce(Answer) + Send + 'static,
    ) {
        let inner = &self.inner;
        let request = thing::check(thing).map_err(|error| Rejection::new(400, error.to_string()));
        let request = request.and_then(|()| message::parse_request(operation, payload, &inner.config));
        let client_token = request.as_ref().map_or_else(|r| r.client_token.clone(), |r| r.client_token.clone());
        inner.store.wait_for_room(payload.len());
        let mut shelf = inner.shelf.lock();
        let now_ms = shelf.clock.reading_ms(wall_ms);
        let outcome = request.and_then(|request| match operation {
            Operation::Get => inner.get(&mut shelf, thing, &request, now_ms),
            Operation::Update | Operation::Ops => inner.update(&mut shelf, thing, &request, wall_ms),
            Operation::Delete => inner.delete(&mut shelf, thing, &request, wall_ms),
        });
        let rejected = move |rejection: Rejection| {
            let rejection = Rejection { client_token, ..rejection };
            vec![message::rejected_reply(operation, &rejection, now_ms)]
        };
        let (batch, ending, replies) = match outcome {
            Ok(Outcome::Commit { batch, ending, replies }) => (batch, Some(ending), replies),
            Ok(Outcome::Reply(replies)) => (Batch::new(), None, replies),
            Err(rejection) => {
                inner.rejected.fetch_add(1, Ordering::Relaxed);
                let replies = rejected(rejection);
                return self.reply_in_turn(shelf, thing, replies, |replies| on_answer(Answer::Replies(replies)));
            }
        };
        inner.accepted.fetch_add(1, Ordering::Relaxed);
        let has_change = ending.is_some();
        let finish = move |result: Result<(), CommitError>, replies| {
            if let Some(ending) = ending {
                ending.end(result.is_ok());
            }
            match result {
                Ok(()) => replies,
                Err(error) => rejected(Rejection::new(500, error.to_string())),
            }
        };
        if has_change {
            on_answer(Answer::Commit { batch, replies, finish: Box::new(finish) });
        } else if shelf.cache.is_underway(thing) {
            // Nobody is told of a change that may still fail.
            let on_durable = move |result| on_answer(Answer::Replies(finish(result, replies)));
            inner.path().commit(batch, Box::new(on_durable));
        } else {
            drop(shelf);
            on_answer(Answer::Replies(replies));
        }
    }

    /// The twin of `thing`, or `None` if it does not exist. May show a change some milliseconds before it is durable.
    pub fn get(&self, thing: &str) -> Result<Option<TwinView>, TwinError> {
        thing::check(thing)?;
        let twin = self.inner.load(&mut self.inner.shelf.lock(), thing)?;
        Ok(twin.exists.then(|| twin.view(thing)))
    }

    /// At most `limit` twins whose names begin with `prefix` and come after `after`, in the order of names.
    pub fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Summary>, TwinError> {
        let inner = &self.inner;
        let shelf = inner.shelf.lock();
        let mut found = BTreeMap::new();
        for entry in storage::headers(&inner.store, prefix, after, &inner.damage) {
            if found.len() >= limit {
                break;
            }
            let (thing, mut header) = entry?;
            if let Some(twin) = shelf.cache.peek(&thing) {
                header = Header::of(twin);
            }
            if header.exists {
                found.insert(thing, (header.version, header.updated.time.ms()));
            }
        }
        let wanted = |thing: &str| thing.starts_with(prefix) && after.is_none_or(|after| thing > after);
        for (thing, twin) in shelf.cache.underway().filter(|(thing, twin)| twin.exists && wanted(thing)) {
            found.insert(thing.to_owned(), (twin.version, twin.updated.time.ms()));
        }
        drop(shelf);
        let summaries = found.into_iter().map(|(thing, (version, updated_ms))| Summary { thing, version, updated_ms });
        Ok(summaries.take(limit).collect())
    }

    /// The twins of which `query` holds and that `may_see` lets through, in the order of names: at most `limit` of those that
    /// come after `after`. Looks at no more than `look_max` twins, and takes none of them into memory.
    pub fn ask(
        &self,
        query: &Query,
        after: Option<&str>,
        limit: usize,
        look_max: usize,
        may_see: impl Fn(&str) -> bool,
    ) -> Result<Found, TwinError> {
        let mut found = Found { twins: Vec::new(), next: after.map(str::to_owned), looked_at: 0 };
        loop {
            let page = self.look_after(found.next.as_deref(), TWINS_PER_LOOK)?;
            let is_last = page.len() < TWINS_PER_LOOK;
            for (thing, twin) in page {
                found.looked_at += 1;
                if twin.exists && may_see(&thing) && query.holds(&Subject::new(&thing, &twin)) {
                    found.twins.push(twin.view(&thing));
                }
                found.next = Some(thing);
                if found.twins.len() >= limit || found.looked_at >= look_max {
                    return Ok(found);
                }
            }
            if is_last {
                return Ok(Found { next: None, ..found });
            }
        }
    }

    /// At least the first `count` twins after `after`, if there are so many, deleted ones too: as the store has them, or newer.
    fn look_after(&self, after: Option<&str>, count: usize) -> Result<Vec<(String, Arc<Twin>)>, ReadError> {
        let inner = &self.inner;
        let stored = storage::twins_after(&inner.store, after, &inner.damage).take(count);
        let mut found: BTreeMap<String, Arc<Twin>> =
            stored.map(|entry| entry.map(|(thing, twin)| (thing, Arc::new(twin)))).collect::<Result<_, _>>()?;
        let end = found.keys().next_back().filter(|_| found.len() >= count).cloned();
        let shelf = inner.shelf.lock();
        for (thing, twin) in &mut found {
            if let Some(newer) = shelf.cache.get_quietly(thing) {
                *twin = newer;
            }
        }
        // Those that the store may not have yet.
        let is_within =
            |thing: &str| after.is_none_or(|after| thing > after) && end.as_deref().is_none_or(|end| thing < end);
        for (thing, _) in shelf.cache.underway().filter(|(thing, _)| is_within(thing)) {
            if !found.contains_key(thing)
                && let Some(twin) = shelf.cache.get_quietly(thing)
            {
                found.insert(thing.to_owned(), twin);
            }
        }
        Ok(found.into_iter().collect())
    }

    /// Begins a set of reads and patches that are committed together, with `wall_ms` as the time of its writes.
    #[must_use]
    pub fn begin(&self, wall_ms: u64) -> Transaction {
        Transaction::new(self.clone(), wall_ms)
    }

    /// Whether stamps follow the wall clock, for the reading `wall_ms`.
    #[must_use]
    pub fn clock_trust(&self, wall_ms: u64) -> Trust {
        self.inner.shelf.lock().clock.trust(wall_ms)
    }

    /// Counters and sizes.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let shelf = self.inner.shelf.lock();
        Metrics {
            twins: shelf.twins,
            deleted: shelf.deleted.len() as u64,
            cached: shelf.cache.len() as u64,
            accepted: self.inner.accepted.load(Ordering::Relaxed),
            rejected: self.inner.rejected.load(Ordering::Relaxed),
            damaged: self.inner.damage.count(),
        }
    }

    /// Hands out replies that need no commit of their own, after those that are still underway.
    fn reply_in_turn(
        &self,
        shelf: parking_lot::MutexGuard<'_, Shelf>,
        thing: &str,
        replies: Vec<Reply>,
        on_done: impl FnOnce(Vec<Reply>) + Send + 'static,
    ) {
        if shelf.cache.is_underway(thing) {
            self.inner.path().commit(Batch::new(), Box::new(move |_| on_done(replies)));
        } else {
            drop(shelf);
            on_done(replies);
        }
    }
}

impl Inner {
    pub(crate) fn path(&self) -> &dyn CommitPath {
        self.path.get().map_or(&self.store as &dyn CommitPath, |path| &**path)
    }

    /// The twin from memory or disk.
    pub(crate) fn load(&self, shelf: &mut Shelf, thing: &str) -> Result<Arc<Twin>, ReadError> {
        if let Some(twin) = shelf.cache.get(thing) {
            return Ok(twin);
        }
        let twin = Arc::new(storage::read_twin(&self.store, thing, &self.damage)?);
        if twin.version > 0 {
            shelf.cache.put(thing, twin.clone());
        }
        Ok(twin)
    }

    /// Whether new work may begin.
    pub(crate) fn check_health(&self) -> Result<(), String> {
        match self.store.health() {
            Health::Good => Ok(()),
            Health::DiskFull { free_bytes } => Err(format!("the disk is full ({free_bytes} bytes are free)")),
            Health::Poisoned { cause } => Err(CommitError::Poisoned { cause }.to_string()),
        }
    }

    /// Whether the group lets this node write to these sections of `thing`.
    pub(crate) fn check_allowed(
        &self,
        shelf: &Shelf,
        thing: &str,
        mut sections: impl Iterator<Item = Section>,
    ) -> Result<(), Refusal> {
        let knowledge = shelf.sync.knowledge();
        let may_write = |section: &Section| knowledge.chain.may_write(knowledge.origin.node, *section, thing);
        match sections.find(|section| !may_write(section)) {
            Some(section) => Err(Refusal::NotAllowed { section, thing: thing.to_owned() }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
