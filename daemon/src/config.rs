//! What the node is told to do: one tree of documented settings with safe defaults, read from one TOML file.
//! Not a place for decisions: parts get their own settings from `wiring`. Only this module reads the file; only `arguments`
//! reads flags and environment. Invariant: a `Config` handed out by `load` passed every check of `checks`.

pub mod checks;
pub mod data_directory;
pub mod limits;
pub mod listeners;
pub mod load;
pub mod parts;
pub mod problem;
pub mod quantity;

use serde::{Deserialize, Serialize};

pub use limits::LimitsConfig;
pub use listeners::{HttpConfig, Listen, MqttConfig, WebSocketConfig};
pub use load::{Overrides, load};
pub use parts::{FunctionsConfig, LogConfig, LogFormat, StoreConfig, TwinsConfig};
pub use quantity::Period;

/// Everything that can be set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Directory that holds all state; empty: `$STATE_DIRECTORY`, else `$XDG_DATA_HOME/selvedge`, else
    /// `~/.local/share/selvedge`, else `./selvedge-data`.
    pub data: String,
    /// What is logged, and how.
    pub log: LogConfig,
    /// MQTT over TCP.
    pub mqtt: MqttConfig,
    /// MQTT over WebSocket.
    pub websocket: WebSocketConfig,
    /// Probes, metrics and reading API over TCP.
    pub http: HttpConfig,
    /// What one client, and all of them, may take.
    pub limits: LimitsConfig,
    /// Durable state.
    pub store: StoreConfig,
    /// Device twins.
    pub twins: TwinsConfig,
    /// WebAssembly functions.
    pub functions: FunctionsConfig,
}
