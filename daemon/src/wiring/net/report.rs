//! What the counters say, as JSON for HTTP and the command line, joined with the clients of the broker.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use selvedge_broker::Client;
use selvedge_ebpf::{Counts, GuardMode, PeerRow, Snapshot, Status};
use serde_json::{Value, json};

/// Clients that are listed; the busiest for the broker.
const CLIENTS_MAX: usize = 1000;
/// Names of clients beside one peer.
const NAMES_MAX: usize = 8;

/// One sentence about it.
pub fn sentence(status: &Status) -> String {
    let mut text = if status.interfaces.is_empty() {
        "no interface to count packets on".to_owned()
    } else {
        let interfaces = status.interfaces.iter().map(|one| format!("{} ({})", one.name, word(&one.hook)));
        format!("packets are counted on {}", interfaces.collect::<Vec<_>>().join(", "))
    };
    if status.guard != GuardMode::Off {
        let places = status.interfaces.iter().map(|one| format!("{} ({})", one.name, word(&one.guard)));
        text.push_str(&format!("; guard: {} on {}", word(&status.guard), places.collect::<Vec<_>>().join(", ")));
    }
    for problem in &status.problems {
        text.push_str(&format!("; {}: {}", problem.text, problem.remedy));
    }
    text
}

/// A value of an enumeration, as it is written elsewhere.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(text)) => text,
        _ => String::new(),
    }
}

/// Everything, with the `top` busiest peers.
pub fn counting(status: &Status, snapshot: &Snapshot, clients: &[Client], top: usize) -> Value {
    json!({
        "state": "counting",
        "up": status.up,
        "interfaces": status.interfaces,
        "problems": status.problems,
        "interval_s": snapshot.interval_s,
        "age_s": selvedge_ebpf::KernelTime::now().since(snapshot.at).as_secs_f64(),
        "totals": snapshot.totals,
        "peers": peers(snapshot, clients, top),
        "clients": with_kernel_counts(snapshot, clients),
        "health": snapshot.health,
        "guard": snapshot.guard,
    })
}

/// The busiest peers of the last interval, with the names of the clients that connect from there.
pub fn peers(snapshot: &Snapshot, clients: &[Client], top: usize) -> Vec<Value> {
    let mut names: BTreeMap<IpAddr, Vec<&str>> = BTreeMap::new();
    for client in clients {
        let of_address = names.entry(client.address.ip().to_canonical()).or_default();
        if of_address.len() < NAMES_MAX {
            of_address.push(&client.client_id);
        }
    }
    let none = Vec::new();
    let row = |row: PeerRow| {
        let rate = |counts: &Counts| json!({ "packets": per_second(counts.packets, snapshot), "bytes": per_second(counts.bytes, snapshot) });
        json!({
            "interface": row.interface,
            "peer": row.peer,
            "clients": names.get(&row.peer).unwrap_or(&none),
            "received": row.traffic.received,
            "sent": row.traffic.sent,
            "received_per_s": rate(&row.traffic.received_recent),
            "sent_per_s": rate(&row.traffic.sent_recent),
        })
    };
    snapshot.peers().into_iter().take(top).map(row).collect()
}

/// As `peers`, in few words, and without those that were silent in the last interval.
pub fn busiest(snapshot: &Snapshot, clients: &[Client], top: usize) -> Vec<Value> {
    let row = |row: Value| {
        let (received, sent) = (&row["received_per_s"], &row["sent_per_s"]);
        let active = [received, sent].iter().any(|rate| rate["packets"].as_f64().is_some_and(|rate| rate > 0.0));
        active.then(|| {
            json!({
                "peer": row["peer"],
                "interface": row["interface"],
                "clients": row["clients"],
                "received_bytes_per_s": received["bytes"],
                "sent_bytes_per_s": sent["bytes"],
            })
        })
    };
    peers(snapshot, clients, top).into_iter().filter_map(row).collect()
}

fn per_second(count: u64, snapshot: &Snapshot) -> f64 {
    if snapshot.interval_s > 0.0 { (count as f64 / snapshot.interval_s * 10.0).round() / 10.0 } else { 0.0 }
}

/// Each client with what the broker and the kernel counted of its connection.
fn with_kernel_counts(snapshot: &Snapshot, clients: &[Client]) -> Vec<Value> {
    let connections = snapshot.connections();
    let mut busiest: Vec<&Client> = clients.iter().collect();
    busiest.sort_by_key(|client| std::cmp::Reverse(client.bytes_in.saturating_add(client.bytes_out)));
    let row = |client: &Client| {
        let kernel = connections.get(&canonical(client.address));
        json!({
            "client_id": &*client.client_id,
            "address": client.address,
            "broker": { "received_bytes": client.bytes_in, "sent_bytes": client.bytes_out },
            "kernel": kernel.map(|counted| json!({ "received": counted.received, "sent": counted.sent })),
        })
    };
    busiest.into_iter().take(CLIENTS_MAX).map(row).collect()
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use selvedge_ebpf::{Direction, FlowRow, InterfaceName, IpVersion, PortClass, Protocol};

    use super::*;

    fn flow(direction: Direction, port: u16, bytes: u64) -> FlowRow {
        FlowRow {
            interface: InterfaceName::new("eth0"),
            direction,
            version: IpVersion::V4,
            protocol: Protocol::Tcp,
            class: PortClass::Mqtt,
            peer: Some("192.0.2.7".parse().unwrap()),
            peer_port: Some(port),
            counts: Counts { bytes, packets: 2, ..Counts::default() },
            recent: Counts { bytes: bytes / 2, packets: 1, ..Counts::default() },
        }
    }

    fn client(name: &str, address: &str) -> Client {
        Client { client_id: name.into(), address: address.parse().unwrap(), bytes_in: 60, bytes_out: 70 }
    }

    #[test]
    fn a_client_stands_beside_its_connection_and_its_peer() {
        let flows = vec![flow(Direction::In, 40_000, 100), flow(Direction::Out, 40_000, 300)];
        let snapshot = Snapshot { flows, interval_s: 2.0, ..Snapshot::default() };
        let clients = [client("pump", "[::ffff:192.0.2.7]:40000"), client("other", "192.0.2.9:1")];
        let status = Status { up: true, interfaces: Vec::new(), problems: Vec::new(), guard: GuardMode::Off };
        let value = counting(&status, &snapshot, &clients, 10);
        assert_eq!(value["peers"][0]["clients"], json!(["pump"]));
        assert_eq!(value["peers"][0]["received_per_s"]["bytes"], 25.0);
        assert_eq!(value["clients"][0]["client_id"], "pump");
        assert_eq!(value["clients"][0]["kernel"]["sent"]["bytes"], 300);
        assert_eq!(value["clients"][0]["broker"]["received_bytes"], 60);
        assert_eq!(value["clients"][1]["kernel"], Value::Null);
    }

    #[test]
    fn no_more_peers_than_asked_for_are_listed() {
        let flows = (0..5).map(|last| FlowRow {
            peer: Some(IpAddr::from([192, 0, 2, last])),
            ..flow(Direction::In, 1, u64::from(last) * 10)
        });
        let snapshot = Snapshot { flows: flows.collect(), interval_s: 1.0, ..Snapshot::default() };
        let listed: Vec<Value> = peers(&snapshot, &[], 2).into_iter().map(|row| row["peer"].clone()).collect();
        assert_eq!(listed, ["192.0.2.4", "192.0.2.3"]);
    }
}
