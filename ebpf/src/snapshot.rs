//! What one drain gives: values, to be shown, joined and looked through.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use selvedge_ebpf_abi::Verdict;
use serde::Serialize;

use crate::{
    Counts, Denial, Direction, GuardMode, InterfaceName, IpVersion, KernelTime, PortClass, Protocol,
    accumulate::{flow_table::Flow, total_table::TotalTable},
    network::peer_address,
};

/// Everything that is known after a drain.
///
/// `counts` only grow for as long as the counters run; `recent` is what came since the previous drain, so that `recent`
/// divided by `interval_s` is a rate.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Snapshot {
    /// When it was taken.
    pub at: KernelTime,
    /// Seconds since the previous one, or since the start.
    pub interval_s: f64,
    /// By interface and use; exact.
    pub totals: Vec<TotalRow>,
    /// By peer; what the kernel had to evict between two drains is missing here and in [`Health::evictions_estimated`].
    pub flows: Vec<FlowRow>,
    /// How well the counting works.
    pub health: Health,
    /// What the guard did.
    pub guard: GuardReport,
}

/// What crossed one interface in one direction for one use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TotalRow {
    /// Name of the interface; `(gone)` for those that went long ago.
    pub interface: InterfaceName,
    /// Which way.
    pub direction: Direction,
    /// IP version.
    pub version: IpVersion,
    /// What IP carried.
    pub protocol: Protocol,
    /// Use of the port.
    pub class: PortClass,
    /// Since the start.
    pub counts: Counts,
    /// Since the previous drain.
    pub recent: Counts,
}

/// What was exchanged with one peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlowRow {
    /// Name of the interface; `(gone)` for those that went long ago.
    pub interface: InterfaceName,
    /// Which way.
    pub direction: Direction,
    /// IP version.
    pub version: IpVersion,
    /// What IP carried.
    pub protocol: Protocol,
    /// Use of the port.
    pub class: PortClass,
    /// The peer; none for all those that are no longer told apart.
    pub peer: Option<IpAddr>,
    /// Port of the peer, for established TCP connections to a port of an MQTT class of this machine: one client each.
    pub peer_port: Option<u16>,
    /// Since the start.
    pub counts: Counts,
    /// Since the previous drain.
    pub recent: Counts,
}

/// How well the counting works.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Health {
    /// Flows that the kernel has at this moment.
    pub flows_live: u64,
    /// Flows that are told apart here.
    pub flows_tracked: u64,
    /// Flows that the kernel may have.
    pub flows_max: u64,
    /// Records that the kernel made since the start.
    pub flows_made: u64,
    /// Records that it could not make: those packets are in the totals only.
    pub flows_not_made: u64,
    /// Records that it must have evicted: those it made, less those it has and those that were deleted. Packets that
    /// such a record counted since the drain before its eviction are in the totals only.
    pub evictions_estimated: u64,
    /// Flows that are no longer told apart by peer, for want of room here.
    pub flows_folded: u64,
    /// Readings that were left for the next drain, for want of room here.
    pub readings_deferred: u64,
    /// Packets on interfaces that the programs do not know: 0 but for a moment when one comes or goes.
    pub unknown_interface_packets: u64,
    /// Peers of whom the guard could not keep the rate.
    pub buckets_not_made: u64,
    /// Interfaces that are counted.
    pub interfaces: u64,
    /// Time that this drain took, in µs.
    pub drain_us: u64,
}

/// What the guard did since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct GuardReport {
    /// Its mode.
    pub mode: GuardMode,
    /// Packets from denied peers that were dropped.
    pub dropped_denied: VerdictRow,
    /// Connection attempts beyond a peer's rate that were dropped.
    pub dropped_too_fast: VerdictRow,
    /// Packets from denied peers that would have been dropped.
    pub would_drop_denied: VerdictRow,
    /// Connection attempts that would have been dropped.
    pub would_drop_too_fast: VerdictRow,
    /// Packets that only the allow list or their being local saved.
    pub spared: VerdictRow,
    /// Connection attempts within the rate.
    pub attempts_admitted: VerdictRow,
    /// Peers that are denied.
    pub denials: Vec<Denial>,
    /// Peers whose attempts were dropped or would have been, most first, with their number.
    pub fastest: Vec<(IpAddr, u64)>,
}

