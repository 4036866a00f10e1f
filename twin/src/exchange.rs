//! The exchange of twins with the other nodes of a group, on the store: what comes in is checked and merged by
//! [`selvedge_twin_core::sync`], and what that changes goes the way of all changes, in one batch with what the node then
//! knows. Sockets and topics are wired elsewhere.
//!
//! Invariant: what goes out is handed to the group's sender after what the same call changed is durable, in the order of the
//! calls.

mod state;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use selvedge_store::{Batch, ReadError};
use selvedge_twin_core::event::{PolicyVersion, Signature};
use selvedge_twin_core::keys::{Ed25519, Keys, PublicKey};
use selvedge_twin_core::policy::{Chain, Policy, PolicyRefusal};
use selvedge_twin_core::sync::{self, Counters, Input, Knowledge, MemberState, Mode, Now, Output, Sync, Turn};
use selvedge_twin_core::vector::VersionVector;
use thiserror::Error;

use crate::clock::NodeId;
use crate::message;
use crate::repository::{Change, Inner, Shelf, Twins, WriteError};
use crate::storage;
use crate::transaction::Publication;
use crate::twin::Twin;

pub use crate::repository::Ending;
pub(crate) use state::Unchanging;
use state::{StoreState, Working};

/// Sends what comes out to the other nodes; must not block and not call the twins.
pub type Sender = Arc<dyn Fn(Vec<Output>) + Send + std::marker::Sync>;

/// How a node takes part in a group.
pub struct Group {
    /// The key that signs the group's first policy.
    pub signer: PublicKey,
    /// The node's own key.
    pub keys: Box<dyn Keys + Send + std::marker::Sync>,
    /// Where messages go to.
    pub sender: Sender,
    /// A clock that never goes back, in milliseconds from any start.
    pub steady_ms: Box<dyn Fn() -> u64 + Send + std::marker::Sync>,
    /// Settings of the exchange.
    pub config: sync::Config,
}

impl Group {
    pub(crate) fn keys(&self) -> &dyn Keys {
        &*self.keys
    }

    pub(crate) fn sender(&self) -> Sender {
        Arc::clone(&self.sender)
    }

    pub(crate) fn steady_ms(&self) -> u64 {
        (self.steady_ms)()
    }
}

/// Why a node cannot take part in a group.
#[derive(Debug, Error)]
pub enum JoinError {
    /// Its twins belong to another group.
    #[error("the twins of this node belong to the group of the key {kept}, not to that of {wanted}")]
    OtherGroup {
        /// The key of its group, in hexadecimal digits.
        kept: String,
        /// The key of the group that was asked for.
        wanted: String,
    },
    /// It does already.
    #[error("this node takes part in a group already")]
    Again,
    /// The store could not be read.
    #[error("the twins could not be read")]
    Read(#[from] ReadError),
    /// The group could not be kept.
    #[error("the group could not be kept: {0}")]
    Keep(String),
}

/// Why something was not taken. Nothing has changed.
#[derive(Debug, Error)]
pub enum ExchangeError {
    /// The node takes part in no group.
    #[error("this node takes part in no group: [sync] names none")]
    NoGroup,
    /// The policy cannot be taken.
    #[error(transparent)]
    Policy(#[from] PolicyRefusal),
    /// The first policy that a node takes must name it.
    #[error("the policy does not name this node, {0}, as a member")]
    NotMember(NodeId),
    /// The store takes no new work.
    #[error("twins cannot be changed: {0}")]
    Unavailable(String),
    /// What came does not fit into the store.
    #[error("what the other node sent cannot be kept: {0}")]
    Unfit(String),
}

/// How a group stands, as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupStatus {
    /// This node.
    pub node: NodeId,
    /// In which of its lives.
    pub incarnation: u32,
    /// The key that names the group.
    pub signer: PublicKey,
    /// Whether the way to the others is open.
    pub connected: bool,
    /// The policy of now.
    pub policy: Option<Policy>,
    /// All members.
    pub members: Vec<MemberState>,
    /// What the node has.
    pub known: VersionVector,
    /// Events of the far future that are held.
    pub held: usize,
    /// From whom something is being fetched, and what for.
    pub fetching: Option<(NodeId, Mode)>,
    /// Since the start.
    pub counters: Counters,
}

/// Only checks signatures: for a node that sends nothing.
pub(crate) struct OnlyVerifies;

impl Keys for OnlyVerifies {
    fn sign(&self, _: &[u8]) -> Signature {
        [0; 64]
    }

