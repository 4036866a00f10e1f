//! Whose input waits: clients of which the node keeps bytes, because a packet is incomplete or waits for its turn, in
//! the order in which they began. Pure; the time is an argument.
//!
//! A connection of which nothing is kept stands in no list and has no timer.

use std::{collections::BTreeMap, time::Duration};

use selvedge_core::{ConnectionId, Moment};

/// A place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Since(u64);

/// See the module.
#[derive(Debug)]
pub(crate) struct Incomplete {
    begun: BTreeMap<Since, (ConnectionId, Moment)>,
    next: u64,
    timeout_ms: u64,
}

impl Incomplete {
    /// `timeout`: how long one may stay in the list before it is overdue.
    pub(crate) fn new(timeout: Duration) -> Self {
        Self { begun: BTreeMap::new(), next: 0, timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX) }
    }

    /// Input of `connection` waits from now on.
    pub(crate) fn begin(&mut self, connection: ConnectionId, now: Moment) -> Since {
        let since = Since(self.next);
        self.next += 1;
        self.begun.insert(since, (connection, now));
        since
    }

    /// It waits no more.
    pub(crate) fn end(&mut self, since: Since) {
        self.begun.remove(&since);
    }

    /// Whose input waits longest.
    pub(crate) fn oldest(&self) -> Option<ConnectionId> {
        self.begun.first_key_value().map(|(_, (connection, _))| *connection)
    }

    /// When the oldest is overdue.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        self.begun.first_key_value().map(|(_, (_, begun))| begun.plus_millis(self.timeout_ms))
    }

    /// The oldest, if it is overdue; it stays in the list until it is ended or begins anew.
    pub(crate) fn overdue(&self, now: Moment) -> Option<ConnectionId> {
        self.next_deadline().filter(|deadline| *deadline <= now).and_then(|_| self.oldest())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(slot: u32) -> ConnectionId {
        ConnectionId { slot, generation: 1 }
    }

    #[test]
    fn the_oldest_is_overdue_when_its_time_is_up_and_not_before() {
        let mut incomplete = Incomplete::new(Duration::from_secs(30));
        assert_eq!((incomplete.next_deadline(), incomplete.oldest()), (None, None));
        let first = incomplete.begin(connection(1), Moment::from_millis(1_000));
        incomplete.begin(connection(2), Moment::from_millis(2_000));
        assert_eq!(incomplete.next_deadline(), Some(Moment::from_millis(31_000)));
        assert_eq!(incomplete.overdue(Moment::from_millis(30_999)), None);
        assert_eq!(incomplete.overdue(Moment::from_millis(31_000)), Some(connection(1)));
        incomplete.end(first);
        assert_eq!(incomplete.overdue(Moment::from_millis(31_000)), None);
        assert_eq!(incomplete.oldest(), Some(connection(2)));
        assert_eq!(incomplete.overdue(Moment::from_millis(32_000)), Some(connection(2)));
    }

    #[test]
    fn one_that_begins_anew_is_the_youngest() {
        let mut incomplete = Incomplete::new(Duration::from_secs(30));
        let first = incomplete.begin(connection(1), Moment::default());
        incomplete.begin(connection(2), Moment::default());
        incomplete.end(first);
        incomplete.begin(connection(1), Moment::from_millis(5));
        assert_eq!(incomplete.oldest(), Some(connection(2)));
        assert_eq!(incomplete.begun.len(), 2);
    }
}
