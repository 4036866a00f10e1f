//! CONNECT (MQTT 5, 3.1; 3.1.1, 3.1): who comes, with which session, on what terms.

use std::sync::Arc;

use selvedge_codec::{ConnAck, Connect, Packet, ProtocolVersion, ReasonCode};

use super::{Core, admission::Refusal, disconnect::WillFate, reply::send_to};
use crate::{
    authorize::Permit,
    connection::{AliasesOut, Connection, Enhanced, Exchange, Kind},
    effect::{CloseCause, Effects, Hold},
    id::{ConnectionId, SessionKey},
    input::Peer,
    message::Message,
    session::Will,
    time::Moment,
    timers::Timer,
};

impl Core {
    pub(super) fn on_connect(
        &mut self,
        id: ConnectionId,
        connect: &Connect<'_>,
        peer: Peer,
        now: Moment,
        effects: &mut Effects,
    ) {
        if self.connections.get(id).is_some() {
            self.protocol_error(id, "a second CONNECT", now, effects);
            return;
        }
        let assigned = connect.client_id.is_empty().then(|| self.assign_client_id());
        let name = assigned.as_deref().unwrap_or(connect.client_id);
        match self.check_connect(connect, name, &peer, now) {
            Ok(()) => self.accept_connect(id, connect, assigned, peer, now, effects),
            Err(Refusal(reason, text)) => {
                self.statistics.connects_refused += 1;
                // CONNACK may say why even without request problem information [MQTT-3.1.2-29].
                let refusal = ConnAck { reason, reason_string: Some(text), ..ConnAck::default() };
                let packet_bytes_max = connect.maximum_packet_size.map_or(u32::MAX, std::num::NonZeroU32::get);
                send_to(id, connect.version, packet_bytes_max, &Packet::ConnAck(refusal), Hold::Nothing, effects);
                effects.close(id, CloseCause::Refused);
            }
        }
    }

    fn accept_connect(
        &mut self,
        id: ConnectionId,
        connect: &Connect<'_>,
        assigned: Option<Arc<str>>,
        peer: Peer,
        now: Moment,
        effects: &mut Effects,
    ) {
        let name = assigned.as_deref().unwrap_or(connect.client_id);
        let Peer { user, permit, expires_in_ms, authentication, durability, .. } = peer;
        let (key, session_present) = self.session_for(name, user, permit, connect.clean_start, now, effects);
        let expiry_s = self.granted_expiry(connect);
        let keep_alive_s = self.granted_keep_alive(connect);
        let method = authentication.as_ref().map(|authentication| &*authentication.method);
        self.open_connection(id, key, connect, method, keep_alive_s, now);
        if let Some(connection) = self.connections.get_mut(id) {
            connection.durability = durability;
        }
        self.arm_credentials(id, expires_in_ms, now);
        if let Some(session) = self.sessions.get_mut(key) {
            session.connection = Some(id);
            session.expiry_s = expiry_s;
            session.will = connect.will.as_ref().map(|will| {
                let message = Message::new(will.topic, will.payload.to_vec(), will.qos, will.retain)
                    .with_properties(will.properties.forwarded().flatten().copied().collect())
                    .with_publisher(Some(session.client_id.clone()));
                Box::new(Will { message, expiry_s: will.properties.message_expiry_s, delay_s: will.delay_s })
            });
            self.journal.opened(session);
            session.settle(&mut self.account);
        }
        self.statistics.connects_accepted += 1;
        let answer = ConnAck {
            session_present,
            assigned_client_id: assigned.as_deref(),
            // Told where it is not what the client asked for [MQTT-3.2.2-21], or not the default of the standard.
            session_expiry_s: (connect.session_expiry_s.unwrap_or(0) != expiry_s).then_some(expiry_s),
            server_keep_alive_s: (keep_alive_s != connect.keep_alive_s).then_some(keep_alive_s),
            receive_maximum: std::num::NonZeroU16::new(self.config.receive_maximum),
            maximum_packet_size: std::num::NonZeroU32::new(self.config.packet_bytes_max),
            topic_alias_maximum: self.config.topic_alias_max,
            // [MQTT-4.12.0-5]
            authentication_method: authentication.as_ref().map(|authentication| &*authentication.method),
            authentication_data: authentication
                .as_ref()
                .map(|authentication| &*authentication.data)
                .filter(|data| !data.is_empty()),
            ..ConnAck::default()
        };
        let before = effects.len();
        self.send_answer(id, &Packet::ConnAck(answer), self.journal.waits(), effects);
        if effects.len() == before {
            // The client accepts no packet as large as this one, and nothing may come before it [MQTT-3.2.0-1].
            effects.close(id, CloseCause::Refused);
            self.drop_connection(id, WillFate::Discard, now);
            return;
        }
        self.pump(id, now, effects);
    }

