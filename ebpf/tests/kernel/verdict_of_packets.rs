//! Packets of every kind, whole, cut off and random: each is counted once, as the reference says.

use std::collections::BTreeMap;

use selvedge_ebpf_abi::{Counts, Direction, FlowKey, Happened, InterfaceRecord, Statistic, TotalKey};

use crate::{
    frame::{ACK, FIN, From, RST, SYN, ethernet, extension, fragment_v6, ipv4, ipv4_with, ipv6, tagged, tcp, udp},
    reference::{self, Expected},
    surroundings::in_namespace,
    test_run::{Bench, INTERFACE, Numbers},
};

/// What a program says that lets a packet pass.
const PASSES: i32 = -1;

/// Frames that contain what the programs have to understand, with a word for each.
fn corpus(from: From) -> Vec<(&'static str, Vec<u8>)> {
    let mqtt = |flags| tcp(40_000, 1883, flags);
    let data = [tcp(40_000, 1883, ACK), vec![1; 50]].concat();
    vec![
        ("SYN", ipv4(from, 6, &mqtt(SYN))),
        ("SYN with ACK", ipv4(from, 6, &tcp(1883, 40_000, SYN | ACK))),
        ("FIN", ipv4(from, 6, &mqtt(FIN | ACK))),
        ("RST", ipv4(from, 6, &mqtt(RST))),
        ("every flag", ipv4(from, 6, &mqtt(0xff))),
        ("MQTT over TLS", ipv4(from, 6, &tcp(8883, 50_000, ACK))),
        ("from MQTT to MQTT", ipv4(from, 6, &tcp(1883, 8883, SYN))),
        ("WebSocket over IPv6", ipv6(from, 6, &tcp(40_000, 8083, SYN))),
        ("HTTP", ipv6(from, 6, &tcp(80, 40_000, ACK))),
        ("DNS", ipv4(from, 17, &udp(53, 40_000, b"name"))),
        ("DNS over IPv6", ipv6(from, 17, &udp(40_000, 53, b""))),
        ("ping", ipv4(from, 1, &[8, 0, 0, 0, 0, 1, 0, 1])),
        ("ping over IPv6", ipv6(from, 58, &[128, 0, 0, 0, 0, 1, 0, 1])),
        ("ICMPv6 in IPv4", ipv4(from, 58, &[128, 0, 0, 0])),
        ("GRE", ipv4(from, 47, &[0; 40])),
        ("no next header", ipv6(from, 59, &[0; 8])),
        ("options", ipv4_with(from, 6, &[1, 1, 1, 0], 0, &data)),
        ("most options", ipv4_with(from, 6, &[1; 40], 0, &data)),
        ("first fragment", ipv4_with(from, 6, &[], 0x2000, &data)),
        ("middle fragment", ipv4_with(from, 6, &[], 0x2008, &data)),
        ("last fragment", ipv4_with(from, 17, &[], 0x0010, &[7; 30])),
        ("do not fragment", ipv4_with(from, 6, &[], 0x4000, &data)),
        ("first fragment of UDP", ipv4_with(from, 17, &[], 0x2000, &[0, 53, 0, 53, 5, 0, 0, 0])),
        ("tag", tagged(&ipv4(from, 6, &data), 0x8100, 7)),
        ("two tags", tagged(&tagged(&ipv6(from, 6, &data), 0x8100, 7), 0x88a8, 8)),
        ("three tags", tagged(&tagged(&tagged(&ipv4(from, 6, &data), 0x8100, 7), 0x8100, 8), 0x88a8, 8)),
        ("hop by hop", ipv6(from, 0, &extension(6, 0, &data))),
        ("destination options", ipv6(from, 60, &extension(17, 2, &udp(53, 53, b"")))),
        ("six headers", ipv6(from, 0, &nested(5, &data))),
        ("seven headers", ipv6(from, 0, &nested(6, &data))),
        ("authentication", ipv6(from, 51, &[vec![6, 1], vec![0; 10], data.clone()].concat())),
        ("fragment of IPv6", ipv6(from, 44, &fragment_v6(6, 0, true, &data))),
        ("later fragment of IPv6", ipv6(from, 44, &fragment_v6(6, 64, false, &data))),
        ("atomic fragment", ipv6(from, 44, &fragment_v6(17, 0, false, &udp(1, 53, b"x")))),
        ("fragment behind options", ipv6(from, 0, &extension(44, 1, &fragment_v6(6, 0, true, &data)))),
        ("padding", [ipv4(from, 17, &udp(1, 2, b"")), vec![0; 18]].concat()),
        ("ARP", [ethernet(from, 0x0806), vec![0; 46]].concat()),
        ("IEEE 802.3", [ethernet(from, 46), vec![0; 46]].concat()),
        ("IPv4 says IPv6", altered(ipv4(from, 6, &data), 14, 0x65)),
        ("short header", altered(ipv4(from, 6, &data), 14, 0x44)),
        ("header beyond packet", altered(ipv4(from, 6, &mqtt(ACK)), 14, 0x4f)),
        ("longer than it is", altered(ipv4(from, 6, &data), 17, 0xff)),
        ("length of a giant", altered(altered(ipv4(from, 6, &data), 16, 0), 17, 0)),
        ("giant of IPv6", altered(altered(ipv6(from, 6, &data), 18, 0), 19, 0)),
        ("short header of TCP", altered(ipv4(from, 6, &data), 14 + 20 + 12, 0x40)),
        ("TCP header beyond packet", altered(ipv4(from, 6, &mqtt(ACK)), 14 + 20 + 12, 0xf0)),
        ("short UDP", altered(ipv4(from, 17, &udp(53, 1, b"")), 14 + 20 + 5, 7)),
        ("UDP beyond packet", altered(ipv4(from, 17, &udp(53, 1, b"")), 14 + 20 + 5, 9)),
        ("header of IPv6 beyond packet", ipv6(from, 0, &extension(6, 0, &[])[..7])),
        ("huge extension", ipv6(from, 0, &[6, 255, 0, 0, 0, 0, 0, 0])),
    ]
}

