//! The state of the broker, and the door through which everything comes.

mod acknowledge;
mod admission;
mod attachment;
pub(crate) mod audit;
mod authenticate;
mod connect;
mod disconnect;
mod fetch;
mod image;
mod intercept;
pub(crate) mod many_filters;
mod publish;
mod recheck;
mod reply;
mod restore;
mod room;
mod route;
mod subscribe;
mod tick;

use std::{collections::VecDeque, sync::Arc};

use selvedge_codec::{Packet, ReasonCode};

use crate::{
    account::Account,
    authorize::Authorize,
    config::Config,
    connection::Connections,
    effect::{CloseCause, Effects},
    id::{ConnectionId, SessionKey},
    input::Input,
    interception::Holds,
    journal::{Journal, Kept, image::ImageRound},
    message::Message,
    router::Router,
    session::table::Sessions,
    statistics::Statistics,
    sys_topics::SysTopics,
    time::Moment,
    timers::{Timer, Timers},
};
use many_filters::Departed;
use recheck::Sweep;

/// The most levels of a topic that can be configured: the tree of retained messages is walked recursively.
const TOPIC_LEVELS_CEILING: usize = 1024;

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
    journal: Journal,
    /// How far an image of all that is kept has been written.
    image: Option<ImageRound>,
    /// Sessions whose queue overflowed under the rule `Disconnect`, ended when the routing is over.
    overflowed: Vec<SessionKey>,
    /// Publications that somebody has to look at first.
    holds: Holds,
    /// Connections with a packet of many filters, in the order of their next steps.
    requests: VecDeque<ConnectionId>,
    /// What ended sessions subscribed to.
    departed: Departed,
    /// Wills to publish when what is being handled is done.
    wills: VecDeque<(SessionKey, Message)>,
    seed: u64,
    assigned_ids: u64,
    /// Inputs handled so far.
    inputs: u64,
    /// What is held for clients, against the memory budget.
    account: Account,
    /// Counts the changes of the access rules.
    rules: u32,
    /// How far the sessions have been judged by new rules.
    sweep: Option<Sweep>,
    /// The search for what waits and is over.
    expiry: Option<room::ExpiryRound>,
    /// Bytes of messages that were given up and that nothing was kept for yet.
    given_up: usize,
    /// The search for such goes on with the session of this index.
    give_up_next: u32,
}

impl Core {
    /// A broker without sessions. `seed` makes assigned client identifiers differ from node to node and boot to boot.
    pub fn new(config: Config, authorizer: Box<dyn Authorize>, seed: u64) -> Self {
        let mut timers = Timers::default();
        if config.sys_interval_s > 0 {
            timers.arm(Moment::default(), Timer::Sys);
        }
        let router = Router::default();
        let mut account = Account::new(config.memory_bytes_max);
        account.tree = router.tree.bytes();
        let topic_levels_max = config.topic_levels_max.min(TOPIC_LEVELS_CEILING);
        Self {
            config: Config { topic_levels_max, ..config },
            authorizer,
            connections: Connections::default(),
            sessions: Sessions::default(),
            router,
            timers,
            statistics: Statistics::default(),
            sys_topics: SysTopics::default(),
            journal: Journal::off(),
            image: None,
            overflowed: Vec::new(),
            holds: Holds::default(),
            requests: VecDeque::new(),
            departed: Departed::default(),
            wills: VecDeque::new(),
            seed,
            assigned_ids: 0,
            inputs: 0,
            account,
            rules: 0,
            sweep: None,
            expiry: None,
            given_up: 0,
            give_up_next: 0,
        }
    }

