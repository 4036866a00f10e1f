//! What the node lends to functions: clock, randomness, key-values, twins, and one commit for everything an invocation did.
//!
//! Not an implementation; [`run_offline`](crate::run_offline) has one in memory. The runtime calls `kv_*` and `twin_get`
//! from its worker threads while a guest waits, so they must be quick and must not call back into the runtime.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::hex::{from_hex, to_hex};
use crate::message::InvocationMessage;
use crate::outgoing::{HttpReply, HttpRequest};

/// The node's abilities, as functions see them.
pub trait Host: Send + Sync + 'static {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> u64;

    /// Fills `buffer` with random bytes of the operating system's quality.
    fn random(&self, buffer: &mut [u8]);

    /// What a run is told of the time since its start, `measured` on the spot.
    fn elapsed(&self, measured: Duration) -> Duration {
        measured
    }

    /// What a run is told of the time it has left, `measured` on the spot.
    fn remaining(&self, measured: Duration) -> Duration {
        measured
    }

    /// The entry now stored under `key` in the function's own bucket; expired entries are absent.
    fn kv_get(&self, function: &str, key: &str) -> Result<Option<KvEntry>, HostError>;

    /// Keys of the function's own bucket that begin with `prefix` and come after `after` in byte order, at most `limit`,
    /// ascending.
    fn kv_list(
        &self,
        function: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, HostError>;

    /// The part of a twin's section at JSON pointer `path` (empty: the whole section); `None` when the twin or the path does
    /// not exist. The revision is the whole section's.
    fn twin_get(&self, device: &str, section: TwinSection, path: &str) -> Result<Option<TwinDoc>, HostError>;

    /// Something happened to a function that people and other functions may want to know. Must not block; may be lost.
    fn event(&self, _function: &str, _event: &str, _detail: serde_json::Value) {}

    /// Bytes of memory that the machine could give to functions now; `None` when not known.
    fn memory_available(&self) -> Option<u64> {
        None
    }

    /// Makes a request to another machine and waits for the answer, on a worker thread. Private addresses only where the request
    /// says so; no redirects. [`HostError::Invalid`] is a refusal.
    fn http(&self, _request: &HttpRequest) -> Result<HttpReply, HostError> {
        Err(HostError::Unavailable("there is no outgoing HTTP here".to_owned()))
    }

    /// Whether something that the function wrote is ordered and not durable yet: an answer that is all that came of a run then goes
    /// through [`Host::commit`], too, and waits for it.
    fn is_underway(&self, _function: &str) -> bool {
        false
    }

    /// Commits all effects of one successful invocation, or none, and tells `done` how far it is: see there.
    ///
    /// Checks, against the state at commit: every [`KvRead`], [`KvWrite::expected`], [`TwinRead`] and
    /// [`TwinPatch::expected`]; a mismatch is [`CommitFailure::Conflict`] and the runtime runs the invocation again.
    /// Of commits that touch the key-values of one function there is one at a time, until it is ordered or has ended; those of
    /// one publisher's messages to one function are called in their order.
    fn commit(&self, effects: Effects, done: CommitDone);
}

/// Who waits for a commit.
pub struct CommitDone {
    /// To be called, if at all, when reads see the effects and later commits come after them, and not before those that were
    /// committed earlier do: from then on the commit can only become durable, or fail together with all that come after it. Runs
    /// that rest on it need not wait until it is durable.
    pub ordered: OnOrdered,
    /// To be called once, from any thread, also from within [`Host::commit`]; `Ok` means durable where anything durable depends
    /// on it. Dropped, it counts as [`CommitFailure::Unavailable`].
    pub ended: OnEnded,
}

/// See [`CommitDone::ordered`].
pub type OnOrdered = Box<dyn FnOnce() + Send>;
/// See [`CommitDone::ended`].
pub type OnEnded = Box<dyn FnOnce(Result<(), CommitFailure>) + Send>;

impl CommitDone {
    /// It has ended, and was not said to be ordered.
    pub fn end(self, outcome: Result<(), CommitFailure>) {
        (self.ended)(outcome);
    }
}

/// Why the host could not answer a read.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(tag = "kind", content = "reason", rename_all = "kebab-case")]
pub enum HostError {
    /// The call's arguments are not acceptable.
    #[error("{0}")]
    Invalid(String),
    /// The store is closed, poisoned or full.
    #[error("{0}")]
    Unavailable(String),
}

