//! Two network namespaces with one wire between them: a node's, and that of the devices around it.
//!
//! Needs root, and `ip` of iproute2. Invariant: nothing of it outlives the [`Wire`], and nothing of the machine's own network is
//! touched.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd as _;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, bail, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The node's end.
pub const NODE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// Addresses of devices at the other end.
pub const DEVICES: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 7), Ipv4Addr::new(192, 0, 2, 8)];

/// See the module.
#[derive(Debug)]
pub struct Wire {
    node: String,
    devices: String,
}

impl Wire {
    /// A new wire; `None` where this user may not make one, after saying so for `test`.
    ///
    /// # Errors
    /// The namespaces cannot be made although they should.
    pub fn new(test: &str) -> anyhow::Result<Option<Self>> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if let Some(why) = why_not()? {
            println!("SKIPPED {test}: {why}");
            return Ok(None);
        }
        let name = format!("selvedge-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let wire = Self { node: format!("{name}-n"), devices: format!("{name}-d") };
        let (node, devices) = (wire.node.as_str(), wire.devices.as_str());
        ip(&format!("netns add {node}"))?;
        ip(&format!("netns add {devices}"))?;
        ip(&format!("link add wire netns {node} type veth peer name wire netns {devices}"))?;
        ip(&format!("-n {node} addr add {NODE}/24 dev wire"))?;
        for device in DEVICES {
            ip(&format!("-n {devices} addr add {device}/24 dev wire"))?;
        }
        for namespace in [node, devices] {
            for interface in ["lo", "wire"] {
                ip(&format!("-n {namespace} link set {interface} up"))?;
            }
        }
        Ok(Some(wire))
    }

    /// `command`, to be run at the node's end.
    pub fn at_node(&self, command: &Command) -> Command {
        inside(&self.node, command)
    }

    /// `command`, to be run at the devices' end.
    pub fn at_end_of_devices(&self, command: &Command) -> Command {
        inside(&self.devices, command)
    }

    /// Has the node know where `address` is, without asking: at the devices' end.
    ///
    /// # Errors
    /// `ip` refuses.
    pub fn neighbour(&self, address: Ipv4Addr) -> anyhow::Result<()> {
        let hardware = hardware_address(&self.devices)?;
        ip(&format!("-n {} neigh add {address} lladdr {hardware} dev wire nud permanent", self.node))
    }

    /// Of the node's end.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn hardware_address_of_node(&self) -> anyhow::Result<String> {
        hardware_address(&self.node)
    }

    /// Runs `work` at the devices' end; sockets made there stay there.
    ///
    /// # Errors
    /// The namespace cannot be entered, or `work` failed.
    pub fn at_devices<T: Send>(&self, work: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
        self.inside(&self.devices, work)
    }

    /// Runs `work` at the node's end.
    ///
    /// # Errors
    /// As [`Wire::at_devices`].
    pub fn beside_node<T: Send>(&self, work: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
        self.inside(&self.node, work)
    }

    fn inside<T: Send>(&self, namespace: &str, work: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
        let path = format!("/run/netns/{namespace}");
        let entered = File::open(&path).with_context(|| format!("open {path}"))?;
        // A thread of its own: it never comes back to the other namespace.
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                move_into_link_name_space(entered.as_fd(), Some(LinkNameSpaceType::Network))
                    .context("enter a namespace")?;
                work()
            });
            thread.join().unwrap_or_else(|_| bail!("the work in the namespace panicked"))
        })
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        for namespace in [&self.node, &self.devices] {
            if let Err(error) = ip(&format!("netns del {namespace}")) {
                eprintln!("{error:#}");
            }
        }
    }
}

/// Why this user may not make namespaces.
pub(crate) fn why_not() -> anyhow::Result<Option<String>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Some("network namespaces need root".to_owned()));
    }
    if Command::new("ip").arg("-V").output().is_err() {
        return Ok(Some("there is no `ip` (Debian's iproute2)".to_owned()));
    }
    let probe = ["--net", "--mount", "ip", "link", "add", "probe0", "type", "veth", "peer", "name", "probe1"];
    let probed = Command::new("unshare").args(probe).output().context("run unshare")?;
    Ok((!probed.status.success()).then(|| String::from_utf8_lossy(&probed.stderr).trim().to_owned()))
}

pub(crate) fn inside(namespace: &str, command: &Command) -> Command {
    let mut inside = Command::new("ip");
    inside.args(["netns", "exec", namespace]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => inside.env(name, value),
            None => inside.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        inside.current_dir(folder);
    }
    inside
}

fn hardware_address(namespace: &str) -> anyhow::Result<String> {
    let mut command = Command::new("cat");
    command.arg("/sys/class/net/wire/address");
    let output = inside(namespace, &command).output().context("read a hardware address")?;
    ensure!(output.status.success(), "read a hardware address: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

pub(crate) fn ip(words: &str) -> anyhow::Result<()> {
    let output = Command::new("ip").args(words.split(' ')).output().context("run ip")?;
    ensure!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// An address of a device, as text that no resolver is asked about.
pub fn device(index: usize) -> IpAddr {
    DEVICES.get(index).copied().unwrap_or(Ipv4Addr::UNSPECIFIED).into()
}
