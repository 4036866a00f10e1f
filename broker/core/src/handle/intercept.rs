//! Holding a publication back while somebody inside the node looks at it, and what comes of it.
//!
//! Between authorization and routing. The connection of the publisher is not read meanwhile, so its order stays; others go on. What
//! comes in its place is authorized again, for the client that published, and is not held a second time.

use std::sync::Arc;

use selvedge_codec::{Publish, QoS, ReasonCode};

use super::{
    Core,
    publish::{Answer, Refusal, Taken, may_publish, with_time_to_live},
};
use crate::{
    durability::Verdict,
    effect::{Effect, Effects},
    id::{ConnectionId, SessionKey},
    interception::{Held, HeldPublication, Interception, Interceptor, Unanswered},
    message::Message,
    outbound::Publication,
    time::Moment,
    timers::Timer,
};

/// What a client is told whose publication was dropped because nobody answered for it.
const NOT_IN_TIME: &str = "a function that has to look at it did not answer in time";

/// A publication that may have to be held.
pub(super) struct Candidate<'a> {
    pub(super) connection: ConnectionId,
    pub(super) session: SessionKey,
    pub(super) topic: &'a str,
    pub(super) publish: &'a Publish<'a>,
    pub(super) expires_at: Option<Moment>,
}

impl Core {
    pub(super) fn on_set_interceptors(&mut self, interceptors: Vec<Interceptor>) {
        self.holds.set(interceptors);
    }

    /// Holds a publication if somebody is to look at it. One that there is no memory for is refused.
    pub(super) fn hold(
        &mut self,
        candidate: &Candidate<'_>,
        now: Moment,
        effects: &mut Effects,
    ) -> Result<bool, Refusal> {
        let Candidate { connection: id, session: key, topic, publish, expires_at } = *candidate;
        let Some((timeout_ms, unanswered)) = self.holds.wanted(topic) else { return Ok(false) };
        let (Some(session), Some(connection)) = (self.sessions.get(key), self.connections.get(id)) else {
            return Ok(false);
        };
        let forwarded = publish.properties.as_forwarded();
        if !self.account.has_room(Message::cost_of(topic.len(), publish.payload.len(), forwarded.len())) {
            self.statistics.refused_memory += 1;
            return Err(Refusal(ReasonCode::QuotaExceeded, "the node has no memory left to hold this message"));
        }
        let message = Message::new(topic, publish.payload.to_vec(), publish.qos, publish.retain)
            .with_properties(forwarded.segments().flatten().copied().collect())
            .with_expiry(expires_at)
            .with_publisher(Some(session.client_id.clone()));
        let held = Held {
            connection: Some(id),
            session: key,
            client_id: session.client_id.clone(),
            user: session.user.clone(),
            permit: session.permit.clone(),
            packet_id: publish.packet_id,
            qos: publish.qos,
            durability: connection.durability,
            message: Arc::new(message),
            until: now.plus_millis(timeout_ms),
            unanswered,
        };
        let ticket = self.hand_out(held, effects);
        if let Some(connection) = self.connections.get_mut(id) {
            connection.held = Some(ticket);
        }
        Ok(true)
    }

    /// Holds a will if somebody is to look at it; gives it back otherwise. Nobody waits for it.
    pub(super) fn hold_will(
        &mut self,
        key: SessionKey,
        will: Message,
        now: Moment,
        effects: &mut Effects,
    ) -> Option<Message> {
        let Some((timeout_ms, unanswered)) = self.holds.wanted(will.topic()) else { return Some(will) };
        let Some(client_id) = will.publisher().cloned() else { return Some(will) };
        let session = self.sessions.get(key);
        let held = Held {
            connection: None,
            session: key,
            client_id,
            user: session.and_then(|session| session.user.clone()),
            permit: session.and_then(|session| session.permit.clone()),
            packet_id: None,
            qos: will.qos(),
            durability: None,
            message: Arc::new(will),
            until: now.plus_millis(timeout_ms),
            unanswered,
        };
        self.hand_out(held, effects);
        None
    }

    fn hand_out(&mut self, held: Held, effects: &mut Effects) -> u64 {
        held.message.charge(&self.account.messages);
        let (message, until, connection) = (held.message.clone(), held.until, held.connection);
        let ticket = self.holds.insert(held);
        self.timers.arm(until, Timer::Held(ticket));
        self.statistics.publishes_held += 1;
        effects.push(Effect::Intercept { connection, held: HeldPublication { ticket, message, until } });
        ticket
    }

