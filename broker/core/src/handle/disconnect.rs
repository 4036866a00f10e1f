//! How connections and sessions end: DISCONNECT (MQTT 5, 3.14), protocol errors (4.13), lost networks, shutdown.

use selvedge_codec::{Disconnect, Packet, ProtocolVersion, ReasonCode};

use super::Core;
use crate::{
    authorize::Action,
    connection::{Enhanced, Kind},
    effect::{CloseCause, Effects},
    id::{ConnectionId, SessionKey},
    session::NEVER,
    time::Moment,
    timers::Timer,
};

/// What becomes of the will when a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WillFate {
    /// Published, after its delay [MQTT-3.1.2-8].
    Publish,
    /// Deleted [MQTT-3.1.2-10].
    Discard,
}

impl Core {
    pub(super) fn on_disconnect(
        &mut self,
        id: ConnectionId,
        packet: &Disconnect<'_>,
        now: Moment,
        effects: &mut Effects,
    ) {
        let Some(connection) = self.connections.get(id) else { return };
        if let Some(expiry_s) = packet.session_expiry_s {
            if connection.connected_without_expiry && expiry_s != 0 {
                // 3.14.2.2.2: a session that was to end with the connection cannot be made to last.
                self.protocol_error(id, "a session expiry at DISCONNECT where CONNECT had none", now, effects);
                return;
            }
            let key = connection.session;
            let granted = expiry_s.min(self.config.session_expiry_max_s);
            if let Some(session) = self.sessions.get_mut(key) {
                session.expiry_s = granted;
            }
        }
        // Only a normal end deletes the will [MQTT-3.14.4-3].
        let fate = if packet.reason == ReasonCode::Success { WillFate::Discard } else { WillFate::Publish };
        effects.close(id, CloseCause::ClientDisconnected);
        self.drop_connection(id, fate, now);
    }

    /// The client broke the protocol in a way that has no reason code of its own.
    pub(super) fn protocol_error(&mut self, id: ConnectionId, text: &str, now: Moment, effects: &mut Effects) {
        self.fail(id, ReasonCode::ProtocolError, text, now, effects);
    }

    /// Ends a connection for what the client did (MQTT 5, 4.13.1).
    pub(super) fn fail(
        &mut self,
        id: ConnectionId,
        reason: ReasonCode,
        text: &str,
        now: Moment,
        effects: &mut Effects,
    ) {
        if self.connections.get(id).is_none() {
            return;
        }
        self.statistics.closed_protocol += 1;
        self.close(id, reason, text, CloseCause::ProtocolViolation, effects);
        self.drop_connection(id, WillFate::Publish, now);
    }

    /// Ends a connection whose client went over a limit.
    pub(super) fn exceed(
        &mut self,
        id: ConnectionId,
        reason: ReasonCode,
        text: &str,
        now: Moment,
        effects: &mut Effects,
    ) {
        if self.connections.get(id).is_none() {
            return;
        }
        self.statistics.closed_quota += 1;
        self.close(id, reason, text, CloseCause::QuotaExceeded, effects);
        self.drop_connection(id, WillFate::Publish, now);
    }

    /// Tells the client, if its protocol has words for it, and has the connection closed. Follow with
    /// [`Self::drop_connection`].
    pub(super) fn close(
        &mut self,
        id: ConnectionId,
        reason: ReasonCode,
        text: &str,
        cause: CloseCause,
        effects: &mut Effects,
    ) {
        let Some(connection) = self.connections.get(id) else { return };
        if connection.kind == Kind::Network(ProtocolVersion::V5) {
            let mut packet = Disconnect::with_reason(reason);
            packet.reason_string = Some(text);
            self.send(id, &Packet::Disconnect(packet), effects);
        }
        effects.close(id, cause);
    }

