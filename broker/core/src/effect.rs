//! What the core wants done, as data: bytes to send, connections to close, messages for consumers inside the node.
//!
//! Bytes live in one arena that a fan-out shares; the shell copies them into the outboxes of the connections, in the
//! order of the list, and clears the whole for the next input. Nothing here does I/O.

use std::sync::Arc;

use selvedge_codec::{PacketId, QoS, ReasonCode};

use crate::{
    id::{ConnectionId, SessionToken},
    interception::HeldPublication,
    message::Message,
};

/// Where in the arena a run of bytes lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// The packet identifier to write over two bytes of a shared encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketIdPatch {
    /// Offset of the identifier from the start of the bytes of the effect.
    pub offset: u32,
    /// What to write there, big endian.
    pub packet_id: PacketId,
}

/// What sent bytes have to wait for, where there is a journal. What waits keeps its order; what does not wait passes it by,
/// unless it stands behind a `Barrier`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hold {
    /// Nothing.
    #[default]
    Nothing,
    /// What waits for the same connection already: acknowledgements keep their order [MQTT-4.6.0-2].
    Turn,
    /// Until what the same input left to be kept is durable.
    Durable,
    /// As `Durable`, and all that follows for the connection waits as well.
    Barrier,
}

/// One thing to do.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are described with their variant")]
pub enum Effect {
    /// Append `bytes` to the outbox of `connection`; with `patch`, write the identifier into the copy.
    Send { connection: ConnectionId, bytes: ByteRange, patch: Option<PacketIdPatch>, hold: Hold },
    /// As `Send`, followed by the payload of `message`, which is shared and not in the arena (large payloads).
    SendShared {
        connection: ConnectionId,
        bytes: ByteRange,
        patch: Option<PacketIdPatch>,
        message: Arc<Message>,
        hold: Hold,
    },
    /// The core holds messages back for `connection`: send `Input::Drained` as soon as its outbox is below the low-water
    /// mark (at once, if it is), whether or not `Input::Congested` was sent.
    AwaitDrain { connection: ConnectionId },
    /// Close `connection` once what was sent before is flushed (or a short deadline passed). The core has already
    /// forgotten it: no `Input::Closed` is expected, and one that comes is ignored.
    Close { connection: ConnectionId, cause: CloseCause },
    /// A client asks to be authenticated again (`reason` 0x19), or goes on with that (0x18), with the method of its CONNECT.
    /// Answer with `Input::Authenticated`; the client is served meanwhile.
    Authenticate { connection: ConnectionId, reason: ReasonCode, data: ByteRange },
    /// Get these messages from the journal, by number, and answer with `Input::Fetched`, whether or not they are there.
    Fetch { session: SessionToken, numbers: Vec<u64> },
    /// Have those who intercept look at a publication, and answer with `Input::Intercepted`. Its `connection`, where there is one, is
    /// not to be read before `GoOn`.
    Intercept { connection: Option<ConnectionId>, held: HeldPublication },
    /// Do not read `connection` before `GoOn`: something that it sent takes longer.
    Pause { connection: ConnectionId },
    /// Read `connection` again: what was held of it, or took longer, has come to its end.
    GoOn { connection: ConnectionId },
    /// Hand a message to a consumer inside the node.
    Deliver { connection: ConnectionId, delivery: Delivery },
}

/// A message for an internal consumer. With a `packet_id`, the consumer answers with `Input::Acknowledge`.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// What was published.
    pub message: Arc<Message>,
    /// Effective QoS: the smaller of publication and subscription.
    pub qos: QoS,
    /// Identifier to acknowledge, for QoS 1 and 2 (internal consumers acknowledge both in one step).
    pub packet_id: Option<PacketId>,
    /// The message is a retained one sent because of a new subscription.
    pub retain: bool,
    /// Was delivered before, and not acknowledged.
    pub duplicate: bool,
}

/// Why the core ends a connection; for logs, metrics and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseCause {
    /// The client sent DISCONNECT.
    ClientDisconnected,
    /// The client's CONNECT was refused.
    Refused,
    /// Nothing came for one and a half keep-alive intervals.
    KeepAliveTimeout,
    /// Another connection took the client identifier over.
    TakenOver,
    /// The client may not be connected any more: rules changed, credentials ended or were withdrawn, re-authentication failed.
    NotAuthorized,
    /// The client broke the protocol.
    ProtocolViolation,
    /// The client sent more than it may.
    QuotaExceeded,
    /// The session's queue overflowed and the rule says disconnect.
    QueueOverflow,
    /// The node is shutting down.
    ShuttingDown,
}

/// Everything that one input (or several in a row) caused.
#[derive(Debug, Default)]
pub struct Effects {
    pub(crate) arena: Vec<u8>,
    list: Vec<Effect>,
    /// What the input cost beside its effects, in units of about one of them.
    pub(crate) work: usize,
    /// All that is sent now waits until what is kept of the input is durable.
    pub(crate) holds_all: bool,
}

/// An arena that grew beyond this is given back when it is cleared.
const ARENA_KEPT_BYTES: usize = 256 * 1024;

impl Effects {
    /// No effects yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes of a `Send`.
    pub fn bytes(&self, range: ByteRange) -> &[u8] {
        &self.arena[range.start as usize..range.end as usize]
    }

    /// In the order in which they must be carried out.
    pub fn list(&self) -> &[Effect] {
        &self.list
    }

    /// What all this cost: effects, and work inside the core such as filters looked at and messages queued. The shell splits a
    /// batch of input by this, so that nobody waits long for the work of another (fairness).
    pub fn cost(&self) -> usize {
        self.list.len() + self.work
    }

    /// How many effects there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Forget all, keep (most of) the memory.
    pub fn clear(&mut self) {
        self.list.clear();
        self.work = 0;
        if self.arena.capacity() > ARENA_KEPT_BYTES {
            self.arena = Vec::new();
        } else {
            self.arena.clear();
        }
    }

    pub(crate) fn push(&mut self, effect: Effect) {
        self.list.push(effect);
    }

    /// What a packet that would wait for `own` has to wait for.
    pub(crate) fn hold(&self, own: Hold) -> Hold {
        if self.holds_all { Hold::Barrier } else { own }
    }

    /// Where the arena ends now: the start of bytes about to be encoded.
    pub(crate) fn mark(&self) -> u32 {
        self.arena.len() as u32
    }

    /// All bytes since `start`.
    pub(crate) fn since(&self, start: u32) -> ByteRange {
        ByteRange { start, end: self.arena.len() as u32 }
    }

    pub(crate) fn close(&mut self, connection: ConnectionId, cause: CloseCause) {
        self.push(Effect::Close { connection, cause });
    }
}
