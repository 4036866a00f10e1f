//! The state of the broker, and the door through which everything comes.

mod acknowledge;
mod attachment;
mod connect;
mod disconnect;
mod publish;
mod subscribe;
mod tick;

use std::collections::VecDeque;

use selvedge_codec::{Ack, AckKind, Packet, ProtocolVersion, ReasonCode};

use crate::{
    authorize::Authorize,
    config::Config,
    connection::{Connections, Kind},
    effect::{CloseCause, Effect, Effects},
    id::{ConnectionId, SessionKey},
    input::Input,
    message::Message,
    outbound::{Outcome, Publication, Sender, Terms},
    router::{Router, Target},
    session::Sessions,
    statistics::Statistics,
    sys_topics::SysTopics,
    time::Moment,
    timers::{Timer, Timers},
};

/// The most levels of a topic that can be configured: the tree of retained messages is walked recursively.
const TOPIC_LEVELS_CEILING: usize = 1024;

/// Nodes of the topic tree, and members of a shared group, that cost about as much as one effect.
const NODES_PER_WORK: usize = 4;
const MEMBERS_PER_WORK: usize = 8;

/// The MQTT protocol for all clients of a node. See the crate.
#[derive(Debug)]
pub struct Core {
    config: Config,
    authorizer: Box<dyn Authorize>,
    connections: Connections,
    sessions: Sessions,
    router: Router,
    timers: Timers,
    statistics: Statistics,
    sys_topics: SysTopics,
    /// Sessions whose queue overflowed under the rule `Disconnect`, ended when the routing is over.
    overflowed: Vec<SessionKey>,
    /// Wills to publish when what is being handled is done.
    wills: VecDeque<(SessionKey, Message)>,
    seed: u64,
    assigned_ids: u64,
    /// Inputs handled so far.
    inputs: u64,
}

impl Core {
    /// A broker without sessions. `seed` makes assigned client identifiers differ from node to node and boot to boot.
    pub fn new(config: Config, authorizer: Box<dyn Authorize>, seed: u64) -> Self {
        let mut timers = Timers::default();
        if config.sys_interval_s > 0 {
            timers.arm(Moment::default(), Timer::Sys);
        }
        let topic_levels_max = config.topic_levels_max.min(TOPIC_LEVELS_CEILING);
        Self {
            config: Config { topic_levels_max, ..config },
            authorizer,
            connections: Connections::default(),
            sessions: Sessions::default(),
            router: Router::default(),
            timers,
            statistics: Statistics::default(),
            sys_topics: SysTopics::default(),
            overflowed: Vec::new(),
            wills: VecDeque::new(),
            seed,
            assigned_ids: 0,
            inputs: 0,
        }
    }

    /// Takes one event at `now` (never earlier than before) and appends what it causes to `effects`.
    pub fn handle(&mut self, input: Input<'_>, now: Moment, effects: &mut Effects) {
        self.inputs += 1;
        match input {
            Input::Packet { connection, packet } => self.on_packet(connection, packet, now, effects),
            Input::Acknowledge { connection, packet_id } => self.on_acknowledge(connection, packet_id, now, effects),
            Input::Publish { message } => self.on_internal_publish(message, now, effects),
            Input::Connect { connection, connect, peer } => self.on_connect(connection, connect, peer, now, effects),
            Input::Undecodable { connection, error } => {
                let text = error.to_string();
                self.fail(connection, error.reason_code(), &text, now, effects);
            }
            Input::Closed { connection } => self.drop_connection(connection, disconnect::WillFate::Publish, now),
            Input::Congested { connection } => self.set_congested(connection),
            Input::Drained { connection } => self.on_drained(connection, now, effects),
            Input::Attach { connection, client_id, receive_maximum } => {
                self.on_attach(connection, client_id, receive_maximum, now, effects);
            }
            Input::SubscribeInternal { connection, filter, qos } => {
                self.on_subscribe_internal(connection, filter, qos);
            }
            Input::UnsubscribeInternal { connection, filter } => self.on_unsubscribe_internal(connection, filter),
            Input::Detach { connection } => self.on_detach(connection, now),
            Input::Tick => self.on_tick(now, effects),
            Input::Shutdown => self.on_shutdown(now, effects),
        }
        if !(self.wills.is_empty() && self.overflowed.is_empty()) {
            self.settle(now, effects);
        }
    }

    /// When [`Input::Tick`] is due at the latest.
    pub fn next_deadline(&self) -> Option<Moment> {
        [self.timers.next(), self.router.retained.next_expiry()].into_iter().flatten().min()
    }

