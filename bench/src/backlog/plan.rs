//! Who publishes what to which session, and how often; everything that the phases have to agree on.
//! Pure. Invariant: a **stream** is one publisher's messages on one topic, numbered from 0; every phase computes the same.

use crate::options::BacklogOptions;
use crate::plan::{LIMITS, OptionsError, in_range, payload_bytes};

/// Longest session expiry that can be asked for, in seconds: a year.
const EXPIRY_S_MAX: u32 = 31_536_000;

/// The backlog with everything decided.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct BacklogPlan {
    pub name: String,
    pub publishers: u32,
    pub sessions: u32,
    fan_out: bool,
    pub messages: u64,
    pub payload_bytes: usize,
    pub window: u16,
    pub expiry_s: u32,
    pub keep_sessions: bool,
}

/// Where one message goes, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub topic: u32,
    pub stream: u32,
    pub sequence: u64,
}

impl BacklogPlan {
    /// Checks the options.
    pub fn new(options: &BacklogOptions) -> Result<Self, OptionsError> {
        let publishers = in_range("publishers", options.publishers, 1, LIMITS.clients)?;
        let sessions = in_range("sessions", options.sessions, 1, LIMITS.clients)?;
        let streams = u64::from(publishers) * u64::from(sessions);
        if streams > LIMITS.streams {
            let what = format!("{streams} pairs of publisher and session; allowed are {}", LIMITS.streams);
            return Err(OptionsError::Shape { scenario: "backlog", what });
        }
        if options.target.bare_relay {
            let what = "the bare relay, which keeps no sessions".to_owned();
            return Err(OptionsError::Shape { scenario: "backlog", what });
        }
        let plain = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if options.name.is_empty() || options.name.len() > 32 || !plain(&options.name) {
            let what = format!("the name {:?}; allowed are 1 to 32 letters, digits, - and _", options.name);
            return Err(OptionsError::Shape { scenario: "backlog", what });
        }
        Ok(Self {
            name: options.name.clone(),
            publishers,
            sessions,
            fan_out: options.fan_out,
            messages: in_range("messages", options.messages, 1, u64::from(u32::MAX))?,
            payload_bytes: payload_bytes(options.payload_bytes)?,
            window: in_range("window", options.window, 1, u16::MAX)?,
            expiry_s: in_range("expiry-s", options.expiry_s, 1, EXPIRY_S_MAX)?,
            keep_sessions: options.keep_sessions,
        })
    }

    /// Tells payloads of this name from all others; the same in every process (FNV-1a).
    pub fn run_id(&self) -> u32 {
        self.name.bytes().fold(0x811C_9DC5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
    }

    pub fn session_name(&self, session: u32) -> String {
        format!("bench-{}-s{session}", self.name)
    }

    pub fn publisher_name(&self, publisher: u32) -> String {
        format!("bench-{}-p{publisher}", self.name)
    }

    /// Every topic; a session has one of them, or all sessions the only one.
    pub fn topics(&self) -> Vec<String> {
        (0..self.topic_count()).map(|topic| self.topic(topic)).collect()
    }

    /// What a session subscribes to.
    pub fn filter(&self, session: u32) -> String {
        self.topic(self.topic_of(session))
    }

    /// Deliveries that one message makes.
    pub fn copies(&self) -> u64 {
        if self.fan_out { u64::from(self.sessions) } else { 1 }
    }

    /// Messages of one publisher.
    pub fn quota(&self, publisher: u32) -> u64 {
        let (each, rest) = (self.messages / u64::from(self.publishers), self.messages % u64::from(self.publishers));
        each + u64::from(u64::from(publisher) < rest)
    }

    /// Where a publisher's message number `turn` goes. All topics take turns, as far as possible with few publishers each.
    pub fn route(&self, publisher: u32, turn: u64) -> Route {
        let topics = u64::from(self.topic_count());
        // Fits: the remainder is below the number of topics.
        let topic = ((u64::from(publisher) + turn * u64::from(self.publishers)) % topics) as u32;
        Route { topic, stream: self.stream(publisher, topic), sequence: turn / self.period() }
    }

    /// How many messages a session is to get of a publisher.
    pub fn expected(&self, session: u32, publisher: u32) -> u64 {
        let (topic, quota) = (self.topic_of(session), self.quota(publisher));
        let first = (0..self.period()).find(|turn| self.route(publisher, *turn).topic == topic);
        first.filter(|first| *first < quota).map_or(0, |first| (quota - first - 1) / self.period() + 1)
    }

    /// The publisher of a stream that a session gets; `None` if it gets no such stream.
    pub fn publisher_of(&self, session: u32, stream: u32) -> Option<u32> {
        let publisher = stream / self.topic_count();
        let own = stream % self.topic_count() == self.topic_of(session) && publisher < self.publishers;
        own.then_some(publisher)
    }

    /// Sizes in words.
    pub fn describe(&self) -> String {
        let all = if self.fan_out { " (each message to all)" } else { "" };
        let Self { publishers, sessions, messages, payload_bytes, window, .. } = self;
        format!(
            "{publishers} → {sessions} sessions{all}, {messages} messages, QoS 1, {payload_bytes} bytes, window {window}"
        )
    }

    fn topic_count(&self) -> u32 {
        if self.fan_out { 1 } else { self.sessions }
    }

    fn topic_of(&self, session: u32) -> u32 {
        if self.fan_out { 0 } else { session }
    }

    fn topic(&self, topic: u32) -> String {
        format!("bench/{}/{topic}", self.name)
    }

    fn stream(&self, publisher: u32, topic: u32) -> u32 {
        publisher * self.topic_count() + topic
    }

    /// After so many turns a publisher is back at its first topic.
    fn period(&self) -> u64 {
        u64::from(self.topic_count() / greatest_common_divisor(self.publishers, self.topic_count()))
    }
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use clap::Parser;

    use super::*;
    use crate::options::{Options, Scenario};

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        options: Options,
    }

