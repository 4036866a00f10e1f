//! Packets, counted in the kernel. Peers are no label: there may be thousands; `selvedge net top` and `/v1/net` have them.

use selvedge_ebpf::{Counts, TotalRow};

use crate::http::Exposition;
use crate::wiring::net::NetReadings;

/// Name, help, and where the count is.
type PacketCounter = (&'static str, &'static str, fn(&Counts) -> u64);

const PACKET_COUNTERS: [PacketCounter; 9] = [
    ("selvedge_net_packets_total", "Segments that crossed an interface", |counts| counts.packets),
    ("selvedge_net_bytes_total", "Bytes that crossed an interface, link headers included", |counts| counts.bytes),
    ("selvedge_net_syn_total", "TCP SYNs without ACK", |counts| counts.syn),
    ("selvedge_net_syn_ack_total", "TCP SYNs with ACK", |counts| counts.syn_ack),
    ("selvedge_net_rst_total", "TCP RSTs", |counts| counts.rst),
    ("selvedge_net_fin_total", "TCP FINs", |counts| counts.fin),
    ("selvedge_net_mqtt_attempts_total", "TCP SYNs to ports of MQTT", |counts| counts.mqtt_attempts),
    ("selvedge_net_fragments_total", "IP fragments", |counts| counts.fragments),
    ("selvedge_net_malformed_total", "Packets that contradict themselves", |counts| counts.malformed),
];

/// Totals by interface, direction and use; the state of the counters; the guard.
pub fn packets(out: &mut Exposition, net: &NetReadings) {
    out.gauge("selvedge_ebpf_up", "Whether packets are counted in the kernel").value(net.up);
    if let Some(cause) = net.cause {
        out.gauge("selvedge_ebpf_cannot", "Why packets are not counted, always 1").sample(&[("cause", cause)], 1u64);
    }
    let snapshot = &net.snapshot;
    for (name, help, count) in PACKET_COUNTERS {
        let counted: Vec<&TotalRow> = snapshot.totals.iter().filter(|row| count(&row.counts) > 0).collect();
        if counted.is_empty() {
            continue;
        }
        let mut family = out.counter(name, help);
        for row in counted {
            let (direction, version) = (row.direction.to_string(), row.version.to_string());
            let (protocol, class) = (row.protocol.to_string(), row.class.to_string());
            let labels = [
                ("interface", row.interface.as_str()),
                ("direction", &direction),
                ("version", &version),
                ("protocol", &protocol),
                ("class", &class),
            ];
            family.sample(&labels, count(&row.counts));
        }
    }
    let health = &snapshot.health;
    out.gauge("selvedge_net_flows", "Flows that the kernel keeps apart").value(health.flows_live);
    out.gauge("selvedge_net_flows_max", "Flows that it can keep apart").value(health.flows_max);
    out.counter("selvedge_net_flows_made_total", "Flows that began").value(health.flows_made);
    out.counter("selvedge_net_flows_not_made_total", "Flows for which there was no room").value(health.flows_not_made);
    out.counter("selvedge_net_flows_evicted_total", "Flows that had to make room, estimated")
        .value(health.evictions_estimated);
    out.gauge("selvedge_net_interfaces", "Interfaces on which packets are counted").value(health.interfaces);
    out.gauge("selvedge_net_drain_seconds", "What the last reading of the counters took")
        .value(health.drain_us as f64 / 1e6);
    out.counter("selvedge_net_drains_failed_total", "Readings of the counters that failed").value(net.failed);
    let guard = &snapshot.guard;
    let mut verdicts = out.counter("selvedge_net_guard_packets_total", "Packets by the verdict of the guard");
    for (verdict, row) in [
        ("dropped_denied", guard.dropped_denied),
        ("dropped_too_fast", guard.dropped_too_fast),
        ("would_drop_denied", guard.would_drop_denied),
        ("would_drop_too_fast", guard.would_drop_too_fast),
        ("spared", guard.spared),
        ("attempt_admitted", guard.attempts_admitted),
    ] {
        verdicts.sample(&[("verdict", verdict)], row.packets);
    }
    out.gauge("selvedge_net_guard_denied", "Peers that are denied").value(guard.denials.len() as u64);
    out.counter("selvedge_net_guard_denied_by_itself_total", "Peers that were denied because of what the broker saw")
        .value(net.denied_by_itself);
}
