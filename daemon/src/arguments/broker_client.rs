//! `pub` and `sub`: the flags of mosquitto_pub and mosquitto_sub, where -h is the host and -V the protocol version.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{ArgAction, ArgGroup, Args, ValueEnum};

use super::property::PropertyArguments;

pub(super) const PUBLISH_EXAMPLES: &str = "\
Examples:
  selvedge pub -t demo/hello -m hi
  selvedge pub -t demo/hello -m hi -q 1 -r
  selvedge pub -t firmware -f image.bin -q 2
  tail -f log | selvedge pub -t demo/log -l
  selvedge pub -t demo/hello -m hi -u joe -P secret --cafile ca.pem
  selvedge pub -t a -m b -D publish user-property unit celsius -D publish content-type text/plain";

pub(super) const SUBSCRIBE_EXAMPLES: &str = "\
Examples:
  selvedge sub -t 'demo/#' -v
  selvedge sub -t demo/in -C 1 -W 10
  selvedge sub -t 'demo/#' -F '%I %t %q %p'
  selvedge sub -t 'demo/#' -F %j
  selvedge sub -t '$share/group/demo/#' -q 1 -i worker-1 -c -x 3600
  selvedge sub -t 'demo/#' --retained-only -v
  selvedge sub -t 'demo/#' -v -u joe -P secret --cafile ca.pem";

/// Protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProtocolVersion {
    /// MQTT 5.
    #[value(name = "5", alias = "mqttv5")]
    V5,
    /// MQTT 3.1.1.
    #[value(name = "311", aliases = ["mqttv311", "3.1.1"])]
    V311,
}

/// Flags of both.
#[derive(Clone, Debug, Args)]
pub struct ConnectionArguments {
    /// Broker
    #[arg(short = 'h', long, default_value = "127.0.0.1")]
    pub host: String,
    /// Port of the broker [default: 1883, with TLS 8883]
    #[arg(short, long, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// mqtt:// or mqtts://[user[:password]@]host[:port]/topic, instead of -h, -p, -u, -P and -t
    #[arg(short = 'L', long, value_name = "URL", conflicts_with_all = ["host", "port", "username", "password"])]
    pub url: Option<String>,
    /// Local address to connect from
    #[arg(short = 'A', value_name = "ADDRESS")]
    pub bind: Option<IpAddr>,
    /// Client identifier [default: made up]
    #[arg(short = 'i', long = "id", value_name = "ID")]
    pub client_id: Option<String>,
    /// Client identifier: this and the process id
    #[arg(short = 'I', long = "id-prefix", value_name = "PREFIX", conflicts_with = "client_id")]
    pub client_id_prefix: Option<String>,
    /// User
    #[arg(short, long)]
    pub username: Option<String>,
    /// Password
    #[arg(short = 'P', long = "pw", value_name = "PASSWORD")]
    pub password: Option<String>,
    /// TLS: believe servers whose certificate one of the authorities in this file (PEM) signed
    #[arg(long, value_name = "FILE")]
    pub cafile: Option<PathBuf>,
    /// TLS: certificate of this client (PEM)
    #[arg(long, value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// TLS: its private key (PEM)
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// TLS: believe any server
    #[arg(long, conflicts_with = "cafile")]
    pub insecure: bool,
    /// TLS with the authorities of this system
    #[arg(long, alias = "tls-use-os-certs")]
    pub tls: bool,
    /// Protocol version
    #[arg(short = 'V', long = "protocol-version", value_enum, default_value = "5")]
    pub version: ProtocolVersion,
    /// Keep-alive in seconds; 0 is none
    #[arg(short, long = "keepalive", value_name = "SECONDS", default_value_t = 60)]
    pub keep_alive_s: u16,
    /// Keep the session: do not start clean
    #[arg(short = 'c', long)]
    pub disable_clean_session: bool,
    /// Session expiry in seconds, -1 for never (MQTT 5) [default: 0, with -c never]
    #[arg(short = 'x', long = "session-expiry-interval", value_name = "SECONDS", allow_hyphen_values = true)]
    pub session_expiry_s: Option<i64>,
    /// MQTT 5 properties.
    #[command(flatten)]
    pub properties: PropertyArguments,
    /// Topic of the will
    #[arg(long)]
    pub will_topic: Option<String>,
    /// Payload of the will
    #[arg(long, requires = "will_topic")]
    pub will_payload: Option<String>,
    /// QoS of the will
    #[arg(long, requires = "will_topic", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub will_qos: u8,
    /// Retain the will
    #[arg(long, requires = "will_topic")]
    pub will_retain: bool,
    /// Print nothing about errors
    #[arg(long)]
    pub quiet: bool,
    /// Print each packet to stderr
    #[arg(short, long)]
    pub debug: bool,
    /// Accepted and always so: TCP_NODELAY
    #[arg(long, hide = true)]
    pub nodelay: bool,
    /// Print help
    #[arg(long, action = ArgAction::Help)]
    pub help: Option<bool>,
}

