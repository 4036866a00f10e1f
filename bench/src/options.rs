//! The command line of `selvedge bench`.
//! Only its shape and defaults: what is allowed is decided in [`crate::plan`].

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::relay::RelayFaults;

/// Put load on an MQTT broker and measure it.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// What to measure.
    #[command(subcommand)]
    pub scenario: Scenario,
}

/// What to measure.
#[derive(Clone, Debug, Subcommand)]
pub enum Scenario {
    /// One publisher to one subscriber.
    Pair(LoadOptions),
    /// N publishers to N subscribers, each pair with its own topic (default N: 10).
    Pairs(LoadOptions),
    /// One publisher to N subscribers of one topic (default N: 100).
    FanOut(LoadOptions),
    /// N publishers, each with its own topic, to one subscriber with a wildcard (default N: 100).
    FanIn(LoadOptions),
    /// Messages that each match one of N wildcard filters (default N: 1000).
    Wildcard(WildcardOptions),
    /// Connect, be accepted, disconnect; over and over.
    Connect(ConnectOptions),
    /// Hold N idle connections and look at the broker's memory.
    Idle(IdleOptions),
    /// Leave N retained messages, then time a new subscriber that gets them all.
    Retained(RetainedOptions),
    /// Publish to one topic and time the answer on another, one message at a time: what a function takes.
    RoundTrip(RoundTripOptions),
    /// Fill the queues of N sessions that are away, then let them come back for it (default N: 10).
    #[command(after_help = BACKLOG_EXAMPLES)]
    Backlog(BacklogOptions),
    /// Serve as the bare relay: copies PUBLISH bytes to subscribers, the ceiling of what a broker can reach.
    Relay(RelayOptions),
}

/// Which broker, and how to speak to it.
#[derive(Args, Clone, Debug)]
pub struct TargetOptions {
    /// The broker's host name or address.
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,
    /// The broker's TCP port.
    #[arg(long, default_value_t = 1883)]
    pub port: u16,
    /// MQTT version: 4 is 3.1.1, 5 is 5.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(4..=5))]
    pub protocol: u8,
    /// User name to connect with.
    #[arg(long)]
    pub username: Option<String>,
    /// Password to connect with.
    #[arg(long, requires = "username")]
    pub password: Option<String>,
    /// Encrypt with TLS, trusting the certificates of this PEM file.
    #[arg(long, value_name = "FILE")]
    pub cafile: Option<PathBuf>,
    /// Encrypt with TLS and trust any certificate: for measuring only.
    #[arg(long, conflicts_with = "cafile")]
    pub insecure: bool,
    /// Speak MQTT over WebSocket, at this path.
    #[arg(long, value_name = "PATH", num_args = 0..=1, default_missing_value = "/mqtt")]
    pub websocket: Option<String>,
    /// The broker's process id: also report its CPU time and memory, read from /proc.
    #[arg(long)]
    pub pid: Option<u32>,
    /// Where the broker shows its counters (http://127.0.0.1:7883/metrics): also report how they grew.
    #[arg(long, value_name = "URL")]
    pub metrics: Option<String>,
    /// Measure the bare relay, run as a thread of this process, instead of a broker.
    #[arg(long, conflicts_with_all = ["host", "port", "pid", "metrics", "cafile", "insecure", "websocket"])]
    pub bare_relay: bool,
    /// Seconds without any progress after which the run is given up.
    #[arg(long, default_value_t = 10)]
    pub timeout_s: u64,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of the scenarios that move messages.
#[derive(Args, Clone, Debug)]
pub struct LoadOptions {
    /// Which broker.
    #[command(flatten)]
    pub target: TargetOptions,
    /// Quality of service of publications and subscriptions.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub qos: u8,
    /// Payload size in bytes.
    #[arg(long, default_value_t = 64)]
    pub payload_bytes: u32,
    /// Publish so many messages in all [default: as many as fit into 5 seconds].
    #[arg(long, conflicts_with = "seconds")]
    pub messages: Option<u64>,
    /// Publish for so many seconds.
    #[arg(long)]
    pub seconds: Option<f64>,
    /// Messages that each publisher may have on the way, undelivered [default: 100].
    #[arg(long, conflicts_with = "rate")]
    pub window: Option<u32>,
    /// Publish so many messages a second in all, evenly spaced, instead of by window.
    #[arg(long)]
    pub rate: Option<f64>,
    /// Publishers.
    #[arg(long)]
    pub publishers: Option<u32>,
    /// Subscribers.
    #[arg(long)]
    pub subscribers: Option<u32>,
    /// Subscribers' sessions outlive their connections; needs --qos 1 or 2. They are ended after the run.
    #[arg(long)]
    pub durable: bool,
    /// Subscribers are disconnected while messages are published: what is timed is the acknowledgement.
    #[arg(long, requires = "durable")]
    pub offline: bool,
    /// Messages published in all before measuring starts [default: a tenth of --messages, at most 10000].
    #[arg(long)]
    pub warmup: Option<u64>,
}

/// Options of `wildcard`.
#[derive(Args, Clone, Debug)]
pub struct WildcardOptions {
    /// As in the other scenarios.
    #[command(flatten)]
    pub load: LoadOptions,
    /// Wildcard filters in all, spread over the subscribers.
    #[arg(long, default_value_t = 1_000)]
    pub filters: u32,
}

/// Options of `connect`.
#[derive(Args, Clone, Debug)]
pub struct ConnectOptions {
    /// Which broker.
    #[command(flatten)]
    pub target: TargetOptions,
    /// Connections to make in all.
    #[arg(long, default_value_t = 5_000)]
    pub connections: u32,
    /// Connections under way at any time.
    #[arg(long, default_value_t = 50)]
    pub window: u32,
}

/// Options of `idle`.
#[derive(Args, Clone, Debug)]
pub struct IdleOptions {
    /// Which broker.
    #[command(flatten)]
    pub target: TargetOptions,
    /// Connections to hold.
    #[arg(long, default_value_t = 5_000)]
    pub connections: u32,
    /// Seconds to hold them.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
}

/// Options of `retained`.
#[derive(Args, Clone, Debug)]
pub struct RetainedOptions {
    /// Which broker.
    #[command(flatten)]
    pub target: TargetOptions,
    /// Retained messages, each on its own topic; removed again at the end.
    #[arg(long, default_value_t = 1_000)]
    pub messages: u32,
    /// Subscribers that ask for all of them, one after the other.
    #[arg(long, default_value_t = 1)]
    pub subscribers: u32,
    /// Quality of service of the subscriptions; messages are left with 1 or more, so that the broker says when it has them.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub qos: u8,
    /// Payload size in bytes.
    #[arg(long, default_value_t = 64)]
    pub payload_bytes: u32,
}

/// Options of `round-trip`.
#[derive(Args, Clone, Debug)]
pub struct RoundTripOptions {
    /// Which broker.
    #[command(flatten)]
    pub target: TargetOptions,
    /// Topic to publish to.
    #[arg(long)]
    pub topic: String,
    /// Topic filter on which each message is answered once.
    #[arg(long)]
    pub answer: String,
    /// What to publish.
    #[arg(long, default_value = "213")]
    pub payload: String,
    /// Messages, one after the other, after a warm-up of a tenth (at most 100).
    #[arg(long, default_value_t = 2_000)]
    pub messages: u32,
    /// Quality of service of publications and the subscription.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub qos: u8,
}

/// Options of `backlog`.
#[derive(Args, Clone, Debug)]
pub struct BacklogOptions {
    /// Which broker.
    #[command(flatten)]
    pub target: TargetOptions,
    /// What to do; each phase can be run alone, with the same other options, and the broker restarted in between.
    #[arg(long, value_enum, default_value_t = BacklogPhase::All)]
    pub phase: BacklogPhase,
    /// What clients and topics are called after.
    #[arg(long, default_value = "backlog")]
    pub name: String,
    /// Publishers.
    #[arg(long, default_value_t = 10)]
    pub publishers: u32,
    /// Sessions, each with a topic of its own.
    #[arg(long, default_value_t = 10)]
    pub sessions: u32,
    /// One topic for all sessions: each message waits in every one.
    #[arg(long)]
    pub fan_out: bool,
    /// Messages in all, at QoS 1.
    #[arg(long, default_value_t = 100_000)]
    pub messages: u64,
    /// Payload size in bytes.
    #[arg(long, default_value_t = 256)]
    pub payload_bytes: u32,
    /// Messages that each publisher may have unacknowledged; the broker's receive maximum holds as well.
    #[arg(long, default_value_t = 1_000)]
    pub window: u16,
    /// Seconds that the sessions stay after their connections.
    #[arg(long, default_value_t = 86_400)]
    pub expiry_s: u32,
    /// Leave the empty sessions after the drain.
    #[arg(long)]
    pub keep_sessions: bool,
}

/// A part of `backlog`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BacklogPhase {
    /// Make the sessions, subscribe, disconnect.
    Prepare,
    /// Publish everything.
    Publish,
    /// Reconnect the sessions, acknowledge everything, count.
    Drain,
    /// All three.
    All,
}