    /// What was counted so far.
    pub fn statistics(&mut self) -> &Statistics {
        let statistics = &mut self.statistics;
        statistics.connections = self.connections.network_count() as u64;
        statistics.sessions = self.sessions.len() as u64;
        statistics.retained_messages = self.router.retained.count() as u64;
        statistics.retained_bytes = self.router.retained.bytes() as u64;
        statistics.match_cache_hits = self.router.cache.hits;
        statistics.match_cache_misses = self.router.cache.misses;
        statistics
    }

    fn on_packet(&mut self, id: ConnectionId, packet: Packet<'_>, now: Moment, effects: &mut Effects) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.last_heard = now;
        match packet {
            Packet::Publish(publish) => self.on_publish(id, &publish, now, effects),
            Packet::PubAck(ack) => self.on_puback(id, &ack, now, effects),
            Packet::PubRec(ack) => self.on_pubrec(id, &ack, now, effects),
            Packet::PubRel(ack) => self.on_pubrel(id, &ack, effects),
            Packet::PubComp(ack) => self.on_pubcomp(id, &ack, now, effects),
            Packet::Subscribe(subscribe) => self.on_subscribe(id, &subscribe, now, effects),
            Packet::Unsubscribe(unsubscribe) => self.on_unsubscribe(id, &unsubscribe, effects),
            Packet::PingReq => self.send(id, &Packet::PingResp, effects),
            Packet::Disconnect(disconnect) => self.on_disconnect(id, &disconnect, now, effects),
            // [MQTT-3.1.0-2]
            Packet::Connect(_) => self.protocol_error(id, "a second CONNECT", now, effects),
            // [MQTT-4.12.0-1]: the CONNECT named no authentication method, so there is nothing to continue.
            Packet::Auth(_) => self.protocol_error(id, "AUTH without an authentication method", now, effects),
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                self.protocol_error(id, "a packet that only a server sends", now, effects);
            }
        }
    }

    /// Hands `publication` to everyone whose subscription matches. False if there is nobody.
    fn route(&mut self, publication: &mut Publication<'_>, now: Moment, effects: &mut Effects) -> bool {
        let topic = publication.topic;
        let visited_before = self.router.cache.visited;
        let matched = self.router.cache.take(&self.router.tree, topic);
        effects.work += (self.router.cache.visited - visited_before) / NODES_PER_WORK + matched.len() / 2;
        let mut forms = crate::outbound::EncodedForms::default();
        for target in matched.iter() {
            let (session_key, terms) = match target {
                Target::Session(target) => (target.session, Terms::new(&target.options, target.session, publication)),
                Target::Shared { node, group } => {
                    match self.choose_member(*node, *group, publication, &mut effects.work) {
                        Some((session, options)) => (session, Terms::new(&[options], session, publication)),
                        None => continue,
                    }
                }
            };
            let Some(terms) = terms else { continue };
            let Some(session) = self.sessions.get_mut(session_key) else { continue };
            let connection = session.connection.and_then(|id| self.connections.get_mut(id));
            let mut sender = Sender {
                config: &self.config,
                statistics: &mut self.statistics,
                effects,
                now,
                retained_bytes: self.router.retained.bytes(),
                input: self.inputs,
            };
            if sender.deliver(session, connection, terms, publication, &mut forms) == Outcome::Overflow {
                self.overflowed.push(session_key);
            }
        }
        let any = !matched.is_empty();
        self.router.cache.put_back(topic, matched);
        any
    }

    /// Whose turn it is in a shared group: the next member that can take a message at once; else one that is connected;
    /// else, for QoS 1 and 2, one that is away [MQTT-4.8.2-4].
    fn choose_member(
        &mut self,
        node: u32,
        group: u32,
        publication: &Publication<'_>,
        work: &mut usize,
    ) -> Option<(SessionKey, crate::router::SubscriptionOptions)> {
        let group = self.router.tree.group_mut(node, group)?;
        let count = group.members.len();
        let mut best: Option<(u8, usize)> = None;
        for step in 0..count {
            *work += usize::from(step % MEMBERS_PER_WORK == MEMBERS_PER_WORK - 1);
            let index = (group.next + step) % count;
            let member = &group.members[index];
            let Some(session) = self.sessions.get(member.session) else { continue };
            let rank = match session.connection.and_then(|id| self.connections.get(id)) {
                Some(connection) => {
                    let window_full = session.in_flight.len() >= usize::from(connection.window);
                    let waits = connection.congested || !session.queue.is_empty() || window_full;
                    if waits { 1 } else { 0 }
                }
                None if publication.qos.min(member.options.qos) == selvedge_codec::QoS::AtMostOnce => 3,
                None => 2,
            };
            if best.is_none_or(|(other, _)| rank < other) {
                best = Some((rank, index));
            }
            if rank == 0 {
                break;
            }
        }
        let (_, index) = best?;
        group.next = (index + 1) % count;
        let member = &group.members[index];
        Some((member.session, member.options))
    }

    /// Encodes one packet for a client. Reason string and user properties are left out where they would make it larger
    /// than the client accepts (MQTT 5, 3.4.2.2.2 and its like).
    fn send(&mut self, id: ConnectionId, packet: &Packet<'_>, effects: &mut Effects) {
        let Some(connection) = self.connections.get(id) else { return };
        let Kind::Network(version) = connection.kind else { return };
        send_to(id, version, connection.packet_bytes_max, packet, effects);
    }

    /// Answers a PUBLISH, PUBREC or PUBREL; `text` is a reason string for people [MQTT-3.1.2-29].
    fn send_ack(
        &mut self,
        id: ConnectionId,
        kind: AckKind,
        packet_id: selvedge_codec::PacketId,
        reason: ReasonCode,
        text: Option<&str>,
        effects: &mut Effects,
    ) {
        let Some(connection) = self.connections.get(id) else { return };
        // 3.1.1 has acknowledgements of success only.
        let version_5 = connection.kind == Kind::Network(ProtocolVersion::V5);
        let mut ack = Ack::with_reason(packet_id, if version_5 { reason } else { ReasonCode::Success });
        ack.reason_string = text.filter(|_| connection.problem_information);
        let packet = match kind {
            AckKind::PubAck => Packet::PubAck(ack),
            AckKind::PubRec => Packet::PubRec(ack),
            AckKind::PubRel => Packet::PubRel(ack),
            AckKind::PubComp => Packet::PubComp(ack),
        };
        self.send(id, &packet, effects);
    }

    /// Ends what overflowed and publishes wills until neither is left; each step ends a session or a will.
    fn settle(&mut self, now: Moment, effects: &mut Effects) {
        loop {
            if let Some(key) = self.overflowed.pop() {
                self.end_overflowed(key, now, effects);
            } else if let Some((publisher, will)) = self.wills.pop_front() {
                self.publish_will(publisher, will, now, effects);
            } else {
                return;
            }
        }
    }

    fn end_overflowed(&mut self, key: SessionKey, now: Moment, effects: &mut Effects) {
        let Some(session) = self.sessions.get(key) else { return };
        self.statistics.closed_quota += 1;
        if let Some(id) = session.connection {
            self.close(
                id,
                ReasonCode::QuotaExceeded,
                "the session's queue is full",
                CloseCause::QueueOverflow,
                effects,
            );
            self.drop_connection(id, disconnect::WillFate::Publish, now);
        }
        self.end_session(key, now);
    }

    fn set_congested(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.congested = true;
        }
    }

    fn on_drained(&mut self, id: ConnectionId, now: Moment, effects: &mut Effects) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.congested = false;
        }
        self.pump(id, now, effects);
    }

    /// Sends what waits for the client of `id`, as far as it may.
    fn pump(&mut self, id: ConnectionId, now: Moment, effects: &mut Effects) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let Some(session) = self.sessions.get_mut(connection.session) else { return };
        let retained_bytes = self.router.retained.bytes();
        let (config, statistics, input) = (&self.config, &mut self.statistics, self.inputs);
        Sender { config, statistics, effects, now, retained_bytes, input }.pump(session, connection);
    }
}

