//! CONNECT (MQTT 5, 3.1; 3.1.1, 3.1): who comes, with which session, on what terms.

use std::sync::Arc;

use selvedge_codec::{ConnAck, Connect, Packet, ProtocolVersion, ReasonCode, topic};

use super::{Core, disconnect::WillFate, send_to};
use crate::{
    authorize::Principal,
    connection::{AliasesOut, Connection, Kind},
    effect::{CloseCause, Effects},
    id::{ConnectionId, SessionKey},
    input::Peer,
    message::Message,
    session::Will,
    time::Moment,
    timers::Timer,
};

/// Client identifiers of consumers inside the node begin with this, and no client may use them.
pub(super) const NODE_CLIENT_PREFIX: &str = "$node/";

/// Why a CONNECT is refused, as the client is told.
struct Refusal(ReasonCode, &'static str);

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
        match self.check_connect(connect, &peer) {
            Ok(client_id) => self.accept_connect(id, connect, client_id, peer, now, effects),
            Err(Refusal(reason, text)) => {
                self.statistics.connects_refused += 1;
                // CONNACK may say why even without request problem information [MQTT-3.1.2-29].
                let refusal = ConnAck { reason, reason_string: Some(text), ..ConnAck::default() };
                let packet_bytes_max = connect.maximum_packet_size.map_or(u32::MAX, std::num::NonZeroU32::get);
                send_to(id, connect.version, packet_bytes_max, &Packet::ConnAck(refusal), effects);
                effects.close(id, CloseCause::Refused);
            }
        }
    }

    /// All that can be refused; the client identifier to use, `None` if one is to be assigned.
    fn check_connect<'c>(&self, connect: &Connect<'c>, peer: &Peer) -> Result<Option<&'c str>, Refusal> {
        if connect.authentication_method.is_some() {
            // [MQTT-4.12.0-1]
            return Err(Refusal(ReasonCode::BadAuthenticationMethod, "enhanced authentication is not offered"));
        }
        let client_id = connect.client_id;
        if client_id.is_empty() && connect.version == ProtocolVersion::V311 && !connect.clean_start {
            // [MQTT-3.1.3-8] of 3.1.1
            return Err(Refusal(ReasonCode::ClientIdentifierNotValid, "a lasting session needs a client identifier"));
        }
        if client_id.len() > self.config.client_id_bytes_max {
            return Err(Refusal(ReasonCode::ClientIdentifierNotValid, "the client identifier is too long"));
        }
        if client_id.starts_with(NODE_CLIENT_PREFIX) {
            return Err(Refusal(
                ReasonCode::ClientIdentifierNotValid,
                "client identifiers under $node/ are the node's own",
            ));
        }
        match self.sessions.find(client_id).and_then(|key| self.sessions.get(key)) {
            // Otherwise one user could read, or end, the session of another by naming it.
            Some(session) if session.user != peer.user => {
                return Err(Refusal(ReasonCode::NotAuthorized, "the client identifier belongs to another user"));
            }
            None if self.sessions.len() >= self.config.sessions_max => {
                return Err(Refusal(ReasonCode::QuotaExceeded, "the node has as many sessions as it may"));
            }
            _ => {}
        }
        if let Some(will) = &connect.will {
            if topic::exceeds_levels(will.topic, self.config.topic_levels_max) {
                return Err(Refusal(ReasonCode::TopicNameInvalid, "the topic of the will has too many levels"));
            }
            let who = Principal { client_id, user: peer.user.as_ref() };
            if !self.authorizer.may_publish(who, will.topic, will.retain) {
                return Err(Refusal(ReasonCode::NotAuthorized, "not allowed to publish to the topic of the will"));
            }
        }
        Ok((!client_id.is_empty()).then_some(client_id))
    }

    fn accept_connect(
        &mut self,
        id: ConnectionId,
        connect: &Connect<'_>,
        client_id: Option<&str>,
        peer: Peer,
        now: Moment,
        effects: &mut Effects,
    ) {
        let assigned = client_id.is_none().then(|| self.assign_client_id());
        let name = client_id.or(assigned.as_deref()).unwrap_or_default();
        let (key, session_present) = self.session_for(name, peer, connect.clean_start, now, effects);
        let expiry_s = self.granted_expiry(connect);
        let keep_alive_s = self.granted_keep_alive(connect);
        let silence_max_ms = u64::from(keep_alive_s) * 1500;
        let window = connect.receive_maximum.map_or(u16::MAX, std::num::NonZeroU16::get).min(self.config.in_flight_max);
        let aliases = connect.topic_alias_maximum.min(self.config.topic_alias_out_max);
        let mut connection = Connection {
            id,
            session: key,
            kind: Kind::Network(connect.version),
            silence_max_ms,
            last_heard: now,
            keep_alive_at: None,
            packet_bytes_max: connect.maximum_packet_size.map_or(u32::MAX, std::num::NonZeroU32::get),
            window: window.max(1),
            congested: false,
            problem_information: connect.request_problem_information,
            connected_without_expiry: connect.version == ProtocolVersion::V5
                && connect.session_expiry_s.unwrap_or(0) == 0,
            input: 0,
            input_bytes: 0,
            aliases_in: Vec::new(),
            aliases_out: (aliases > 0).then(|| Box::new(AliasesOut { maximum: aliases, ..AliasesOut::default() })),
        };
        if silence_max_ms > 0 {
            // [MQTT-3.1.2-22]
            let at = now.plus_millis(silence_max_ms);
            connection.keep_alive_at = Some(at);
            self.timers.arm(at, Timer::KeepAlive(id));
        }
        self.connections.insert(connection);
        if let Some(session) = self.sessions.get_mut(key) {
            session.connection = Some(id);
            session.expiry_s = expiry_s;
            session.will = connect.will.as_ref().map(|will| {
                let message = Message::new(will.topic, will.payload.to_vec(), will.qos, will.retain)
                    .with_properties(will.properties.forwarded().flatten().copied().collect())
                    .with_publisher(Some(session.client_id.clone()));
                Box::new(Will { message, expiry_s: will.properties.message_expiry_s, delay_s: will.delay_s })
            });
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
            ..ConnAck::default()
        };
        let before = effects.len();
        self.send(id, &Packet::ConnAck(answer), effects);
        if effects.len() == before {
            // The client accepts no packet as large as this one, and nothing may come before it [MQTT-3.2.0-1].
            effects.close(id, CloseCause::Refused);
            self.drop_connection(id, WillFate::Discard, now);
            return;
        }
        self.pump(id, now, effects);
    }

    /// Finds, takes over or makes the session; says whether it was there before [MQTT-3.2.2-2], [MQTT-3.2.2-3].
    fn session_for(
        &mut self,
        client_id: &str,
        peer: Peer,
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
                if !clean_start {
                    self.resume(key);
                    return (key, true);
                }
                // [MQTT-3.1.2-4]; the will of a session that ends is due (3.1.3.2.2).
                self.end_session(key, now);
            }
        }
        (self.sessions.insert(client_id.into(), peer.user), false)
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

    /// The client of a waiting session is back: nothing of its absence is due any more.
    fn resume(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if let Some(at) = session.ends_at.take() {
            self.timers.disarm(at, Timer::SessionExpiry(key));
        }
        if let Some(at) = session.will_at.take() {
            self.timers.disarm(at, Timer::Will(key));
        }
        session.will = None;
    }

    /// Seconds that the session outlives the connection.
    fn granted_expiry(&self, connect: &Connect<'_>) -> u32 {
        match connect.version {
            ProtocolVersion::V5 => connect.session_expiry_s.unwrap_or(0).min(self.config.session_expiry_max_s),
            // A 3.1.1 session that is not clean has no end of its own; the configured one keeps it from staying for ever.
            ProtocolVersion::V311 if connect.clean_start => 0,
            ProtocolVersion::V311 => self.config.session_expiry_max_s,
        }
    }

    fn granted_keep_alive(&self, connect: &Connect<'_>) -> u16 {
        let maximum = self.config.keep_alive_max_s;
        let asked = connect.keep_alive_s;
        // A 3.1.1 client cannot be told another one.
        if maximum == 0 || connect.version == ProtocolVersion::V311 || (asked != 0 && asked <= maximum) {
            asked
        } else {
            maximum
        }
    }

    /// A client identifier that nobody has [MQTT-3.1.3-6].
    fn assign_client_id(&mut self) -> Arc<str> {
        loop {
            self.assigned_ids += 1;
            let candidate = format!("selvedge-{:016x}", scramble(self.seed, self.assigned_ids));
            if self.sessions.find(&candidate).is_none() {
                return candidate.into();
            }
        }
    }
}

/// One step of SplitMix64 (Steele, Lea, Flood 2014): spreads a counter so that neighbours are not guessed at a glance.
fn scramble(seed: u64, counter: u64) -> u64 {
    let mut mixed = seed.wrapping_add(counter.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
