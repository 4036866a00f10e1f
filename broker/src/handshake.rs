//! From accept to the first packet: WebSocket upgrade, then CONNECT. Each runs in a task of its own, under one
//! deadline, and keeps no more than one CONNECT. What comes out is a connection in the reactor's table: one that the
//! core knows, or one that is only told why it is closed.

pub(crate) mod half_open;

use std::{
    cell::RefCell,
    future::poll_fn,
    net::SocketAddr,
    rc::Rc,
    task::{Context, Poll, ready},
};

use selvedge_codec::{
    ConnAck, DecodeError, Packet, ProtocolVersion, connect_version, decode_connect, encode, frame_length,
};
use selvedge_core::{ConnectionId, Peer};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use self::half_open::Ticket;
use crate::{
    connection::{
        Connection,
        reader::{Filled, ReadEnd},
        stream::Stream,
        task::ConnectionTask,
        websocket::WebSocketReader,
    },
    listener::{
        Transport,
        websocket::{UpgradeError, upgrade},
    },
    reactor::Reactor,
};

/// Why a connection did not get as far as the core.
#[derive(Debug, thiserror::Error)]
enum HandshakeError {
    #[error(transparent)]
    Upgrade(#[from] UpgradeError),
    #[error(transparent)]
    Read(#[from] ReadEnd),
    #[error("first packet is no acceptable CONNECT")]
    NotConnect(#[from] DecodeError),
    #[error("unfinished CONNECT packets take too much memory")]
    TooManyBytes,
    #[error("peer does not take the answers to its websocket pings")]
    PongsNotTaken,
    #[error("peer closed the websocket")]
    WebSocketClosed,
}

/// What the first packet leads to.
enum Verdict {
    /// The connection is in the table and is driven from now on.
    Driven(ConnectionId),
    /// It is dropped without a word.
    Dropped(HandshakeError),
}

/// First byte of a CONNECT (section 3.1.1): anything else need not be waited for.
const CONNECT_FIRST_BYTE: u8 = 0x10;

/// Pongs that a stranger may leave unread, bytes.
const UNSENT_BYTES_MAX: usize = 4 * 1024;

/// Lead one accepted connection to its first packet, or drop it.
pub(crate) async fn run(
    reactor: Rc<RefCell<Reactor>>,
    mut stream: TcpStream,
    transport: Transport,
    peer: SocketAddr,
    mut ticket: Ticket,
) {
    let config = reactor.borrow().config().clone();
    let established = async {
        let websocket = match transport {
            Transport::Tcp => None,
            Transport::WebSocket => {
                upgrade(&mut stream, &config.websocket_path).await?;
                Some(WebSocketReader::new(config.websocket_frame_bytes_max))
            }
        };
        let mut connection = Some(Connection::new(Stream::Tcp(stream), websocket));
        Ok(poll_fn(|context| reactor.borrow_mut().poll_first_packet(context, &mut connection, peer, &mut ticket)).await)
    };
    let verdict = match tokio::time::timeout(config.handshake_timeout, established).await {
        Ok(Ok(verdict)) => verdict,
        Ok(Err(error)) => Verdict::Dropped(error),
        Err(_) => {
            reactor.borrow_mut().connections.resources.statistics.handshake_timeouts += 1;
            tracing::debug!(%peer, "handshake timed out");
            return;
        }
    };
    match verdict {
        Verdict::Driven(id) => ConnectionTask::spawn(reactor, id),
        Verdict::Dropped(error) => {
            tracing::debug!(%peer, %error, "handshake failed");
            let statistics = &mut reactor.borrow_mut().connections.resources.statistics;
            match error {
                HandshakeError::Upgrade(_) => statistics.upgrades_refused += 1,
                HandshakeError::TooManyBytes => statistics.refused_half_open += 1,
                _ => statistics.handshake_failures += 1,
            }
        }
    }
}

impl Reactor {
    /// Read until the first packet is complete, and act on it. `connection` is there until then.
    fn poll_first_packet(
        &mut self,
        context: &mut Context<'_>,
        connection: &mut Option<Connection>,
        peer: SocketAddr,
        ticket: &mut Ticket,
    ) -> Poll<Verdict> {
        self.open_turn();
        // What is unsent counts here only while this runs, between two polls with the ticket: so nothing is left of it
        // whether the connection is dropped by its verdict, the deadline, or the end of its task.
        let unsent = |connection: &Option<Connection>| connection.as_ref().map_or(0, |known| known.outbox.pending());
        self.connections.resources.statistics.outbox_changed(0, unsent(connection));
        let mut shared = self.take_read_buffer();
        let verdict = self.first_packet(context, connection, peer, ticket, &mut shared);
        self.put_read_buffer(shared);
        self.connections.resources.statistics.outbox_changed(unsent(connection), 0);
        verdict
    }

    fn first_packet(
        &mut self,
        context: &mut Context<'_>,
        place: &mut Option<Connection>,
        peer: SocketAddr,
        ticket: &mut Ticket,
        shared: &mut [u8],
    ) -> Poll<Verdict> {
        loop {
            let Some(connection) = place.as_mut() else { return Poll::Pending };
            connection.waker = Some(context.waker().clone());
            let resources = &mut self.connections.resources;
            let mut control = Vec::new();
            let fill = match ready!(connection.poll_fill(context, shared, &mut control, resources)) {
                Ok(fill) => fill,
                Err(ReadEnd::Violation(violation)) => return self.end(place, violation.close_code()),
                Err(end) => return Poll::Ready(Verdict::Dropped(end.into())),
            };
            if let Some(code) = connection.answer_control(control, resources) {
                connection.begin_close(code, resources);
                connection.flush(resources);
                return Poll::Ready(Verdict::Dropped(HandshakeError::WebSocketClosed));
            }
            connection.flush(resources);
            let unsent = connection.outbox.pending();
            if unsent > UNSENT_BYTES_MAX {
                return Poll::Ready(Verdict::Dropped(HandshakeError::PongsNotTaken));
            }
            let kept;
            let bytes = match fill.place {
                Filled::Shared(length) => &shared[..length],
                Filled::Kept => {
                    kept = std::mem::take(&mut connection.partial);
                    kept.as_slice()
                }
            };
            if bytes.first().is_some_and(|first| *first != CONNECT_FIRST_BYTE) {
                self.connections.resources.statistics.handshake_failures += 1;
                return self.end(place, CloseCode::Policy);
            }
            match frame_length(bytes, self.config().connect_bytes_max) {
                Ok(Some(length)) => {
                    let (frame, rest) = bytes.split_at(length);
                    return self.judge(place, frame, rest, peer);
                }
                Ok(None) => {
                    connection.partial = bytes.to_vec();
                    if !ticket.keep(bytes.len() + unsent, self.config().half_open_bytes_max) {
                        return Poll::Ready(Verdict::Dropped(HandshakeError::TooManyBytes));
                    }
                }
                Err(error) => return Poll::Ready(Verdict::Dropped(error.into())),
            }
        }
    }

    /// The first packet is complete: admit the connection, or tell it why not.
    fn judge(&mut self, place: &mut Option<Connection>, frame: &[u8], rest: &[u8], peer: SocketAddr) -> Poll<Verdict> {
        let Some(mut connection) = place.take() else { return Poll::Pending };
        connection.waker = None;
        match decode_connect(frame) {
            Ok(connect) => {
                connection.partial = rest.to_vec();
                connection.input_waits = !rest.is_empty();
                let peer = Peer { address: Some(peer), user: None };
                Poll::Ready(Verdict::Driven(self.admit(connection, &connect, peer)))
            }
            Err(error) => {
                self.connections.resources.statistics.handshake_failures += 1;
                tracing::debug!(%peer, %error, "CONNECT is refused");
                let mut answer = Vec::new();
                if let Some(version) = answer_version(frame, &error) {
                    let connack = ConnAck { reason: error.reason_code(), ..ConnAck::default() };
                    // A reason that CONNACK may not carry is not said.
                    if encode(version, &Packet::ConnAck(connack), &mut answer).is_err() {
                        answer.clear();
                    }
                }
                let resources = &mut self.connections.resources;
                if !answer.is_empty() {
                    let before = connection.outbox.pending();
                    connection.outbox.append(&answer, None, &mut resources.pool);
                    resources.statistics.outbox_changed(before, connection.outbox.pending());
                }
                Poll::Ready(Verdict::Driven(self.refuse(connection, CloseCode::Policy)))
            }
        }
    }

    /// Close a connection that has not got as far as CONNECT; a WebSocket is told `code`.
    fn end(&mut self, place: &mut Option<Connection>, code: CloseCode) -> Poll<Verdict> {
        let Some(mut connection) = place.take() else { return Poll::Pending };
        connection.waker = None;
        Poll::Ready(Verdict::Driven(self.refuse(connection, code)))
    }
}

/// In which version to answer a CONNECT that is refused; `None` is not at all.
fn answer_version(frame: &[u8], error: &DecodeError) -> Option<ProtocolVersion> {
    // [MQTT-3.1.2-2]; [MQTT-3.1.4-1]: 3.1.1 has no code for a malformed CONNECT.
    error.answer_version().or_else(|| connect_version(frame).ok().filter(|version| *version == ProtocolVersion::V5))
}
