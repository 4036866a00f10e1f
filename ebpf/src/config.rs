//! What is counted, how much memory it may take, and what the guard does.

use serde::{Deserialize, Serialize};

use crate::{InterfacePattern, Network, PortClass};

/// Everything that can be configured. Changes need a new [`crate::Counters::start`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Names or patterns of the interfaces that are counted. Those that appear later are counted from then on.
    pub interfaces: Vec<InterfacePattern>,
    /// Where the programs are attached.
    pub attach: AttachMode,
    /// Flows (a peer, with direction and use) that the kernel keeps apart at once, 64 to 65,536. Beyond it the one that
    /// was silent longest goes. Each takes about 150 bytes and 56 more for each processor in the kernel, 250 in the
    /// node.
    pub flows_max: u32,
    /// What ports are used for.
    pub ports: PortsConfig,
    /// The guard.
    pub guard: GuardConfig,
    /// What is an event.
    pub events: EventsConfig,
}

/// Which hook of the kernel the counting programs are attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttachMode {
    /// tcx where the kernel has it (6.6 and later), clsact elsewhere.
    #[default]
    Auto,
    /// tcx, or not at all.
    Tcx,
    /// A filter in the clsact queueing discipline.
    Clsact,
}

/// Ports of TCP and UDP by use. A port may stand in one list only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PortsConfig {
    /// MQTT over TCP.
    pub mqtt: Vec<u16>,
    /// MQTT over TLS.
    pub mqtts: Vec<u16>,
    /// MQTT over WebSocket, with or without TLS.
    pub websocket: Vec<u16>,
    /// HTTP, with or without TLS.
    pub http: Vec<u16>,
    /// DNS.
    pub dns: Vec<u16>,
}

/// What the guard does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GuardConfig {
    /// Whether it judges, and whether it acts.
    pub mode: GuardMode,
    /// Where it sits.
    pub attach: GuardAttach,
    /// Connection attempts a second that one peer may make in the long run, 1 to 1,000,000.
    pub attempts_per_s: u32,
    /// Connection attempts that one peer may make at once, 1 to 1,000,000.
    pub attempts_burst: u32,
    /// Networks and addresses from which nothing is ever dropped, 256 at most.
    pub allow: Vec<Network>,
    /// Peers that can be denied at once, 1 to 65,536.
    pub denied_max: u32,
    /// Peers whose rate is known at once, 64 to 65,536. Beyond it the one that was silent longest starts anew.
    pub buckets_max: u32,
}

/// Whether the guard judges, and whether it acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuardMode {
    /// Nothing is judged.
    #[default]
    Off,
    /// Counts what it would drop.
    DryRun,
    /// Drops.
    Enforce,
}

/// Where the guard sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuardAttach {
    /// XDP on network cards whose driver has it, tc on everything else.
    #[default]
    Auto,
    /// XDP on every interface whose driver has it, virtual ones among them.
    Xdp,
    /// tc everywhere.
    Tc,
}

/// What is an event, for functions that wait for one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventsConfig {
    /// Whether a peer that was not seen since the start is an event.
    pub new_peers: bool,
    /// Rates that are events when they are crossed, 64 at most.
    pub thresholds: Vec<Threshold>,
}

/// A rate whose crossing is an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// Name, for whoever gets the event.
    pub name: String,
    /// What is measured.
    pub measure: Measure,
    /// For whom.
    #[serde(default)]
    pub scope: ThresholdScope,
    /// Only packets of this use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<PortClass>,
    /// Above so many a second it is crossed; it is crossed back below four fifths of that.
    pub above_per_s: u64,
}

/// What a threshold measures, of what comes in and goes out together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Segments.
    Packets,
    /// Bytes.
    Bytes,
    /// SYNs without ACK.
    Syn,
    /// RSTs.
    Rst,
    /// SYNs to ports of MQTT.
    MqttAttempts,
    /// Fragments.
    Fragments,
    /// Packets that contradict themselves.
    Malformed,
}

/// For whom a threshold holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ThresholdScope {
    /// For each peer by itself.
    #[default]
    Peer,
    /// For each interface by itself.
    Interface,
}

/// What is wrong with a configuration: the key, the value, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A number outside its range.
    #[error("{key} is {value}; allowed are {least} to {most}")]
    Range {
        /// The key.
        key: &'static str,
        /// Its value.
        value: u64,
        /// Least that is allowed.
        least: u64,
        /// Most that is allowed.
        most: u64,
    },
    /// A list that is too long.
    #[error("{key} has {length} entries; at most {most} are possible")]
    TooMany {
        /// The key.
        key: &'static str,
        /// Its length.
        length: usize,
        /// Most that is allowed.
        most: usize,
    },
    /// Nothing to count.
    #[error("interfaces is empty; name at least one, or write `interfaces = [\"*\"]` for all")]
    NoInterfaces,
    /// A port with two uses.
    #[error("port {port} stands in ports.{first} and in ports.{second}; it can have one use only")]
    PortTwice {
        /// The port.
        port: u16,
        /// The first list.
        first: &'static str,
        /// The second list.
        second: &'static str,
    },
    /// Two thresholds of one name.
    #[error("events.thresholds has two entries with the name {0:?}; the event could be either")]
    ThresholdTwice(String),
    /// A threshold without a usable name.
    #[error("a name in events.thresholds is empty or longer than {THRESHOLD_NAME_BYTES_MAX} bytes: {0:?}")]
    ThresholdName(String),
}

