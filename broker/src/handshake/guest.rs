//! A connection that the core does not know yet: reading its first packets, and nothing more than these may take.

use std::{
    cell::RefCell,
    future::{pending, poll_fn},
    sync::Arc,
    task::{Context, Poll, ready},
};

use selvedge_codec::frame_length;
use selvedge_core::ConnectionId;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::{HandshakeError, half_open::Ticket};
use crate::{
    authentication::PeerCertificate,
    connection::{
        Connection, Resources,
        reader::{Filled, ReadEnd},
    },
    reactor::Reactor,
};

/// First byte of a CONNECT (section 3.1.1): anything else need not be waited for.
const CONNECT_FIRST_BYTE: u8 = 0x10;

/// Pongs that a stranger may leave unread, bytes.
const UNSENT_BYTES_MAX: usize = 4 * 1024;

/// What a client may send behind its CONNECT before it is known who it is, bytes; the rest stays in the socket.
const AHEAD_BYTES_MAX: usize = 16 * 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct Guest {
    /// What is read and not taken by [`Guest::packet`] is in its `partial`.
    pub(crate) connection: Connection,
    /// Index of the listener.
    pub(crate) listener: usize,
    pub(crate) certificate: Option<Arc<PeerCertificate>>,
    pub(crate) ticket: Ticket,
    /// Bytes of a packet that was taken and is still needed.
    pub(crate) held: usize,
}

impl Guest {
    /// Wait for the CONNECT.
    pub(crate) async fn connect(&mut self, reactor: &RefCell<Reactor>) -> Result<Vec<u8>, HandshakeError> {
        loop {
            if self.connection.partial.first().is_some_and(|first| *first != CONNECT_FIRST_BYTE) {
                return Err(HandshakeError::OtherPacket);
            }
            if let Some(frame) = self.take_packet(reactor)? {
                return Ok(frame);
            }
            self.more(reactor).await?;
        }
    }

    /// Wait for the next packet.
    pub(crate) async fn packet(&mut self, reactor: &RefCell<Reactor>) -> Result<Vec<u8>, HandshakeError> {
        loop {
            if let Some(frame) = self.take_packet(reactor)? {
                return Ok(frame);
            }
            self.more(reactor).await?;
        }
    }

    /// Keep what the client sends ahead, until it goes away.
    pub(crate) async fn gone(&mut self, reactor: &RefCell<Reactor>) -> HandshakeError {
        while self.connection.partial.len() < AHEAD_BYTES_MAX {
            if let Err(error) = self.more(reactor).await {
                return error;
            }
        }
        pending().await
    }

    fn take_packet(&mut self, reactor: &RefCell<Reactor>) -> Result<Option<Vec<u8>>, HandshakeError> {
        let partial = &mut self.connection.partial;
        let Some(length) = frame_length(partial, reactor.borrow().config().connect_bytes_max)? else {
            return Ok(None);
        };
        let rest = partial.split_off(length);
        Ok(Some(std::mem::replace(partial, rest)))
    }

    async fn more(&mut self, reactor: &RefCell<Reactor>) -> Result<(), HandshakeError> {
        poll_fn(|context| reactor.borrow_mut().poll_guest(context, self)).await
    }

    /// Send `bytes`.
    pub(crate) fn send(&mut self, bytes: &[u8], resources: &mut Resources) {
        self.connection.outbox.append(bytes, None, &mut resources.pool);
        // What a guest has not taken counts as half-open, not as unsent: it may be gone at any moment, without a word.
        resources.statistics.outbox_changed(0, self.connection.outbox.pending());
        self.connection.flush(resources);
        resources.statistics.outbox_changed(self.connection.outbox.pending(), 0);
    }

    /// The guest has become a client, or is only to be told why not: it is for the reactor's table.
    pub(crate) fn into_connection(mut self, resources: &mut Resources) -> Connection {
        self.connection.waker = None;
        self.connection.input_waits = !self.connection.partial.is_empty();
        resources.statistics.outbox_changed(0, self.connection.outbox.pending());
        self.connection
    }

    /// Leave the connection to the reactor, which sends what is to be sent and closes it.
    pub(crate) fn close(self, code: CloseCode, reactor: &RefCell<Reactor>) -> ConnectionId {
        let mut reactor = reactor.borrow_mut();
        reactor.open_turn();
        let connection = self.into_connection(&mut reactor.connections.resources);
        reactor.refuse(connection, code)
    }
}

impl Reactor {
    /// One read for `guest`.
    fn poll_guest(&mut self, context: &mut Context<'_>, guest: &mut Guest) -> Poll<Result<(), HandshakeError>> {
        self.open_turn();
        let mut shared = self.take_read_buffer();
        self.connections.resources.statistics.outbox_changed(0, guest.connection.outbox.pending());
        let polled = self.poll_guest_into(context, guest, &mut shared);
        self.connections.resources.statistics.outbox_changed(guest.connection.outbox.pending(), 0);
        self.put_read_buffer(shared);
        polled
    }

    fn poll_guest_into(
        &mut self,
        context: &mut Context<'_>,
        guest: &mut Guest,
        shared: &mut [u8],
    ) -> Poll<Result<(), HandshakeError>> {
        let connection = &mut guest.connection;
        let resources = &mut self.connections.resources;
        if !connection.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            connection.waker = Some(context.waker().clone());
        }
        if connection.blocked {
            connection.flush(resources);
        }
        let mut control = Vec::new();
        let fill = ready!(connection.poll_fill(context, shared, &mut control, resources))?;
        if let Filled::Shared(length) = fill.place {
            connection.partial = shared.get(..length).unwrap_or_default().to_vec();
        }
        if let Some(code) = connection.answer_control(control, resources) {
            connection.begin_close(code, resources);
            connection.flush(resources);
            return Poll::Ready(Err(HandshakeError::WebSocketClosed));
        }
        connection.flush(resources);
        let unsent = connection.outbox.pending();
        if unsent > UNSENT_BYTES_MAX {
            return Poll::Ready(Err(HandshakeError::PongsNotTaken));
        }
        let kept = connection.partial.len() + guest.held + unsent;
        if !guest.ticket.keep(kept, self.config().half_open_bytes_max) {
            return Poll::Ready(Err(HandshakeError::TooManyBytes));
        }
        Poll::Ready(Ok(()))
    }
}

impl HandshakeError {
    /// The status with which a WebSocket is told why it ends; `None` is without a word.
    pub(super) fn close_code(&self) -> Option<CloseCode> {
        match self {
            Self::OtherPacket => Some(CloseCode::Policy),
            Self::Read(ReadEnd::Violation(violation)) => Some(violation.close_code()),
            _ => None,
        }
    }
}