/// Destination options in a row, then TCP.
fn nested(count: u8, data: &[u8]) -> Vec<u8> {
    (0..count).fold(extension(6, 0, data), |inner, _| extension(60, 0, &inner))
}

fn altered(mut frame: Vec<u8>, at: usize, byte: u8) -> Vec<u8> {
    frame[at] = byte;
    frame
}

fn add(numbers: &mut Numbers, segments: u32, length: usize, happened: Happened) {
    let mut counts = Counts::default();
    counts.add(segments, length as u32, happened);
    let Counts {
        packets,
        bytes,
        born_ns: _,
        buffers,
        syn,
        syn_ack,
        reset,
        finish,
        mqtt_attempts,
        fragments,
        malformed,
    } = counts;
    let narrow = [buffers, syn, syn_ack, reset, finish, mqtt_attempts, fragments, malformed].map(u64::from);
    for (sum, more) in numbers.iter_mut().zip([packets, bytes].into_iter().chain(narrow)) {
        *sum += more;
    }
}

/// What the reference makes of some frames.
#[derive(Default)]
struct Tally {
    totals: BTreeMap<TotalKey, Numbers>,
    flows: BTreeMap<FlowKey, Numbers>,
    frames: u64,
}

impl Tally {
    fn take(&mut self, frame: &[u8], direction: Direction) -> Expected {
        let expected = reference::expect(frame, direction, INTERFACE);
        add(self.totals.entry(expected.total).or_default(), 1, frame.len(), expected.happened);
        if let Some(flow) = expected.flow {
            add(self.flows.entry(flow).or_default(), 1, frame.len(), expected.happened);
        }
        self.frames += 1;
        expected
    }
}

const BOTH: [(Direction, From); 2] = [(Direction::In, From::Peer), (Direction::Out, From::Here)];

