//! Counting packets in the kernel, and the guard against floods.

use serde::{Deserialize, Serialize};

use selvedge_ebpf::{
    AttachMode, EventsConfig, GuardAttach, GuardConfig as KernelGuard, GuardMode, InterfacePattern, Network,
    PortsConfig,
};

use super::quantity::Period;

/// Whether packets are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Counting {
    /// Where the process has the rights; elsewhere the log has one line about it.
    Auto,
    /// Yes; where it cannot, the log has a warning.
    On,
    /// No.
    Off,
}

/// Counting packets in the kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetConfig {
    /// Whether packets are counted.
    pub counters: Counting,
    /// Between two readings of the kernel's counters.
    pub interval: Period,
    /// Names of interfaces, or patterns of them; those that come later are counted from then on.
    pub interfaces: Vec<InterfacePattern>,
    /// Hook of the kernel.
    pub attach: AttachMode,
    /// Flows that the kernel keeps apart at once.
    pub flows_max: u32,
    /// What ports are used for, beside those that this node listens on.
    pub ports: PortsConfig,
    /// Keeping floods away.
    pub guard: GuardConfig,
    /// What is an event, for functions and subscribers.
    pub events: EventsConfig,
}

/// Keeping floods away.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GuardConfig {
    /// Whether it judges, and whether it acts.
    pub mode: GuardMode,
    /// Where it sits.
    pub attach: GuardAttach,
    /// Connection attempts a second that one peer may make in the long run.
    pub attempts_per_s: u32,
    /// Connection attempts that one peer may make at once.
    pub attempts_burst: u32,
    /// Addresses and networks from which nothing is ever dropped.
    pub allow: Vec<Network>,
    /// Peers that can be denied at once.
    pub denied_max: u32,
    /// Peers whose rate is known at once.
    pub buckets_max: u32,
    /// Failed logins of one address within `window` after which it is denied; zero never.
    pub failed_logins_max: u32,
    /// Breaches of the protocol by one address within `window` after which it is denied; zero never.
    pub protocol_errors_max: u32,
    /// See the two above.
    pub window: Period,
    /// For how long such an address is denied.
    pub deny_for: Period,
    /// Ports of this machine whose connected users must not be locked out.
    pub operator_ports: Vec<u16>,
}

impl Default for NetConfig {
    fn default() -> Self {
        let kernel = selvedge_ebpf::Config::default();
        Self {
            counters: Counting::Auto,
            interval: Period::seconds(5),
            interfaces: kernel.interfaces,
            attach: kernel.attach,
            flows_max: kernel.flows_max,
            ports: kernel.ports,
            guard: GuardConfig::default(),
            events: kernel.events,
        }
    }
}

impl Default for GuardConfig {
    fn default() -> Self {
        let kernel = KernelGuard::default();
        Self {
            mode: kernel.mode,
            attach: kernel.attach,
            attempts_per_s: kernel.attempts_per_s,
            attempts_burst: kernel.attempts_burst,
            allow: kernel.allow,
            denied_max: kernel.denied_max,
            buckets_max: kernel.buckets_max,
            failed_logins_max: 20,
            protocol_errors_max: 20,
            window: Period::seconds(60),
            deny_for: Period::seconds(600),
            operator_ports: vec![22],
        }
    }
}

impl NetConfig {
    /// As the kernel's part takes it.
    pub fn kernel(&self) -> selvedge_ebpf::Config {
        selvedge_ebpf::Config {
            interfaces: self.interfaces.clone(),
            attach: self.attach,
            flows_max: self.flows_max,
            ports: self.ports.clone(),
            guard: KernelGuard {
                mode: self.guard.mode,
                attach: self.guard.attach,
                attempts_per_s: self.guard.attempts_per_s,
                attempts_burst: self.guard.attempts_burst,
                allow: self.guard.allow.clone(),
                denied_max: self.guard.denied_max,
                buckets_max: self.guard.buckets_max,
            },
            events: self.events.clone(),
        }
    }
}
