//! Which client gets a topic, and the faults on purpose.
//! Pure. Invariant: a client that is forgotten gets nothing any more.

use std::collections::HashMap;

use super::RelayFaults;

/// Filters of all clients.
#[derive(Debug)]
pub(super) struct Routes {
    exact: HashMap<Vec<u8>, Vec<usize>>,
    prefixes: Vec<(Vec<u8>, usize)>,
    faults: RelayFaults,
    messages: u64,
}

impl Routes {
    pub fn new(faults: RelayFaults) -> Self {
        Self { exact: HashMap::new(), prefixes: Vec::new(), faults, messages: 0 }
    }

    /// Adds a filter; from its first wildcard on it matches everything.
    pub fn add(&mut self, filter: &[u8], client: usize) {
        match filter.iter().position(|byte| matches!(byte, b'+' | b'#')) {
            None => self.exact.entry(filter.to_vec()).or_default().push(client),
            Some(end) => self.prefixes.push((filter[..end].to_vec(), client)),
        }
    }

    /// Removes every filter of a client.
    pub fn forget(&mut self, client: usize) {
        self.prefixes.retain(|(_, subscriber)| *subscriber != client);
        self.exact.retain(|_, subscribers| {
            subscribers.retain(|subscriber| *subscriber != client);
            !subscribers.is_empty()
        });
    }

    /// The clients that get a topic.
    pub fn targets(&self, topic: &[u8]) -> impl Iterator<Item = usize> {
        let exact = self.exact.get(topic).into_iter().flatten().copied();
        let by_prefix = self.prefixes.iter().filter(move |(prefix, _)| topic.starts_with(prefix));
        exact.chain(by_prefix.map(|(_, client)| *client))
    }

    /// How often the next message is sent: once, unless a fault is due.
    pub fn copies_of_next(&mut self) -> usize {
        self.messages += 1;
        let due = |every: Option<u64>| every.is_some_and(|every| every > 0 && self.messages.is_multiple_of(every));
        if due(self.faults.drop_every) {
            0
        } else if due(self.faults.repeat_every) {
            2
        } else {
            1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(routes: &Routes, topic: &[u8]) -> Vec<usize> {
        routes.targets(topic).collect()
    }

    #[test]
    fn exact_filters_and_prefixes_are_found_until_their_client_is_forgotten() {
        let mut routes = Routes::new(RelayFaults::default());
        routes.add(b"a/b", 1);
        routes.add(b"a/+", 2);
        routes.add(b"#", 3);
        assert_eq!(targets(&routes, b"a/b"), [1, 2, 3]);
        assert_eq!(targets(&routes, b"b"), [3]);
        routes.forget(2);
        routes.forget(1);
        assert_eq!(targets(&routes, b"a/b"), [3]);
    }

    #[test]
    fn faults_hit_every_nth_message_only() {
        let mut drops = Routes::new(RelayFaults { drop_every: Some(3), repeat_every: None });
        assert_eq!([1; 6].map(|_: i32| drops.copies_of_next()), [1, 1, 0, 1, 1, 0]);
        let mut repeats = Routes::new(RelayFaults { drop_every: Some(0), repeat_every: Some(2) });
        assert_eq!([1; 4].map(|_: i32| repeats.copies_of_next()), [1, 2, 1, 2]);
    }
}