/// Patterns of interfaces.
const PATTERNS_MAX: usize = 64;
/// Ports in one list.
const PORTS_MAX: usize = 256;
/// Thresholds: each is looked up for each flow that moved.
const THRESHOLDS_MAX: usize = 64;
/// It goes into every event.
const THRESHOLD_NAME_BYTES_MAX: usize = 64;

impl Config {
    /// Whether every value is one that is allowed.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.interfaces.is_empty() {
            return Err(ConfigError::NoInterfaces);
        }
        at_most("interfaces", self.interfaces.len(), PATTERNS_MAX)?;
        range("flows_max", self.flows_max.into(), 64, 65_536)?;
        self.ports.check()?;
        self.guard.check()?;
        self.events.check()
    }
}

impl PortsConfig {
    /// The lists with their names and classes.
    pub(crate) fn lists(&self) -> [(&'static str, PortClass, &[u16]); 5] {
        [
            ("mqtt", PortClass::Mqtt, &self.mqtt),
            ("mqtts", PortClass::MqttTls, &self.mqtts),
            ("websocket", PortClass::WebSocket, &self.websocket),
            ("http", PortClass::Http, &self.http),
            ("dns", PortClass::Dns, &self.dns),
        ]
    }

    fn check(&self) -> Result<(), ConfigError> {
        const KEYS: [&str; 5] = ["ports.mqtt", "ports.mqtts", "ports.websocket", "ports.http", "ports.dns"];
        let mut seen = std::collections::BTreeMap::new();
        for (key, (name, _, ports)) in KEYS.into_iter().zip(self.lists()) {
            at_most(key, ports.len(), PORTS_MAX)?;
            for &port in ports {
                range(key, port.into(), 1, 65_535)?;
                if let Some(first) = seen.insert(port, name) {
                    return Err(ConfigError::PortTwice { port, first, second: name });
                }
            }
        }
        Ok(())
    }
}

impl GuardConfig {
    fn check(&self) -> Result<(), ConfigError> {
        range("guard.attempts_per_s", self.attempts_per_s.into(), 1, 1_000_000)?;
        range("guard.attempts_burst", self.attempts_burst.into(), 1, 1_000_000)?;
        range("guard.denied_max", self.denied_max.into(), 1, 65_536)?;
        range("guard.buckets_max", self.buckets_max.into(), 64, 65_536)?;
        at_most("guard.allow", self.allow.len(), selvedge_ebpf_abi::map::ALLOWED_MAX as usize)
    }
}

impl EventsConfig {
    fn check(&self) -> Result<(), ConfigError> {
        at_most("events.thresholds", self.thresholds.len(), THRESHOLDS_MAX)?;
        let mut names = std::collections::BTreeSet::new();
        for threshold in &self.thresholds {
            range("events.thresholds.above_per_s", threshold.above_per_s, 1, 1 << 53)?;
            if threshold.name.is_empty() || threshold.name.len() > THRESHOLD_NAME_BYTES_MAX {
                return Err(ConfigError::ThresholdName(threshold.name.clone()));
            }
            if !names.insert(&threshold.name) {
                return Err(ConfigError::ThresholdTwice(threshold.name.clone()));
            }
        }
        Ok(())
    }
}

fn range(key: &'static str, value: u64, least: u64, most: u64) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) { Ok(()) } else { Err(ConfigError::Range { key, value, least, most }) }
}

fn at_most(key: &'static str, length: usize, most: usize) -> Result<(), ConfigError> {
    if length <= most { Ok(()) } else { Err(ConfigError::TooMany { key, length, most }) }
}

impl Default for Config {
    fn default() -> Self {
        // Names that systemd, the kernel and modem software give to what is plugged in; no tunnels, bridges or
        // containers, whose packets cross one of these too.
        let interfaces = ["en*", "eth*", "wl*", "ww*", "usb*", "ppp*"];
        Self {
            interfaces: interfaces.iter().filter_map(|pattern| pattern.parse().ok()).collect(),
            attach: AttachMode::Auto,
            flows_max: 4096,
            ports: PortsConfig::default(),
            guard: GuardConfig::default(),
            events: EventsConfig::default(),
        }
    }
}

impl Default for PortsConfig {
    fn default() -> Self {
        Self {
            mqtt: vec![1883],
            mqtts: vec![8883],
            websocket: vec![8080, 8083, 8084],
            http: vec![80, 443, 7883],
            dns: vec![53],
        }
    }
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self {
            mode: GuardMode::Off,
            attach: GuardAttach::Auto,
            attempts_per_s: 20,
            attempts_burst: 100,
            allow: Vec::new(),
            denied_max: 1024,
            buckets_max: 4096,
        }
    }
}

#[cfg(test)]
mod tests;
