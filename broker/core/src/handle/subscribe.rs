//! SUBSCRIBE and UNSUBSCRIBE (MQTT 5, 3.8 to 3.11). Packets with many filters are handled in steps, see `many_filters`.

use std::{collections::HashSet, sync::Arc};

use foldhash::fast::RandomState;
use selvedge_codec::{
    Packet, PacketId, ProtocolVersion, ReasonCode, RetainHandling, SubAck, Subscribe, SubscribeFilter, UnsubAck,
    Unsubscribe, UserProperties, topic,
};
use smallvec::SmallVec;

use super::{Core, disconnect::split_shared, many_filters::Request, route::Parts};
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
pub(super) const REPLAY_NODES_MAX: usize = 500_000;
/// Filters that one SUBSCRIBE may carry; those beyond are refused.
const FILTERS_PER_PACKET_MAX: usize = 1000;
/// Filters that are handled at once, some tens of microseconds; of more, so many in a step.
pub(super) const FILTERS_PER_STEP: usize = 64;
/// What a subscription may take on average of those that a session may have, bytes.
const FILTER_BYTES: usize = 4096;

/// The reason codes of an answer, as far as they are known.
pub(super) type Reasons = SmallVec<[ReasonCode; 4]>;

/// Whether each of these filters is the last one of its name: what is named again further on is answered with retained messages there,
/// once.
pub(super) fn are_last(wanted: &[SubscribeFilter<'_>]) -> SmallVec<[bool; 4]> {
    if wanted.len() == 1 {
        return SmallVec::from_elem(true, 1);
    }
    let mut later = HashSet::with_hasher(RandomState::default());
    let mut last: SmallVec<_> = wanted.iter().rev().map(|wanted| later.insert(wanted.filter)).collect();
    last.reverse();
    last
}

impl Core {
    pub(super) fn on_subscribe(
        &mut self,
        id: ConnectionId,
        packet: &Subscribe<'_>,
        now: Moment,
        effects: &mut Effects,
    ) {
        // [MQTT-3.8.3-4]
        if packet.filters.iter().any(|wanted| wanted.no_local && topic::shared(wanted.filter).is_some()) {
            self.protocol_error(id, "no-local on a shared subscription", now, effects);
            return;
        }
        let (wanted, beyond) = packet.filters.split_at(packet.filters.len().min(FILTERS_PER_PACKET_MAX));
        let identifier = packet.subscription_identifier;
        if wanted.len() > FILTERS_PER_STEP {
            let request = Request::subscribe(packet.packet_id, identifier, wanted, beyond.len());
            return self.begin_request(id, request, now, effects);
        }
        let mut reasons = Reasons::new();
        let last = are_last(wanted);
        let mut budget = REPLAY_NODES_MAX;
        self.subscribe(id, wanted, &last, identifier, &mut budget, &mut reasons, now, effects);
        let waits = self.journal.waits();
        self.answer_subscribe(id, packet.packet_id, reasons, beyond.len(), waits, effects);
        self.pump(id, now, effects);
    }

    /// Subscribes to some filters of a packet, those that come next in it, and queues their retained messages; of those that are not
    /// `last` of their name, none.
    #[expect(clippy::too_many_arguments, reason = "each says a different thing about one packet")]
    pub(super) fn subscribe(
        &mut self,
        id: ConnectionId,
        filters: &[SubscribeFilter<'_>],
        last: &[bool],
        identifier: Option<u32>,
        budget: &mut usize,
        reasons: &mut Reasons,
        now: Moment,
        effects: &mut Effects,
    ) {
        let Some(connection) = self.connections.get(id) else { return };
        let key = connection.session;
        let mut replays: SmallVec<[(&SubscribeFilter<'_>, bool); 4]> = SmallVec::new();
        for (wanted, is_last) in filters.iter().zip(last) {
            match self.subscribe_one(key, wanted, identifier) {
                Ok(new) => {
                    reasons.push(ReasonCode::granted(wanted.qos));
                    if *is_last {
                        replays.push((wanted, new));
                    }
                }
                Err(reason) => self.refuse_filter(id, reason, reasons),
            }
        }
        self.router.cache.invalidate();
        // As many as came may go, so that what ended sessions left never grows beyond what there was.
        self.forget_some_filters();
        for (wanted, new) in replays {
            let wants = match wanted.retain_handling {
                // [MQTT-3.3.1-9], [MQTT-3.3.1-10], [MQTT-3.3.1-11]
                RetainHandling::SendAtSubscribe => true,
                RetainHandling::SendIfNew => new,
                RetainHandling::DoNotSend => false,
            };
            if wants && topic::shared(wanted.filter).is_none() {
                self.replay_retained(id, key, wanted, identifier, budget, now, effects);
            }
        }
    }

    fn refuse_filter(&mut self, id: ConnectionId, reason: ReasonCode, reasons: &mut Reasons) {
        let connection = self.connections.get(id);
        let version_5 = connection.is_some_and(|connection| connection.kind == Kind::Network(ProtocolVersion::V5));
        self.statistics.refused_subscribe += 1;
        // 3.1.1 knows one failure only.
        reasons.push(if version_5 { reason } else { ReasonCode::UnspecifiedError });
    }

    /// Sends the SUBACK, in which so many filters `beyond` those of `reasons` are refused. `waits`: until what is kept is durable.
    pub(super) fn answer_subscribe(
        &mut self,
        id: ConnectionId,
        packet_id: PacketId,
        mut reasons: Reasons,
        beyond: usize,
        waits: bool,
        effects: &mut Effects,
    ) {
        for _ in 0..beyond {
            self.refuse_filter(id, ReasonCode::QuotaExceeded, &mut reasons);
        }
        let answer = SubAck {
            packet_id,
            reason_string: None,
            user_properties: UserProperties::EMPTY,
            reasons: reasons.as_slice().into(),
        };
        self.send_answer(id, &Packet::SubAck(answer), waits, effects);
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

    pub(super) fn on_unsubscribe(
        &mut self,
        id: ConnectionId,
        packet: &Unsubscribe<'_>,
        now: Moment,
        effects: &mut Effects,
    ) {
        if packet.filters.len() > FILTERS_PER_STEP {
            return self.begin_request(id, Request::unsubscribe(packet.packet_id, &packet.filters), now, effects);
        }
        let mut reasons = Reasons::new();
        self.unsubscribe(id, packet.filters.iter().copied(), &mut reasons);
        let waits = self.journal.waits();
        self.answer_unsubscribe(id, packet.packet_id, &reasons, waits, effects);
    }

    /// Ends the subscriptions to some filters of a packet, those that come next in it.
    pub(super) fn unsubscribe<'f>(
        &mut self,
        id: ConnectionId,
        filters: impl Iterator<Item = &'f str>,
        reasons: &mut Reasons,
    ) {
        let Some(connection) = self.connections.get(id) else { return };
        let key = connection.session;
        reasons.extend(filters.map(|filter| {
            if topic::validate_filter(filter).is_err() {
                ReasonCode::TopicFilterInvalid
            } else if self.remove_subscription(key, filter) {
                ReasonCode::Success
            } else {
                ReasonCode::NoSubscriptionExisted
            }
        }));
    }

    /// Sends the UNSUBACK. `waits`: until what is kept is durable.
    pub(super) fn answer_unsubscribe(
        &mut self,
        id: ConnectionId,
        packet_id: PacketId,
        reasons: &[ReasonCode],
        waits: bool,
        effects: &mut Effects,
    ) {
        let answer = UnsubAck {
            packet_id,
            reason_string: None,
            user_properties: UserProperties::EMPTY,
            reasons: reasons.into(),
        };
        self.send_answer(id, &Packet::UnsubAck(answer), waits, effects);
    }
}
