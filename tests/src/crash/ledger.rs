//! What is owed to whom: every message that was published, and for each durable session what it must still get.
//!
//! A debt begins when a message is published for a subscription that was acknowledged before; it becomes due when the broker
//! acknowledges the message, and ends when the message arrives, when the subscription is taken back (a broker may drop what is
//! queued then), or when the session is ended. Invariant: only what is due is ever called lost.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::report::{Breach, Kind, Report};
use crate::server_packet::Publish;

/// Number of a message, in the order of publication over all publishers.
pub type MessageId = u64;

/// How a message gets to its subscribers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As it was published.
    Direct,
    /// As the output of a function.
    Function,
    /// When its owner has gone.
    Will,
}

/// A message that was published.
#[derive(Debug, Clone)]
pub struct Message {
    /// Who published it.
    pub publisher: String,
    /// Where it arrives; for an input of a function, where the output does.
    pub topic: String,
    /// QoS of its publication.
    pub qos: u8,
    /// What makes it arrive.
    pub way: Way,
    /// In which round it was published and acknowledged.
    pub published: u64,
    /// As above.
    pub acknowledged: Option<u64>,
    /// What else happened to it, for whoever reads a breach.
    pub history: Vec<String>,
}

/// A subscription of a durable session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subscription {
    /// SUBSCRIBE was sent.
    Wanted,
    /// SUBACK has come.
    Stands,
    /// UNSUBSCRIBE was sent.
    Unwanted,
    /// UNSUBACK has come; messages from this one on may not arrive.
    Gone(MessageId),
}

/// A message that a session is to get.
#[derive(Debug, Clone, Copy)]
struct Debt {
    qos: u8,
    due: bool,
}

/// Order of messages is kept by publisher, topic, and both QoS; that of a function's outputs over all topics.
type Stream = (String, String, u8, u8);

/// What a durable session is owed and has got.
#[derive(Debug, Default)]
pub struct Account {
    subscriptions: BTreeMap<String, (u8, Subscription)>,
    debts: BTreeMap<MessageId, Debt>,
    /// Messages that arrived with QoS 2.
    once: HashSet<MessageId>,
    last: HashMap<Stream, MessageId>,
}

/// All messages and debts.
#[derive(Debug, Default)]
pub struct Ledger {
    messages: HashMap<MessageId, Message>,
    accounts: BTreeMap<String, Account>,
    next: MessageId,
}

impl Ledger {
    /// A number for a message that is published now, and whose debts begin now.
    pub fn publish(&mut self, message: Message) -> MessageId {
        self.next += 1;
        let id = self.next;
        for account in self.accounts.values_mut() {
            if let Some(qos) = account.standing_qos(&message.topic).filter(|qos| qos.min(&message.qos) > &0) {
                account.debts.insert(id, Debt { qos: qos.min(message.qos), due: false });
            }
        }
        self.messages.insert(id, message);
        id
    }

