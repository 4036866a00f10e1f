//! `run`, `check`, `status`, and how every command finds the socket of a node.

use std::path::PathBuf;

use clap::Args;

use crate::config::net::Counting;
use crate::config::{Listen, LogFormat, Overrides};

pub(super) const RUN_EXAMPLES: &str = "\
Examples:
  selvedge run
  selvedge run --config /etc/selvedge.toml
  selvedge run --data /tmp/second --mqtt 127.0.0.1:1884 --ws off --http 127.0.0.1:0

A flag goes over its environment variable, that over the file, that over the default.
SELVEDGE_LOG sets what is logged, for example SELVEDGE_LOG=info,selvedge_broker=debug.";

pub(super) const CHECK_EXAMPLES: &str = "\
Examples:
  selvedge check --config /etc/selvedge.toml

Files of users, rules, keys and certificates are read as well.";

pub(super) const STATUS_EXAMPLES: &str = "\
Examples:
  selvedge status
  selvedge status --data /var/lib/selvedge --json";

/// Flags of `run`.
#[derive(Clone, Debug, Default, Args)]
pub struct RunArguments {
    /// Configuration file (TOML); none means defaults
    #[arg(long, value_name = "FILE", env = "SELVEDGE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Directory that holds all state
    #[arg(long, value_name = "DIR", env = "SELVEDGE_DATA")]
    pub data: Option<PathBuf>,
    /// MQTT over TCP: ADDRESS:PORT (port 0: any free one) or off [default: 127.0.0.1:1883]
    #[arg(long, value_name = "ADDR:PORT", env = "SELVEDGE_MQTT")]
    pub mqtt: Option<Listen>,
    /// MQTT over WebSocket, at /mqtt [default: 127.0.0.1:8083]
    #[arg(long, value_name = "ADDR:PORT", env = "SELVEDGE_WS")]
    pub ws: Option<Listen>,
    /// MQTT over TLS; `selvedge cert create` makes the certificate [default: off]
    #[arg(long, value_name = "ADDR:PORT", env = "SELVEDGE_MQTTS")]
    pub mqtts: Option<Listen>,
    /// MQTT over WebSocket over TLS, at /mqtt [default: off]
    #[arg(long, value_name = "ADDR:PORT", env = "SELVEDGE_WSS")]
    pub wss: Option<Listen>,
    /// Probes and metrics [default: 127.0.0.1:7883]
    #[arg(long, value_name = "ADDR:PORT", env = "SELVEDGE_HTTP")]
    pub http: Option<Listen>,
    /// Count packets in the kernel: auto, on or off [default: auto]
    #[arg(long, value_name = "WHETHER", env = "SELVEDGE_NET")]
    pub net: Option<Counting>,
    /// Let everybody in without a login, also on addresses that other machines reach
    #[arg(long)]
    pub allow_anonymous: bool,
    /// How log lines look
    #[arg(long, value_name = "FORMAT")]
    pub log: Option<LogFormat>,
    /// Print one line of JSON when ready instead of the greeting
    #[arg(long)]
    pub json: bool,
}

/// Flags of `check`.
#[derive(Clone, Debug, Args)]
pub struct CheckArguments {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", env = "SELVEDGE_CONFIG")]
    pub config: PathBuf,
    /// Data directory of the node, whose users and certificates are looked at, too
    #[arg(long, value_name = "DIR", env = "SELVEDGE_DATA")]
    pub data: Option<PathBuf>,
    /// Print the complete configuration, defaults included, as JSON
    #[arg(long)]
    pub json: bool,
}

/// How to find the node.
#[derive(Clone, Debug, Default, Args)]
pub struct SocketArguments {
    /// Data directory of the node; its socket is control.sock in it
    #[arg(long, value_name = "DIR", env = "SELVEDGE_DATA", global = true)]
    pub data: Option<PathBuf>,
    /// Socket of the node
    #[arg(long, value_name = "PATH", env = "SELVEDGE_SOCKET", global = true, conflicts_with = "data")]
    pub socket: Option<PathBuf>,
}

/// Flags of `status`.
#[derive(Clone, Debug, Args)]
pub struct StatusArguments {
    /// How to find the node.
    #[command(flatten)]
    pub socket: SocketArguments,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl RunArguments {
    /// What goes over the file.
    pub fn overrides(&self) -> Overrides {
        Overrides {
            data: self.data.clone(),
            mqtt: self.mqtt,
            mqtts: self.mqtts,
            websocket: self.ws,
            secure_websocket: self.wss,
            http: self.http,
            net: self.net,
            log_format: self.log,
            allow_anonymous: self.allow_anonymous,
        }
    }
}