/// How often a verdict was given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct VerdictRow {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What was exchanged over one connection of a client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Connection {
    /// From the client.
    pub received: Counts,
    /// To the client.
    pub sent: Counts,
    /// From the client, since the previous drain.
    pub received_recent: Counts,
    /// To the client, since the previous drain.
    pub sent_recent: Counts,
}

/// What was exchanged with one address, whatever for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PeerRow {
    /// Name of the interface.
    pub interface: InterfaceName,
    /// The address.
    pub peer: IpAddr,
    /// In and out.
    pub traffic: Connection,
}

impl Snapshot {
    /// What was exchanged over each connection of a client of an MQTT port, by the client's address and port.
    ///
    /// A packet that crosses two counted interfaces, a bridge and its port, is counted at both: the larger one holds.
    pub fn connections(&self) -> HashMap<SocketAddr, Connection> {
        let mut by_interface: HashMap<(SocketAddr, &InterfaceName), Connection> = HashMap::new();
        for row in &self.flows {
            if let (Some(peer), Some(port)) = (row.peer, row.peer_port) {
                by_interface.entry((SocketAddr::new(peer, port), &row.interface)).or_default().add(row);
            }
        }
        let bytes = |connection: &Connection| connection.received.bytes.saturating_add(connection.sent.bytes);
        let mut largest: HashMap<SocketAddr, Connection> = HashMap::with_capacity(by_interface.len());
        for ((client, _), connection) in by_interface {
            let held = largest.entry(client).or_insert(connection);
            if bytes(&connection) > bytes(held) {
                *held = connection;
            }
        }
        largest
    }

    /// Sums by interface and address: who moved most bytes since the previous drain first, then since the start.
    pub fn peers(&self) -> Vec<PeerRow> {
        let mut sums: HashMap<(&InterfaceName, IpAddr), Connection> = HashMap::new();
        for row in &self.flows {
            if let Some(peer) = row.peer {
                sums.entry((&row.interface, peer)).or_default().add(row);
            }
        }
        let row = |((interface, peer), traffic): ((&InterfaceName, IpAddr), Connection)| PeerRow {
            interface: interface.clone(),
            peer,
            traffic,
        };
        let mut rows: Vec<PeerRow> = sums.into_iter().map(row).collect();
        let bytes = |received: &Counts, sent: &Counts| std::cmp::Reverse(received.bytes.saturating_add(sent.bytes));
        rows.sort_by_cached_key(|row| {
            let Connection { received, sent, received_recent, sent_recent } = &row.traffic;
            (bytes(received_recent, sent_recent), bytes(received, sent), row.peer, row.interface.clone())
        });
        rows
    }
}

impl Connection {
    fn add(&mut self, row: &FlowRow) {
        let (counts, recent) = match row.direction {
            Direction::In => (&mut self.received, &mut self.received_recent),
            Direction::Out => (&mut self.sent, &mut self.sent_recent),
        };
        counts.add(&row.counts);
        recent.add(&row.recent);
    }
}

impl GuardReport {
    /// Takes over the kernel's numbers, in the order of [`Verdict::ALL`].
    pub(crate) fn set_verdicts(&mut self, sums: &[(u64, u64); Verdict::ALL.len()]) {
        for (verdict, (packets, bytes)) in Verdict::ALL.into_iter().zip(sums) {
            let row = match verdict {
                Verdict::DroppedDenied => &mut self.dropped_denied,
                Verdict::DroppedTooFast => &mut self.dropped_too_fast,
                Verdict::WouldDropDenied => &mut self.would_drop_denied,
                Verdict::WouldDropTooFast => &mut self.would_drop_too_fast,
                Verdict::SparedAllowed => &mut self.spared,
                Verdict::AttemptAdmitted => &mut self.attempts_admitted,
            };
            *row = VerdictRow { packets: *packets, bytes: *bytes };
        }
    }
}

