//! What can happen to the core.

use std::{net::SocketAddr, sync::Arc};

use selvedge_codec::{Connect, DecodeError, Packet, PacketId, QoS};

use crate::{id::ConnectionId, message::Message};

/// Who is at the other end of a network connection, as far as the shell has established it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Remote address, if there is one.
    pub address: Option<SocketAddr>,
    /// Name of the authenticated user; `None` is anonymous.
    pub user: Option<Arc<str>>,
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
    /// The network connection is gone, without the core having closed it.
    Closed { connection: ConnectionId },
    /// The outbox of the connection is over its high-water mark: send no more PUBLISH packets, queue.
    Congested { connection: ConnectionId },
    /// The outbox has drained below its low-water mark.
    Drained { connection: ConnectionId },
    /// A consumer inside the node appears (or takes over its predecessor, session kept). Its identifier begins with `$node/`. First event of an attachment.
    Attach { connection: ConnectionId, client_id: Arc<str>, receive_maximum: u16 },
    /// An attached consumer subscribes. Not authorized, not limited: the node itself asks. No retained messages are sent.
    SubscribeInternal { connection: ConnectionId, filter: &'a str, qos: QoS },
    /// An attached consumer unsubscribes.
    UnsubscribeInternal { connection: ConnectionId, filter: &'a str },
    /// An attached consumer has done with a delivery, whatever its QoS.
    Acknowledge { connection: ConnectionId, packet_id: PacketId },
    /// An attached consumer leaves for good: its session and what was queued for it end.
    Detach { connection: ConnectionId },
    /// The node itself publishes. Not authorized.
    Publish { message: Arc<Message> },
    /// Time has passed: carry out what is due (see `Core::next_deadline`).
    Tick,
    /// The node stops: every connection is told (MQTT 5: DISCONNECT 0x8B) and closed.
    Shutdown,
}