    fn verify(&self, key: &PublicKey, bytes: &[u8], signature: &Signature) -> bool {
        Ed25519::verify_strictly(key, bytes, signature)
    }
}

impl Twins {
    /// Takes part in a group from now on. Reads the headers of all twins.
    ///
    /// # Errors
    /// The twins belong to another group, or the store fails.
    pub fn join_group(&self, group: Group) -> Result<(), JoinError> {
        let inner = &self.inner;
        let mut shelf = inner.shelf.lock();
        let Knowledge { chain, .. } = shelf.sync.knowledge();
        let none = PublicKey::default();
        if chain.signer() != none && chain.signer() != group.signer {
            let (kept, wanted) = (chain.signer().to_string(), group.signer.to_string());
            return Err(JoinError::OtherGroup { kept, wanted });
        }
        let mut knowledge = shelf.sync.knowledge().clone();
        if chain.signer() == none {
            knowledge.chain = Chain::new(group.signer);
            let mut batch = Batch::new();
            storage::put_group(&mut batch, group.signer).map_err(|error| JoinError::Keep(error.to_string()))?;
            inner.store.commit_blocking(batch).map_err(|error| JoinError::Keep(error.to_string()))?;
        }
        shelf.digests = Some(state::digests(inner, &shelf)?);
        shelf.sync = Sync::new(knowledge, group.config);
        inner.group.set(group).map_err(|_| JoinError::Again)
    }

    /// Lets something happen. `submit` gets a batch, what is to be published together with it, and what is to be called when
    /// the batch is durable or known never to be. It must hand the batch over, in the order of its calls, to where
    /// [`Twins::commit_through`] leads; it must not block, and not call the twins. It is not called if nothing has to be done.
    /// Waits while the store's queue is full.
    ///
    /// # Errors
    /// If this could not be taken; nothing has changed, and the others will say it again.
    pub fn exchange(
        &self,
        input: Input<'_>,
        now: Now,
        submit: impl FnOnce(Batch, Vec<Publication>, Ending),
    ) -> Result<(), ExchangeError> {
        self.with_sync(now, submit, |sync, turn| Ok(sync.handle(input, turn)))
    }

    /// Takes the group's next policy, signed. `submit` as in [`Twins::exchange`].
    ///
    /// # Errors
    /// If it is not the next one, not signed, or the first and without this node; nothing has changed.
    pub fn adopt_policy(
        &self,
        signed: &[u8],
        now: Now,
        submit: impl FnOnce(Batch, Vec<Publication>, Ending),
    ) -> Result<(), ExchangeError> {
        self.with_sync(now, submit, |sync, turn| {
            let Knowledge { chain, origin, .. } = sync.knowledge();
            if chain.head().is_none() {
                // What does not count by the first policy is removed, and that would be all.
                let mut first = chain.clone();
                first.adopt(signed, turn.keys)?;
                if !first.head().is_some_and(|policy| policy.members.contains_key(&origin.node)) {
                    return Err(ExchangeError::NotMember(origin.node));
                }
            }
            Ok(sync.adopt(signed, turn)?)
        })
    }

    /// The bytes of the policies after `version`, signatures included, and the hash that the next one has to name.
    #[must_use]
    pub fn policies_after(&self, version: PolicyVersion) -> (Vec<Vec<u8>>, [u8; 32]) {
        let shelf = self.inner.shelf.lock();
        let chain = &shelf.sync.knowledge().chain;
        (chain.signed_after(version).map(<[u8]>::to_vec).collect(), chain.last_hash())
    }

    /// How the group stands; `None` if the node takes part in none.
    #[must_use]
    pub fn group_status(&self) -> Option<GroupStatus> {
        self.inner.group.get()?;
        let shelf = self.inner.shelf.lock();
        let knowledge = shelf.sync.knowledge();
        Some(GroupStatus {
            node: knowledge.origin.node,
            incarnation: knowledge.origin.incarnation,
            signer: knowledge.chain.signer(),
            connected: shelf.sync.is_connected(),
            policy: knowledge.chain.head().cloned(),
            members: shelf.sync.members().collect(),
            known: knowledge.known.clone(),
            held: knowledge.held.len(),
            fetching: knowledge.pull.as_ref().map(|pull| (pull.peer, pull.mode)),
            counters: shelf.sync.counters(),
        })
    }