    /// Forgets the connection; the session stays for as long as it may. Unknown ids are ignored.
    pub(super) fn drop_connection(&mut self, id: ConnectionId, fate: WillFate, now: Moment) {
        let Some(connection) = self.connections.remove(id, &mut self.account) else { return };
        if let Some(at) = connection.keep_alive_at {
            self.timers.disarm(at, Timer::KeepAlive(id));
        }
        if let Some(at) = connection.credentials_end_at {
            self.timers.disarm(at, Timer::Credentials(id));
        }
        if let Some(until) = connection.enhanced.as_deref().and_then(Enhanced::until) {
            self.timers.disarm(until, Timer::Reauthentication(id));
        }
        let key = connection.session;
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.connection = None;
        session.in_flight.connection_lost();
        let queued_before = session.queue.bytes_held();
        let dropped = session.queue.drop_qos_0();
        self.statistics.dropped_offline += dropped;
        self.statistics.queued_messages -= dropped;
        self.statistics.queued_bytes -= (queued_before - session.queue.bytes_held()) as u64;
        let expiry_s = session.expiry_s;
        if fate == WillFate::Discard && session.will.take().is_some() {
            self.journal.will_gone(session);
        }
        session.settle(&mut self.account);
        self.sessions.went_away(key);
        match fate {
            WillFate::Discard => {}
            WillFate::Publish => {
                // The will goes with its delay or with the session, whichever is first [MQTT-3.1.3-9].
                let Some(session) = self.sessions.get_mut(key) else { return };
                let delay_s = session.will.as_ref().map(|will| will.delay_s.min(expiry_s));
                if let Some(delay_s) = delay_s.filter(|delay_s| *delay_s > 0) {
                    let at = now.plus_seconds(delay_s);
                    session.will_at = Some(at);
                    self.timers.arm(at, Timer::Will(key));
                } else {
                    self.release_will(key, now);
                }
            }
        }
        if expiry_s == 0 {
            self.end_session(key, now);
        } else if expiry_s != NEVER
            && let Some(session) = self.sessions.get_mut(key)
        {
            let at = now.plus_seconds(expiry_s);
            session.ends_at = Some(at);
            self.timers.arm(at, Timer::SessionExpiry(key));
        }
        if let Some(session) = self.sessions.get(key) {
            self.journal.away(session);
        }
    }

    /// Hands the will of a session over for publication; its expiry counts from now.
    pub(super) fn release_will(&mut self, key: SessionKey, now: Moment) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if let Some(at) = session.will_at.take() {
            self.timers.disarm(at, Timer::Will(key));
        }
        if let Some(will) = session.will.take() {
            self.journal.will_gone(session);
            session.settle(&mut self.account);
            let action = Action::Will { retain: will.message.retain() };
            if !self.authorizer.may(session.principal(), action, will.message.topic()) {
                self.statistics.revoked_wills += 1;
                return;
            }
            let expires_at = will.expiry_s.map(|seconds| now.plus_seconds(seconds));
            self.wills.push_back((key, will.message.with_expiry(expires_at)));
        }
    }

    /// Ends a session and all that it holds. A connection that it may still have must have been closed before. A will
    /// that still waits is due now (MQTT 5, 3.1.3.2.2).
    pub(super) fn end_session(&mut self, key: SessionKey, now: Moment) {
        self.release_will(key, now);
        let Some(session) = self.sessions.remove(key, &mut self.account) else { return };
        self.journal.ended(&session);
        if let Some(at) = session.ends_at {
            self.timers.disarm(at, Timer::SessionExpiry(key));
        }
        self.forget_filters(key, session.filters);
        self.statistics.queued_messages -= session.queue.total() as u64;
        self.statistics.queued_bytes -= session.queue.bytes_held() as u64;
    }

    pub(super) fn remove_subscription(&mut self, key: SessionKey, filter: &str) -> bool {
        let Some(session) = self.sessions.get_mut(key) else { return false };
        if !session.remove_filter(filter) {
            return false;
        }
        self.journal.unsubscribed(session, filter);
        session.settle(&mut self.account);
        let (group, plain) = split_shared(filter);
        self.router.tree.unsubscribe(plain, group, key);
        self.router.cache.invalidate();
        self.account.tree = self.router.tree.bytes();
        self.statistics.subscriptions -= 1;
        true
    }

    pub(super) fn on_shutdown(&mut self, now: Moment, effects: &mut Effects) {
        for id in self.connections.ids() {
            let network = self.connections.get(id).is_some_and(|connection| connection.kind != Kind::Internal);
            if network {
                let text = "the node is shutting down";
                self.close(id, ReasonCode::ServerShuttingDown, text, CloseCause::ShuttingDown, effects);
                // A server that stops may keep its wills for itself (MQTT 5, 3.1.2.5).
                self.drop_connection(id, WillFate::Discard, now);
            }
        }
    }
}

/// The group and the filter of `$share/{group}/{filter}`.
pub(super) fn split_shared(filter: &str) -> (Option<&str>, &str) {
    match selvedge_codec::topic::shared(filter) {
        Some((group, plain)) => (Some(group), plain),
        None => (None, filter),
    }
}
