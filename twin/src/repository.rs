//! Twins kept in the store: requests in, replies out after the fsync.
//!
//! One lock covers clock, cache and the order of commits, so changes of a twin are serial and commits reach the store
//! in the order of their stamps. A change is seen by the next request as soon as it is queued, but a reply about a twin
//! with unfinished commits waits for them: nobody is told of what a power cut could still take. The lock is never held
//! while waiting for room in the store's queue, so callbacks may come back in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use selvedge_store::{Batch, CommitError, Health, OnDurable, PutError, ReadError, Store};
use selvedge_twin_core::cell::Pen;
use selvedge_twin_core::dot::Origin;
use selvedge_twin_core::event::PolicyVersion;
use selvedge_twin_core::vector::VersionVector;
use thiserror::Error;

use crate::cache::{Cache, Underway};
use crate::clock::{Clock, HybridTime, NodeId, Trust};
use crate::config::{Config, ConfigError};
use crate::history::{Cause, ring::Recording};
use crate::message::{self, Operation, Rejection, Reply, Request};
use crate::record::{Header, State};
use crate::storage::{self, Damage};
use crate::thing::{self, ThingNameError};
use crate::transaction::Transaction;
use crate::twin::{Refusal, Touched, Twin, TwinView};

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
pub trait CommitPath: Send + Sync {
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
    damage: Damage,
    accepted: AtomicU64,
    rejected: AtomicU64,
}

/// What the lock covers.
pub(crate) struct Shelf {
    pub(crate) clock: Clock,
    pub(crate) cache: Cache,
    /// Under which name this node writes.
    pub(crate) origin: Origin,
    /// The number of its next event.
    pub(crate) next_seq: u64,
    /// Removals that were forgotten, and what they had removed.
    floor: VersionVector,
    twins: u64,
    deleted: BTreeSet<(HybridTime, String)>,
}

impl Shelf {
    /// For a change that is made now.
    pub(crate) fn pen(&mut self, wall_ms: u64) -> Pen {
        let time = self.clock.tick(wall_ms).time;
        Pen { origin: self.origin, next_seq: self.next_seq, time, policy: PolicyVersion::default() }
    }
}