    fn open_connection(
        &mut self,
        id: ConnectionId,
        key: SessionKey,
        connect: &Connect<'_>,
        method: Option<&str>,
        keep_alive_s: u16,
        now: Moment,
    ) {
        let silence_max_ms = u64::from(keep_alive_s) * 1500;
        let window = connect.receive_maximum.map_or(u16::MAX, std::num::NonZeroU16::get).min(self.config.in_flight_max);
        let aliases = connect.topic_alias_maximum.min(self.config.topic_alias_out_max);
        let mut connection = Connection {
            silence_max_ms,
            packet_bytes_max: connect.maximum_packet_size.map_or(u32::MAX, std::num::NonZeroU32::get),
            window: window.max(1),
            problem_information: connect.request_problem_information,
            connected_without_expiry: connect.version == ProtocolVersion::V5
                && connect.session_expiry_s.unwrap_or(0) == 0,
            enhanced: method.map(|method| Box::new(Enhanced { method: method.into(), exchange: Exchange::Idle })),
            aliases_out: (aliases > 0).then(|| Box::new(AliasesOut { maximum: aliases, ..AliasesOut::default() })),
            ..Connection::new(id, key, Kind::Network(connect.version), now)
        };
        if silence_max_ms > 0 {
            // [MQTT-3.1.2-22]
            let at = now.plus_millis(silence_max_ms);
            connection.keep_alive_at = Some(at);
            self.timers.arm(at, Timer::KeepAlive(id));
        }
        self.connections.insert(connection, &mut self.account);
    }

    /// Finds, takes over or makes the session; says whether it was there before [MQTT-3.2.2-2], [MQTT-3.2.2-3].
    fn session_for(
        &mut self,
        client_id: &str,
        user: Option<Arc<str>>,
        permit: Option<Arc<dyn Permit>>,
        clean_start: bool,
        now: Moment,
        effects: &mut Effects,
    ) -> (SessionKey, bool) {
        if let Some(key) = self.sessions.find(client_id) {
            if let Some(old) = self.sessions.get(key).and_then(|session| session.connection) {
                self.take_over(old, clean_start, now, effects);
            }
            // A session without expiry has just ended with its connection.
            if self.sessions.get(key).is_some() {
                if !clean_start && self.resume(key, permit.clone(), now, effects) {
                    return (key, true);
                }
                // [MQTT-3.1.2-4]; the will of a session that ends is due (3.1.3.2.2).
                self.end_session(key, now);
            }
        }
        let key = self.sessions.insert(client_id.into(), user, &mut self.account);
        if let Some(session) = self.sessions.get_mut(key) {
            session.permit = permit;
            session.judged_by = self.rules;
        }
        (key, false)
    }

    /// The client came again on another connection [MQTT-3.1.4-3].
    fn take_over(&mut self, old: ConnectionId, clean_start: bool, now: Moment, effects: &mut Effects) {
        self.statistics.closed_taken_over += 1;
        let text = "another connection uses this client identifier";
        self.close(old, ReasonCode::SessionTakenOver, text, CloseCause::TakenOver, effects);
        let session = self.connections.get(old).and_then(|connection| self.sessions.get(connection.session));
        // A will with a delay is not published if the session goes on in time [MQTT-3.1.3-9].
        let goes_on = session.is_some_and(|session| {
            session.is_persistent() && !clean_start && session.will.as_ref().is_some_and(|will| will.delay_s > 0)
        });
        self.drop_connection(old, if goes_on { WillFate::Discard } else { WillFate::Publish }, now);
    }

    /// The client of a waiting session is back: nothing of its absence is due any more, and what it holds is judged again if
    /// that may come out otherwise. False if the session has ended.
    fn resume(&mut self, key: SessionKey, permit: Option<Arc<dyn Permit>>, now: Moment, effects: &mut Effects) -> bool {
        self.sessions.came_back(key);
        let Some(session) = self.sessions.get_mut(key) else { return false };
        if let Some(at) = session.ends_at.take() {
            self.timers.disarm(at, Timer::SessionExpiry(key));
        }
        if let Some(at) = session.will_at.take() {
            self.timers.disarm(at, Timer::Will(key));
        }
        session.will = None;
        let other_permit = permit.is_some() || session.permit.is_some();
        session.permit = permit;
        if other_permit || session.judged_by != self.rules { self.recheck(key, now, effects) } else { true }
    }
}