/// Flags of `pub`.
#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("source").required(true).args(["message", "file", "stdin_lines", "null_message", "stdin_file"]))]
pub struct PublishArguments {
    /// The connection.
    #[command(flatten)]
    pub connection: ConnectionArguments,
    /// Topic
    #[arg(short, long, required_unless_present = "url")]
    pub topic: Option<String>,
    /// Payload
    #[arg(short, long, allow_hyphen_values = true)]
    pub message: Option<String>,
    /// Payload is what this file holds
    #[arg(short, long)]
    pub file: Option<PathBuf>,
    /// One message for each line of standard input
    #[arg(short = 'l', long)]
    pub stdin_lines: bool,
    /// An empty payload (with -r: remove the retained message)
    #[arg(short, long)]
    pub null_message: bool,
    /// Payload is all of standard input
    #[arg(short = 's', long)]
    pub stdin_file: bool,
    /// Quality of service
    #[arg(short, long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub qos: u8,
    /// Retain
    #[arg(short, long)]
    pub retain: bool,
    /// Publish this often
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub repeat: u64,
    /// Seconds between two repetitions
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0)]
    pub repeat_delay: f64,
    /// QoS 1 and 2 messages in flight
    #[arg(short = 'M', long = "max-inflight", value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    pub in_flight_max: u16,
}

/// Flags of `sub`.
#[derive(Clone, Debug, Args)]
pub struct SubscribeArguments {
    /// The connection.
    #[command(flatten)]
    pub connection: ConnectionArguments,
    /// Topic filter; repeat for more
    #[arg(short, long = "topic", value_name = "FILTER", required_unless_present_any = ["url", "unsubscribe"])]
    pub topics: Vec<String>,
    /// Do not print messages whose topic matches; repeat for more
    #[arg(short = 'T', long, value_name = "FILTER")]
    pub filter_out: Vec<String>,
    /// Unsubscribe first; repeat for more
    #[arg(short = 'U', long, value_name = "FILTER")]
    pub unsubscribe: Vec<String>,
    /// Largest quality of service wanted
    #[arg(short, long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub qos: u8,
    /// End after this many messages
    #[arg(short = 'C', value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// End after this many seconds (with exit code 1, if -C asked for more)
    #[arg(short = 'W', value_name = "SECONDS")]
    pub timeout_s: Option<u64>,
    /// End when subscribed (with -c: leaves a session behind)
    #[arg(short = 'E')]
    pub exit_when_subscribed: bool,
    /// Print topic and payload
    #[arg(short, long)]
    pub verbose: bool,
    /// Format of what is printed: %t topic, %p payload, %q QoS, %r retain, %j JSON, %x hex, %I time, %P user properties, …
    #[arg(short = 'F', value_name = "FORMAT", conflicts_with = "verbose")]
    pub format: Option<String>,
    /// One JSON object a message (as -F %j)
    #[arg(long, conflicts_with_all = ["verbose", "format"])]
    pub json: bool,
    /// No newline after a message
    #[arg(short = 'N')]
    pub no_newline: bool,
    /// Do not print retained messages that a subscription finds
    #[arg(short = 'R')]
    pub no_retained: bool,
    /// Print only retained messages, and end at the first that is not
    #[arg(long, conflicts_with = "no_retained")]
    pub retained_only: bool,
    /// Remove the retained messages that arrive
    #[arg(long)]
    pub remove_retained: bool,
    /// Keep the retain flag as published (MQTT 5)
    #[arg(long)]
    pub retain_as_published: bool,
    /// When to send retained messages: always, new (subscription), never (MQTT 5)
    #[arg(long, value_enum, default_value = "always")]
    pub retain_handling: RetainHandlingName,
    /// Do not send back what this client published (MQTT 5)
    #[arg(long)]
    pub no_local: bool,
    /// Print only this percentage of the messages, by chance
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(f64))]
    pub random_filter: Option<f64>,
}

/// When a subscription asks for retained messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RetainHandlingName {
    /// At each SUBSCRIBE.
    Always,
    /// If the subscription is new.
    New,
    /// Not at all.
    Never,
}