    fn plan(line: &str) -> Result<BacklogPlan, OptionsError> {
        let words = ["bench", "backlog"].into_iter().chain(line.split_whitespace());
        match Command::try_parse_from(words).expect("the line parses").options.scenario {
            Scenario::Backlog(options) => BacklogPlan::new(&options),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn by_default_each_publisher_has_one_session_of_its_own() {
        let plan = plan("").expect("defaults are valid");
        assert_eq!((plan.messages, plan.payload_bytes, plan.window, plan.copies()), (100_000, 256, 1_000, 1));
        assert_eq!(plan.route(3, 0), Route { topic: 3, stream: 33, sequence: 0 });
        assert_eq!(plan.route(3, 9_999), Route { topic: 3, stream: 33, sequence: 9_999 });
        assert_eq!((plan.expected(3, 3), plan.expected(3, 4)), (10_000, 0));
    }

    #[test]
    fn what_a_session_expects_is_what_is_published_to_it_in_unbroken_numbers() {
        for line in [
            "--publishers 4 --sessions 10 --messages 1003",
            "--publishers 10 --sessions 4 --messages 1003",
            "--publishers 1 --sessions 7 --messages 5",
            "--publishers 6 --sessions 9 --messages 777",
            "--publishers 3 --sessions 5 --messages 100 --fan-out",
        ] {
            let plan = plan(line).expect("valid");
            let mut sent = HashMap::new();
            for publisher in 0..plan.publishers {
                for turn in 0..plan.quota(publisher) {
                    let route = plan.route(publisher, turn);
                    let next = sent.entry((publisher, route.topic)).or_insert(0);
                    assert_eq!(route.sequence, *next, "{line}");
                    *next += 1;
                }
            }
            let mut total = 0;
            for session in 0..plan.sessions {
                for publisher in 0..plan.publishers {
                    let (topic, expected) = (plan.topic_of(session), plan.expected(session, publisher));
                    assert_eq!(expected, sent.get(&(publisher, topic)).copied().unwrap_or(0), "{line}");
                    assert_eq!(plan.publisher_of(session, plan.stream(publisher, topic)), Some(publisher), "{line}");
                    total += expected;
                }
            }
            assert_eq!(total, plan.messages * plan.copies(), "{line}");
        }
    }

    #[test]
    fn a_stream_of_another_session_is_nobodys() {
        let plan = plan("--publishers 2 --sessions 3").expect("valid");
        assert_eq!((plan.publisher_of(1, 4), plan.publisher_of(1, 3), plan.publisher_of(1, 7)), (Some(1), None, None));
    }

    #[test]
    fn names_that_are_no_topic_level_and_other_nonsense_are_refused() {
        for line in
            ["--name a/b", "--name +", "--publishers 0", "--window 0", "--expiry-s 0", "--messages 0", "--bare-relay"]
        {
            assert!(plan(line).is_err(), "{line}");
        }
        assert_ne!(plan("--name a").unwrap().run_id(), plan("--name b").unwrap().run_id());
    }
}
