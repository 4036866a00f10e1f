//! Authentication that goes on after CONNECT: AUTH (MQTT 5, 3.15 and 4.12.1), and credentials that end.
//!
//! What the bytes of a method mean is the shell's business: the core sees to who may speak when, and for how long.

use selvedge_codec::{Auth, Packet, ReasonCode};

use super::{Core, disconnect::WillFate};
use crate::{
    connection::Exchange,
    effect::{CloseCause, Effect, Effects},
    id::ConnectionId,
    input::{Peer, Reauthentication},
    time::Moment,
    timers::Timer,
};

impl Core {
    /// A client's AUTH after CONNECT.
    pub(super) fn on_auth(&mut self, id: ConnectionId, auth: &Auth<'_>, now: Moment, effects: &mut Effects) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let Some(enhanced) = connection.enhanced.as_deref_mut() else {
            // [MQTT-4.12.0-7]
            self.protocol_error(id, "AUTH without an authentication method", now, effects);
            return;
        };
        // [MQTT-4.12.0-5], [MQTT-4.12.1-1]
        if auth.method != Some(&*enhanced.method) {
            self.protocol_error(id, "AUTH with another method than CONNECT", now, effects);
            return;
        }
        let until = match (auth.reason, enhanced.exchange) {
            (ReasonCode::Reauthenticate, Exchange::Idle) => {
                let until = now.plus_seconds(self.config.reauthentication_timeout_s);
                self.timers.arm(until, Timer::Reauthentication(id));
                until
            }
            (ReasonCode::ContinueAuthentication, Exchange::Awaited { until }) => until,
            _ => {
                self.protocol_error(id, "AUTH out of turn", now, effects);
                return;
            }
        };
        enhanced.exchange = Exchange::Judged { until };
        let start = effects.mark();
        effects.arena.extend_from_slice(auth.data.unwrap_or_default());
        let data = effects.since(start);
        effects.push(Effect::Authenticate { connection: id, reason: auth.reason, data });
    }

    /// What the shell makes of a client's AUTH.
    pub(super) fn on_authenticated(
        &mut self,
        id: ConnectionId,
        outcome: Reauthentication,
        now: Moment,
        effects: &mut Effects,
    ) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let Some(enhanced) = connection.enhanced.as_deref_mut() else { return };
        let Exchange::Judged { until } = enhanced.exchange else { return };
        match outcome {
            Reauthentication::Continue { data } => {
                enhanced.exchange = Exchange::Awaited { until };
                self.send_auth(id, ReasonCode::ContinueAuthentication, &data, effects);
            }
            Reauthentication::Success { peer } => {
                enhanced.exchange = Exchange::Idle;
                self.timers.disarm(until, Timer::Reauthentication(id));
                self.reauthenticated(id, peer, now, effects);
            }
            Reauthentication::Failure { reason } => {
                self.statistics.reauthentications_failed += 1;
                // 0x86 is for CONNACK only [MQTT-3.14.2-1].
                let said = if reason == ReasonCode::BadUserNameOrPassword { ReasonCode::NotAuthorized } else { reason };
                self.expel(id, said, "re-authentication failed", now, effects);
            }
        }
    }

    fn reauthenticated(&mut self, id: ConnectionId, peer: Peer, now: Moment, effects: &mut Effects) {
        let Some(connection) = self.connections.get(id) else { return };
        let key = connection.session;
        let Some(session) = self.sessions.get_mut(key) else { return };
        // A session belongs to one user: under another name it would be somebody else's.
        if session.user != peer.user {
            self.statistics.reauthentications_failed += 1;
            self.expel(id, ReasonCode::NotAuthorized, "the session belongs to another user", now, effects);
            return;
        }
        session.permit = peer.permit;
        if !self.recheck(key, now, effects) {
            self.statistics.reauthentications_failed += 1;
            return;
        }
        self.statistics.reauthentications += 1;
        self.arm_credentials(id, peer.expires_in_ms, now);
        let data = peer.authentication.map(|authentication| authentication.data).unwrap_or_default();
        self.send_auth(id, ReasonCode::Success, &data, effects);
    }

    fn send_auth(&mut self, id: ConnectionId, reason: ReasonCode, data: &[u8], effects: &mut Effects) {
        let Some(enhanced) = self.connections.get(id).and_then(|connection| connection.enhanced.as_deref()) else {
            return;
        };
        let method = enhanced.method.clone();
        let auth = Auth { reason, method: Some(&method), data: (!data.is_empty()).then_some(data), ..Auth::default() };
        self.send(id, &Packet::Auth(auth), effects);
    }

    /// The client did not bring its re-authentication to an end.
    pub(super) fn end_reauthentication(&mut self, id: ConnectionId, now: Moment, effects: &mut Effects) {
        let Some(enhanced) = self.connections.get_mut(id).and_then(|connection| connection.enhanced.as_deref_mut())
        else {
            return;
        };
        enhanced.exchange = Exchange::Idle;
        self.statistics.reauthentications_failed += 1;
        self.expel(id, ReasonCode::NotAuthorized, "re-authentication took too long", now, effects);
    }

    /// The client is served until its credentials end.
    pub(super) fn arm_credentials(&mut self, id: ConnectionId, expires_in_ms: Option<u64>, now: Moment) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let at = expires_in_ms.map(|milliseconds| now.plus_millis(milliseconds));
        if let Some(before) = std::mem::replace(&mut connection.credentials_end_at, at) {
            self.timers.disarm(before, Timer::Credentials(id));
        }
        if let Some(at) = at {
            self.timers.arm(at, Timer::Credentials(id));
        }
    }

    pub(super) fn end_credentials(&mut self, id: ConnectionId, now: Moment, effects: &mut Effects) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.credentials_end_at = None;
        self.statistics.credentials_expired += 1;
        self.expel(id, ReasonCode::NotAuthorized, "the credentials have expired", now, effects);
    }

    /// Closes the connection of a client that may not be connected any more; its session stays for as long as it may.
    pub(super) fn expel(
        &mut self,
        id: ConnectionId,
        reason: ReasonCode,
        text: &str,
        now: Moment,
        effects: &mut Effects,
    ) {
        self.statistics.closed_unauthorized += 1;
        self.close(id, reason, text, CloseCause::NotAuthorized, effects);
        self.drop_connection(id, WillFate::Publish, now);
    }
}
