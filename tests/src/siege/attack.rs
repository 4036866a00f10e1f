//! Hostile clients. Each attack is a value: what it does, what the node counts of it, and what it needs.
//!
//! An attack may be repeated, and leaves nothing behind that lasts longer than a few seconds. Its connections come from
//! addresses of their own, so that limits by address do not hit the bystanders with them.

pub mod frames;
pub mod function;
pub mod handshake;
pub mod identity;
pub mod login;
pub mod publisher;
pub mod subscriber;

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};

use super::fortress::Needs;
use super::wire::{Target, Way};

/// What the node needs for an attack.
impl From<&Attack> for Needs {
    fn from(attack: &Attack) -> Self {
        Self {
            tls: matches!(attack.way, Way::Tls | Way::SecureWebSocket),
            users: attack.needs_users,
            functions: attack.needs_functions,
            limits: attack.limits.to_owned(),
        }
    }
}

/// One kind of hostile client.
#[derive(Debug)]
pub struct Attack {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it does, for tables.
    pub title: &'static str,
    /// What has to be served for it.
    pub way: Way,
    /// Whether the node needs users, and with them the bystanders.
    pub needs_users: bool,
    /// Whether it is a function that attacks: the node gets those of the tests.
    pub needs_functions: bool,
    /// Lines of `[limits]` that make it short.
    pub limits: &'static str,
    /// What the node counts, each as it is printed by `/metrics`; each has to grow.
    pub counters: &'static [&'static str],
    /// Does it once; an error is a node that did not answer as it should have.
    pub run: fn(&Target) -> anyhow::Result<()>,
}

impl Attack {
    const fn new(name: &'static str, title: &'static str, run: fn(&Target) -> anyhow::Result<()>) -> Self {
        Self { name, title, way: Way::Tcp, needs_users: false, needs_functions: false, limits: "", counters: &[], run }
    }

    const fn over(self, way: Way) -> Self {
        Self { way, ..self }
    }

    const fn with_limits(self, limits: &'static str) -> Self {
        Self { limits, ..self }
    }

    const fn counted(self, counters: &'static [&'static str]) -> Self {
        Self { counters, ..self }
    }

    const fn by_function(self) -> Self {
        Self { needs_functions: true, ..self }
    }

    const fn against_users(self) -> Self {
        Self { needs_users: true, ..self }
    }
}

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Attack> {
    let clients = [
        handshake::ATTACKS,
        identity::ATTACKS,
        publisher::ATTACKS,
        subscriber::ATTACKS,
        frames::ATTACKS,
        login::ATTACKS,
    ];
    clients.into_iter().chain([function::ATTACKS]).flatten()
}

/// The attack of that name.
pub fn find(name: &str) -> Option<&'static Attack> {
    all().find(|attack| attack.name == name)
}

/// The same node from an address that no attack has used yet: whoever attacks has more than one machine.
pub(crate) fn elsewhere(target: &Target) -> Target {
    static USED: AtomicU32 = AtomicU32::new(0);
    let number = USED.fetch_add(1, Ordering::Relaxed) % 0xFFFE + 1;
    // The process is in it, so that attackers at the same time do not meet.
    let network = std::process::id() % 200 + 2;
    let [_, _, high, low] = number.to_be_bytes();
    target.from(Ipv4Addr::new(127, u8::try_from(network).unwrap_or(2), high, low))
}

/// A name that no other run has used.
pub(crate) fn fresh(name: &str) -> String {
    static USED: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}-{}", std::process::id(), USED.fetch_add(1, Ordering::Relaxed))
}
