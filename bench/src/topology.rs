//! Who publishes what and who gets it, for each message scenario.
//! Pure: no socket, no clock. Invariant: a **stream** is the unit whose order and completeness is checked; every message of
//! a stream goes to the same subscribers, and each subscriber receives one unbroken range of streams.

use std::ops::Range;

/// How publishers and subscribers are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Publisher n to subscriber n.
    Pairs,
    /// Every publisher to every subscriber, by one topic and one filter.
    FanOut,
    /// Every publisher, each with its own topic, to one subscriber with one wildcard filter.
    FanIn,
    /// Every message matches one of so many wildcard filters, spread over the subscribers.
    Wildcard {
        /// Filters in all.
        filters: u32,
    },
}

/// A shape with its sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Topology {
    pub shape: Shape,
    pub publishers: u32,
    pub subscribers: u32,
}

/// Where one message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// Index into [`Topology::topics`].
    pub topic: u32,
    /// The stream that the message is numbered in.
    pub stream: u32,
}

impl Topology {
    /// How many streams there are.
    pub fn streams(&self) -> u32 {
        match self.shape {
            Shape::Pairs | Shape::FanOut | Shape::FanIn => self.publishers,
            Shape::Wildcard { .. } => self.publishers * self.subscribers,
        }
    }

    /// How many deliveries one published message makes.
    pub fn copies(&self) -> u32 {
        match self.shape {
            Shape::Pairs | Shape::FanIn | Shape::Wildcard { .. } => 1,
            Shape::FanOut => self.subscribers,
        }
    }

    /// Every topic that is published to, below a prefix of this run.
    pub fn topics(&self, prefix: &str) -> Vec<String> {
        match self.shape {
            Shape::Pairs | Shape::FanIn => (0..self.publishers).map(|n| format!("{prefix}/{n}")).collect(),
            Shape::FanOut => vec![format!("{prefix}/all")],
            Shape::Wildcard { filters } => (0..filters).map(|n| format!("{prefix}/x/{n}/value")).collect(),
        }
    }

    /// What a subscriber subscribes to.
    pub fn filters(&self, prefix: &str, subscriber: u32) -> Vec<String> {
        match self.shape {
            Shape::Pairs => vec![format!("{prefix}/{subscriber}")],
            Shape::FanOut => vec![format!("{prefix}/all")],
            Shape::FanIn => vec![format!("{prefix}/+")],
            Shape::Wildcard { filters } => {
                (subscriber..filters).step_by(self.subscribers as usize).map(|n| format!("{prefix}/+/{n}/#")).collect()
            }
        }
    }

    /// Where a publisher's message number `turn` goes.
    pub fn route(&self, publisher: u32, turn: u64) -> Route {
        match self.shape {
            Shape::Pairs | Shape::FanIn => Route { topic: publisher, stream: publisher },
            Shape::FanOut => Route { topic: 0, stream: publisher },
            Shape::Wildcard { filters } => {
                // Fits: the remainder is below `filters`.
                let topic = ((turn + u64::from(publisher)) % u64::from(filters)) as u32;
                Route { topic, stream: self.publishers * (topic % self.subscribers) + publisher }
            }
        }
    }

    /// The streams that a subscriber receives.
    pub fn received(&self, subscriber: u32) -> Range<u32> {
        match self.shape {
            Shape::Pairs => subscriber..subscriber + 1,
            Shape::FanOut | Shape::FanIn => 0..self.publishers,
            Shape::Wildcard { .. } => self.publishers * subscriber..self.publishers * (subscriber + 1),
        }
    }

    /// The publisher of a stream.
    pub fn publisher_of(&self, stream: u32) -> u32 {
        stream % self.publishers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPES: [Topology; 4] = [
        Topology { shape: Shape::Pairs, publishers: 5, subscribers: 5 },
        Topology { shape: Shape::FanOut, publishers: 2, subscribers: 7 },
        Topology { shape: Shape::FanIn, publishers: 9, subscribers: 1 },
        Topology { shape: Shape::Wildcard { filters: 11 }, publishers: 3, subscribers: 4 },
    ];

    /// Level by level, as MQTT 5 section 4.7 defines it, without `$` topics.
    fn matches(filter: &str, topic: &str) -> bool {
        let mut topic = topic.split('/');
        for level in filter.split('/') {
            match level {
                "#" => return true,
                "+" if topic.next().is_some() => {}
                level if topic.next() == Some(level) => {}
                _ => return false,
            }
        }
        topic.next().is_none()
    }

    #[test]
    fn every_message_matches_exactly_the_subscribers_that_expect_its_stream() {
        for topology in SHAPES {
            let topics = topology.topics("t");
            for publisher in 0..topology.publishers {
                for turn in 0..30 {
                    let route = topology.route(publisher, turn);
                    let topic = &topics[route.topic as usize];
                    let mut copies = 0;
                    for subscriber in 0..topology.subscribers {
                        let filters = topology.filters("t", subscriber);
                        let hits = filters.iter().filter(|filter| matches(filter, topic)).count();
                        let expected = topology.received(subscriber).contains(&route.stream);
                        assert_eq!(hits, usize::from(expected), "{topology:?} {topic} at subscriber {subscriber}");
                        copies += hits;
                    }
                    assert_eq!(copies, topology.copies() as usize, "{topology:?}");
                    assert_eq!(topology.publisher_of(route.stream), publisher, "{topology:?}");
                    assert!(route.stream < topology.streams(), "{topology:?}");
                }
            }
        }
    }

    #[test]
    fn wildcard_filters_are_all_subscribed_once() {
        let topology = SHAPES[3];
        let mut filters: Vec<String> = (0..4).flat_map(|subscriber| topology.filters("t", subscriber)).collect();
        filters.sort();
        filters.dedup();
        assert_eq!(filters.len(), 11);
    }
}
