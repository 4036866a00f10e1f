//! SUBSCRIBE and UNSUBSCRIBE (MQTT 5, 3.8 to 3.11).

use std::collections::BTreeSet;
use std::sync::Arc;

use selvedge_codec::{
    Packet, ProtocolVersion, ReasonCode, RetainHandling, SubAck, Subscribe, SubscribeFilter, UnsubAck, Unsubscribe,
    UserProperties, topic,
};
use smallvec::SmallVec;

use super::{Core, disconnect::split_shared, route::Parts};
use crate::{
    authorize::Action,
    connection::Kind,
    effect::Effects,
    id::{ConnectionId, SessionKey},
    message::Message,
    outbound::{Publication, Terms},
    router::SubscriptionOptions,
    session::filter_cost_bytes,
    time::Moment,
};

/// Retained topics' levels that one SUBSCRIBE may have looked at: a whole tree of the default size, and some tens of milliseconds.
const REPLAY_NODES_MAX: usize = 500_000;
/// Filters that one SUBSCRIBE may carry; those beyond are refused.
const FILTERS_PER_PACKET_MAX: usize = 1000;
/// What a subscription may take on average of those that a session may have, bytes.
const FILTER_BYTES: usize = 4096;

type Reasons = SmallVec<[ReasonCode; 4]>;

impl Core {
    pub(super) fn on_subscribe(
        &mut self,
        id: ConnectionId,
        packet: &Subscribe<'_>,
        now: Moment,
        effects: &mut Effects,
    ) {
        let Some(connection) = self.connections.get(id) else { return };
        let key = connection.session;
        let version_5 = connection.kind == Kind::Network(ProtocolVersion::V5);
        // [MQTT-3.8.3-4]
        if packet.filters.iter().any(|wanted| wanted.no_local && topic::shared(wanted.filter).is_some()) {
            self.protocol_error(id, "no-local on a shared subscription", now, effects);
            return;
        }
        let mut reasons = Reasons::new();
        let mut replays: SmallVec<[(usize, bool); 4]> = SmallVec::new();
        for (index, wanted) in packet.filters.iter().enumerate() {
            let outcome = if index < FILTERS_PER_PACKET_MAX {
                self.subscribe_one(key, wanted, packet.subscription_identifier)
            } else {
                Err(ReasonCode::QuotaExceeded)
            };
            match outcome {
                Ok(new) => {
                    reasons.push(ReasonCode::granted(wanted.qos));
                    replays.push((index, new));
                }
                Err(reason) => {
                    self.statistics.refused_subscribe += 1;
                    // 3.1.1 knows one failure only.
                    reasons.push(if version_5 { reason } else { ReasonCode::UnspecifiedError });
                }
            }
        }
        self.router.cache.invalidate();
        let answer = SubAck {
            packet_id: packet.packet_id,
            reason_string: None,
            user_properties: UserProperties::EMPTY,
            reasons: reasons.as_slice().into(),
        };
        self.send_answer(id, &Packet::SubAck(answer), effects);
        let mut budget = REPLAY_NODES_MAX;
        // A filter that is named again further on is answered there, once.
        let mut later = BTreeSet::new();
        let filter = |index: usize| packet.filters.get(index).map(|wanted| wanted.filter);
        let mut last: SmallVec<[bool; 4]> =
            replays.iter().rev().map(|&(index, _)| later.insert(filter(index))).collect();
        last.reverse();
        for (&(index, new), _) in replays.iter().zip(last).filter(|(_, is_last)| *is_last) {
            let Some(wanted) = packet.filters.get(index) else { continue };
            let wants = match wanted.retain_handling {
                // [MQTT-3.3.1-9], [MQTT-3.3.1-10], [MQTT-3.3.1-11]
                RetainHandling::SendAtSubscribe => true,
                RetainHandling::SendIfNew => new,
                RetainHandling::DoNotSend => false,
            };
            if wants && topic::shared(wanted.filter).is_none() {
                self.replay_retained(id, key, wanted, packet.subscription_identifier, &mut budget, now, effects);
            }
        }
        self.pump(id, now, effects);
    }

