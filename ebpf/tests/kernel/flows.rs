//! Many flows: reading them, evicting them, and what is known of each.

use std::{collections::BTreeMap, net::IpAddr};

use selvedge_ebpf::{AttachMode, Config, Direction, FlowRow, IpVersion, KernelTime, ReadMethod, Snapshot};

use crate::{
    frame::{ACK, From, ipv4, tcp, udp},
    frame_socket::FrameSocket,
    network::{config, connect, drain_until, in_peer, start},
    surroundings::in_namespace,
};

fn send_from(peers: std::ops::Range<u32>) {
    in_peer(|| {
        let socket = FrameSocket::open("peer0");
        for peer in peers {
            let mut frame = ipv4(From::Peer, 17, &udp(9, 53, b""));
            frame[26..30].copy_from_slice(&(0x0b00_0000 + peer).to_be_bytes());
            socket.send(&frame);
        }
    });
}

fn received(snapshot: &Snapshot) -> impl Iterator<Item = &FlowRow> {
    snapshot.flows.iter().filter(|row| row.direction == Direction::In && row.version == IpVersion::V4)
}

fn total_in(snapshot: &Snapshot) -> u64 {
    let rows = snapshot.totals.iter().filter(|row| row.direction == Direction::In && row.version == IpVersion::V4);
    rows.map(|row| row.counts.packets).sum()
}

fn with_flows(flows_max: u32) -> Config {
    Config { flows_max, ..config("eth0", AttachMode::Auto) }
}

in_namespace! {
    fn ten_thousand_flows_are_read_alike_in_batches_and_one_by_one() {
        connect();
        let mut counters = start(&with_flows(16_384));
        send_from(0..10_000);
        let all = |snapshot: &Snapshot| total_in(snapshot) == 10_000;
        let batches = drain_until(&mut counters, "10,000 packets", all);
        assert_eq!(counters.read_method(), ReadMethod::Batch);
        counters.set_read_method(ReadMethod::OneByOne);
        let one_by_one = counters.drain(KernelTime::now()).unwrap();
        let peers = |snapshot: &Snapshot| -> BTreeMap<IpAddr, u64> {
            received(snapshot).filter_map(|row| Some((row.peer?, row.counts.packets))).collect()
        };
        assert_eq!(peers(&batches).len(), 10_000);
        assert!(peers(&batches).values().all(|packets| *packets == 1));
        assert_eq!(peers(&batches), peers(&one_by_one));
        assert!(one_by_one.flows.iter().all(|row| row.recent.is_zero()), "nothing came meanwhile");
        println!(
            "\n| drain of 10,000 flows | {} µs in batches | {} µs one by one |",
            batches.health.drain_us, one_by_one.health.drain_us
        );
        assert_eq!((batches.health.evictions_estimated, batches.health.flows_not_made), (0, 0));
    }

    fn evicted_flows_are_estimated_and_what_is_reported_only_grows() {
        connect();
        let mut counters = start(&with_flows(256));
        let (mut before, mut sent) = (0, 0);
        for round in 0..10 {
            send_from(round * 1000..(round + 1) * 1000);
            sent += 1000;
            let snapshot = drain_until(&mut counters, "the packets", |snapshot| total_in(snapshot) == sent);
            let flows: u64 = received(&snapshot).map(|row| row.counts.packets).sum();
            assert!(flows >= before && flows <= sent, "{before} {flows} {sent}");
            before = flows;
            assert!(snapshot.health.flows_tracked <= 512);
            let (health, exact) = (snapshot.health, sent - snapshot.health.flows_not_made - snapshot.health.flows_live);
            assert_eq!(health.evictions_estimated, exact);
        }
        assert!(before > 0);
    }

    fn a_flood_of_ports_is_one_flow_for_syns_and_one_each_for_what_follows() {
        connect();
        let mut counters = start(&config("eth0", AttachMode::Auto));
        in_peer(|| {
            let socket = FrameSocket::open("peer0");
            for port in 10_000..10_500 {
                socket.send(&ipv4(From::Peer, 6, &tcp(port, 1883, crate::frame::SYN)));
            }
            for port in 10_000..10_010 {
                socket.send(&ipv4(From::Peer, 6, &tcp(port, 1883, ACK)));
                socket.send(&ipv4(From::Peer, 6, &tcp(port, 9, ACK)));
            }
        });
        let snapshot = drain_until(&mut counters, "520 packets", |snapshot| total_in(snapshot) == 520);
        let rows: Vec<&FlowRow> = received(&snapshot).collect();
        let syns = rows.iter().find(|row| row.counts.syn > 0).unwrap();
        assert_eq!((syns.counts.mqtt_attempts, syns.peer_port), (500, None));
        assert_eq!(rows.iter().filter(|row| row.peer_port.is_some()).count(), 10);
        assert_eq!(rows.len(), 12, "and one for the port that is none of ours");
    }

    fn what_came_since_the_last_drain_is_told_apart() {
        connect();
        let mut counters = start(&config("eth0", AttachMode::Auto));
        send_from(1..2);
        drain_until(&mut counters, "a packet", |snapshot| total_in(snapshot) == 1);
        send_from(1..2);
        send_from(1..2);
        let mut recent = 0;
        let snapshot = drain_until(&mut counters, "two more", |snapshot| {
            recent += received(snapshot).map(|row| row.recent.packets).sum::<u64>();
            total_in(snapshot) == 3
        });
        assert_eq!(recent, 2);
        assert!(snapshot.interval_s > 0.0);
    }
}