    fn with_sync(
        &self,
        now: Now,
        submit: impl FnOnce(Batch, Vec<Publication>, Ending),
        what: impl FnOnce(&mut Sync, Turn<'_>) -> Result<Vec<Output>, ExchangeError>,
    ) -> Result<(), ExchangeError> {
        let inner = &self.inner;
        let group = inner.group.get().ok_or(ExchangeError::NoGroup)?;
        inner.check_health().map_err(ExchangeError::Unavailable)?;
        inner.store.wait_for_room(sync::MESSAGE_BYTES_MAX);
        let mut shelf = inner.shelf.lock();
        let saved = shelf.sync.knowledge().clone();
        let Shelf { clock, cache, sync, digests, .. } = &mut *shelf;
        let mut state = StoreState::new(inner, cache, digests.as_deref());
        let result = what(sync, Turn { now, clock, state: &mut state, keys: group.keys() });
        let StoreState { working, is_dirty, failed, .. } = state;
        let undo = |shelf: &mut Shelf, error| {
            shelf.sync.rewind(saved);
            Err(error)
        };
        let outputs = match (result, failed.into_inner()) {
            (Ok(outputs), None) => outputs,
            (Ok(_), Some(error)) => return undo(&mut shelf, ExchangeError::Unavailable(error.to_string())),
            (Err(error), _) => return undo(&mut shelf, error),
        };
        let changes: Vec<Change> = working.into_iter().filter_map(|(thing, working)| change(&thing, working)).collect();
        if changes.is_empty() && !is_dirty {
            // After what was written before and is told of in them.
            let is_first = shelf.unfinished.load(Ordering::Acquire) == 0;
            let ending = inner.ending(&shelf, Vec::new(), outputs);
            if is_first {
                ending.end(true);
            } else {
                submit(Batch::new(), Vec::new(), ending);
            }
            return Ok(());
        }
        let (batch, ending) = match inner.write_exchanged(&mut shelf, &changes, outputs) {
            Ok(written) => written,
            Err(WriteError::Read(error)) => {
                return undo(&mut shelf, ExchangeError::Unavailable(error.to_string()));
            }
            Err(error) => return undo(&mut shelf, ExchangeError::Unfit(error.to_string())),
        };
        submit(batch, changes.iter().filter_map(publication).collect(), ending);
        Ok(())
    }
}

/// What the exchange did to a twin; `None` if nothing.
fn change(thing: &str, working: Working) -> Option<Change> {
    let Working { before, mut after, touched } = working;
    if touched.is_empty() {
        return None;
    }
    let has_fields = |twin: &Twin| twin.desired.live_count() + twin.reported.live_count() > 0;
    // An empty twin is a matter of the node that made it: others cannot tell it from none.
    after.exists = has_fields(&after) || (before.exists && !has_fields(&before));
    if !is_same(&before, &after) || before.version == 0 {
        after.version = before.version.saturating_add(1);
        after.updated = after.events().map(|event| event.stamp()).max().unwrap_or(before.updated);
    }
    Some(Change::new(thing, before, after, touched))
}

/// Whether both show the same, from the same writes.
fn is_same(before: &Twin, after: &Twin) -> bool {
    before.exists == after.exists
        && before.desired.seen() == after.desired.seen()
        && before.reported.seen() == after.reported.seen()
}

fn publication(change: &Change) -> Option<Publication> {
    if is_same(&change.before, &change.after) {
        return None;
    }
    let now_ms = change.after.updated.time.ms();
    let replies = if change.after.exists {
        message::change_replies(&change.before, &change.after, now_ms, None)
    } else {
        vec![message::delete_reply(&message::Request::default(), &change.after, now_ms)]
    };
    Some(Publication { thing: change.thing.clone(), replies })
}

/// Changes of one call, by thing.
pub(crate) type Workings = BTreeMap<Box<str>, Working>;

impl Inner {
    /// The thing's twin, without taking it into memory.
    pub(crate) fn look(&self, cache: &crate::cache::Cache, thing: &str) -> Result<Arc<Twin>, ReadError> {
        match cache.get_quietly(thing) {
            Some(twin) => Ok(twin),
            None => storage::read_twin(&self.store, thing, &self.damage).map(Arc::new),
        }
    }
}

#[cfg(test)]
mod tests;
