//! Real sockets: what was sent, what the kernel says, what we say.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::Command,
};

use selvedge_ebpf::{AttachMode, Counters, Counts, Direction, IpVersion, KernelTime, PortClass, Protocol, Snapshot};

use crate::{
    kernel_figures::{InterfaceFigures, number_in, protocol, protocol_v6, segments_sent},
    network::{
        HERE, HERE_V6, PEER, PEER_V6, config, connect, connect_v6, drain_until, has_hook, in_peer, start, table, v4,
    },
    surroundings::in_namespace,
};

/// Sum of the totals that fit.
fn sum(snapshot: &Snapshot, direction: Direction, fits: impl Fn(IpVersion, Protocol, PortClass) -> bool) -> Counts {
    let mut sum = Counts::default();
    let rows = snapshot.totals.iter().filter(|row| row.direction == direction);
    rows.filter(|row| fits(row.version, row.protocol, row.class)).for_each(|row| sum.add(&row.counts));
    sum
}

fn tcp(_: IpVersion, protocol: Protocol, _: PortClass) -> bool {
    protocol == Protocol::Tcp
}

/// One row of the comparison, which is also what a person sees of it.
fn row(what: &str, sent: impl std::fmt::Display, kernel: u64, ours: u64) {
    println!("\n| {what} | {sent} | {kernel} | {ours} |");
    assert_eq!(kernel, ours, "{what}: the kernel's figure and ours");
}

/// Totals and interface counters agree, in buffers and in bytes, both ways.
fn agree(what: &str, ours: &InterfaceFigures, kernel: &InterfaceFigures) {
    row(&format!("{what}, buffers in"), "", kernel.packets_in, ours.packets_in);
    row(&format!("{what}, bytes in"), "", kernel.bytes_in, ours.bytes_in);
    row(&format!("{what}, buffers out"), "", kernel.packets_out, ours.packets_out);
    row(&format!("{what}, bytes out"), "", kernel.bytes_out, ours.bytes_out);
}

/// What we counted since `begun`, as the kernel would say it of an interface.
fn ours(snapshot: &Snapshot, begun: &Snapshot) -> InterfaceFigures {
    let figures = |snapshot: &Snapshot| {
        let (received, sent) =
            (sum(snapshot, Direction::In, |_, _, _| true), sum(snapshot, Direction::Out, |_, _, _| true));
        InterfaceFigures {
            packets_in: received.buffers,
            bytes_in: received.bytes,
            packets_out: sent.buffers,
            bytes_out: sent.bytes,
        }
    };
    figures(snapshot).since(&figures(begun))
}

/// A moment at which nothing moves: what we had counted then, and what the kernel had.
fn quiet(counters: &mut Counters, interface: &str) -> (Snapshot, InterfaceFigures) {
    loop {
        let before = InterfaceFigures::read(interface);
        let snapshot = counters.drain(KernelTime::now()).expect("a drain");
        let figures = InterfaceFigures::read(interface);
        if figures == before {
            return (snapshot, figures);
        }
    }
}

/// A connection from the peer to `here`, on which `bytes` go each way.
fn exchange(here: IpAddr, port: u16, bytes: usize) {
    let listener = TcpListener::bind((here, port)).expect("listen");
    let server = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().expect("accept");
        let mut received = vec![0; bytes];
        connection.read_exact(&mut received).expect("read");
        connection.write_all(&received).expect("write");
        // Waits until the client has closed, so that it is the client that waits in TIME-WAIT.
        let _ = connection.read(&mut [0]);
    });
    in_peer(|| {
        let mut connection = TcpStream::connect((here, port)).expect("connect");
        let sender = connection.try_clone().expect("clone");
        std::thread::scope(|scope| {
            scope.spawn(move || (&sender).write_all(&vec![7; bytes]).expect("write"));
            connection.read_exact(&mut vec![0; bytes]).expect("read");
        });
    });
    server.join().expect("the server");
}

