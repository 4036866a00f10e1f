//! Two namespaces and a cable: `eth0` here, `peer0` in the namespace `peer`.

use std::{
    io::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::AsFd as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use selvedge_ebpf::{AttachMode, Config, Counters, KernelTime, Snapshot};

use crate::surroundings::say;

pub const HERE: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
pub const PEER: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
pub const HERE_V6: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 1);
pub const PEER_V6: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 2);
pub const HERE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// Longest wait for a packet to arrive where it was sent.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs lines of `ip`.
pub fn ip(lines: &str) {
    let mut child = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().expect("ip can be started");
    let mut input = child.stdin.take().expect("the pipe");
    input.write_all(lines.as_bytes()).expect("ip reads");
    drop(input);
    assert!(child.wait().expect("ip ends").success(), "ip refused one of:\n{lines}");
}

/// Lays the cable, for IPv4 alone: with IPv6 the kernel says things of its own on it.
pub fn connect() {
    connect_with(1);
}

/// Lays the cable, for both versions.
pub fn connect_v6() {
    connect_with(0);
    let v6 = "addr add fd09::1/64 dev eth0 nodad\nneigh add fd09::2 lladdr 02:00:00:00:00:02 dev eth0 nud permanent\n";
    ip(v6);
    let there =
        "addr add fd09::2/64 dev peer0 nodad\nneigh add fd09::1 lladdr 02:00:00:00:00:01 dev peer0 nud permanent\n";
    in_peer(|| ip(there));
}

fn connect_with(disabled: u8) {
    let quiet = format!(
        "for f in all default; do for k in dad_transmits autoconf accept_ra router_solicitations; do \
         echo 0 > /proc/sys/net/ipv6/conf/$f/$k; done; echo {disabled} > /proc/sys/net/ipv6/conf/$f/disable_ipv6; done"
    );
    let peer = format!("ip netns add peer && ip netns exec peer sh -c '{quiet}; ip link set lo up'");
    for script in [quiet.as_str(), peer.as_str()] {
        assert!(Command::new("sh").args(["-c", script]).status().expect("sh").success(), "{script}");
    }
    ip("link add eth0 address 02:00:00:00:00:01 type veth peer name peer0 address 02:00:00:00:00:02\n\
        link set peer0 netns peer\n\
        addr add 10.9.0.1/24 dev eth0\n\
        link set eth0 up\n\
        neigh add 10.9.0.2 lladdr 02:00:00:00:00:02 dev eth0 nud permanent\n");
    let there = "addr add 10.9.0.2/24 dev peer0\nlink set peer0 up\n\
                 neigh add 10.9.0.1 lladdr 02:00:00:00:00:01 dev peer0 nud permanent\n";
    in_peer(|| ip(there));
}

/// Runs something in the namespace of the peer.
pub fn in_peer<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            let namespace = std::fs::File::open("/run/netns/peer").expect("the namespace of the peer");
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).expect("the way into it");
            body()
        });
        inside.join().expect("what ran in the peer's namespace")
    })
}

/// A configuration for one interface.
pub fn config(interface: &str, attach: AttachMode) -> Config {
    Config { interfaces: vec![interface.parse().expect("a name")], attach, ..Config::default() }
}

/// Counters that are up.
pub fn start(config: &Config) -> Counters {
    let counters = Counters::start(config, KernelTime::now()).expect("the counters start");
    assert!(counters.status().up, "{:?}", counters.status());
    counters
}

/// Whether the kernel has what is asked for; says why not.
pub fn has_hook(attach: AttachMode) -> bool {
    let counters = Counters::start(&config("lo", attach), KernelTime::now()).expect("the counters start");
    let status = counters.status();
    if !status.up {
        say(&format!("SKIPPED {attach:?}: {} ({})", status.problems[0].text, status.problems[0].remedy));
    }
    status.up
}

/// Drains until what is asked for has arrived.
pub fn drain_until(counters: &mut Counters, what: &str, mut arrived: impl FnMut(&Snapshot) -> bool) -> Snapshot {
    let until = Instant::now() + PATIENCE;
    loop {
        let snapshot = counters.drain(KernelTime::now()).expect("a drain");
        if arrived(&snapshot) {
            return snapshot;
        }
        assert!(Instant::now() < until, "{what} did not arrive:\n{}", table(&snapshot));
        std::thread::yield_now();
    }
}

/// A snapshot for a person.
pub fn table(snapshot: &Snapshot) -> String {
    let totals = snapshot.totals.iter().map(|row| format!("{row:?}\n"));
    let flows = snapshot.flows.iter().map(|row| format!("{row:?}\n"));
    totals.chain(flows).collect()
}

pub fn v4(address: Ipv4Addr) -> IpAddr {
    IpAddr::V4(address)
}
