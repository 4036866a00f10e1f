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
    router::{Search, SubscriptionOptions},
    session::filter_cost_bytes,
    time::Moment,
};

/// Retained topics' levels that one SUBSCRIBE may have looked at: a whole tree of the default size.
const REPLAY_NODES_MAX: usize = 500_000;
/// Of those, so many are looked at at once, some tens of microseconds; and what a filter costs in the same unit.
const REPLAY_NODES_PER_STEP: usize = 512;
const REPLAY_FILTER_COST: usize = 4;
/// Filters that one SUBSCRIBE may carry; those beyond are refused.
const FILTERS_PER_PACKET_MAX: usize = 1000;
/// Filters that are handled at once, some tens of microseconds; of more, so many in a step.
pub(super) const FILTERS_PER_STEP: usize = 64;
/// What a subscription may take on average of those that a session may have, bytes.
const FILTER_BYTES: usize = 4096;

/// What has come of the filters of a SUBSCRIBE.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// For each filter so far.
    pub(super) reasons: SmallVec<[ReasonCode; 4]>,
    /// Those that are subscribed to.
    pub(super) granted: SmallVec<[Granted; 4]>,
}

/// A filter that was subscribed to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Granted {
    /// Its place in the packet.
    index: usize,
    /// The client was not subscribed to it before.
    new: bool,
    /// The input that subscribed: what came before it and is retained is sent as such, what comes later as it is published.
    input: u64,
}

impl Granted {
    fn wants_retained(self, wanted: &SubscribeFilter<'_>) -> bool {
        let wants = match wanted.retain_handling {
            // [MQTT-3.3.1-9], [MQTT-3.3.1-10], [MQTT-3.3.1-11]
            RetainHandling::SendAtSubscribe => true,
            RetainHandling::SendIfNew => self.new,
            RetainHandling::DoNotSend => false,
        };
        wants && topic::shared(wanted.filter).is_none()
    }
}

/// How far the retained messages of what is subscribed to have been sent.
#[derive(Debug)]
pub(super) struct Replay {
    /// Place among what is granted.
    next: usize,
    /// Topic at which to go on with that one.
    from: Option<Box<str>>,
    /// Levels that may still be looked at.
    budget: usize,
}

impl Default for Replay {
    fn default() -> Self {
        Self { next: 0, from: None, budget: REPLAY_NODES_MAX }
    }
}