    /// The broker has acknowledged a message.
    pub fn acknowledged(&mut self, id: MessageId, round: u64, report: &mut Report) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        message.acknowledged = Some(round);
        for debt in self.accounts.values_mut().filter_map(|account| account.debts.get_mut(&id)) {
            debt.due = true;
            report.owed(kind_of(message, debt.qos), 1);
        }
    }

    /// With which QoS a message was published.
    pub fn qos(&self, id: MessageId) -> Option<u8> {
        self.messages.get(&id).map(|message| message.qos)
    }

    /// Adds to the history of a message.
    pub fn note(&mut self, id: MessageId, describe: impl FnOnce() -> String) {
        if let Some(message) = self.messages.get_mut(&id) {
            message.history.push(describe());
        }
    }

    /// The broker has refused a message: whoever gets it nevertheless may have it.
    pub fn refused(&mut self, id: MessageId) {
        for account in self.accounts.values_mut() {
            account.debts.remove(&id);
        }
    }

    /// A session is new: it has no subscriptions and is owed nothing.
    pub fn session_begins(&mut self, session: &str) {
        self.accounts.insert(session.to_owned(), Account::default());
    }

    /// Whether the filter was asked for and not taken back, or not yet.
    pub fn subscription(&self, session: &str, filter: &str) -> Option<Subscription> {
        Some(self.accounts.get(session)?.subscriptions.get(filter)?.1)
    }

    /// Filters in a state, of a session.
    pub fn filters(&self, session: &str, wanted: Subscription) -> Vec<String> {
        let subscriptions = self.accounts.get(session).into_iter().flat_map(|account| &account.subscriptions);
        subscriptions.filter(|(_, (_, state))| *state == wanted).map(|(filter, _)| filter.clone()).collect()
    }

    /// A subscription changes.
    pub fn subscription_becomes(&mut self, session: &str, filter: &str, qos: u8, state: Subscription) {
        let Some(account) = self.accounts.get_mut(session) else { return };
        account.subscriptions.insert(filter.to_owned(), (qos, state));
        if state == Subscription::Unwanted {
            let messages = &self.messages;
            account.debts.retain(|id, _| messages.get(id).is_none_or(|message| !matches(filter, &message.topic)));
        }
    }

    /// UNSUBACK has come.
    pub fn unsubscribed(&mut self, session: &str, filter: &str) {
        self.subscription_becomes(session, filter, 0, Subscription::Gone(self.next));
    }

    /// SUBACK has come.
    pub fn subscribed(&mut self, session: &str, filter: &str, qos: u8) {
        self.subscription_becomes(session, filter, qos, Subscription::Stands);
    }

    /// A message has arrived.
    pub fn delivered(&mut self, session: &str, id: MessageId, publish: &Publish, report: &mut Report) {
        let (Some(account), Some(message)) = (self.accounts.get_mut(session), self.messages.get_mut(&id)) else {
            // Settled in a former round, and then forgotten: only a message that comes again is not known.
            let once = self.accounts.get(session).is_some_and(|account| account.once.contains(&id));
            if once && publish.qos == 2 {
                report.breach(Kind::ExactlyOnce, Breach::Twice, || format!("{session} got {id} rounds later again"));
            } else if publish.qos == 1 {
                report.repeated += 1;
            }
            return;
        };
        let kind = kind_of(message, publish.qos);
        let dup = if publish.dup { " again" } else { "" };
        message.history.push(format!("to {session}{dup} as {:?} in {}", publish.packet_id.unwrap_or(0), report.rounds));
        if let Some(gone) = account.may_not_arrive(id, &message.topic) {
            report.breach(Kind::Subscription, Breach::Wrong, || format!("{session} got {id} {gone}: {message:?}"));
        }
        let debt = account.debts.remove(&id);
        let again = if publish.qos == 2 { !account.once.insert(id) } else { false };
        if again {
            report.breach(kind, Breach::Twice, || format!("{session} got {id} again: {message:?}"));
        }
        if let Some(debt) = debt.filter(|debt| debt.qos != publish.qos) {
            report.breach(kind, Breach::Wrong, || {
                format!("{session} got {id} with QoS {} instead of {}: {message:?}", publish.qos, debt.qos)
            });
        }
        let topic = if message.way == Way::Function { String::new() } else { message.topic.clone() };
        let stream = (message.publisher.clone(), topic, message.qos, publish.qos);
        let last = account.last.entry(stream).or_default();
        let first = debt.is_some();
        if *last < id {
            *last = id;
        } else if first && message.way != Way::Will {
            let last = *last;
            report.breach(kind, Breach::Disordered, || format!("{session} got {id} after {last}: {message:?}"));
        } else if publish.qos == 1 {
            report.repeated += 1;
        }
    }

    /// A session was drained: what it did not get it never will. Gives what was due.
    pub fn settle(&mut self, session: &str, report: &mut Report) {
        let Some(account) = self.accounts.get_mut(session) else { return };
        let debts = std::mem::take(&mut account.debts);
        for (id, debt) in debts {
            let Some(message) = self.messages.get(&id).filter(|_| debt.due) else { continue };
            let kind = kind_of(message, debt.qos);
            report.breach(kind, Breach::Lost, || format!("{session} never got {id}: {message:?}"));
        }
    }

    /// Where a message was published.
    pub fn topic(&self, id: MessageId) -> Option<&str> {
        Some(&self.messages.get(&id)?.topic)
    }

    /// Whether somebody must still get it.
    pub fn is_due(&self, id: MessageId) -> bool {
        self.accounts.values().any(|account| account.debts.get(&id).is_some_and(|debt| debt.due))
    }

    /// What a session is owed and must get.
    pub fn due(&self, session: &str) -> usize {
        self.accounts.get(session).map_or(0, |account| account.debts.values().filter(|debt| debt.due).count())
    }

    /// Counts the messages and subscriptions that a crash has to leave.
    pub fn count_outstanding(&self, report: &mut Report) {
        for account in self.accounts.values() {
            for (id, debt) in account.debts.iter().filter(|(_, debt)| debt.due) {
                if let Some(message) = self.messages.get(id) {
                    report.outstanding(kind_of(message, debt.qos));
                }
            }
            let standing = account.subscriptions.values().filter(|(_, state)| *state == Subscription::Stands);
            report.owed(Kind::Subscription, standing.count() as u64);
        }
    }

    /// Forgets messages that nobody waits for and that are older than this round.
    pub fn forget_settled(&mut self, round: u64) {
        let accounts = &self.accounts;
        self.messages.retain(|id, message| {
            message.published >= round || accounts.values().any(|account| account.debts.contains_key(id))
        });
    }
}

impl Account {
    fn standing_qos(&self, topic: &str) -> Option<u8> {
        let standing = self.subscriptions.iter().filter(|(_, (_, state))| *state == Subscription::Stands);
        standing.filter(|(filter, _)| matches(filter, topic)).map(|(_, (qos, _))| *qos).max()
    }

    /// Why a message should not have come, if so.
    fn may_not_arrive(&self, id: MessageId, topic: &str) -> Option<&'static str> {
        let mut matching = self.subscriptions.iter().filter(|(filter, _)| matches(filter, topic)).peekable();
        if matching.peek().is_none() {
            return Some("without a subscription");
        }
        let gone = |state: Subscription| matches!(state, Subscription::Gone(since) if since < id);
        matching.all(|(_, (_, state))| gone(*state)).then_some("after it had unsubscribed")
    }
}

fn kind_of(message: &Message, qos: u8) -> Kind {
    match (message.way, qos) {
        (Way::Function, _) => Kind::Function,
        (Way::Will, _) => Kind::Will,
        (Way::Direct, 2) => Kind::ExactlyOnce,
        (Way::Direct, _) => Kind::AtLeastOnce,
    }
}

/// Whether a filter matches a topic [MQTT-4.7.1-1].
pub fn matches(filter: &str, topic: &str) -> bool {
    let mut topic = topic.split('/');
    for level in filter.split('/') {
        if level == "#" {
            return true;
        }
        match topic.next() {
            Some(name) if level == "+" || level == name => {}
            _ => return false,
        }
    }
    topic.next().is_none()
}

#[cfg(test)]
#[path = "ledger/tests.rs"]
mod tests;
