//! Publications that are held back until somebody inside the node has looked at them: which, for whom, and until when.
//!
//! Not the decision what becomes of one; that comes as an input, or with the time. Invariants: a connection has at most one; every
//! one has a deadline; one of QoS 1 or 2 is acknowledged after what came of it is routed, and never where its connection is gone.

use std::{collections::BTreeMap, sync::Arc};

use selvedge_codec::{PacketId, QoS, topic};

use crate::{
    authorize::{Action, Permit, Principal},
    durability::Durability,
    id::{ConnectionId, SessionKey},
    message::Message,
    time::Moment,
};

/// What becomes of a publication that nobody has answered for in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unanswered {
    /// It goes on as it came.
    Passes,
    /// Nobody gets it; an MQTT 5 client is told (0x83).
    Drops,
}

/// Somebody who looks at publications before anybody gets them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interceptor {
    /// Of the topics.
    pub filter: Box<str>,
    /// How long a publication may be held for it. Milliseconds.
    pub timeout_ms: u64,
    /// What then.
    pub unanswered: Unanswered,
}

/// What comes of a publication that was held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interception {
    /// It goes on as it came.
    Pass,
    /// These in its place, authorized as if its client had published them; none, and the client is told that all is well.
    Replace(Vec<Arc<Message>>),
    /// Nobody gets it, and an MQTT 5 client is told (0x83, with this text).
    Refuse(&'static str),
}

/// A publication for those who look at it, and how to name it in the answer.
#[derive(Clone, Debug)]
pub struct HeldPublication {
    /// Goes back with the answer.
    pub ticket: u64,
    /// What was published; the publisher is its client.
    pub message: Arc<Message>,
    /// When the answer comes too late.
    pub until: Moment,
}

/// One that is held.
#[derive(Debug)]
pub(crate) struct Held {
    /// Of its publisher; `None` is a will.
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) session: SessionKey,
    pub(crate) client_id: Arc<str>,
    pub(crate) user: Option<Arc<str>>,
    pub(crate) permit: Option<Arc<dyn Permit>>,
    pub(crate) packet_id: Option<PacketId>,
    pub(crate) qos: QoS,
    /// How safe its listener wants it kept.
    pub(crate) durability: Option<Durability>,
    pub(crate) message: Arc<Message>,
    pub(crate) until: Moment,
    pub(crate) unanswered: Unanswered,
}

impl Held {
    /// Its client, who may be gone.
    pub(crate) fn principal(&self) -> Principal<'_> {
        Principal { client_id: &self.client_id, user: self.user.as_ref(), permit: self.permit.as_ref() }
    }

    /// As what something in its place is authorized.
    pub(crate) fn action(&self, retain: bool) -> Action {
        if self.connection.is_some() { Action::Publish { retain } } else { Action::Will { retain } }
    }
}

/// All that are held.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    interceptors: Vec<Interceptor>,
    held: BTreeMap<u64, Held>,
    next: u64,
}

impl Holds {
    /// From now on these look at what is published; what is held already goes on to wait.
    pub(crate) fn set(&mut self, interceptors: Vec<Interceptor>) {
        self.interceptors = interceptors;
    }

    /// Does anybody look at publications?
    #[inline]
    pub(crate) fn are_wanted(&self) -> bool {
        !self.interceptors.is_empty()
    }

    /// How long a publication to `name` is held, and what then; `None`: nobody looks at it. Of several the longest time and the
    /// strictest end.
    pub(crate) fn wanted(&self, name: &str) -> Option<(u64, Unanswered)> {
        let matching = self.interceptors.iter().filter(|each| topic::matches(&each.filter, name));
        matching
            .map(|each| (each.timeout_ms, each.unanswered))
            .reduce(|(time, end), (other_time, other_end)| (time.max(other_time), end.max(other_end)))
    }

    /// Takes one in; gives its ticket.
    pub(crate) fn insert(&mut self, held: Held) -> u64 {
        self.next += 1;
        self.held.insert(self.next, held);
        self.next
    }

    /// Takes one out.
    pub(crate) fn remove(&mut self, ticket: u64) -> Option<Held> {
        self.held.remove(&ticket)
    }

    /// Every one, with its ticket.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u64, &Held)> {
        self.held.iter().map(|(ticket, held)| (*ticket, held))
    }

    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_the_longest_time_and_the_strictest_end_hold() {
        let mut holds = Holds::default();
        assert_eq!(holds.wanted("a/b"), None);
        let one = |filter: &str, timeout_ms, unanswered| Interceptor { filter: filter.into(), timeout_ms, unanswered };
        holds.set(vec![one("a/#", 50, Unanswered::Drops), one("+/b", 80, Unanswered::Passes)]);
        assert_eq!(holds.wanted("a/b"), Some((80, Unanswered::Drops)));
        assert_eq!(holds.wanted("x/b"), Some((80, Unanswered::Passes)));
        assert_eq!(holds.wanted("x/y"), None);
        assert_eq!(holds.wanted("$SYS/b"), None);
    }
}
