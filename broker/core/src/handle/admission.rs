//! Whether a CONNECT is accepted, and on what terms: everything that is decided before anything changes.

use std::sync::Arc;

use selvedge_codec::{Connect, ProtocolVersion, ReasonCode, Will, topic};

use super::Core;
use crate::{
    authorize::{Action, Principal},
    input::Peer,
    message::Message,
    session::{NODE_CLIENT_PREFIX, Session},
    time::Moment,
};

/// Why a CONNECT is refused, as the client is told.
pub(super) struct Refusal(pub(super) ReasonCode, pub(super) &'static str);

impl Core {
    /// All that can be refused. `name` is the client identifier, given or assigned.
    pub(super) fn check_connect(
        &mut self,
        connect: &Connect<'_>,
        name: &str,
        peer: &Peer,
        now: Moment,
    ) -> Result<(), Refusal> {
        let authenticated_by = peer.authentication.as_ref().map(|authentication| &*authentication.method);
        if connect.authentication_method != authenticated_by {
            // [MQTT-4.12.0-1]
            return Err(Refusal(ReasonCode::BadAuthenticationMethod, "this authentication method is not offered"));
        }
        if connect.client_id.is_empty() && connect.version == ProtocolVersion::V311 && !connect.clean_start {
            // [MQTT-3.1.3-8] of 3.1.1
            return Err(Refusal(ReasonCode::ClientIdentifierNotValid, "a lasting session needs a client identifier"));
        }
        if name.len() > self.config.client_id_bytes_max {
            return Err(Refusal(ReasonCode::ClientIdentifierNotValid, "the client identifier is too long"));
        }
        if name.starts_with(NODE_CLIENT_PREFIX) {
            return Err(Refusal(
                ReasonCode::ClientIdentifierNotValid,
                "client identifiers under $node/ are the node's own",
            ));
        }
        let who = Principal { client_id: name, user: peer.user.as_ref(), permit: peer.permit.as_ref() };
        if peer.permit.as_ref().is_some_and(|permit| permit.is_revoked()) || !self.authorizer.may_connect(who) {
            return Err(Refusal(ReasonCode::NotAuthorized, "not allowed to connect"));
        }
        let known = self.sessions.find(name).and_then(|key| self.sessions.get(key));
        // Otherwise one user could read, or end, the session of another by naming it.
        if known.is_some_and(|session| session.user != peer.user) {
            return Err(Refusal(ReasonCode::NotAuthorized, "the client identifier belongs to another user"));
        }
        let new = known.is_none();
        if let Some(will) = &connect.will {
            self.check_will(will, who)?;
        }
        self.check_memory(connect, name, new)?;
        if new { self.check_room(peer, now) } else { Ok(()) }
    }

    fn check_will(&mut self, will: &Will<'_>, who: Principal<'_>) -> Result<(), Refusal> {
        if will.topic.len() > self.config.topic_bytes_max {
            self.statistics.refused_topic_bytes += 1;
            return Err(Refusal(ReasonCode::TopicNameInvalid, "the topic of the will is too long"));
        }
        if topic::exceeds_levels(will.topic, self.config.topic_levels_max) {
            return Err(Refusal(ReasonCode::TopicNameInvalid, "the topic of the will has too many levels"));
        }
        if will.payload.len() + will.properties.forwarded().map(<[u8]>::len).sum::<usize>() > self.config.will_bytes_max
        {
            self.statistics.refused_wills += 1;
            return Err(Refusal(ReasonCode::QuotaExceeded, "the will is too large"));
        }
        if !self.authorizer.may(who, Action::Will { retain: will.retain }, will.topic) {
            return Err(Refusal(ReasonCode::NotAuthorized, "not allowed to publish to the topic of the will"));
        }
        Ok(())
    }

    fn check_memory(&mut self, connect: &Connect<'_>, name: &str, new: bool) -> Result<(), Refusal> {
        let session = if new { Session::FIXED_BYTES + 2 * name.len() } else { 0 };
        let will = connect.will.as_ref().map_or(0, |will| {
            let properties = will.properties.forwarded().map(<[u8]>::len).sum();
            Message::cost_of(will.topic.len(), will.payload.len(), properties)
        });
        let needed = session + will;
        if needed == 0 || self.account.has_room(needed) {
            return Ok(());
        }
        self.statistics.refused_memory += 1;
        Err(Refusal(ReasonCode::QuotaExceeded, "the node has no memory left for another client"))
    }

    /// Whether there may be one more session; for a user, the session of an anonymous client that is away makes room.
    fn check_room(&mut self, peer: &Peer, now: Moment) -> Result<(), Refusal> {
        let full = self.sessions.len() >= self.config.sessions_max;
        if peer.user.is_none() {
            if full || self.sessions.anonymous() >= self.config.anonymous_sessions_max {
                self.statistics.refused_sessions += 1;
                return Err(Refusal(ReasonCode::QuotaExceeded, "the node has as many sessions as it may"));
            }
        } else if full {
            let Some(key) = self.sessions.longest_away() else {
                self.statistics.refused_sessions += 1;
                return Err(Refusal(ReasonCode::QuotaExceeded, "the node has as many sessions as it may"));
            };
            self.statistics.displaced_sessions += 1;
            self.end_session(key, now);
        }
        Ok(())
    }

    /// Seconds that the session outlives the connection.
    pub(super) fn granted_expiry(&self, connect: &Connect<'_>) -> u32 {
        match connect.version {
            ProtocolVersion::V5 => connect.session_expiry_s.unwrap_or(0).min(self.config.session_expiry_max_s),
            // A 3.1.1 session that is not clean has no end of its own; the configured one keeps it from staying for ever.
            ProtocolVersion::V311 if connect.clean_start => 0,
            ProtocolVersion::V311 => self.config.session_expiry_max_s,
        }
    }

    pub(super) fn granted_keep_alive(&self, connect: &Connect<'_>) -> u16 {
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
    pub(super) fn assign_client_id(&mut self) -> Arc<str> {
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