    /// `Ok(true)` if the subscription is new, `Ok(false)` if it replaces one [MQTT-3.8.4-3].
    fn subscribe_one(
        &mut self,
        key: SessionKey,
        wanted: &SubscribeFilter<'_>,
        identifier: Option<u32>,
    ) -> Result<bool, ReasonCode> {
        if topic::validate_filter(wanted.filter).is_err() {
            return Err(ReasonCode::TopicFilterInvalid);
        }
        if wanted.filter.len() > self.config.topic_bytes_max {
            self.statistics.refused_topic_bytes += 1;
            return Err(ReasonCode::TopicFilterInvalid);
        }
        let (group, plain) = split_shared(wanted.filter);
        if topic::exceeds_levels(plain, self.config.topic_levels_max) {
            return Err(ReasonCode::TopicFilterInvalid);
        }
        let Some(session) = self.sessions.get_mut(key) else { return Err(ReasonCode::UnspecifiedError) };
        if !self.authorizer.may(session.principal(), Action::Subscribe, plain) {
            return Err(ReasonCode::NotAuthorized);
        }
        let cost = filter_cost_bytes(wanted.filter);
        if !session.filters.contains(wanted.filter) {
            if session.filters.len() >= self.config.subscriptions_max
                || session.filter_bytes + cost > self.config.subscriptions_max * FILTER_BYTES
            {
                return Err(ReasonCode::QuotaExceeded);
            }
            if !self.account.has_room(cost) {
                self.statistics.refused_memory += 1;
                return Err(ReasonCode::QuotaExceeded);
            }
        }
        let options = SubscriptionOptions {
            qos: wanted.qos,
            no_local: wanted.no_local,
            retain_as_published: wanted.retain_as_published,
            identifier: identifier.unwrap_or(0),
        };
        let new = self.router.tree.subscribe(plain, group, key, options);
        self.journal.subscribed(session, wanted.filter, options);
        if new {
            session.add_filter(wanted.filter);
            session.settle(&mut self.account);
            self.account.tree = self.router.tree.bytes();
            self.statistics.subscriptions += 1;
        }
        Ok(new)
    }

    #[expect(clippy::too_many_arguments, reason = "each says a different thing about one subscription")]
    fn replay_retained(
        &mut self,
        id: ConnectionId,
        key: SessionKey,
        wanted: &SubscribeFilter<'_>,
        identifier: Option<u32>,
        budget: &mut usize,
        now: Moment,
        effects: &mut Effects,
    ) {
        let Parts { mut sender, sessions, router, .. } = self.lend(now, effects);
        let Some(session) = sessions.get_mut(key).filter(|session| session.connection == Some(id)) else { return };
        let mut replay = |message: &Arc<Message>| {
            // [MQTT-3.8.3-3]
            if wanted.no_local && message.publisher() == Some(&session.client_id) {
                return;
            }
            let terms = Terms {
                qos: wanted.qos.min(message.qos()),
                retain: true,
                identifiers: identifier.into_iter().collect(),
            };
            let mut publication = Publication::of_message(message, None, now);
            sender.enqueue(session, terms, &mut publication, true);
        };
        let before = *budget;
        let whole = router.retained.each_match(wanted.filter, now, budget, &mut replay);
        sender.statistics.cut_replays += u64::from(!whole);
        sender.effects.work += (before - *budget) / 8;
    }

    pub(super) fn on_unsubscribe(&mut self, id: ConnectionId, packet: &Unsubscribe<'_>, effects: &mut Effects) {
        let Some(connection) = self.connections.get(id) else { return };
        let key = connection.session;
        let mut reasons = Reasons::new();
        for filter in &packet.filters {
            let reason = if topic::validate_filter(filter).is_err() {
                ReasonCode::TopicFilterInvalid
            } else if self.remove_subscription(key, filter) {
                ReasonCode::Success
            } else {
                ReasonCode::NoSubscriptionExisted
            };
            reasons.push(reason);
        }
        let answer = UnsubAck {
            packet_id: packet.packet_id,
            reason_string: None,
            user_properties: UserProperties::EMPTY,
            reasons: reasons.as_slice().into(),
        };
        self.send_answer(id, &Packet::UnsubAck(answer), effects);
    }
}
