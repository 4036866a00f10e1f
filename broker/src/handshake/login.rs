//! From CONNECT to CONNACK: who the client is (MQTT 5, 3.1.4 and 4.12). What comes out is a connection in the reactor's table:
//! one that the core knows, or one that is only told why it is closed.

use std::cell::RefCell;

use selvedge_codec::{
    Auth, ConnAck, Connect, DecodeError, Packet, ProtocolVersion, ReasonCode, connect_version, decode, decode_connect,
    encode,
};
use selvedge_core::ConnectionId;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until, timeout_at},
};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::{HandshakeError, guest::Guest};
use crate::{
    authentication::{
        Attempt, Verdict,
        attempt::OwnedAttempt,
        login::Login,
        thread::{Authentication, Question},
    },
    reactor::Reactor,
};

/// Steps of one enhanced authentication; the methods that there are take two or three.
const STEPS_MAX: usize = 16;

/// Decide on the CONNECT `frame` of `guest`.
pub(super) async fn run(
    reactor: &RefCell<Reactor>,
    mut guest: Guest,
    frame: &[u8],
    deadline: Instant,
) -> Result<ConnectionId, HandshakeError> {
    let connect = match decode_connect(frame) {
        Ok(connect) => connect,
        Err(error) => return Ok(refuse_undecodable(reactor, guest, frame, &error)),
    };
    let authentication = reactor.borrow().authentication.clone();
    let attempt = attempt(&guest, &connect);
    let mut verdict = match authentication.quick(&attempt) {
        Some(verdict) => verdict,
        None => {
            let question = Question::Check(Box::new(OwnedAttempt::of(&attempt)));
            guest.held = frame.len();
            ask(reactor, &mut guest, &authentication, question, deadline).await?
        }
    };
    for _ in 0..STEPS_MAX {
        let (data, exchange) = match verdict {
            Verdict::Accept(identity) => {
                let mut login = Login::of(&guest, &connect);
                let peer = login.peer(identity);
                let mut reactor = reactor.borrow_mut();
                reactor.open_turn();
                let mut connection = guest.into_connection(&mut reactor.connections.resources);
                connection.login = connect.authentication_method.is_some().then(|| Box::new(login));
                return Ok(reactor.admit(connection, &connect, peer));
            }
            Verdict::Refuse(reason) => return Ok(refuse(reactor, guest, &connect, reason)),
            Verdict::Continue { data, exchange } => (data, exchange),
        };
        let Some(method) = connect.authentication_method else {
            tracing::error!("the authenticator goes on with a client that has named no method");
            return Ok(refuse(reactor, guest, &connect, ReasonCode::ImplementationSpecificError));
        };
        guest.held = frame.len();
        let reason = match exchange_auth(reactor, &mut guest, &connect, method, &data, deadline).await? {
            Ok(data) => {
                let question = Question::Step { exchange, data };
                verdict = ask(reactor, &mut guest, &authentication, question, deadline).await?;
                continue;
            }
            Err(reason) => reason,
        };
        return Ok(refuse(reactor, guest, &connect, reason));
    }
    Ok(refuse(reactor, guest, &connect, ReasonCode::NotAuthorized))
}

fn attempt<'a>(guest: &'a Guest, connect: &Connect<'a>) -> Attempt<'a> {
    Attempt {
        listener: guest.listener,
        address: guest.connection.peer,
        version: connect.version,
        client_id: connect.client_id,
        username: connect.username,
        password: connect.password,
        certificate: guest.certificate.as_ref(),
        method: connect.authentication_method,
        data: connect.authentication_data.unwrap_or_default(),
    }
}

/// Have `question` answered by the authentication thread, and keep what the client sends meanwhile.
async fn ask(
    reactor: &RefCell<Reactor>,
    guest: &mut Guest,
    authentication: &Authentication,
    question: Question,
    deadline: Instant,
) -> Result<Verdict, HandshakeError> {
    let (sender, verdict) = oneshot::channel();
    let answer = Box::new(move |verdict| {
        // The client may be gone.
        let _ = sender.send(verdict);
    });
    let Ok(_waiting) = authentication.ask(question, answer) else {
        reactor.borrow_mut().connections.resources.statistics.authentications_busy += 1;
        return Ok(Verdict::Refuse(ReasonCode::ServerBusy));
    };
    tokio::select! {
        biased;
        verdict = verdict => Ok(verdict.unwrap_or(Verdict::Refuse(ReasonCode::ServerUnavailable))),
        () = sleep_until(deadline) => {
            let statistics = &mut reactor.borrow_mut().connections.resources.statistics;
            statistics.handshake_timeouts += 1;
            statistics.authentication_timeouts += 1;
            Ok(Verdict::Refuse(ReasonCode::ServerUnavailable))
        }
        error = guest.gone(reactor) => Err(error),
    }
}