pub fn total_rows(table: &TotalTable) -> Vec<TotalRow> {
    let rows = table.rows().map(|(interface, key, sum)| TotalRow {
        interface: interface.clone(),
        direction: key.direction.into(),
        version: key.version.into(),
        protocol: key.protocol.into(),
        class: key.class.into(),
        counts: sum.all,
        recent: sum.recent,
    });
    rows.collect()
}

/// A row, unless its key has numbers that no program of ours writes.
pub fn flow_row(flow: &Flow<'_>) -> Option<FlowRow> {
    Some(FlowRow {
        interface: flow.interface.clone(),
        direction: flow.details.shape().direction().into(),
        version: flow.details.shape().version().into(),
        protocol: flow.details.protocol()?.into(),
        class: flow.details.shape().class()?.into(),
        peer: flow.peer.map(|(peer, _)| peer_address(peer)),
        peer_port: flow.peer.map(|(_, port)| port).filter(|port| *port != 0),
        counts: flow.sum.all,
        recent: flow.sum.recent,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(interface: &str, direction: Direction, peer: &str, port: Option<u16>, bytes: u64) -> FlowRow {
        FlowRow {
            interface: InterfaceName::new(interface),
            direction,
            version: IpVersion::V4,
            protocol: Protocol::Tcp,
            class: PortClass::Mqtt,
            peer: Some(peer.parse().unwrap()),
            peer_port: port,
            counts: Counts { bytes, ..Counts::default() },
            recent: Counts { bytes: bytes / 10, ..Counts::default() },
        }
    }

    fn snapshot(flows: Vec<FlowRow>) -> Snapshot {
        Snapshot { flows, ..Snapshot::default() }
    }

    #[test]
    fn a_connection_is_found_by_address_and_port() {
        let snapshot = snapshot(vec![
            row("eth0", Direction::In, "192.0.2.7", Some(40_000), 100),
            row("eth0", Direction::Out, "192.0.2.7", Some(40_000), 300),
            row("eth0", Direction::In, "192.0.2.7", Some(40_001), 9),
            row("eth0", Direction::In, "192.0.2.7", None, 7),
        ]);
        let connections = snapshot.connections();
        let first = connections[&"192.0.2.7:40000".parse().unwrap()];
        assert_eq!((first.received.bytes, first.sent.bytes, first.sent_recent.bytes), (100, 300, 30));
        assert_eq!(connections[&"192.0.2.7:40001".parse().unwrap()].received.bytes, 9);
        assert_eq!(connections.len(), 2);
    }

    #[test]
    fn a_connection_over_a_bridge_and_its_port_is_not_counted_twice() {
        let snapshot = snapshot(vec![
            row("br0", Direction::In, "192.0.2.7", Some(40_000), 100),
            row("eth0", Direction::In, "192.0.2.7", Some(40_000), 104),
        ]);
        assert_eq!(snapshot.connections()[&"192.0.2.7:40000".parse().unwrap()].received.bytes, 104);
    }

    #[test]
    fn peers_are_summed_over_their_connections_and_the_busiest_comes_first() {
        let rows = snapshot(vec![
            row("eth0", Direction::In, "192.0.2.7", Some(40_000), 100),
            row("eth0", Direction::Out, "192.0.2.7", Some(40_001), 50),
            row("eth0", Direction::In, "192.0.2.8", None, 149),
            FlowRow { peer: None, ..row("eth0", Direction::In, "::1", None, 999) },
        ])
        .peers();
        let sums: Vec<_> = rows.iter().map(|row| (row.peer.to_string(), row.traffic.received.bytes)).collect();
        assert_eq!(sums, [("192.0.2.7".to_owned(), 100), ("192.0.2.8".to_owned(), 149)]);
    }

    #[test]
    fn each_verdict_has_a_row_of_its_own() {
        let mut report = GuardReport::default();
        report.set_verdicts(&[(1, 10), (2, 20), (3, 30), (4, 40), (5, 50), (6, 60)]);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["dropped_denied"]["packets"], 1);
        assert_eq!(json["attempts_admitted"]["bytes"], 60);
        assert_eq!(json["mode"], "off");
    }
}
