//! Sockets that clients connect to: accept, within limits, and start a handshake.

pub(crate) mod tcp;
pub(crate) mod websocket;

use std::{
    cell::RefCell,
    io,
    net::{SocketAddr, TcpListener},
    rc::Rc,
    time::Duration,
};

use crate::{handshake, reactor::Reactor};

/// What lies between TCP and MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Nothing.
    Tcp,
    /// WebSocket with the subprotocol `mqtt` (MQTT 5, section 6).
    WebSocket,
}

/// A bound socket and what is spoken on it. Both versions of MQTT are served on each.
#[derive(Debug)]
pub struct Listener {
    /// Bound and listening.
    pub socket: TcpListener,
    /// What is spoken.
    pub transport: Transport,
}

impl Listener {
    /// Bind `address` (port 0 picks one) and listen.
    ///
    /// # Errors
    /// Whatever the system says: in use, not permitted, not an address of this machine.
    pub fn bind(address: SocketAddr, transport: Transport) -> io::Result<Self> {
        Ok(Self { socket: tcp::bind(address)?, transport })
    }
}

/// Pause after an accept that failed for lack of resources: trying at once would only burn time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accept from when the broker is opened until the task is aborted.
pub(crate) async fn run(listener: tokio::net::TcpListener, transport: Transport, reactor: Rc<RefCell<Reactor>>) {
    let mut opened = reactor.borrow().opened();
    if opened.wait_for(|opened| *opened).await.is_err() {
        return;
    }
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let mut shared = reactor.borrow_mut();
                let has_room = shared.has_room();
                let half_open_max = shared.config().half_open_max;
                let half_open = shared.half_open.clone();
                let statistics = &mut shared.connections.resources.statistics;
                statistics.accepted += 1;
                if !has_room {
                    statistics.refused_connections_max += 1;
                    tracing::debug!(%peer, "connection refused: too many");
                    continue;
                }
                if half_open.count() >= half_open_max {
                    statistics.refused_half_open += 1;
                    half_open.end_oldest();
                }
                drop(shared);
                let ticket = half_open.begin();
                let number = ticket.number();
                let handshake = handshake::run(reactor.clone(), stream, transport, peer, ticket);
                half_open.set_task(number, tokio::task::spawn_local(handshake).abort_handle());
            }
            Err(error) => {
                reactor.borrow_mut().connections.resources.statistics.accept_errors += 1;
                // The peer was gone again before it was accepted.
                if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
                    tracing::warn!(%error, "accepting a connection failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}
