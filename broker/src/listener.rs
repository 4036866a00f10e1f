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

use selvedge_core::Durability;

use crate::{
    admission::entrance::{self, Steps},
    handshake,
    reactor::Reactor,
    tls::TlsSettings,
};

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
    /// Encryption below that; `None` is plain text.
    pub tls: Option<TlsSettings>,
    /// How safe messages are kept that come in by it; `None` is the default of the node.
    pub durability: Option<Durability>,
}

impl Listener {
    /// Bind `address` (port 0 picks one) and listen.
    ///
    /// # Errors
    /// Whatever the system says: in use, not permitted, not an address of this machine.
    pub fn bind(address: SocketAddr, transport: Transport) -> io::Result<Self> {
        tcp::bind(address).map(|socket| Self::on(socket, transport))
    }

    /// On a socket that is bound and listens already.
    #[must_use]
    pub fn on(socket: TcpListener, transport: Transport) -> Self {
        Self { socket, transport, tls: None, durability: None }
    }

    /// The same listener with encryption.
    #[must_use]
    pub fn with_tls(self, settings: TlsSettings) -> Self {
        Self { tls: Some(settings), ..self }
    }

    /// The same listener with a durability of its own.
    #[must_use]
    pub fn with_durability(self, durability: Option<Durability>) -> Self {
        Self { durability, ..self }
    }
}

/// Pause after an accept that failed for lack of resources: trying at once would only burn time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What is spoken on a listener, as its handshakes need it.
#[derive(Debug)]
pub(crate) struct Served {
    /// Index in the broker's listeners.
    pub(crate) index: usize,
    pub(crate) transport: Transport,
    pub(crate) tls: Option<TlsSettings>,
    pub(crate) durability: Option<Durability>,
}

/// Accept from when the broker is opened until the task is aborted.
pub(crate) async fn run(listener: tokio::net::TcpListener, served: Served, reactor: Rc<RefCell<Reactor>>) {
    let served = Rc::new(served);
    let ending = reactor.borrow().ending();
    let mut opened = reactor.borrow().opened();
    if opened.wait_for(|opened| *opened).await.is_err() {
        return;
    }
    loop {
        entrance::enter(&reactor).await;
        match listener.accept().await {
            Ok((stream, peer)) => {
                let mut shared = reactor.borrow_mut();
                let admitted = shared.admit_from(peer.ip());
                let half_open_max = shared.config().half_open_max;
                let half_open = shared.half_open.clone();
                let statistics = &mut shared.connections.resources.statistics;
                statistics.accepted += 1;
                let Ok(place) = admitted else { continue };
                if half_open.count() >= half_open_max {
                    statistics.refused_half_open += 1;
                    half_open.end_oldest();
                }
                drop(shared);
                let ticket = half_open.begin(place);
                let number = ticket.number();
                let handshake = handshake::run(reactor.clone(), stream, peer, served.clone(), ticket);
                half_open
                    .set_task(number, ending.spawn(Steps::of(Box::pin(handshake), reactor.clone())).abort_handle());
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
