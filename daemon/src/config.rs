//! What the node is told to do: one tree of documented settings with safe defaults, read from one TOML file.
//! Not a place for decisions: parts get their own settings from `wiring`. Only this module reads the file; only `arguments`
//! reads flags and environment. Invariant: a `Config` handed out by `load` passed every check of `checks`.

pub mod access;
pub mod checks;
pub mod data_directory;
pub mod durability;
pub mod limits;
pub mod listeners;
pub mod load;
pub mod net;
pub mod ota;
pub mod parts;
pub mod problem;
pub mod quantity;
pub mod surroundings;
pub mod sync;
pub mod tls;

use serde::{Deserialize, Serialize};

pub use access::{AccessConfig, TokensConfig};
pub use durability::DurabilityConfig;
pub use limits::LimitsConfig;
pub use listeners::{HttpConfig, Listen, MqttConfig, MqttsConfig, SecureWebSocketConfig, WebSocketConfig};
pub use load::{Overrides, load, load_unchecked};
pub use net::NetConfig;
pub use ota::{OtaConfig, OtaFile};
pub use parts::{FunctionsConfig, LogConfig, LogFormat, StoreConfig, TwinsConfig};
pub use quantity::Period;
pub use surroundings::Surroundings;
pub use sync::SyncConfig;
pub use tls::TlsConfig;

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
    /// MQTT over TLS.
    pub mqtts: MqttsConfig,
    /// MQTT over WebSocket over TLS.
    pub secure_websocket: SecureWebSocketConfig,
    /// Certificates.
    pub tls: TlsConfig,
    /// Users, rules and tokens.
    pub access: AccessConfig,
    /// Probes, metrics and reading API over TCP.
    pub http: HttpConfig,
    /// What one client, and all of them, may take.
    pub limits: LimitsConfig,
    /// How safe messages for durable sessions are kept.
    pub durability: DurabilityConfig,
    /// Durable state.
    pub store: StoreConfig,
    /// Device twins.
    pub twins: TwinsConfig,
    /// WebAssembly functions.
    pub functions: FunctionsConfig,
    /// Updates.
    pub ota: OtaConfig,
    /// Counting packets in the kernel.
    pub net: NetConfig,
    /// The exchange of twins with other nodes.
    pub sync: SyncConfig,
}

impl Config {
    /// Whether some listener is encrypted.
    pub fn has_tls_listener(&self) -> bool {
        self.mqtts.listen != Listen::Off || self.secure_websocket.listen != Listen::Off
    }
}
