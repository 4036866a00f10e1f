//! A hub and some nodes around it, each in a network namespace of its own, with a wire each that can be cut.
//!
//! Needs root, and `ip` of iproute2. Invariant: nothing of it outlives the [`Star`].

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::wire::{inside, ip, why_not};

/// The hub's address.
pub const HUB: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);

/// See the module.
#[derive(Debug)]
pub struct Star {
    name: String,
    nodes: usize,
}

impl Star {
    /// A hub with so many nodes; `None` where this user may not make one, after saying so for `test`.
    ///
    /// # Errors
    /// The namespaces cannot be made although they should.
    pub fn new(nodes: usize, test: &str) -> anyhow::Result<Option<Self>> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if let Some(why) = why_not()? {
            println!("SKIPPED {test}: {why}");
            return Ok(None);
        }
        let name = format!("selvedge-star-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let star = Self { name, nodes };
        let hub = star.hub();
        ip(&format!("netns add {hub}"))?;
        ip(&format!("-n {hub} link add hub type bridge"))?;
        ip(&format!("-n {hub} addr add {HUB}/24 dev hub"))?;
        for interface in ["lo", "hub"] {
            ip(&format!("-n {hub} link set {interface} up"))?;
        }
        for index in 0..nodes {
            let node = star.node(index);
            ip(&format!("netns add {node}"))?;
            ip(&format!("link add wire netns {node} type veth peer name n{index} netns {hub}"))?;
            ip(&format!("-n {node} addr add 192.0.2.{}/24 dev wire", index + 1))?;
            ip(&format!("-n {hub} link set n{index} master hub up"))?;
            for interface in ["lo", "wire"] {
                ip(&format!("-n {node} link set {interface} up"))?;
            }
        }
        Ok(Some(star))
    }

    /// `command`, to be run at the hub.
    #[must_use]
    pub fn at_hub(&self, command: &Command) -> Command {
        inside(&self.hub(), command)
    }

    /// `command`, to be run at a node's end.
    #[must_use]
    pub fn at_node(&self, index: usize, command: &Command) -> Command {
        inside(&self.node(index), command)
    }

    /// Cuts the wire of a node: nothing gets through, and nobody is told.
    ///
    /// # Errors
    /// `ip` refuses.
    pub fn cut(&self, index: usize) -> anyhow::Result<()> {
        // Out of the bridge, not down: a link that is down would be noticed at once.
        ip(&format!("-n {} link set n{index} nomaster", self.hub()))
    }

    /// Mends it.
    ///
    /// # Errors
    /// `ip` refuses.
    pub fn mend(&self, index: usize) -> anyhow::Result<()> {
        ip(&format!("-n {} link set n{index} master hub", self.hub()))
    }

    fn hub(&self) -> String {
        format!("{}-h", self.name)
    }

    fn node(&self, index: usize) -> String {
        format!("{}-{index}", self.name)
    }
}

impl Drop for Star {
    fn drop(&mut self) {
        for namespace in (0..self.nodes).map(|index| self.node(index)).chain([self.hub()]) {
            if let Err(error) = ip(&format!("netns del {namespace}")) {
                eprintln!("{error:#}");
            }
        }
    }
}
