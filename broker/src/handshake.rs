//! From accept to CONNACK: TLS, WebSocket upgrade, CONNECT, authentication. Each runs in a task of its own, under one deadline,
//! and keeps little more than one CONNECT. What comes out is a connection in the reactor's table: one that the core knows, or
//! one that is only told why it is closed.

pub(crate) mod guest;
pub(crate) mod half_open;
mod login;

use std::{cell::RefCell, net::SocketAddr, rc::Rc, sync::Arc};

use selvedge_codec::DecodeError;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};

use self::{guest::Guest, half_open::Ticket};
use crate::{
    authentication::PeerCertificate,
    config::Config,
    connection::{
        Connection,
        reader::ReadEnd,
        stream::{Stream, encrypted::EncryptedStream},
        task::ConnectionTask,
        websocket::WebSocketReader,
    },
    ending::isolated,
    listener::{
        Served, Transport,
        websocket::{UpgradeError, upgrade},
    },
    reactor::Reactor,
    statistics::Statistics,
    tls::{TlsSettings, thread::TlsHandshakeError},
};

/// Why a connection did not get as far as the core.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("TLS handshake not finished in time")]
    NoTls,
    #[error("no websocket upgrade in time")]
    NoUpgrade,
    #[error("no CONNECT in time")]
    NoConnect,
    #[error("no AUTH in time")]
    NoAuth,
    #[error(transparent)]
    Tls(#[from] TlsHandshakeError),
    #[error(transparent)]
    Upgrade(#[from] UpgradeError),
    #[error("the library for the websocket upgrade panicked")]
    UpgradePanicked,
    #[error(transparent)]
    Read(#[from] ReadEnd),
    #[error("first packet is no CONNECT")]
    OtherPacket,
    #[error("packet before the end of authentication is not acceptable")]
    Undecodable(#[from] DecodeError),
    #[error("unfinished handshakes take too much memory")]
    TooManyBytes,
    #[error("peer does not take the answers to its websocket pings")]
    PongsNotTaken,
    #[error("peer closed the websocket")]
    WebSocketClosed,
    #[error("client gave up before the end of authentication")]
    Disconnected,
}

impl HandshakeError {
    fn count_into(&self, statistics: &mut Statistics) {
        match self {
            Self::NoTls => {
                statistics.handshake_timeouts += 1;
                statistics.tls_handshake_timeouts += 1;
            }
            Self::NoUpgrade | Self::NoConnect | Self::NoAuth => statistics.handshake_timeouts += 1,
            Self::TooManyBytes | Self::Tls(TlsHandshakeError::TooManyBytes) => {
                statistics.refused_half_open += 1;
            }
            Self::Tls(_) => statistics.tls_handshake_failures += 1,
            Self::Upgrade(_) | Self::UpgradePanicked => statistics.upgrades_refused += 1,
            // Counted where it was found.
            Self::Read(ReadEnd::Violation(_)) => {}
            _ => statistics.handshake_failures += 1,
        }
    }

    /// Whether the client sent what the protocol forbids. One that is slow, goes away or has the wrong certificate did not.
    const fn is_breach(&self) -> bool {
        matches!(self, Self::Upgrade(_) | Self::Read(ReadEnd::Violation(_)) | Self::OtherPacket | Self::Undecodable(_))
    }
}

/// Lead one accepted connection to the core, or drop it.
pub(crate) async fn run(
    reactor: Rc<RefCell<Reactor>>,
    socket: TcpStream,
    address: SocketAddr,
    served: Rc<Served>,
    mut ticket: Ticket,
) {
    let config = reactor.borrow().config().clone();
    let deadline = Instant::now() + config.handshake_timeout;
    let outcome = async {
        let (stream, certificate) = match &served.tls {
            None => (Stream::Tcp(socket), None),
            Some(settings) => encrypt(&reactor, socket, settings, deadline).await?,
        };
        let mut connection = open(stream, address, served.transport, &config, deadline).await?;
        connection.place = ticket.take_place();
        connection.durability = served.durability;
        let mut guest = Guest { connection, listener: served.index, certificate, ticket, held: 0 };
        match timeout_at(deadline, guest.connect(&reactor)).await {
            Err(_) => Err(HandshakeError::NoConnect),
            Ok(Ok(frame)) => login::run(&reactor, guest, &frame, deadline).await,
            Ok(Err(error)) => match error.close_code() {
                Some(code) => {
                    note(&reactor, address, &error);
                    Ok(guest.close(code, &reactor))
                }
                None => Err(error),
            },
        }
    };
    match outcome.await {
        Ok(id) => ConnectionTask::spawn(reactor, id),
        Err(error) => note(&reactor, address, &error),
    }
}

fn note(reactor: &RefCell<Reactor>, address: SocketAddr, error: &HandshakeError) {
    tracing::debug!(%address, error = error as &dyn std::error::Error, "handshake failed");
    let resources = &mut reactor.borrow_mut().connections.resources;
    error.count_into(&mut resources.statistics);
    if error.is_breach() {
        resources.offenders.note(address.ip());
    }
}

/// The TLS handshake, on its own thread.
async fn encrypt(
    reactor: &RefCell<Reactor>,
    socket: TcpStream,
    settings: &TlsSettings,
    deadline: Instant,
) -> Result<(Stream, Option<Arc<PeerCertificate>>), HandshakeError> {
    let encryption = reactor.borrow().encryption.clone();
    let thread = encryption.thread.as_ref().ok_or(TlsHandshakeError::Stopped)?;
    let established = timeout_at(deadline, thread.establish(socket, settings.newest()))
        .await
        .map_err(|_| HandshakeError::NoTls)??;
    let statistics = &mut reactor.borrow_mut().connections.resources.statistics;
    statistics.tls_handshakes += 1;
    statistics.tls_handshakes_resumed += u64::from(established.records.is_resumed());
    let socket = TcpStream::from_std(established.socket).map_err(TlsHandshakeError::Lost)?;
    let stream = EncryptedStream::new(
        socket,
        established.records,
        established.kept,
        established.plain,
        encryption.buffers.clone(),
    );
    Ok((Stream::Tls(Box::new(stream)), established.certificate))
}

/// What lies between the byte stream and MQTT.
async fn open(
    mut stream: Stream,
    peer: SocketAddr,
    transport: Transport,
    config: &Config,
    deadline: Instant,
) -> Result<Connection, HandshakeError> {
    let websocket = match transport {
        Transport::Tcp => None,
        Transport::WebSocket => {
            // What a stranger sends is parsed by a library that knows nothing of the reactor.
            let upgraded = timeout_at(deadline, isolated(upgrade(&mut stream, &config.websocket_path))).await;
            upgraded.map_err(|_| HandshakeError::NoUpgrade)?.ok_or(HandshakeError::UpgradePanicked)??;
            Some(WebSocketReader::new(config.websocket_frame_bytes_max))
        }
    };
    Ok(Connection::new(stream, peer, websocket))
}
