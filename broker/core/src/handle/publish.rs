//! A client's PUBLISH (MQTT 5, 3.3 and 4.3), a will that is due, and a message of the node's own.

use std::sync::Arc;

use selvedge_codec::{AckKind, PacketId, Publish, QoS, ReasonCode, topic};

use super::{Core, intercept::Candidate};
use crate::{
    authorize::{Action, Authorize, Principal},
    config::Config,
    connection::Kind,
    durability::{Durability, Verdict},
    effect::Effects,
    id::{ConnectionId, SessionKey},
    message::Message,
    outbound::Publication,
    statistics::Statistics,
    time::Moment,
};

/// Why a publication was not taken, as the publisher is told.
pub(super) struct Refusal(pub(super) ReasonCode, pub(super) &'static str);

/// How far a publication came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// To all who want it.
    Routed,
    /// Nobody wants it.
    ForNobody,
    /// Somebody has to look at it first; what comes of it is answered then.
    Held,
}

/// What a publication is answered with.
pub(super) struct Answer {
    pub(super) key: SessionKey,
    pub(super) qos: QoS,
    pub(super) packet_id: PacketId,
    pub(super) durability: Durability,
}

impl Core {
    pub(super) fn on_publish(&mut self, id: ConnectionId, publish: &Publish<'_>, now: Moment, effects: &mut Effects) {
        self.statistics.publishes_received[publish.qos as usize] += 1;
        self.statistics.publish_bytes_received += publish.payload.len() as u64;
        // [MQTT-3.3.4-6]
        if publish.properties.subscription_identifiers().next().is_some() {
            self.protocol_error(id, "a subscription identifier in a client's PUBLISH", now, effects);
            return;
        }
        let lent = match self.resolve_alias(id, publish, now, effects) {
            Ok(lent) => lent,
            Err(Closed) => return,
        };
        let topic = lent.as_deref().unwrap_or(publish.topic);
        self.publish_to(id, topic, publish, now, effects);
        if let (Some(lent), Some(alias), Some(connection)) =
            (lent, publish.properties.topic_alias, self.connections.get_mut(id))
            && let Some(place) = connection.aliases_in.get_mut(usize::from(alias) - 1)
        {
            *place = Some(lent);
        }
    }

    /// The topic behind an alias, taken out of the connection for the length of the publication; `None` if the packet
    /// names its topic. Remembers a new alias [MQTT-3.3.2-12].
    fn resolve_alias(
        &mut self,
        id: ConnectionId,
        publish: &Publish<'_>,
        now: Moment,
        effects: &mut Effects,
    ) -> Result<Option<Box<str>>, Closed> {
        let Some(alias) = publish.properties.topic_alias else {
            if publish.topic.is_empty() {
                self.protocol_error(id, "neither a topic name nor a topic alias", now, effects);
                return Err(Closed);
            }
            return Ok(None);
        };
        // [MQTT-3.3.2-8], [MQTT-3.3.2-9]
        if alias == 0 || alias > self.config.topic_alias_max {
            self.fail(id, ReasonCode::TopicAliasInvalid, "the topic alias is over the announced maximum", now, effects);
            return Err(Closed);
        }
        let Some(connection) = self.connections.get_mut(id) else { return Err(Closed) };
        let index = usize::from(alias) - 1;
        let known = connection.aliases_in.get_mut(index);
        if publish.topic.is_empty() {
            return match known.and_then(Option::take) {
                Some(topic) => Ok(Some(topic)),
                None => {
                    self.protocol_error(id, "the topic alias was never set", now, effects);
                    Err(Closed)
                }
            };
        }
        if known.is_some_and(|known| known.as_deref() == Some(publish.topic)) {
            return Ok(None);
        }
        if !connection.learn_alias(index, publish.topic, &mut self.account) {
            self.statistics.refused_memory += 1;
            self.exceed(id, ReasonCode::QuotaExceeded, "the node has no memory left for a topic alias", now, effects);
            return Err(Closed);
        }
        Ok(None)
    }

    fn publish_to(&mut self, id: ConnectionId, topic: &str, publish: &Publish<'_>, now: Moment, effects: &mut Effects) {
        let Some(connection) = self.connections.get(id) else { return };
        let key = connection.session;
        let Some(session) = self.sessions.get_mut(key) else { return };
        if publish.qos == QoS::ExactlyOnce
            && let Some(packet_id) = publish.packet_id
        {
            if session.inbound_qos_2.contains(&packet_id) {
                // Known already: answered again, not published again [MQTT-4.3.3-10]. What is kept of it may still wait to be
                // durable; then the first answer waits as well, and this one stands behind it.
                self.send_ack(id, AckKind::PubRec, packet_id, ReasonCode::Success, None, effects);
                return;
            }
            // [MQTT-3.3.4-7]; 3.1.1 has no receive maximum to tell, but memory is as finite.
            if session.inbound_qos_2.len() >= usize::from(self.config.receive_maximum) {
                let text = "more unreleased QoS 2 publications than the receive maximum";
                self.exceed(id, ReasonCode::ReceiveMaximumExceeded, text, now, effects);
                return;
            }
        }
        let verdict = self.config.durability.judge(topic, connection.durability);
        let durability = verdict.durability;
        // Whoever gets it before the publication is durable could get it twice: at a crash the client publishes it again.
        effects.holds_all = publish.qos == QoS::ExactlyOnce && self.journal.keeps(session, publish.qos, durability);
        let outcome = self.accept(id, key, topic, publish, verdict, now, effects);
        self.journal.made_room = false;
        effects.holds_all = false;
        let Some(packet_id) = publish.packet_id else { return };
        let answer = Answer { key, qos: publish.qos, packet_id, durability };
        self.answer_publish(id, answer, outcome, now, effects);
    }