/// Why effects were not committed. Nothing of them happened.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CommitFailure {
    /// Something read or expected has changed; names what.
    #[error("conflict on {0}")]
    Conflict(String),
    /// The node does not accept these effects (authorization, size); running again would not help.
    #[error("{0}")]
    Refused(String),
    /// The store is closed, poisoned or full; the input should be delivered again.
    #[error("{0}")]
    Unavailable(String),
}

/// A stored value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvEntry {
    /// The bytes; hexadecimal where it is written down.
    #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
    pub value: Vec<u8>,
    /// Changes with every write of the key.
    pub revision: u64,
}

/// Half of a twin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TwinSection {
    /// Written by applications.
    Desired,
    /// Written by the device.
    Reported,
}

impl TwinSection {
    /// `desired` or `reported`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Desired => "desired",
            Self::Reported => "reported",
        }
    }
}

/// Part of a twin's section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TwinDoc {
    /// JSON text.
    pub json: String,
    /// Revision of the whole section.
    pub revision: u64,
}

/// Everything one successful invocation did, to be committed together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// The function; its name is also the name of its key-value bucket.
    pub function: String,
    /// Identifies the run in logs.
    pub invocation_id: String,
    /// [`InvocationContext::delivery`](crate::InvocationContext) of the input.
    pub delivery: Option<u64>,
    /// Depth that published messages carry: the input's plus one.
    pub depth: u32,
    /// Key-values that were read and not written.
    pub kv_reads: Vec<KvRead>,
    /// Key-value changes, one per key, in key order.
    pub kv_writes: Vec<KvWrite>,
    /// Sections that were read, one each.
    pub twin_reads: Vec<TwinRead>,
    /// Merge patches in call order.
    pub twin_patches: Vec<TwinPatch>,
    /// Messages to publish: those of `bus.publish` in call order, then the returned ones in list order. All are within the
    /// function's grants.
    pub publish: Vec<InvocationMessage>,
    /// What was returned for the caller. The runtime takes it out before the commit: it is not published.
    pub replies: Vec<InvocationMessage>,
    /// What was returned for the next function of the pipeline. The runtime hands it on before the commit.
    pub handed: Vec<InvocationMessage>,
    /// What later functions of the pipeline did with key-values of theirs, a bucket each.
    pub others: Vec<BucketEffects>,
}

/// What was done with the key-values of one function; as in [`Effects`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BucketEffects {
    /// The function; its name is also the name of its bucket.
    pub function: String,
    /// Key-values that were read and not written.
    pub kv_reads: Vec<KvRead>,
    /// Changes, one per key, in key order.
    pub kv_writes: Vec<KvWrite>,
}

impl Effects {
    /// True when the commit can conflict, because something of the state was read or written.
    pub fn needs_check(&self) -> bool {
        !(self.others.is_empty()
            && self.kv_reads.is_empty()
            && self.kv_writes.is_empty()
            && self.twin_reads.is_empty()
            && self.twin_patches.is_empty())
    }

    /// True when there is nothing to commit.
    pub(crate) fn is_empty(&self) -> bool {
        self.delivery.is_none() && self.publish.is_empty() && !self.needs_check()
    }
}

/// A key and the revision it was read at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvRead {
    /// Key in the function's bucket.
    pub key: String,
    /// Revision as read; `None`: the key was absent.
    pub revision: Option<u64>,
}

/// One key's change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvWrite {
    /// Key in the function's bucket.
    pub key: String,
    /// Revision that the change is based on; `None`: the key was absent.
    pub expected: Option<u64>,
    /// New state.
    pub change: KvChange,
}

/// New state of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KvChange {
    /// Store a value.
    Set {
        /// The bytes.
        #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
        value: Vec<u8>,
        /// Revision to store it under; the guest has been told this number.
        revision: u64,
        /// Seconds from the commit until it is absent again.
        ttl_s: Option<u32>,
    },
    /// Remove the key.
    Delete,
}

/// A section and the revision it was read at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TwinRead {
    /// Thing name.
    pub device: String,
    /// Which half.
    pub section: TwinSection,
    /// Revision as read; `None`: nothing was there at the path.
    pub revision: Option<u64>,
}

/// An RFC 7396 merge patch on a section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TwinPatch {
    /// Thing name.
    pub device: String,
    /// Which half.
    pub section: TwinSection,
    /// JSON text of the patch.
    pub merge: String,
    /// Revision that the guest asked the section to have before the invocation's first patch of it; later patches of the
    /// same section in one invocation carry `None`.
    pub expected: Option<u64>,
}

impl TwinPatch {
    pub(crate) fn is_of(&self, device: &str, section: TwinSection) -> bool {
        self.device == device && self.section == section
    }
}
