//! The rows that are compared, and the goals.
//!
//! Invariant: a row always publishes the same number of messages, whatever broker it runs against.

/// What lies between the generator and the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Nothing but TCP.
    Tcp,
    /// TLS 1.3.
    Tls,
    /// WebSocket frames.
    WebSocket,
}

/// One comparison.
#[derive(Debug)]
pub struct Row {
    /// On the command line.
    pub name: &'static str,
    /// In the table.
    pub title: &'static str,
    /// Which listener of the broker is measured; brokers without one are left out.
    pub transport: Transport,
    /// Arguments of `selvedge bench`.
    pub arguments: &'static [&'static str],
    /// Whether the bare relay can play this part: it matches no wildcards and keeps nothing.
    pub relay: bool,
    /// The option that says how much, the amount of a round, and that of a smoke run.
    amount: (&'static str, u32, u32),
    /// Broker CPU per delivered message (or connection) that Selvedge wants to need at most, as a part of what mosquitto needs in
    /// the same run: half of the best peer's in the design's table. Absent where the design has no figure of a peer.
    pub goal: Option<f64>,
}

impl Row {
    /// The option that says how much one run does, and its value.
    pub fn amount(&self, quick: bool) -> [String; 2] {
        let (option, full, little) = self.amount;
        [option.to_owned(), if quick { little } else { full }.to_string()]
    }
}

const PAIR: &[&str] = &["pair", "--qos", "0", "--window", "100"];
const PACED: &[&str] = &["pair", "--qos", "0", "--rate", "5000"];
const PAIRS: &[&str] = &["pairs", "--publishers", "10", "--qos", "1", "--window", "20"];

const fn row(
    name: &'static str,
    title: &'static str,
    arguments: &'static [&'static str],
    full: u32,
    little: u32,
) -> Row {
    let amount = ("--messages", full, little);
    Row { name, title, transport: Transport::Tcp, arguments, relay: true, amount, goal: None }
}

/// The rows of the design's table, then what is not in it. Enough messages that a run of the slowest broker takes some seconds.
pub const ROWS: [Row; 13] = [
    Row { goal: Some(0.08), ..row("pair", "1→1 QoS 0, window 100", PAIR, 400_000, 20_000) },
    Row { goal: Some(0.45), ..row("paced", "1→1 QoS 0, paced 5,000/s", PACED, 20_000, 2_500) },
    Row { goal: Some(0.07), ..row("pairs", "10→10 QoS 1, window 20", PAIRS, 200_000, 10_000) },
    Row {
        goal: Some(0.14),
        ..row(
            "fan-out",
            "fan-out 1→100 QoS 0, window 20",
            &["fan-out", "--subscribers", "100", "--qos", "0", "--window", "20"],
            5_000,
            200,
        )
    },
    Row {
        // A thousand messages on the way in all: what a session queues by default, at Selvedge as at mosquitto.
        goal: Some(0.07),
        ..row(
            "fan-in",
            "fan-in 100→1 QoS 1, window 10",
            &["fan-in", "--publishers", "100", "--qos", "1", "--window", "10"],
            200_000,
            10_000,
        )
    },
    Row { transport: Transport::Tls, ..row("tls-pair", "TLS 1→1 QoS 0, window 100", PAIR, 200_000, 10_000) },
    Row { transport: Transport::Tls, ..row("tls-paced", "TLS 1→1 QoS 0, paced 5,000/s", PACED, 20_000, 2_500) },
    Row { transport: Transport::Tls, ..row("tls-pairs", "TLS 10→10 QoS 1, window 20", PAIRS, 100_000, 5_000) },
    Row {
        transport: Transport::WebSocket, ..row("ws-pair", "WebSocket 1→1 QoS 0, window 100", PAIR, 200_000, 10_000)
    },
    Row {
        transport: Transport::WebSocket,
        ..row("ws-pairs", "WebSocket 10→10 QoS 1, window 20", PAIRS, 100_000, 5_000)
    },
    Row {
        relay: false,
        ..row(
            "wildcard",
            "10,000 wildcard filters, 1→10 QoS 0, window 100",
            &["wildcard", "--filters", "10000", "--subscribers", "10", "--qos", "0", "--window", "100"],
            100_000,
            10_000,
        )
    },
    Row {
        relay: false,
        amount: ("--connections", 5_000, 500),
        ..row("connect", "connect storm, 50 at a time, password checked", &["connect", "--window", "50"], 0, 0)
    },
    Row {
        relay: false,
        ..row(
            "retained",
            "10,000 retained messages to each of 10 new subscribers",
            &["retained", "--subscribers", "10"],
            10_000,
            1_000,
        )
    },
];
