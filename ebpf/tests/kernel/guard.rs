//! The guard on a real interface: who is dropped, who never is, and what is counted.

use std::{
    net::{IpAddr, Ipv4Addr, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use selvedge_ebpf::{
    AttachMode, Config, Counters, DenyError, DenyReason, Direction, GuardAttach, GuardConfig, GuardHook, GuardMode,
    KernelTime, MayNotDeny, Snapshot, VerdictRow,
};

use crate::{
    frame::{ACK, From, SYN, ipv4, ipv4_with, ipv6, tagged, tcp, udp},
    frame_socket::FrameSocket,
    network::{HERE, PEER, PEER_V6, config, connect, drain_until, in_peer, start, v4},
    surroundings::{in_namespace, say},
};

const MINUTE: Duration = Duration::from_secs(60);

fn guarded(mode: GuardMode, attach: GuardAttach) -> Config {
    // One attempt in a thousand seconds: what is admitted is the burst.
    let guard = GuardConfig { mode, attach, attempts_per_s: 1, attempts_burst: 10, ..GuardConfig::default() };
    Config { guard, ..config("eth0", AttachMode::Auto) }
}

/// Counters with a guard at XDP, or none where this interface cannot have it.
fn start_at_xdp(mode: GuardMode) -> Option<Counters> {
    let counters = start(&guarded(mode, GuardAttach::Xdp));
    let hook = counters.status().interfaces[0].guard;
    if hook != GuardHook::Xdp {
        say(&format!("SKIPPED the guard at XDP: {:?}", counters.status().problems));
        return None;
    }
    Some(counters)
}

fn send(frames: &[Vec<u8>]) {
    in_peer(|| {
        let socket = FrameSocket::open("peer0");
        frames.iter().for_each(|frame| socket.send(frame));
    });
}

fn syns(count: u16) -> Vec<Vec<u8>> {
    (0..count).map(|port| ipv4(From::Peer, 6, &tcp(10_000 + port, 1883, SYN))).collect()
}

fn judged(snapshot: &Snapshot) -> u64 {
    let guard = &snapshot.guard;
    [
        guard.dropped_denied,
        guard.dropped_too_fast,
        guard.would_drop_denied,
        guard.would_drop_too_fast,
        guard.spared,
        guard.attempts_admitted,
    ]
    .iter()
    .map(|row| row.packets)
    .sum()
}

fn counted_in(snapshot: &Snapshot) -> u64 {
    snapshot.totals.iter().filter(|row| row.direction == Direction::In).map(|row| row.counts.packets).sum()
}

fn deny(counters: &mut Counters, peer: IpAddr) -> Result<(), DenyError> {
    counters.deny(peer, MINUTE, DenyReason::ByHand, &[], KernelTime::now()).map(|_| ())
}

/// A flood of 100 SYNs: 10 pass, the rest is dropped, and both are counted.
fn flood(counters: &mut Counters) {
    send(&syns(100));
    let snapshot = drain_until(counters, "100 SYNs", |snapshot| judged(snapshot) == 100);
    let guard = &snapshot.guard;
    // The clock goes on meanwhile: an eleventh one may pass.
    let admitted = guard.attempts_admitted.packets;
    assert!((10..=11).contains(&admitted), "{guard:?}");
    assert_eq!(guard.dropped_too_fast.packets, 100 - admitted);
    assert_eq!(guard.fastest, [(v4(PEER), 100 - admitted)]);
    let frame = syns(1)[0].len() as u64;
    assert_eq!(guard.dropped_too_fast.bytes, (100 - admitted) * frame);
    let snapshot = drain_until(counters, "those that passed", |snapshot| counted_in(snapshot) == admitted);
    assert_eq!(snapshot.totals.iter().map(|row| row.counts.mqtt_attempts).sum::<u64>(), admitted);
}

/// Everything from a denied peer is dropped, in every disguise, and nothing from another one.
fn denied(counters: &mut Counters) {
    deny(counters, v4(PEER)).unwrap();
    let data = tcp(40_000, 80, ACK);
    let from_peer = [
        ipv4(From::Peer, 17, &udp(1, 2, b"x")),
        ipv4(From::Peer, 6, &data),
        ipv4_with(From::Peer, 6, &[1, 1, 1, 0], 0, &data),
        ipv4_with(From::Peer, 6, &[], 0x2001, &data),
        tagged(&ipv4(From::Peer, 6, &data), 0x8100, 7),
        ipv4(From::Peer, 1, &[8, 0, 0, 0]),
    ];
    let mut other = ipv4(From::Peer, 17, &udp(1, 2, b"x"));
    other[26..30].copy_from_slice(&[10, 9, 0, 77]);
    send(&from_peer);
    send(&[other, ipv6(From::Peer, 17, &udp(1, 2, b"x"))]);
    let snapshot = drain_until(counters, "what was dropped", |snapshot| snapshot.guard.dropped_denied.packets == 6);
    assert_eq!(snapshot.guard.denials[0].dropped_packets, 6);
    assert_eq!((snapshot.guard.denials[0].peer, snapshot.guard.denials[0].why), (v4(PEER), DenyReason::ByHand));
    drain_until(counters, "what passed", |snapshot| counted_in(snapshot) == 2);
    assert!(counters.undeny(v4(PEER), KernelTime::now()).unwrap());
    assert!(!counters.undeny(v4(PEER), KernelTime::now()).unwrap());
    send(&from_peer);
    drain_until(counters, "what passes again", |snapshot| counted_in(snapshot) == 8);
}

in_namespace! {
    fn a_flood_of_attempts_is_dropped_beyond_the_burst_at_tc() {
        connect();
        let mut counters = start(&guarded(GuardMode::Enforce, GuardAttach::Auto));
        assert_eq!(counters.status().interfaces[0].guard, GuardHook::Tc, "a virtual interface");
        flood(&mut counters);
    }

    fn a_flood_of_attempts_is_dropped_beyond_the_burst_at_xdp() {
        connect();
        if let Some(mut counters) = start_at_xdp(GuardMode::Enforce) {
            flood(&mut counters);
        }
    }

    fn a_denied_peer_is_dropped_in_every_disguise_at_tc() {
        connect();
        denied(&mut start(&guarded(GuardMode::Enforce, GuardAttach::Tc)));
    }

    fn a_denied_peer_is_dropped_in_every_disguise_at_xdp() {
        connect();
        if let Some(mut counters) = start_at_xdp(GuardMode::Enforce) {
            denied(&mut counters);
        }
    }

    fn a_dry_run_drops_nothing_and_counts_what_it_would_drop() {
        connect();
        let mut counters = start(&guarded(GuardMode::DryRun, GuardAttach::Tc));
        send(&syns(100));
        let snapshot = drain_until(&mut counters, "100 SYNs", |snapshot| counted_in(snapshot) == 100);
        let guard = &snapshot.guard;
        assert_eq!(guard.would_drop_too_fast.packets + guard.attempts_admitted.packets, 100);
        assert!(guard.would_drop_too_fast.packets >= 89);
        assert_eq!((guard.dropped_too_fast, guard.dropped_denied), (VerdictRow::default(), VerdictRow::default()));
        deny(&mut counters, v4(PEER)).unwrap();
        send(&[ipv4(From::Peer, 17, &udp(1, 2, b""))]);
        let snapshot = drain_until(&mut counters, "one more", |snapshot| counted_in(snapshot) == 101);
        assert_eq!(snapshot.guard.would_drop_denied.packets, 1);
    }

    fn attempts_to_other_ports_and_other_packets_are_not_judged() {
        connect();
        let mut counters = start(&guarded(GuardMode::Enforce, GuardAttach::Tc));
        let frames: Vec<_> = (0..100).map(|port| ipv4(From::Peer, 6, &tcp(10_000 + port, 22, SYN))).collect();
        send(&frames);
        let snapshot = drain_until(&mut counters, "100 SYNs", |snapshot| counted_in(snapshot) == 100);
        assert_eq!(judged(&snapshot), 0);
    }

    fn nothing_from_the_allow_list_is_dropped() {
        connect();
        let mut config = guarded(GuardMode::Enforce, GuardAttach::Tc);
        config.guard.allow = vec!["10.9.0.0/28".parse().unwrap()];
        let mut counters = start(&config);
        assert!(matches!(deny(&mut counters, v4(PEER)), Err(DenyError::MayNot(MayNotDeny::Allowed(..)))));
        send(&syns(100));
        let snapshot = drain_until(&mut counters, "100 SYNs", |snapshot| counted_in(snapshot) == 100);
        assert!(snapshot.guard.spared.packets >= 89, "{:?}", snapshot.guard);
        assert!(!counters.disallow("10.9.0.0/28".parse().unwrap()).unwrap(), "what is configured stays");
    }

    fn allowing_a_network_ends_the_denials_in_it() {
        connect();
        let mut counters = start(&guarded(GuardMode::Enforce, GuardAttach::Tc));
        let now = KernelTime::now();
        deny(&mut counters, v4(PEER)).unwrap();
        deny(&mut counters, v4(Ipv4Addr::new(10, 9, 1, 7))).unwrap();
        counters.allow("10.9.0.0/24".parse().unwrap(), now).unwrap();
        let peers: Vec<IpAddr> = counters.denials(now).unwrap().into_iter().map(|denial| denial.peer).collect();
        assert_eq!(peers, [v4(Ipv4Addr::new(10, 9, 1, 7))]);
        assert!(counters.disallow("10.9.0.0/24".parse().unwrap()).unwrap());
        deny(&mut counters, v4(PEER)).unwrap();
    }

    fn a_denial_ends_by_itself_in_the_kernel_and_in_the_list() {
        connect();
        let mut counters = start(&guarded(GuardMode::Enforce, GuardAttach::Tc));
        // The kernel's clock cannot be turned, so the denial is made as of two seconds ago.
        let now = KernelTime::now();
        let past = KernelTime::from_ns(now.as_ns() - 2_000_000_000);
        let denial = counters.deny(v4(PEER), Duration::from_secs(1), DenyReason::ProtocolErrors, &[], past).unwrap();
        assert_eq!((denial.remaining_s, denial.why), (1, DenyReason::ProtocolErrors));
        send(&[ipv4(From::Peer, 17, &udp(1, 2, b""))]);
        let snapshot = drain_until(&mut counters, "the packet", |snapshot| counted_in(snapshot) == 1);
        assert_eq!(snapshot.guard.dropped_denied.packets, 0);
        assert_eq!(counters.denials(now).unwrap(), []);
    }

    fn the_list_is_bounded() {
        connect();
        let mut config = guarded(GuardMode::Enforce, GuardAttach::Tc);
        config.guard.denied_max = 2;
        let mut counters = start(&config);
        let peer = |last| v4(Ipv4Addr::new(10, 9, 1, last));
        deny(&mut counters, peer(1)).unwrap();
        deny(&mut counters, peer(2)).unwrap();
        assert!(matches!(deny(&mut counters, peer(3)), Err(DenyError::Full(2))));
        deny(&mut counters, peer(2)).unwrap();
        // A minute later both are over, and there is room.
        let later = KernelTime::now().plus(2 * MINUTE);
        counters.deny(peer(3), MINUTE, DenyReason::ByHand, &[], later).unwrap();
    }

    fn with_the_guard_off_nothing_can_be_denied() {
        connect();
        let mut counters = start(&config("eth0", AttachMode::Auto));
        assert!(matches!(deny(&mut counters, v4(PEER)), Err(DenyError::Off)));
        assert_eq!(counters.status().interfaces[0].guard, GuardHook::Off);
        assert!(matches!(deny(&mut counters, IpAddr::V6(PEER_V6)), Err(DenyError::Off)));
    }

    fn loopback_is_never_guarded() {
        let mut config = guarded(GuardMode::Enforce, GuardAttach::Xdp);
        config.interfaces = vec!["lo".parse().unwrap()];
        let mut counters = start(&config);
        assert_eq!(counters.status().interfaces[0].guard, GuardHook::Off);
        let listener = TcpListener::bind("127.0.0.1:1883").unwrap();
        for _ in 0..50 {
            drop(TcpStream::connect("127.0.0.1:1883").unwrap());
            drop(listener.accept().unwrap());
        }
        assert_eq!(judged(&counters.drain(KernelTime::now()).unwrap()), 0);
    }

    fn a_client_within_the_rate_connects_while_another_one_floods() {
        connect();
        let mut counters = start(&guarded(GuardMode::Enforce, GuardAttach::Tc));
        let listener = TcpListener::bind((HERE, 1883)).unwrap();
        let flooding: Vec<_> = (0..1000)
            .map(|port| {
                let mut frame = ipv4(From::Peer, 6, &tcp(10_000 + port, 1883, SYN));
                frame[26..30].copy_from_slice(&[10, 9, 0, 77]);
                frame
            })
            .collect();
        send(&flooding);
        in_peer(|| TcpStream::connect((HERE, 1883)).unwrap());
        drop(listener.accept().unwrap());
        let snapshot = drain_until(&mut counters, "the flood", |snapshot| judged(snapshot) == 1001);
        assert!(snapshot.guard.dropped_too_fast.packets >= 989);
        assert!(UdpSocket::bind((HERE, 0)).is_ok());
    }
}
