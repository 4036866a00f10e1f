//! Frames on the wire that sockets do not send: tags, options, extension headers, fragments, broken ones. Both ways, at
//! both hooks.

use std::collections::BTreeMap;

use selvedge_ebpf::{AttachMode, Counts, Direction, InterfaceName, Snapshot};
use selvedge_ebpf_abi as abi;

use crate::{
    frame::{ACK, From, SYN, ethernet, extension, fragment_v6, ipv4, ipv4_with, ipv6, tagged, tcp, udp},
    frame_socket::FrameSocket,
    kernel_figures::InterfaceFigures,
    network::{config, connect, drain_until, has_hook, in_peer, start, table},
    reference,
    surroundings::in_namespace,
};

fn frames(from: From) -> Vec<Vec<u8>> {
    let data = [tcp(40_000, 1883, ACK), vec![1; 50]].concat();
    vec![
        tagged(&ipv4(from, 6, &data), 0x8100, 7),
        tagged(&ipv6(from, 6, &data), 0x8100, 7),
        tagged(&tagged(&ipv4(from, 17, &udp(9, 53, b"x")), 0x8100, 7), 0x88a8, 8),
        ipv4_with(from, 6, &[1, 1, 1, 0], 0, &tcp(40_000, 8883, SYN)),
        ipv6(from, 0, &extension(6, 1, &tcp(40_000, 8083, SYN))),
        ipv6(from, 60, &extension(17, 0, &udp(53, 9, b"y"))),
        ipv4_with(from, 17, &[], 0x2000, &[&udp(53, 53, &[0; 24])[..], &[0; 0]].concat()),
        ipv4_with(from, 17, &[], 0x0004, &[0; 32]),
        ipv6(from, 44, &fragment_v6(17, 0, true, &udp(9, 9, &[0; 24]))),
        ipv6(from, 44, &fragment_v6(17, 32, false, &[0; 32])),
        ipv4(from, 47, &[0; 40]),
        // TCP with a header of 16 bytes.
        ipv4(from, 6, &[&tcp(40_000, 1883, ACK)[..12], &[0x40, ACK], &[0; 46]].concat()),
        [ethernet(from, 0x88b5), vec![0; 46]].concat(),
    ]
}

/// Sends each frame `times` times and compares three figures: those of the reference, of the kernel, and ours.
fn compare(attach: AttachMode, direction: Direction) {
    const TIMES: u64 = 20;
    if !has_hook(attach) {
        return;
    }
    connect();
    let mut counters = start(&config("eth0", attach));
    let before = InterfaceFigures::read("eth0");
    let from = match direction {
        Direction::In => From::Peer,
        Direction::Out => From::Here,
    };
    let send = || {
        let socket = FrameSocket::open(if direction == Direction::In { "peer0" } else { "eth0" });
        for frame in frames(from) {
            (0..TIMES).for_each(|_| socket.send(&frame));
        }
    };
    if direction == Direction::In {
        in_peer(send)
    } else {
        send()
    }

    let mut expected: BTreeMap<String, Counts> = BTreeMap::new();
    // On the way in the kernel takes the outermost tag out of the frame before the hook, and keeps it beside it.
    let tag_bytes = |frame: &[u8]| {
        if direction == Direction::In && frame[12] == 0x81 || frame[12..14] == [0x88, 0xa8] { 4 } else { 0 }
    };
    for frame in frames(from) {
        let cut = if direction == Direction::In { tag_bytes(&frame) } else { 0 };
        let seen = reference::expect(&frame, direction.into(), 0);
        let mut counts = abi::Counts::default();
        (0..TIMES).for_each(|_| counts.add(1, (frame.len() - cut) as u32, seen.happened));
        let key = format!("{:?} {:?} {:?}", seen.total.version, seen.total.protocol, seen.total.class);
        expected.entry(key).or_default().add(&Counts::grown(&abi::Counts::default(), &counts));
    }
    let count = frames(from).len() as u64 * TIMES;
    let packets = |snapshot: &Snapshot| -> u64 {
        snapshot.totals.iter().filter(|row| row.direction == direction).map(|row| row.counts.packets).sum()
    };
    let snapshot = drain_until(&mut counters, "the frames", |snapshot| packets(snapshot) >= count);
    let kernel = InterfaceFigures::read("eth0").since(&before);
    let kernel_packets = if direction == Direction::In { kernel.packets_in } else { kernel.packets_out };
    println!("\n| frames {direction:?}, {attach:?} | {count} | {kernel_packets} | {} |", packets(&snapshot));
    assert_eq!((kernel_packets, packets(&snapshot)), (count, count));

    let ours: BTreeMap<String, Counts> = snapshot
        .totals
        .iter()
        .filter(|row| row.direction == direction && row.interface == InterfaceName::new("eth0"))
        .map(|row| {
            let class = abi::PortClass::from(row.class);
            let (version, protocol) = (abi::IpVersion::from(row.version), abi::Protocol::from(row.protocol));
            (format!("{version:?} {protocol:?} {class:?}"), row.counts)
        })
        .collect();
    assert_eq!(ours, expected, "{}", table(&snapshot));
}

in_namespace! {
    fn odd_frames_that_come_in_are_counted_exactly_by_tcx() {
        compare(AttachMode::Tcx, Direction::In);
    }

    fn odd_frames_that_come_in_are_counted_exactly_by_clsact() {
        compare(AttachMode::Clsact, Direction::In);
    }

    fn odd_frames_that_go_out_are_counted_exactly_by_tcx() {
        compare(AttachMode::Tcx, Direction::Out);
    }

    fn odd_frames_that_go_out_are_counted_exactly_by_clsact() {
        compare(AttachMode::Clsact, Direction::Out);
    }
}
