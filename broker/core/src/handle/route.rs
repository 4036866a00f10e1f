//! From one publication to all who want it (see `outbound` for what each of them gets), and what flows when a client can
//! take more.

use selvedge_codec::QoS;

use super::Core;
use crate::{
    connection::Connections,
    durability::Durability,
    effect::Effects,
    id::{ConnectionId, SessionKey},
    outbound::{EncodedForms, Outcome, Publication, Sender, Terms},
    router::{Router, SubscriptionOptions, Target, topic_tree::SharedGroup},
    session::{Session, in_flight::ENTRY_BYTES, table::Sessions},
    time::Moment,
};

/// Nodes of the topic tree, and members of a shared group, that cost about as much as one effect.
const NODES_PER_WORK: usize = 4;
const MEMBERS_PER_WORK: usize = 8;

/// The parts of the core that sending needs, side by side.
pub(super) struct Parts<'c> {
    pub(super) sender: Sender<'c>,
    pub(super) sessions: &'c mut Sessions,
    pub(super) connections: &'c mut Connections,
    pub(super) router: &'c mut Router,
    overflowed: &'c mut Vec<SessionKey>,
}

impl Core {
    pub(super) fn lend<'c>(&'c mut self, now: Moment, effects: &'c mut Effects) -> Parts<'c> {
        Parts {
            sender: Sender {
                config: &self.config,
                statistics: &mut self.statistics,
                account: &mut self.account,
                journal: &mut self.journal,
                authorizer: &*self.authorizer,
                effects,
                now,
                retained_bytes: self.router.retained.bytes(),
                input: self.inputs,
            },
            sessions: &mut self.sessions,
            connections: &mut self.connections,
            router: &mut self.router,
            overflowed: &mut self.overflowed,
        }
    }

    /// Hands `publication` to everyone whose subscription matches. False if there is nobody.
    pub(super) fn route(&mut self, publication: &mut Publication<'_>, now: Moment, effects: &mut Effects) -> bool {
        let topic = publication.topic;
        let Parts { mut sender, sessions, connections, router, overflowed } = self.lend(now, effects);
        let visited_before = router.cache.visited;
        let matched = router.cache.take(&router.tree, topic);
        sender.effects.work += (router.cache.visited - visited_before) / NODES_PER_WORK + matched.len() / 2;
        let mut forms = EncodedForms::default();
        let mut any = false;
        for target in matched.iter() {
            let (key, terms) = match target {
                Target::Session(target) => (target.session, Terms::new(&target.options, target.session, publication)),
                Target::Shared { node, group } => {
                    let Some(group) = router.tree.group_mut(*node, *group) else { continue };
                    let work = &mut sender.effects.work;
                    match choose_member(group, sessions, connections, publication.qos, work) {
                        Some((_, index)) => {
                            group.next = (index + 1) % group.members.len();
                            let member = &group.members[index];
                            (member.session, Terms::new(&[member.options], member.session, publication))
                        }
                        None => continue,
                    }
                }
            };
            // One that has ended may still be in the tree.
            let Some(session) = sessions.get_mut(key) else { continue };
            any = true;
            let Some(terms) = terms else { continue };
            let connection = session.connection.and_then(|id| connections.get_mut(id));
            if sender.deliver(session, connection, terms, publication, &mut forms) == Outcome::Overflow {
                overflowed.push(key);
            }
        }
        if router.cache.put_back(topic, matched) {
            sender.account.cached = router.cache.bytes();
        }
        any
    }

    /// Whether all that `publication` would make the node hold is within the memory budget. Where that is not near, the answer
    /// costs nothing; else everyone who would get it is looked at.
    pub(super) fn has_memory_for(&mut self, publication: &Publication<'_>) -> bool {
        let message = publication.cost_bytes() + Session::INBOUND_ID_BYTES;
        if self.account.has_room(message + self.sessions.len() * ENTRY_BYTES) {
            return true;
        }
        let matched = self.router.cache.take(&self.router.tree, publication.topic);
        let mut keepers = 0;
        let mut work = 0;
        for target in matched.iter() {
            let (key, qos) = match target {
                Target::Session(target) => match Terms::new(&target.options, target.session, publication) {
                    Some(terms) => (target.session, terms.qos),
                    None => continue,
                },
                Target::Shared { node, group } => {
                    let Some(group) = self.router.tree.group_mut(*node, *group) else { continue };
                    match choose_member(group, &self.sessions, &self.connections, publication.qos, &mut work) {
                        Some((_, index)) => {
                            let SubscriptionOptions { qos, .. } = group.members[index].options;
                            (group.members[index].session, qos.min(publication.qos))
                        }
                        None => continue,
                    }
                }
            };
            let Some(session) = self.sessions.get(key) else { continue };
            // Whoever holds more than a share gives up more than this takes.
            let trims_itself = session.held_bytes() > session.share_bytes(&self.account);
            keepers += usize::from(qos != QoS::AtMostOnce && !trims_itself && self.would_keep(session));
        }
        if self.router.cache.put_back(publication.topic, matched) {
            self.account.cached = self.router.cache.bytes();
        }
        keepers == 0 || self.account.has_room(message + keepers * ENTRY_BYTES)
    }

