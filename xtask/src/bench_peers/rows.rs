//! The rows that are compared, and the goals.
//!
//! Invariant: a row always publishes the same number of messages, whatever broker it runs against.

/// One comparison.
#[derive(Debug)]
pub struct Row {
    /// On the command line.
    pub name: &'static str,
    /// In the table.
    pub title: &'static str,
    /// Arguments of `selvedge bench`.
    pub arguments: &'static [&'static str],
    /// Messages published in a round.
    messages: u32,
    /// Messages published in a smoke run.
    messages_quick: u32,
    /// Broker CPU per delivered message that Selvedge wants to need at most, as a part of what mosquitto needs in the same
    /// run: half of the best peer's.
    pub goal: f64,
}

impl Row {
    /// Messages published in one run.
    pub fn messages(&self, quick: bool) -> u32 {
        if quick { self.messages_quick } else { self.messages }
    }
}

/// The rows of the design's table. Enough messages that a run of the slowest broker takes some seconds.
pub const ROWS: [Row; 5] = [
    Row {
        name: "pair",
        title: "1→1 QoS 0, window 100",
        arguments: &["pair", "--qos", "0", "--window", "100"],
        messages: 400_000,
        messages_quick: 20_000,
        goal: 0.08,
    },
    Row {
        name: "paced",
        title: "1→1 QoS 0, paced 5,000/s",
        arguments: &["pair", "--qos", "0", "--rate", "5000"],
        messages: 20_000,
        messages_quick: 2_500,
        goal: 0.45,
    },
    Row {
        name: "pairs",
        title: "10→10 QoS 1, window 20",
        arguments: &["pairs", "--publishers", "10", "--qos", "1", "--window", "20"],
        messages: 200_000,
        messages_quick: 10_000,
        goal: 0.07,
    },
    Row {
        name: "fan-out",
        title: "fan-out 1→100 QoS 0, window 20",
        arguments: &["fan-out", "--subscribers", "100", "--qos", "0", "--window", "20"],
        messages: 5_000,
        messages_quick: 200,
        goal: 0.14,
    },
    Row {
        // A thousand messages on the way in all: what a session queues by default, at Selvedge as at mosquitto.
        name: "fan-in",
        title: "fan-in 100→1 QoS 1, window 10",
        arguments: &["fan-in", "--publishers", "100", "--qos", "1", "--window", "10"],
        messages: 200_000,
        messages_quick: 10_000,
        goal: 0.07,
    },
];