/// A twin before and after a change.
pub(crate) struct Change {
    pub(crate) thing: String,
    pub(crate) before: Arc<Twin>,
    pub(crate) after: Arc<Twin>,
    pub(crate) touched: Touched,
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

/// What a request leads to.
enum Outcome {
    /// These replies, after what the twin has underway.
    Reply(Vec<Reply>),
    /// These replies, after this batch.
    Commit { batch: Batch, underway: Vec<Underway>, replies: Vec<Reply> },
}

impl Twins {
    /// Opens the twins in `store` for the node `node`. Reads little: twins are read when they are asked for.
    pub fn open(store: Store, node: NodeId, config: Config) -> Result<Self, OpenError> {
        config.check()?;
        let damage = Damage::default();
        let state = storage::read_state(&store, node, &damage)?;
        let deleted = storage::read_deleted(&store)?.into_iter().collect();
        let clock = Clock::new(node, state.time, config.clock_floor_ms, config.clock_ahead_max_ms);
        let shelf = Shelf {
            clock,
            cache: Cache::new(config.cache_bytes_max),
            origin: Origin { node, incarnation: state.incarnation },
            next_seq: state.last_seq.saturating_add(1),
            floor: state.floor,
            twins: state.twins,
            deleted,
        };
        let (accepted, rejected) = (AtomicU64::new(0), AtomicU64::new(0));
        let path = OnceLock::new();
        let inner = Inner { store, path, config, shelf: Mutex::new(shelf), damage, accepted, rejected };
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
        let (batch, underway, replies) = match outcome {
            Ok(Outcome::Commit { batch, underway, replies }) => (batch, underway, replies),
            Ok(Outcome::Reply(replies)) => (Batch::new(), Vec::new(), replies),
            Err(rejection) => {
                inner.rejected.fetch_add(1, Ordering::Relaxed);
                let replies = rejected(rejection);
                return self.reply_in_turn(shelf, thing, replies, |replies| on_answer(Answer::Replies(replies)));
            }
        };
        inner.accepted.fetch_add(1, Ordering::Relaxed);
        let has_change = !underway.is_empty();
        let finish = move |result: Result<(), CommitError>, replies| {
            drop(underway);
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

    /// Puts `changes` behind what `batch` has and takes them over into memory; the next event has the number `next_seq`.
    /// All or nothing.
    pub(crate) fn write(
        &self,
        shelf: &mut Shelf,
        changes: &[Change],
        next_seq: u64,
        mut batch: Batch,
    ) -> Result<(Batch, Vec<Underway>), WriteError> {
        let created = changes.iter().filter(|change| change.after.exists && !change.before.exists).count();
        let removed = changes.iter().filter(|change| !change.after.exists && change.before.exists).count();
        let twins = (shelf.twins + created as u64).saturating_sub(removed as u64);
        if created > 0 && twins > self.config.twins_max {
            return Err(Refusal::TooManyTwins { max: self.config.twins_max }.into());
        }
        for change in changes {
            storage::put_change(&mut batch, &change.thing, &change.before, &change.after, &change.touched)?;
        }
        let mut recording = Recording::put(&mut batch, &self.store, shelf, &self.config, changes, Cause::Request)?;
        let mut floor = shelf.floor.clone();
        changes.iter().for_each(|change| floor.join(&change.touched.floor));
        let remembered = Remembered::after(changes, &shelf.deleted, self.config.deleted_twins_max);
        for (_, thing) in &remembered.forgotten {
            let changed = changes.iter().find(|change| change.thing == *thing);
            let twin = changed.map_or_else(|| self.load(shelf, thing), |change| Ok(change.after.clone()))?;
            storage::put_forgotten(&mut batch, thing, &twin)?;
            recording.put_forgotten(&mut batch, &self.store, shelf, thing)?;
            twin.events().for_each(|event| {
                floor.add(event.dot);
                floor.join(&event.context);
            });
        }
        let (incarnation, last_seq) = (shelf.origin.incarnation, next_seq.saturating_sub(1));
        let state = State { time: shelf.clock.last(), twins, incarnation, last_seq, floor };
        storage::put_state(&mut batch, &state)?;

        (shelf.twins, shelf.next_seq, shelf.floor) = (twins, next_seq, state.floor);
        let after = changes.iter().map(|change| shelf.cache.put_underway(&change.thing, change.after.clone()));
        let mut underway: Vec<Underway> = after.collect();
        let forgotten = remembered.forgotten.iter();
        underway.extend(forgotten.map(|(_, thing)| shelf.cache.put_underway(thing, Arc::default())));
        recording.keep(&mut shelf.cache);
        remembered.apply(&mut shelf.deleted);
        Ok((batch, underway))
    }

    /// Whether new work may begin.
    pub(crate) fn check_health(&self) -> Result<(), String> {
        match self.store.health() {
            Health::Good => Ok(()),
            Health::DiskFull { free_bytes } => Err(format!("the disk is full ({free_bytes} bytes are free)")),
            Health::Poisoned { cause } => Err(CommitError::Poisoned { cause }.to_string()),
        }
    }

    fn get(&self, shelf: &mut Shelf, thing: &str, request: &Request, now_ms: u64) -> Result<Outcome, Rejection> {
        let twin = self.load_or_reject(shelf, thing)?;
        if !twin.exists {
            return Err(no_twin(thing));
        }
        Ok(Outcome::Reply(vec![message::get_reply(request, &twin, now_ms)]))
    }

    fn update(&self, shelf: &mut Shelf, thing: &str, request: &Request, wall_ms: u64) -> Result<Outcome, Rejection> {
        self.check_health().map_err(|why| Rejection::new(500, why))?;
        let before = self.load_or_reject(shelf, thing)?;
        let mut pen = shelf.pen(wall_ms);
        let updated = before.updated(&request.update, &mut pen, &self.config);
        let (after, touched) = updated.map_err(|refusal| Rejection::of(&refusal))?;
        let replies = message::update_replies(request, &before, &after, pen.time.ms());
        if after.version == before.version {
            return Ok(Outcome::Reply(replies));
        }
        let change = Change { thing: thing.to_owned(), before, after: Arc::new(after), touched };
        self.commit(shelf, change, pen.next_seq, replies)
    }

    fn delete(&self, shelf: &mut Shelf, thing: &str, request: &Request, wall_ms: u64) -> Result<Outcome, Rejection> {
        let before = self.load_or_reject(shelf, thing)?;
        if !before.exists {
            return Err(no_twin(thing));
        }
        let mut pen = shelf.pen(wall_ms);
        let (after, touched) = before.deleted(&mut pen, &self.config);
        let replies = vec![message::delete_reply(request, &after, pen.time.ms())];
        let change = Change { thing: thing.to_owned(), before, after: Arc::new(after), touched };
        self.commit(shelf, change, pen.next_seq, replies)
    }

    fn commit(
        &self,
        shelf: &mut Shelf,
        change: Change,
        next_seq: u64,
        replies: Vec<Reply>,
    ) -> Result<Outcome, Rejection> {
        let (batch, underway) = self.write(shelf, &[change], next_seq, Batch::new()).map_err(|error| match error {
            WriteError::Refused(refusal) => Rejection::of(&refusal),
            error => Rejection::new(500, error.to_string()),
        })?;
        Ok(Outcome::Commit { batch, underway, replies })
    }

    fn load_or_reject(&self, shelf: &mut Shelf, thing: &str) -> Result<Arc<Twin>, Rejection> {
        self.load(shelf, thing).map_err(|error| Rejection::new(500, error.to_string()))
    }
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

fn no_twin(thing: &str) -> Rejection {
    Rejection::new(404, format!("there is no twin of {thing:?}"))
}

#[cfg(test)]
mod tests;