impl Outcome {
    /// A filter that is named again further on is answered with retained messages there, once.
    pub(super) fn keep_last_of_each<'f>(&mut self, filter: impl Fn(usize) -> &'f str) {
        let mut later = HashSet::with_hasher(RandomState::default());
        self.granted.reverse();
        self.granted.retain(|granted| later.insert(filter(granted.index)));
        self.granted.reverse();
    }
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
        let mut outcome = Outcome::default();
        if wanted.len() > FILTERS_PER_STEP {
            let request = Request::subscribe(packet.packet_id, identifier, wanted, beyond.len());
            return self.begin_request(id, request, now, effects);
        }
        self.subscribe(id, wanted, identifier, &mut outcome);
        let waits = self.journal.waits();
        self.answer_subscribe(id, packet.packet_id, &mut outcome, beyond.len(), waits, effects);
        outcome.keep_last_of_each(|index| wanted.get(index).map_or("", |wanted| wanted.filter));
        let mut replay = Replay::default();
        let filter = |index: usize| wanted.get(index).copied();
        if !self.replay_retained(id, &outcome.granted, &filter, identifier, &mut replay, now, effects) {
            let request = Request::replay(packet.packet_id, identifier, wanted, outcome, replay);
            self.begin_request(id, request, now, effects);
        }
    }

    /// Subscribes to some filters of a packet, those that come next in it.
    pub(super) fn subscribe(
        &mut self,
        id: ConnectionId,
        filters: &[SubscribeFilter<'_>],
        identifier: Option<u32>,
        outcome: &mut Outcome,
    ) {
        let Some(connection) = self.connections.get(id) else { return };
        let key = connection.session;
        for wanted in filters {
            match self.subscribe_one(key, wanted, identifier) {
                Ok(new) => {
                    let index = outcome.reasons.len();
                    outcome.granted.push(Granted { index, new, input: self.inputs });
                    outcome.reasons.push(ReasonCode::granted(wanted.qos));
                }
                Err(reason) => self.refuse_filter(id, reason, outcome),
            }
        }
        self.router.cache.invalidate();
    }

    fn refuse_filter(&mut self, id: ConnectionId, reason: ReasonCode, outcome: &mut Outcome) {
        let connection = self.connections.get(id);
        let version_5 = connection.is_some_and(|connection| connection.kind == Kind::Network(ProtocolVersion::V5));
        self.statistics.refused_subscribe += 1;
        // 3.1.1 knows one failure only.
        outcome.reasons.push(if version_5 { reason } else { ReasonCode::UnspecifiedError });
    }

    /// Sends the SUBACK, in which so many filters `beyond` those of `outcome` are refused. `waits`: until what is kept is durable.
    pub(super) fn answer_subscribe(
        &mut self,
        id: ConnectionId,
        packet_id: PacketId,
        outcome: &mut Outcome,
        beyond: usize,
        waits: bool,
        effects: &mut Effects,
    ) {
        for _ in 0..beyond {
            self.refuse_filter(id, ReasonCode::QuotaExceeded, outcome);
        }
        let answer = SubAck {
            packet_id,
            reason_string: None,
            user_properties: UserProperties::EMPTY,
            reasons: outcome.reasons.as_slice().into(),
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

    /// Sends retained messages of what was subscribed to, as many as fit into a step. Gives `true` when those were the last ones.
    #[expect(clippy::too_many_arguments, reason = "each says a different thing about one packet")]
    pub(super) fn replay_retained<'f>(
        &mut self,
        id: ConnectionId,
        granted: &[Granted],
        filter: &dyn Fn(usize) -> Option<SubscribeFilter<'f>>,
        identifier: Option<u32>,
        replay: &mut Replay,
        now: Moment,
        effects: &mut Effects,
    ) -> bool {
        let mut allowance = REPLAY_NODES_PER_STEP;
        while let Some(next) = granted.get(replay.next)
            && allowance > 0
        {
            if let Some(wanted) = filter(next.index).filter(|wanted| next.wants_retained(wanted)) {
                self.replay_filter(id, &wanted, next.input, identifier, replay, &mut allowance, now, effects);
            }
            if replay.from.is_none() {
                replay.next += 1;
            }
            allowance = allowance.saturating_sub(REPLAY_FILTER_COST);
        }
        self.pump(id, now, effects);
        replay.next >= granted.len()
    }

    #[expect(clippy::too_many_arguments, reason = "each says a different thing about one subscription")]
    fn replay_filter(
        &mut self,
        id: ConnectionId,
        wanted: &SubscribeFilter<'_>,
        before: u64,
        identifier: Option<u32>,
        replay: &mut Replay,
        allowance: &mut usize,
        now: Moment,
        effects: &mut Effects,
    ) {
        let Parts { mut sender, sessions, connections, router, .. } = self.lend(now, effects);
        let Some(key) = connections.get(id).map(|connection| connection.session) else { return };
        let Some(session) = sessions.get_mut(key).filter(|session| session.connection == Some(id)) else { return };
        let mut send = |message: &Arc<Message>| {
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
        let mut left = (*allowance).min(replay.budget);
        let before_step = left;
        let search = Search { filter: wanted.filter, now, before };
        replay.from = router.retained.each_match(search, replay.from.as_deref(), &mut left, &mut send);
        let looked_at = before_step - left;
        *allowance -= looked_at;
        replay.budget -= looked_at;
        sender.effects.work += looked_at / 8;
        if replay.budget == 0 && replay.from.take().is_some() {
            sender.statistics.cut_replays += 1;
        }
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
        let mut reasons = SmallVec::new();
        self.unsubscribe(id, packet.filters.iter().copied(), &mut reasons);
        let waits = self.journal.waits();
        self.answer_unsubscribe(id, packet.packet_id, &reasons, waits, effects);
    }

    /// Ends the subscriptions to some filters of a packet, those that come next in it.
    pub(super) fn unsubscribe<'f>(
        &mut self,
        id: ConnectionId,
        filters: impl Iterator<Item = &'f str>,
        reasons: &mut SmallVec<[ReasonCode; 4]>,
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