/// Send `data` and wait for the client's. Gives the reason to refuse it if it does not answer as it must.
async fn exchange_auth(
    reactor: &RefCell<Reactor>,
    guest: &mut Guest,
    connect: &Connect<'_>,
    method: &str,
    data: &[u8],
    deadline: Instant,
) -> Result<Result<Vec<u8>, ReasonCode>, HandshakeError> {
    // [MQTT-4.12.0-2], [MQTT-4.12.0-5]
    let auth = Auth {
        reason: ReasonCode::ContinueAuthentication,
        method: Some(method),
        data: (!data.is_empty()).then_some(data),
        ..Auth::default()
    };
    if !send(&mut reactor.borrow_mut(), guest, connect, &Packet::Auth(auth)) {
        return Ok(Err(ReasonCode::PacketTooLarge));
    }
    let Ok(answer) = timeout_at(deadline, guest.packet(reactor)).await else {
        return Err(HandshakeError::NoAuth);
    };
    let answer = answer?;
    Ok(match decode(connect.version, &answer) {
        Ok(Packet::Auth(auth)) if auth.method != Some(method) => Err(ReasonCode::BadAuthenticationMethod), // [MQTT-4.12.0-5]
        // [MQTT-4.12.0-3]
        Ok(Packet::Auth(auth)) if auth.reason == ReasonCode::ContinueAuthentication => {
            Ok(auth.data.unwrap_or_default().to_vec())
        }
        Ok(Packet::Disconnect(_)) => return Err(HandshakeError::Disconnected),
        Ok(_) => Err(ReasonCode::ProtocolError), // [MQTT-3.1.2-30]
        Err(error) => Err(error.reason_code()),
    })
}

/// Tell the client why it may not connect, as far as its version can say it.
fn refuse(reactor: &RefCell<Reactor>, mut guest: Guest, connect: &Connect<'_>, reason: ReasonCode) -> ConnectionId {
    tracing::debug!(address = %guest.connection.peer, client_id = connect.client_id, ?reason, "client is refused");
    let mut shared = reactor.borrow_mut();
    shared.connections.resources.statistics.authentications_refused += 1;
    // [MQTT-3.1.4-2], [MQTT-4.12.0-4]
    send(&mut shared, &mut guest, connect, &Packet::ConnAck(ConnAck { reason, ..ConnAck::default() }));
    drop(shared);
    guest.close(CloseCode::Policy, reactor)
}

/// Send `packet` if the client's version has it, and the client takes packets of its size.
fn send(reactor: &mut Reactor, guest: &mut Guest, connect: &Connect<'_>, packet: &Packet<'_>) -> bool {
    let mut bytes = Vec::new();
    let bytes_max = connect.maximum_packet_size.map_or(usize::MAX, |size| size.get() as usize);
    // [MQTT-3.1.2-24]
    if encode(connect.version, packet, &mut bytes).is_err() || bytes.len() > bytes_max {
        return false;
    }
    guest.send(&bytes, &mut reactor.connections.resources);
    true
}

fn refuse_undecodable(reactor: &RefCell<Reactor>, mut guest: Guest, frame: &[u8], error: &DecodeError) -> ConnectionId {
    tracing::debug!(address = %guest.connection.peer, %error, "CONNECT is refused");
    let mut shared = reactor.borrow_mut();
    shared.connections.resources.statistics.handshake_failures += 1;
    shared.connections.resources.offenders.note(guest.connection.peer.ip());
    if let Some(version) = answer_version(frame, error) {
        let mut answer = Vec::new();
        let connack = ConnAck { reason: error.reason_code(), ..ConnAck::default() };
        // A reason that CONNACK may not carry is not said.
        if encode(version, &Packet::ConnAck(connack), &mut answer).is_ok() {
            guest.send(&answer, &mut shared.connections.resources);
        }
    }
    drop(shared);
    guest.close(CloseCode::Policy, reactor)
}

/// In which version to answer a CONNECT that is refused; `None` is not at all.
fn answer_version(frame: &[u8], error: &DecodeError) -> Option<ProtocolVersion> {
    // [MQTT-3.1.2-2]; [MQTT-3.1.4-1]: 3.1.1 has no code for a malformed CONNECT.
    error.answer_version().or_else(|| connect_version(frame).ok().filter(|version| *version == ProtocolVersion::V5))
}