fn compare_tcp(attach: AttachMode, here: IpAddr, bytes: usize) {
    if !has_hook(attach) {
        return;
    }
    if here.is_ipv4() {
        connect()
    } else {
        connect_v6()
    }
    let segments = segments_sent();
    let mut counters = start(&config("eth0", attach));
    let (begun, figures) = quiet(&mut counters, "eth0");
    exchange(here, 1883, bytes);
    let fin_in = |snapshot: &Snapshot| sum(snapshot, Direction::In, tcp).fin == 1;
    let fin_out = |snapshot: &Snapshot| sum(snapshot, Direction::Out, tcp).fin == 1;
    let settled = |snapshot: &Snapshot| {
        let segments_out = sum(snapshot, Direction::Out, tcp).packets;
        fin_in(snapshot)
            && fin_out(snapshot)
            // The kernel counts some answers only after it has sent them.
            && segments_out == segments_sent() - segments
            && ours(snapshot, &begun).bytes_out == InterfaceFigures::read("eth0").since(&figures).bytes_out
            && ours(snapshot, &begun).bytes_in == InterfaceFigures::read("eth0").since(&figures).bytes_in
    };
    let snapshot = drain_until(&mut counters, "the end of the connection", settled);
    let kernel = InterfaceFigures::read("eth0").since(&figures);
    let what = format!("TCP {bytes} bytes each way, {attach:?}");
    agree(&what, &ours(&snapshot, &begun), &kernel);
    let (received, sent) = (sum(&snapshot, Direction::In, tcp), sum(&snapshot, Direction::Out, tcp));
    row(&format!("{what}, segments out"), bytes, segments_sent() - segments, sent.packets);
    row(&format!("{what}, segments in"), bytes, protocol("Tcp", "InSegs"), received.buffers);
    assert_eq!((received.syn, received.syn_ack, received.mqtt_attempts), (1, 0, 1));
    assert_eq!((sent.syn, sent.syn_ack, sent.mqtt_attempts), (0, 1, 0));
    assert_eq!((received.rst, sent.rst, received.malformed, sent.malformed), (0, 0, 0, 0));
    assert!(received.bytes > bytes as u64 && sent.bytes > bytes as u64);

    // One client: its rows are all there is but for the SYN.
    let client = snapshot.flows.iter().find_map(|row| row.peer_port).expect("a client");
    let peer = if here.is_ipv4() { v4(PEER) } else { IpAddr::V6(PEER_V6) };
    let connection = snapshot.connections()[&SocketAddr::new(peer, client)];
    assert_eq!(connection.received.packets, received.packets - 1, "all but the SYN\n{}", table(&snapshot));
    assert_eq!(connection.sent.packets, sent.packets - 1, "all but the SYN with ACK");
}