    /// Whether a durable session is to get `publication`, or it would be kept as the retained message of its topic.
    pub(super) fn needs_disk(&mut self, publication: &Publication<'_>) -> bool {
        if publication.durability == Durability::Memory || !self.journal.is_on() {
            return false;
        }
        if publication.retain && !publication.payload.is_empty() {
            return true;
        }
        let matched = self.router.cache.take(&self.router.tree, publication.topic);
        let durable = |key: SessionKey| self.sessions.get(key).is_some_and(|session| session.number != 0);
        let needs = matched.iter().any(|target| match target {
            Target::Session(target) => {
                let terms = Terms::new(&target.options, target.session, publication);
                terms.is_some_and(|terms| terms.qos != QoS::AtMostOnce) && durable(target.session)
            }
            // Which of the group gets it is not known before: any may.
            Target::Shared { node, group } => self.router.tree.group_mut(*node, *group).is_some_and(|group| {
                group.members.iter().any(|member| member.options.qos != QoS::AtMostOnce && durable(member.session))
            }),
        });
        if self.router.cache.put_back(publication.topic, matched) {
            self.account.cached = self.router.cache.bytes();
        }
        needs
    }

    /// Whether a QoS 1 or 2 message for this session stays in memory, in its queue or until it is acknowledged.
    fn would_keep(&self, session: &Session) -> bool {
        match session.connection.and_then(|id| self.connections.get(id)) {
            Some(connection) => {
                let window_full = session.in_flight.len() >= usize::from(connection.window);
                session.is_persistent() || connection.congested || !session.queue.is_empty() || window_full
            }
            None => true,
        }
    }

    pub(super) fn set_congested(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.congested = true;
        }
    }

    pub(super) fn on_drained(&mut self, id: ConnectionId, now: Moment, effects: &mut Effects) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.congested = false;
        }
        self.pump(id, now, effects);
    }

    /// Sends what waits for the client of `id`, as far as it may.
    pub(super) fn pump(&mut self, id: ConnectionId, now: Moment, effects: &mut Effects) {
        let Parts { mut sender, sessions, connections, .. } = self.lend(now, effects);
        let Some(connection) = connections.get_mut(id) else { return };
        let Some(session) = sessions.get_mut(connection.session) else { return };
        sender.pump(session, connection);
    }
}

/// Whose turn it is in a shared group: the next member that can take a message at once; else one that is connected; else,
/// for QoS 1 and 2, one that is away [MQTT-4.8.2-4]. The smaller the first number, the better.
fn choose_member(
    group: &SharedGroup,
    sessions: &Sessions,
    connections: &Connections,
    qos: QoS,
    work: &mut usize,
) -> Option<(u8, usize)> {
    let count = group.members.len();
    let mut best: Option<(u8, usize)> = None;
    for step in 0..count {
        *work += usize::from(step % MEMBERS_PER_WORK == MEMBERS_PER_WORK - 1);
        let index = (group.next + step) % count;
        let member = &group.members[index];
        let Some(session) = sessions.get(member.session) else { continue };
        let rank = match session.connection.and_then(|id| connections.get(id)) {
            Some(connection) => {
                let window_full = session.in_flight.len() >= usize::from(connection.window);
                let waits = connection.congested || !session.queue.is_empty() || window_full;
                if waits { 1 } else { 0 }
            }
            None if qos.min(member.options.qos) == QoS::AtMostOnce => 3,
            None => 2,
        };
        if best.is_none_or(|(other, _)| rank < other) {
            best = Some((rank, index));
        }
        if rank == 0 {
            break;
        }
    }
    best
}