    /// Tells the client of `id` what came of its publication.
    pub(super) fn answer_publish(
        &mut self,
        id: ConnectionId,
        answer: Answer,
        outcome: Result<Taken, Refusal>,
        now: Moment,
        effects: &mut Effects,
    ) {
        let Answer { key, qos, packet_id, durability } = answer;
        let Some(connection) = self.connections.get(id) else { return };
        let version_5 = connection.kind == Kind::Network(selvedge_codec::ProtocolVersion::V5);
        let (reason, text) = match outcome {
            Ok(Taken::Held) => return,
            Ok(Taken::Routed) => (ReasonCode::Success, None),
            Ok(Taken::ForNobody) => (ReasonCode::NoMatchingSubscribers, None),
            Err(Refusal(reason, text)) => (reason, Some(text)),
        };
        // A 3.1.1 client cannot be told (3.1.1, 3.3.5): where the node is full it is closed without acknowledgement, so
        // that nothing acknowledged is lost; what it may not publish is acknowledged and dropped [MQTT-3.3.5-2].
        if !version_5 && reason == ReasonCode::QuotaExceeded {
            self.exceed(id, reason, text.unwrap_or_default(), now, effects);
            return;
        }
        if qos == QoS::ExactlyOnce {
            if (!reason.is_error() || !version_5)
                && let Some(session) = self.sessions.get_mut(key)
            {
                session.inbound_qos_2.insert(packet_id);
                self.journal.inbound(session, packet_id, durability);
                session.settle(&mut self.account);
            }
            self.send_ack(id, AckKind::PubRec, packet_id, reason, text, effects);
        } else {
            self.send_ack(id, AckKind::PubAck, packet_id, reason, text, effects);
        }
    }

    /// Authorizes, retains and routes.
    #[expect(clippy::too_many_arguments, reason = "each says a different thing about one publication")]
    fn accept(
        &mut self,
        id: ConnectionId,
        key: SessionKey,
        topic: &str,
        publish: &Publish<'_>,
        verdict: Verdict,
        now: Moment,
        effects: &mut Effects,
    ) -> Result<Taken, Refusal> {
        let Some(session) = self.sessions.get(key) else { return Ok(Taken::ForNobody) };
        let asked = (session.principal(), Action::Publish { retain: publish.retain }, topic);
        may_publish(&self.config, &*self.authorizer, &mut self.statistics, asked)?;
        let client_id = session.client_id.clone();
        let expiry_s = [publish.properties.message_expiry_s, verdict.time_to_live_s].into_iter().flatten().min();
        let expires_at = expiry_s.map(|seconds| now.plus_seconds(seconds));
        if self.holds.are_wanted()
            && self.hold(&Candidate { connection: id, session: key, topic, publish, expires_at }, now, effects)?
        {
            return Ok(Taken::Held);
        }
        let mut publication = Publication {
            topic,
            payload: publish.payload,
            forwarded: publish.properties.as_forwarded(),
            qos: publish.qos,
            retain: publish.retain,
            expires_at,
            expiry_s,
            publisher: Some((key, client_id)),
            kept: None,
            durability: verdict.durability,
            priority: verdict.priority,
            number: 0,
        };
        let is_wanted = self.take(&mut publication, now, effects)?;
        Ok(if is_wanted { Taken::Routed } else { Taken::ForNobody })
    }

    /// Retains and routes, if there is room. `Ok(false)` means that nobody was there to get it.
    #[inline]
    pub(super) fn take(
        &mut self,
        publication: &mut Publication<'_>,
        now: Moment,
        effects: &mut Effects,
    ) -> Result<bool, Refusal> {
        let qos = publication.qos;
        if qos != QoS::AtMostOnce && !self.has_memory_for(publication) {
            self.statistics.refused_memory += 1;
            return Err(Refusal(ReasonCode::QuotaExceeded, "the node has no memory left for this message"));
        }
        if qos != QoS::AtMostOnce && !self.journal.has_room && self.needs_disk(publication) {
            self.journal.made_room = self.make_room(publication.priority, publication.cost_bytes());
            if !self.journal.made_room {
                self.statistics.refused_disk += 1;
                return Err(Refusal(ReasonCode::QuotaExceeded, "the node has no room on its disk for this message"));
            }
        }
        if publication.retain {
            self.retain(publication, qos)?;
        }
        Ok(self.route(publication, now, effects))
    }