    /// Takes one event at `now` (never earlier than before) and appends what it causes to `effects`.
    pub fn handle(&mut self, input: Input<'_>, now: Moment, effects: &mut Effects) {
        self.inputs += 1;
        self.journal.begin_input();
        match input {
            Input::Packet { connection, packet } => self.on_packet(connection, packet, now, effects),
            Input::Acknowledge { connection, packet_id } => self.on_acknowledge(connection, packet_id, now, effects),
            Input::Publish { message } => self.on_internal_publish(message, now, effects),
            Input::PublishCommitted { message } => {
                effects.holds_all = self.journal.is_on();
                self.on_internal_publish(message, now, effects);
                effects.holds_all = false;
            }
            Input::SetInterceptors { interceptors } => self.on_set_interceptors(interceptors),
            Input::Intercepted { ticket, outcome } => self.on_intercepted(ticket, outcome, now, effects),
            Input::KeepSubscriptions { connection, filters } => self.on_keep_subscriptions(connection, filters),
            Input::EndUnclaimed => self.end_unclaimed(now),
            Input::Fetched { session, messages } => self.on_fetched(session, messages, now, effects),
            Input::WriteImage => self.begin_image(),
            Input::Connect { connection, connect, peer } => self.on_connect(connection, connect, peer, now, effects),
            Input::Undecodable { connection, error } => {
                let (reason, text) = (error.reason_code(), error.to_string());
                if reason == ReasonCode::QuotaExceeded {
                    self.exceed(connection, reason, &text, now, effects);
                } else {
                    self.fail(connection, reason, &text, now, effects);
                }
            }
            Input::Authenticated { connection, outcome } => self.on_authenticated(connection, outcome, now, effects),
            Input::RulesChanged { authorizer } => self.on_rules_changed(authorizer),
            Input::Closed { connection } => self.drop_connection(connection, disconnect::WillFate::Publish, now),
            Input::Heard { connection } => {
                if let Some(connection) = self.connections.get_mut(connection) {
                    connection.last_heard = now;
                }
            }
            Input::Overrun { connection, text } => {
                self.exceed(connection, ReasonCode::QuotaExceeded, text, now, effects);
            }
            Input::Congested { connection } => self.set_congested(connection),
            Input::Drained { connection } => self.on_drained(connection, now, effects),
            Input::Attach { connection, client_id, receive_maximum } => {
                self.on_attach(connection, client_id, receive_maximum, now, effects);
            }
            Input::SubscribeInternal { connection, filter, qos } => {
                self.on_subscribe_internal(connection, filter, qos);
            }
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
        let goes_on = !self.requests.is_empty() || !self.departed.is_empty();
        if goes_on || self.sweep.is_some() || self.image.is_some() || self.expiry.is_some() {
            return Some(Moment::default());
        }
        [self.timers.next(), self.router.retained.next_expiry()].into_iter().flatten().min()
    }

    /// Bytes that the shell holds for clients (outboxes, incomplete packets, half-open connections): they count against
    /// [`Config::memory_bytes_max`].
    pub fn set_outside_bytes(&mut self, bytes: usize) {
        self.account.outside = bytes;
    }

    /// What inputs left to be kept since the last call; `None` is nothing, and always where there is no journal. To be made
    /// durable in the order of the calls.
    pub fn take_kept(&mut self) -> Option<Kept> {
        self.journal.take()
    }

    /// Bytes that [`Core::take_kept`] would give.
    pub fn kept_bytes(&self) -> usize {
        self.journal.bytes()
    }

    /// Whether somebody waits for what [`Core::take_kept`] would give.
    pub fn kept_is_urgent(&self) -> bool {
        self.journal.is_urgent()
    }

    /// Whether the disk has room for more messages. Without, publications that a durable session must get are refused
    /// (0x97), and everything else goes on.
    pub fn set_disk_room(&mut self, has_room: bool) {
        self.on_disk_room(has_room);
    }

    /// The client identifier of a connection, for as long as its session is its own.
    pub fn client_id(&self, connection: ConnectionId) -> Option<&Arc<str>> {
        let connection = self.connections.get(connection)?;
        Some(&self.sessions.get(connection.session)?.client_id)
    }

    /// What was counted so far.
    pub fn statistics(&mut self) -> &Statistics {
        let statistics = &mut self.statistics;
        statistics.connections = self.connections.network_count() as u64;
        statistics.sessions = self.sessions.len() as u64;
        statistics.retained_messages = self.router.retained.count() as u64;
        statistics.retained_bytes = self.router.retained.bytes() as u64;
        statistics.held = self.holds.len() as u64;
        statistics.memory_bytes = self.account.total() as u64;
        statistics.match_cache_hits = self.router.cache.hits;
        statistics.match_cache_misses = self.router.cache.misses;
        statistics
    }

    fn on_packet(&mut self, id: ConnectionId, packet: Packet<'_>, now: Moment, effects: &mut Effects) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.last_heard = now;
        if connection.request.is_some() {
            self.finish_request(id, now, effects);
        }
        match packet {
            Packet::Publish(publish) => self.on_publish(id, &publish, now, effects),
            Packet::PubAck(ack) => self.on_puback(id, &ack, now, effects),
            Packet::PubRec(ack) => self.on_pubrec(id, &ack, now, effects),
            Packet::PubRel(ack) => self.on_pubrel(id, &ack, effects),
            Packet::PubComp(ack) => self.on_pubcomp(id, &ack, now, effects),
            Packet::Subscribe(subscribe) => self.on_subscribe(id, &subscribe, now, effects),
            Packet::Unsubscribe(unsubscribe) => self.on_unsubscribe(id, &unsubscribe, now, effects),
            Packet::PingReq => self.send(id, &Packet::PingResp, effects),
            Packet::Disconnect(disconnect) => self.on_disconnect(id, &disconnect, now, effects),
            // [MQTT-3.1.0-2]
            Packet::Connect(_) => self.protocol_error(id, "a second CONNECT", now, effects),
            Packet::Auth(auth) => self.on_auth(id, &auth, now, effects),
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                self.protocol_error(id, "a packet that only a server sends", now, effects);
            }
        }
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
}