in_namespace! {
    fn a_small_exchange_over_tcp_is_counted_exactly_by_tcx() {
        compare_tcp(AttachMode::Tcx, v4(HERE), 1000);
    }

    fn a_small_exchange_over_tcp_is_counted_exactly_by_clsact() {
        compare_tcp(AttachMode::Clsact, v4(HERE), 1000);
    }

    fn ten_megabytes_in_large_buffers_are_counted_in_segments_by_tcx() {
        compare_tcp(AttachMode::Tcx, v4(HERE), 10_000_000);
    }

    fn ten_megabytes_in_large_buffers_are_counted_in_segments_by_clsact() {
        compare_tcp(AttachMode::Clsact, v4(HERE), 10_000_000);
    }

    fn ten_megabytes_over_ipv6_are_counted_in_segments() {
        compare_tcp(AttachMode::Auto, IpAddr::V6(HERE_V6), 10_000_000);
    }

    fn datagrams_are_counted_exactly() {
        connect_v6();
        let mut counters = start(&config("eth0", AttachMode::Auto));
        let (v4_before, v6_before) = (protocol("Udp", "OutDatagrams"), protocol_v6("Udp6OutDatagrams"));
        let here = UdpSocket::bind((HERE, 53)).unwrap();
        let here_v6 = UdpSocket::bind((HERE_V6, 5353)).unwrap();
        for size in 0..100 {
            here.send_to(&vec![0; size], (PEER, 9)).unwrap();
            here_v6.send_to(&vec![0; size], (PEER_V6, 9)).unwrap();
        }
        let udp = |version| move |of, protocol, _| of == version && protocol == Protocol::Udp;
        let snapshot = drain_until(&mut counters, "200 datagrams", |snapshot| {
            sum(snapshot, Direction::Out, |_, protocol, _| protocol == Protocol::Udp).packets == 200
        });
        let (v4_out, v6_out) = (udp(IpVersion::V4), udp(IpVersion::V6));
        let (sent, sent_v6) = (sum(&snapshot, Direction::Out, v4_out), sum(&snapshot, Direction::Out, v6_out));
        row("UDP over IPv4, packets", 100, protocol("Udp", "OutDatagrams") - v4_before, sent.packets);
        row("UDP over IPv6, packets", 100, protocol_v6("Udp6OutDatagrams") - v6_before, sent_v6.packets);
        assert_eq!(sent.bytes, 100 * (14 + 20 + 8) + 99 * 100 / 2);
        assert_eq!(sent_v6.bytes, 100 * (14 + 40 + 8) + 99 * 100 / 2);
        let dns = snapshot.totals.iter().filter(|row| row.class == PortClass::Dns && row.direction == Direction::Out);
        assert_eq!(dns.map(|row| row.counts.packets).sum::<u64>(), 100, "port 53 is DNS, 5353 is not");
        // Nobody listens on port 9 of the peer.
        assert!(sum(&snapshot, Direction::In, |_, protocol, _| protocol == Protocol::Icmp).packets > 0);
    }

    fn pings_are_counted_exactly() {
        connect();
        let mut counters = start(&config("eth0", AttachMode::Auto));
        let before = protocol("Icmp", "InEchos");
        in_peer(|| {
            // A ping socket: the kernel writes the header.
            let domain = rustix::net::AddressFamily::INET;
            std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0").unwrap();
            let protocol = rustix::net::ipproto::ICMP;
            let socket = rustix::net::socket(domain, rustix::net::SocketType::DGRAM, Some(protocol)).unwrap();
            for _ in 0..50 {
                let echo = [8, 0, 0, 0, 0, 1, 0, 1, 0x55, 0x55, 0x55, 0x55];
                let to = SocketAddr::new(v4(HERE), 0);
                rustix::net::sendto(&socket, &echo, rustix::net::SendFlags::empty(), &to).unwrap();
            }
        });
        let icmp = |version, protocol, _| version == IpVersion::V4 && protocol == Protocol::Icmp;
        let answers = |snapshot: &Snapshot| sum(snapshot, Direction::Out, icmp).packets;
        let snapshot = drain_until(&mut counters, "50 answers", |snapshot| answers(snapshot) == 50);
        let received = sum(&snapshot, Direction::In, icmp);
        row("ICMP, packets in", 50, protocol("Icmp", "InEchos") - before, received.packets);
        assert_eq!(received.bytes, 50 * (14 + 20 + 12));
    }

    fn packets_of_this_machine_to_itself_are_counted_out_and_in() {
        let segments = segments_sent();
        let mut counters = start(&config("lo", AttachMode::Auto));
        let (begun, figures) = quiet(&mut counters, "lo");
        let listener = TcpListener::bind("127.0.0.1:1883").unwrap();
        let mut client = TcpStream::connect("127.0.0.1:1883").unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let sender = std::thread::spawn(move || {
            client.write_all(&vec![7; 10_000_000]).unwrap();
            client
        });
        server.read_exact(&mut vec![0; 10_000_000]).unwrap();
        let client = sender.join().unwrap();
        drop(client);
        assert_eq!(server.read(&mut [0]).unwrap(), 0);
        drop(server);
        let settled = |snapshot: &Snapshot| {
            let sent = sum(snapshot, Direction::Out, tcp);
            sent.fin == 2
                && sent.packets == segments_sent() - segments
                && sum(snapshot, Direction::In, tcp).packets == sent.packets
                && ours(snapshot, &begun).packets_in == InterfaceFigures::read("lo").since(&figures).packets_in
        };
        let snapshot = drain_until(&mut counters, "both ends", settled);
        let kernel = InterfaceFigures::read("lo").since(&figures);
        let ours = ours(&snapshot, &begun);
        row("lo, 10 MB, buffers", "", kernel.packets_in, ours.packets_in);
        // The loopback interface counts without its link header, which is there at the hook.
        let link_headers = 14 * ours.packets_in;
        row("lo, 10 MB, bytes, less link headers", "", kernel.bytes_in, ours.bytes_in - link_headers);
        // Buffers longer than this interface takes are cut between the hook on the way out and the interface: what is
        // missing out is a header for each cut.
        const HEADERS: u64 = 14 + 20 + 32;
        let cuts = ours.packets_in - ours.packets_out;
        let out = ours.bytes_out + cuts * HEADERS - link_headers;
        row("lo, 10 MB, bytes out and headers of cuts, less link headers", "", kernel.bytes_out, out);
        let sent = sum(&snapshot, Direction::Out, tcp);
        row("lo, 10 MB, segments", 10_000_000, segments_sent() - segments, sent.packets);
        // A segment has the length that the interface takes at most, less the headers of IP and TCP with time stamps.
        // Whether the kernel puts more than one of them into a buffer is its own choice: 6.1 does not here, 6.18 does.
        let segment_max = number_in("/sys/class/net/lo/mtu") - (20 + 32);
        assert!(sent.packets >= 10_000_000_u64.div_ceil(segment_max), "{} segments", sent.packets);
        assert!(sent.packets >= sent.buffers, "no buffer is less than a segment");
    }

    fn a_refused_connection_is_a_syn_and_an_rst() {
        connect();
        let mut counters = start(&config("eth0", AttachMode::Auto));
        in_peer(|| assert!(TcpStream::connect((HERE, 8883)).is_err()));
        let snapshot = drain_until(&mut counters, "the RST", |snapshot| sum(snapshot, Direction::Out, tcp).rst == 1);
        let (received, sent) = (sum(&snapshot, Direction::In, tcp), sum(&snapshot, Direction::Out, tcp));
        assert_eq!((received.packets, received.syn, received.mqtt_attempts), (1, 1, 1));
        assert_eq!((sent.packets, sent.rst, sent.syn_ack), (1, 1, 0));
    }

    fn what_is_no_ip_is_counted_without_a_peer() {
        connect();
        let mut counters = start(&config("eth0", AttachMode::Auto));
        assert!(Command::new("ip").args(["neigh", "del", "10.9.0.2", "dev", "eth0"]).status().unwrap().success());
        UdpSocket::bind((HERE, 0)).unwrap().send_to(b"x", (PEER, 9)).unwrap();
        let arp = |version, _, _| version == IpVersion::None;
        let snapshot = drain_until(&mut counters, "the answer to ARP", |snapshot| {
            sum(snapshot, Direction::In, arp).packets == 1
        });
        assert_eq!(sum(&snapshot, Direction::Out, arp).packets, 1);
    }
}
