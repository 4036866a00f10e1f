//! Memory of idle connections. A test program of its own, because it measures the whole process.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use selvedge_broker::{Broker, Config, Listener, Transport};
use selvedge_codec::{Connect, Packet, ProtocolVersion, encode};
use selvedge_core::OpenAccess;

/// P8: what one idle TCP connection may cost, in all.
const BYTES_MAX: u64 = 5 * 1024;
const CONNECTIONS: u64 = 5_000;
/// Descriptors for other things than connections.
const SPARE_DESCRIPTORS: u64 = 100;

/// Proportional set size of this process, bytes.
fn memory() -> u64 {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup").expect("a Linux kernel");
    let line = rollup.lines().find(|line| line.starts_with("Pss:")).expect("Pss");
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok()).expect("a number") * 1024
}

/// Descriptors that this process may have, after asking for as many as allowed.
fn descriptors() -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("raising the soft limit is always allowed");
    limit.current.unwrap_or(u64::MAX)
}

#[test]
fn an_idle_connection_costs_little() {
    // Both ends are in this process.
    let connections = CONNECTIONS.min((descriptors() - SPARE_DESCRIPTORS) / 2);
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let running = Broker {
        config: Config::default(),
        core: selvedge_core::Config::default(),
        authorizer: Box::new(OpenAccess),
        seed: 1,
        listeners: vec![Listener::bind(any_port, Transport::Tcp).expect("bind")],
    }
    .start()
    .expect("start");
    running.handle.open();
    let connect = |number: u64| {
        let mut stream = TcpStream::connect(running.addresses[0]).expect("connect");
        let client_id = format!("idle-client-{number}");
        let mut bytes = Vec::new();
        let connect = Connect { keep_alive_s: 600, ..Connect::new(ProtocolVersion::V311, &client_id, true) };
        encode(ProtocolVersion::V311, &Packet::Connect(Box::new(connect)), &mut bytes).expect("encodable");
        stream.write_all(&bytes).expect("write");
        let mut connack = [0; 4];
        stream.read_exact(&mut connack).expect("read");
        assert_eq!(connack, [0x20, 2, 0, 0]);
        stream
    };
    let mut streams = Vec::with_capacity(connections as usize + 10);
    streams.extend((0..10).map(connect));
    let before = memory();
    streams.extend((10..10 + connections).map(connect));
    let each = memory().saturating_sub(before) / connections;
    println!("{each} bytes for each of {connections} idle connections");
    assert!(each <= BYTES_MAX, "{each} bytes for each of {connections} idle connections");
    drop(streams);
    running.handle.shutdown(Duration::ZERO);
    running.join().expect("no panic");
}