    /// Keeps, replaces or removes the retained message of the topic [MQTT-3.3.1-5], [MQTT-3.3.1-6].
    fn retain(&mut self, publication: &mut Publication<'_>, qos: QoS) -> Result<(), Refusal> {
        if publication.payload.is_empty() {
            self.forget_retained(publication.topic);
            self.account.retained_levels = self.router.retained.level_bytes();
            return Ok(());
        }
        let (messages_max, bytes_max) = (self.config.retained_messages_max, self.config.retained_bytes_max);
        let growth = self.router.retained.growth(publication.topic, publication.cost_bytes());
        let in_budget = growth == 0 || self.account.has_room(growth);
        self.statistics.refused_memory += u64::from(!in_budget);
        let replaced = self.router.retained.get(publication.topic).map_or(0, |message| message.number());
        let on_disk = self.journal.keeps_retained(publication.topic, publication.durability);
        let kept = in_budget && (!on_disk || self.journal.takes_more()) && {
            let message = publication.keep(&self.account.messages);
            self.router.retained.set(message, messages_max, bytes_max).is_ok()
        };
        if kept && on_disk {
            self.journal.retained(publication, replaced);
        } else if kept {
            self.journal.retained_removed(publication.topic, replaced);
        }
        self.account.retained_levels = self.router.retained.level_bytes();
        if !kept {
            self.statistics.refused_retained += 1;
            // Live subscribers are about to see the new one, so the old one must not be what later ones get.
            if qos == QoS::AtMostOnce {
                self.forget_retained(publication.topic);
                self.account.retained_levels = self.router.retained.level_bytes();
            }
            if qos != QoS::AtMostOnce {
                return Err(Refusal(ReasonCode::QuotaExceeded, "no room for another retained message"));
            }
        }
        Ok(())
    }

    fn forget_retained(&mut self, topic: &str) {
        if let Some(message) = self.router.retained.remove(topic) {
            self.journal.retained_removed(topic, message.number());
        }
    }

    pub(super) fn publish_will(&mut self, publisher: SessionKey, will: Message, now: Moment, effects: &mut Effects) {
        let Some(will) = self.hold_will(publisher, will, now, effects) else { return };
        self.statistics.wills_published += 1;
        self.publish_kept(Arc::new(will), Some(publisher), now, effects);
    }

    pub(super) fn on_internal_publish(&mut self, message: Arc<Message>, now: Moment, effects: &mut Effects) {
        self.statistics.publishes_internal += 1;
        self.publish_kept(message, None, now, effects);
    }

    pub(super) fn publish_kept(
        &mut self,
        message: Arc<Message>,
        publisher: Option<SessionKey>,
        now: Moment,
        effects: &mut Effects,
    ) {
        let verdict = self.config.durability.judge(message.topic(), None);
        let message = with_time_to_live(message, verdict, now);
        let mut publication = Publication::of_message(&message, publisher, now);
        publication.durability = verdict.durability;
        publication.priority = verdict.priority;
        if message.retain() {
            // Nobody is there to be told of a refusal; it is counted.
            let _refused = self.retain(&mut publication, QoS::AtMostOnce);
        }
        self.route(&mut publication, now, effects);
    }
}

/// Is this a topic that the client may publish to, by its name and by the rules?
#[inline]
pub(super) fn may_publish(
    config: &Config,
    authorizer: &dyn Authorize,
    statistics: &mut Statistics,
    (who, action, topic): (Principal<'_>, Action, &str),
) -> Result<(), Refusal> {
    if topic.len() > config.topic_bytes_max {
        statistics.refused_topic_bytes += 1;
        return Err(Refusal(ReasonCode::TopicNameInvalid, "the topic name is too long"));
    }
    if topic::exceeds_levels(topic, config.topic_levels_max) {
        statistics.refused_publish += 1;
        return Err(Refusal(ReasonCode::TopicNameInvalid, "the topic name has too many levels"));
    }
    if !authorizer.may(who, action, topic) {
        statistics.refused_publish += 1;
        return Err(Refusal(ReasonCode::NotAuthorized, "not allowed to publish to this topic"));
    }
    Ok(())
}

/// A message of the node's own, or a will, that lives no longer than its topic allows.
pub(super) fn with_time_to_live(message: Arc<Message>, verdict: Verdict, now: Moment) -> Arc<Message> {
    let Some(latest) = verdict.time_to_live_s.map(|seconds| now.plus_seconds(seconds)) else { return message };
    if message.expires_at().is_some_and(|at| at <= latest) {
        return message;
    }
    // Nobody else has it yet.
    match Arc::try_unwrap(message) {
        Ok(message) => Arc::new(message.with_expiry(Some(latest))),
        Err(shared) => shared,
    }
}

/// The connection was closed because of the packet.
struct Closed;
