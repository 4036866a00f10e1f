//! What can happen to the core.

use std::{net::SocketAddr, sync::Arc};

use selvedge_codec::{Connect, DecodeError, Packet, PacketId, QoS, ReasonCode};

use crate::{
    authorize::{Authorize, Permit},
    durability::Durability,
    id::{ConnectionId, SessionToken},
    interception::{Interception, Interceptor},
    message::Message,
};

/// Who is at the other end of a network connection, as far as the shell has established it. The default is anonymous.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// Remote address, if there is one.
    pub address: Option<SocketAddr>,
    /// Name of the authenticated user; `None` is anonymous.
    pub user: Option<Arc<str>>,
    /// What the credentials themselves allow.
    pub permit: Option<Arc<dyn Permit>>,
    /// The credentials end in so many milliseconds: the core then disconnects the client (0x87).
    pub expires_in_ms: Option<u64>,
    /// How the client was authenticated, if by enhanced authentication.
    pub authentication: Option<Authentication>,
    /// How safe the listener wants what the client publishes; `None` is the default of the node.
    pub durability: Option<Durability>,
}

/// Enhanced authentication that has succeeded (MQTT 5, 4.12): what CONNACK, or the last AUTH, says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authentication {
    /// The method that CONNECT named.
    pub method: Box<str>,
    /// Last data of the server; empty is none.
    pub data: Box<[u8]>,
}

/// How a step of a re-authentication went (MQTT 5, 4.12.1).
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are described with their variant")]
pub enum Reauthentication {
    /// The client is to go on with an AUTH of its own: `data` is for it.
    Continue { data: Box<[u8]> },
    /// Done: what is known of the client now. The user must be the same; `authentication` may carry last data.
    Success { peer: Peer },
    /// It failed: the connection ends, with this reason.
    Failure { reason: ReasonCode },
}

/// One event. Everything a client or a part of the node does to the broker goes through one of these.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are described with their variant")]
pub enum Input<'a> {
    /// A new network connection sent its CONNECT. First event of a network connection.
    Connect { connection: ConnectionId, connect: &'a Connect<'a>, peer: Peer },
    /// A packet after CONNECT.
    Packet { connection: ConnectionId, packet: Packet<'a> },
    /// Bytes after CONNECT that are no packet. The core answers (MQTT 5, 4.13) and closes.
    Undecodable { connection: ConnectionId, error: &'a DecodeError },
    /// The answer to an `Effect::Authenticate`. One that comes when nothing is going on any more is ignored.
    Authenticated { connection: ConnectionId, outcome: Reauthentication },
    /// From now on these rules hold. What clients publish is judged by them at once; sessions, their subscriptions, queues
    /// and wills are looked at again in bounded steps, by the following `Tick`s.
    RulesChanged { authorizer: Box<dyn Authorize> },
    /// The network connection is gone, without the core having closed it.
    Closed { connection: ConnectionId },
    /// The client is not read for a while, because it sends faster than it may: its silence is not its own, and it counts as
    /// heard.
    Heard { connection: ConnectionId },
    /// The client went over a limit of the shell: it is told (MQTT 5: DISCONNECT 0x97, with `text`) and closed.
    Overrun { connection: ConnectionId, text: &'static str },
    /// The outbox of the connection is over its high-water mark: send no more PUBLISH packets, queue.
    Congested { connection: ConnectionId },
    /// The outbox has drained below its low-water mark.
    Drained { connection: ConnectionId },
    /// A consumer inside the node appears (or takes over its predecessor, session kept). Its identifier begins with `$node/`. First event of an attachment.
    Attach { connection: ConnectionId, client_id: Arc<str>, receive_maximum: u16 },
    /// An attached consumer subscribes. Not authorized, not limited: the node itself asks. No retained messages are sent.
    SubscribeInternal { connection: ConnectionId, filter: &'a str, qos: QoS },
    /// An attached consumer has done with a delivery, whatever its QoS.
    Acknowledge { connection: ConnectionId, packet_id: PacketId },
    /// An attached consumer leaves for good: its session and what was queued for it end.
    Detach { connection: ConnectionId },
    /// An attached consumer wants these filters only, of those that it or a predecessor subscribed to.
    KeepSubscriptions { connection: ConnectionId, filters: &'a [&'a str] },
    /// Sessions of consumers that nobody attached to since the start end: the node has no such consumer any more.
    EndUnclaimed,
    /// The node itself publishes. Not authorized.
    Publish { message: Arc<Message> },
    /// As `Publish`, of something that becomes durable together with it: nobody gets the message before.
    PublishCommitted { message: Arc<Message> },
    /// From now on these look at what clients publish, wills included, before anybody gets it (`Effect::Intercept`).
    SetInterceptors { interceptors: Vec<Interceptor> },
    /// The answer to an `Effect::Intercept`. One that comes too late is ignored.
    Intercepted { ticket: u64, outcome: Interception },
    /// The answer to an `Effect::Fetch`: message by message, in its order, as the journal kept it. `None` is not there.
    Fetched { session: SessionToken, messages: &'a [(u64, Option<Vec<u8>>)] },
    /// Begin to write an image of all that is kept, so that what was kept before can go; in steps, by `Tick`.
    WriteImage,
    /// Time has passed: carry out what is due (see `Core::next_deadline`).
    Tick,
    /// The node stops: every connection is told (MQTT 5: DISCONNECT 0x8B) and closed.
    Shutdown,
}