/// See [`Core::send`].
fn send_to(
    id: ConnectionId,
    version: ProtocolVersion,
    packet_bytes_max: u32,
    packet: &Packet<'_>,
    effects: &mut Effects,
) {
    let start = effects.mark();
    if selvedge_codec::encode(version, packet, &mut effects.arena).is_err() {
        effects.arena.truncate(start as usize);
        return;
    }
    if effects.mark() - start > packet_bytes_max {
        effects.arena.truncate(start as usize);
        let Some(bare) = without_reason_string(packet) else { return };
        if selvedge_codec::encode(version, &bare, &mut effects.arena).is_err()
            || effects.mark() - start > packet_bytes_max
        {
            effects.arena.truncate(start as usize);
            return;
        }
    }
    let bytes = effects.since(start);
    effects.push(Effect::Send { connection: id, bytes, patch: None });
}

/// The packet without what is only there for people; `None` if there is nothing to leave out.
fn without_reason_string<'p>(packet: &Packet<'p>) -> Option<Packet<'p>> {
    let mut bare = packet.clone();
    let text = match &mut bare {
        Packet::ConnAck(packet) => &mut packet.reason_string,
        Packet::PubAck(packet) | Packet::PubRec(packet) | Packet::PubRel(packet) | Packet::PubComp(packet) => {
            &mut packet.reason_string
        }
        Packet::Disconnect(packet) => &mut packet.reason_string,
        _ => return None,
    };
    text.take().map(|_| bare)
}