const BACKLOG_EXAMPLES: &str = "\
Examples:
  selvedge bench backlog --pid \"$(pidof selvedge)\" --metrics http://127.0.0.1:7883/metrics
  selvedge bench backlog --fan-out --messages 10000
  selvedge bench backlog --phase prepare && selvedge bench backlog --phase publish
  selvedge bench backlog --phase drain         after the broker was restarted

The broker's limits on the queue of one session (limits.queue_messages_max and limits.queue_bytes_max)
have to leave room for what is published; what they drop is reported as lost.";

/// Options of `relay`.
#[derive(Args, Clone, Debug)]
pub struct RelayOptions {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:1883")]
    pub listen: SocketAddr,
    /// Loses every Nth message, to see that a run notices it.
    #[arg(long)]
    pub drop_every: Option<u64>,
    /// Sends every Nth message twice, to see that a run notices it.
    #[arg(long)]
    pub repeat_every: Option<u64>,
}

impl RelayOptions {
    pub(crate) fn faults(&self) -> RelayFaults {
        RelayFaults { drop_every: self.drop_every, repeat_every: self.repeat_every }
    }
}

impl Scenario {
    /// Whether the report is wanted as JSON.
    pub fn json(&self) -> bool {
        match self {
            Self::Pair(load) | Self::Pairs(load) | Self::FanOut(load) | Self::FanIn(load) => load.target.json,
            Self::Wildcard(wildcard) => wildcard.load.target.json,
            Self::Connect(connect) => connect.target.json,
            Self::Idle(idle) => idle.target.json,
            Self::Retained(retained) => retained.target.json,
            Self::RoundTrip(trip) => trip.target.json,
            Self::Backlog(backlog) => backlog.target.json,
            Self::Relay(_) => false,
        }
    }
}