    /// The time of one is over.
    pub(super) fn end_hold(&mut self, ticket: u64, now: Moment, effects: &mut Effects) {
        let Some(held) = self.holds.remove(ticket) else { return };
        self.statistics.held_timeouts += 1;
        let outcome = match held.unanswered {
            Unanswered::Passes => Interception::Pass,
            Unanswered::Drops => Interception::Refuse(NOT_IN_TIME),
        };
        self.release(held, outcome, now, effects);
    }

    /// Somebody has looked at one. An answer that comes too late is ignored.
    pub(super) fn on_intercepted(&mut self, ticket: u64, outcome: Interception, now: Moment, effects: &mut Effects) {
        let Some(held) = self.holds.remove(ticket) else { return };
        self.timers.disarm(held.until, Timer::Held(ticket));
        self.release(held, outcome, now, effects);
    }

    fn release(&mut self, held: Held, outcome: Interception, now: Moment, effects: &mut Effects) {
        let connection = held.connection.and_then(|id| self.connections.get_mut(id));
        let is_there = connection.is_some();
        if let Some(connection) = connection {
            connection.held = None;
            // Its silence was not its own.
            connection.last_heard = now;
        } else if held.connection.is_some() && held.qos != QoS::AtMostOnce {
            // It was never acknowledged: its client publishes it again.
            self.statistics.held_abandoned += 1;
            return;
        }
        let verdict = self.config.durability.judge(held.message.topic(), held.durability);
        effects.holds_all = is_there && self.is_held_for_journal(&held, verdict);
        let taken = self.take_outcome(&held, outcome, now, effects);
        effects.holds_all = false;
        let Some(id) = held.connection.filter(|_| is_there) else { return };
        if let Some(packet_id) = held.packet_id {
            let (key, qos, durability) = (held.session, held.qos, verdict.durability);
            self.answer_publish(id, Answer { key, qos, packet_id, durability }, taken, now, effects);
        }
        effects.push(Effect::GoOn { connection: id });
    }

    /// As at a publication that is not held: whoever gets one of QoS 2 before it is durable could get it twice.
    fn is_held_for_journal(&self, held: &Held, verdict: Verdict) -> bool {
        let session = self.sessions.get(held.session);
        held.qos == QoS::ExactlyOnce
            && session.is_some_and(|session| self.journal.keeps(session, held.qos, verdict.durability))
    }

    fn take_outcome(
        &mut self,
        held: &Held,
        outcome: Interception,
        now: Moment,
        effects: &mut Effects,
    ) -> Result<Taken, Refusal> {
        let messages = match outcome {
            Interception::Pass => vec![held.message.clone()],
            Interception::Replace(messages) => messages,
            Interception::Refuse(words) => {
                self.statistics.held_dropped += 1;
                return Err(Refusal(ReasonCode::ImplementationSpecificError, words));
            }
        };
        // All of them or none.
        for message in &messages {
            let asked = (held.principal(), held.action(message.retain()), message.topic());
            may_publish(&self.config, &*self.authorizer, &mut self.statistics, asked)?;
        }
        self.statistics.held_dropped += u64::from(messages.is_empty());
        self.statistics.wills_published += u64::from(held.connection.is_none() && !messages.is_empty());
        let mut taken = if messages.is_empty() { Taken::Routed } else { Taken::ForNobody };
        for message in messages {
            if self.take_message(held, message, now, effects)? {
                taken = Taken::Routed;
            }
        }
        Ok(taken)
    }

    fn take_message(
        &mut self,
        held: &Held,
        message: Arc<Message>,
        now: Moment,
        effects: &mut Effects,
    ) -> Result<bool, Refusal> {
        if message.is_expired(now) {
            self.statistics.dropped_expired += 1;
            return Ok(false);
        }
        let verdict = self.config.durability.judge(message.topic(), held.durability);
        let message = with_time_to_live(message, verdict, now);
        let mut publication = Publication::of_message(&message, Some(held.session), now);
        publication.durability = verdict.durability;
        publication.priority = verdict.priority;
        let routed = self.take(&mut publication, now, effects);
        self.journal.made_room = false;
        routed
    }
}
