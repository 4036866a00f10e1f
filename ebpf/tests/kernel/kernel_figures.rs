//! What the kernel says itself, to compare with.

use std::fs;

/// Interface counters of this namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InterfaceFigures {
    pub packets_in: u64,
    pub bytes_in: u64,
    pub packets_out: u64,
    pub bytes_out: u64,
}

impl InterfaceFigures {
    pub fn read(interface: &str) -> Self {
        let number = |file: &str| number_in(&format!("/sys/class/net/{interface}/statistics/{file}"));
        Self {
            packets_in: number("rx_packets"),
            bytes_in: number("rx_bytes"),
            packets_out: number("tx_packets"),
            bytes_out: number("tx_bytes"),
        }
    }

    pub fn since(&self, before: &Self) -> Self {
        Self {
            packets_in: self.packets_in - before.packets_in,
            bytes_in: self.bytes_in - before.bytes_in,
            packets_out: self.packets_out - before.packets_out,
            bytes_out: self.bytes_out - before.bytes_out,
        }
    }
}

/// The number that a file of the kernel has.
pub fn number_in(path: &str) -> u64 {
    fs::read_to_string(path).expect(path).trim().parse().expect("a number")
}

/// A counter of `/proc/net/snmp`: `protocol("Tcp", "OutSegs")`.
pub fn protocol(protocol: &str, counter: &str) -> u64 {
    let text = fs::read_to_string("/proc/net/snmp").expect("the kernel's counters of protocols");
    let mut lines = text.lines().filter(|line| line.starts_with(&format!("{protocol}:")));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let position = names.split_whitespace().position(|name| name == counter).expect("the counter");
    values.split_whitespace().nth(position).expect("its value").parse().expect("a number")
}

/// Segments of TCP that the kernel has sent. Its `OutSegs` leaves out those that hold nothing but what was sent before
/// (RFC 4022).
pub fn segments_sent() -> u64 {
    protocol("Tcp", "OutSegs") + protocol("Tcp", "RetransSegs")
}

/// A counter of `/proc/net/snmp6`: `protocol_v6("Udp6OutDatagrams")`.
pub fn protocol_v6(counter: &str) -> u64 {
    let text = fs::read_to_string("/proc/net/snmp6").expect("the kernel's counters of IPv6");
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(counter)).expect("the counter");
    line.split_whitespace().nth(1).expect("its value").parse().expect("a number")
}