/// A generator of random numbers (xorshift64*): the same ones in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// A frame of the corpus with some bytes changed and perhaps its end cut off, or one of random bytes behind an
/// EtherType of IP.
fn random_frame(random: &mut Random, corpus: &[(&'static str, Vec<u8>)]) -> Vec<u8> {
    let mut frame = match random.below(4) {
        0 => {
            let length = 16 + random.below(120);
            let mut frame: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
            let types = [0x0800_u16, 0x86dd, 0x8100, 0x88a8];
            frame[12..14].copy_from_slice(&types[random.below(4)].to_be_bytes());
            frame
        }
        _ => corpus[random.below(corpus.len())].1.clone(),
    };
    for _ in 0..random.below(4) {
        let at = 12 + random.below(frame.len() - 12);
        frame[at] = match random.below(3) {
            0 => random.next() as u8,
            1 => frame[at] ^ 1 << random.below(8),
            _ => [0, 1, 6, 17, 44, 0x45, 0x60, 0xff][random.below(8)],
        };
    }
    if random.below(4) == 0 {
        frame.truncate(16 + random.below(frame.len() - 15));
    }
    frame
}

fn compare_random(frames: u64, seed: u64) {
    const TOGETHER: usize = 500;
    let mut random = Random(seed);
    let corpora = [corpus(From::Peer), corpus(From::Here)];
    let bench = Bench::new(65_536, 0);
    let mut tally = Tally::default();
    let mut not_taken = 0;
    while tally.frames < frames {
        let mut batch = Vec::new();
        while batch.len() < TOGETHER {
            let side = random.below(2);
            let (direction, _) = BOTH[side];
            let frame = random_frame(&mut random, &corpora[side]);
            match bench.run(direction, &frame) {
                None => {
                    not_taken += 1;
                    assert!(not_taken < frames, "the kernel takes most of them");
                }
                Some(said) => {
                    assert_eq!(said, PASSES);
                    tally.take(&frame, direction);
                    batch.push((direction, frame));
                }
            }
        }
        if bench.totals() != tally.totals {
            find_difference(&batch);
        }
    }
    assert_eq!(bench.totals(), tally.totals);
    assert_eq!(bench.flows(), tally.flows);
    let counted: u64 = bench.totals().values().map(|numbers| numbers[0]).sum();
    assert_eq!(counted, tally.frames, "each packet is counted exactly once");
    println!("\n| random and changed packets | {counted} counted once each | {not_taken} not taken by the kernel |");
}

/// One frame after the other through programs that have counted nothing.
fn find_difference(batch: &[(Direction, Vec<u8>)]) {
    for (direction, frame) in batch {
        let bench = Bench::new(64, 0);
        let mut tally = Tally::default();
        bench.run(*direction, frame);
        let expected = tally.take(frame, *direction);
        assert_eq!(bench.totals(), tally.totals, "{direction:?} {frame:02x?}\n{expected:?}");
    }
}

in_namespace! {
    fn every_kind_of_packet_is_counted_as_the_reference_says() {
        for (direction, from) in BOTH {
            let bench = Bench::new(1024, 0);
            let mut tally = Tally::default();
            for (what, frame) in corpus(from) {
                assert_eq!(bench.run(direction, &frame), Some(PASSES), "{what}");
                let expected = tally.take(&frame, direction);
                assert_eq!(bench.totals(), tally.totals, "{direction:?} {what}: {expected:?}");
                assert_eq!(bench.flows(), tally.flows, "{direction:?} {what}: {expected:?}");
            }
        }
    }

    fn every_packet_cut_off_anywhere_is_counted_as_the_reference_says() {
        for (direction, from) in BOTH {
            let bench = Bench::new(4096, 0);
            let mut tally = Tally::default();
            for (what, frame) in corpus(from) {
                for length in 14..frame.len() {
                    if bench.run(direction, &frame[..length]).is_some() {
                        tally.take(&frame[..length], direction);
                        assert_eq!(bench.totals(), tally.totals, "{direction:?} {what} cut to {length}");
                    }
                }
            }
            assert_eq!(bench.flows(), tally.flows, "{direction:?}");
            assert!(tally.frames > 2000);
        }
    }

    fn a_hundred_thousand_random_packets_are_counted_once_each() {
        compare_random(100_000, 0x5e17_ed6e);
    }

    fn segments_are_counted_as_the_kernel_says_or_as_their_size_says() {
        let bench = Bench::new(64, 0);
        let frame = ipv4(From::Peer, 6, &[tcp(40_000, 1883, ACK), vec![0; 3000]].concat());
        bench.run_segments(Direction::In, &frame, 5, 700).expect("a context with segments");
        bench.run_segments(Direction::In, &frame, 0, 700).expect("a context with a size only");
        bench.run_segments(Direction::In, &frame, 0, 3000).expect("a segment that holds all");
        let numbers = *bench.totals().values().next().unwrap();
        assert_eq!((numbers[0], numbers[2]), (5 + 5 + 1, 3), "3,000 bytes are 5 segments of 700");
    }

    fn an_interface_without_link_header_is_read_from_the_ip_header_on() {
        // The kernel runs programs on frames with an Ethernet header; what follows it is taken for the whole here.
        let bench = Bench::new(64, InterfaceRecord::NO_LINK_HEADER);
        let frame = ipv4(From::Peer, 6, &tcp(40_000, 1883, SYN));
        bench.run(Direction::In, &frame).unwrap();
        let (key, numbers) = bench.totals().into_iter().next().unwrap();
        assert_eq!(numbers[9], 1, "a MAC address is no IP header: malformed, and not counted as {key:?}");
        assert_eq!(bench.flows().len(), 0);
    }

    fn packets_of_an_interface_without_a_record_pass_and_are_counted_as_unknown() {
        let mut bench = Bench::new(64, 0);
        let frame = ipv4(From::Peer, 6, &tcp(40_000, 1883, SYN));
        assert_eq!(bench.run(Direction::In, &frame), Some(PASSES));
        assert_eq!((bench.statistic(Statistic::UnknownInterface), bench.totals().len()), (0, 1));
        bench.forget_interface();
        assert_eq!(bench.run(Direction::In, &frame), Some(PASSES));
        assert_eq!((bench.statistic(Statistic::UnknownInterface), bench.totals().len()), (1, 1));
    }

    fn a_full_map_evicts_and_goes_on_counting() {
        let bench = Bench::new(64, 0);
        for peer in 0..10_000_u32 {
            let mut frame = ipv4(From::Peer, 17, &udp(1, 2, b""));
            frame[26..30].copy_from_slice(&peer.to_be_bytes());
            bench.run(Direction::In, &frame).unwrap();
        }
        let counted: u64 = bench.totals().values().map(|numbers| numbers[0]).sum();
        assert_eq!(counted, 10_000, "the totals evict nothing");
        let live = bench.flows().len() as u64;
        assert!(live <= 64, "{live} flows");
        let (made, not_made) = (bench.statistic(Statistic::FlowsMade), bench.statistic(Statistic::FlowsNotMade));
        assert_eq!(made + not_made, 10_000);
        println!("\n| 10,000 flows in 64 places | {live} live | {made} made | {not_made} not made |");
    }
}
