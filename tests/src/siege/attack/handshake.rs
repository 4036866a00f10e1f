//! Attacks before and right after CONNECT: silence, slowness, size, and what no client may send.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use super::{Attack, elsewhere, fresh};
use crate::client::Version;
use crate::client_packet::{self, Publish};
use crate::siege::wire::{Target, Way, Wire, abandon};
use crate::{PATIENCE, raw_mqtt};

/// Connections at once of the attacks that open many.
const MANY: usize = 1_000;
const TIMEOUTS: &[&str] = &[r#"selvedge_listener_refused_total{reason="timeout"}"#];
const PROTOCOL: &[&str] = &[r#"selvedge_mqtt_closed_total{cause="protocol"}"#];
const PACKET_TIMEOUTS: &[&str] = &[r#"selvedge_socket_incomplete_closed_total{limit="packet_timeout"}"#];
const FAILURES: &[&str] = &[r#"selvedge_listener_refused_total{reason="failure"}"#];
const IMPATIENT: &str = "handshake_timeout = \"2s\"";

/// The attacks of this file.
pub const ATTACKS: &[Attack] = &[
    Attack::new("half-open-tcp", "1,000 half-open connections, TCP", |target| half_open(target, Way::Tcp))
        .with_limits(IMPATIENT)
        .counted(TIMEOUTS),
    Attack::new("half-open-websocket", "1,000 half-open connections, WebSocket", |target| {
        half_open(target, Way::WebSocket)
    })
    .over(Way::WebSocket)
    .with_limits(IMPATIENT)
    .counted(TIMEOUTS),
    Attack::new("half-open-tls", "1,000 half-open connections, TLS", |target| half_open(target, Way::Tls))
        .over(Way::Tls)
        .with_limits(IMPATIENT)
        .counted(TIMEOUTS),
    Attack::new("slow-connect", "CONNECT byte by byte, 200 at once", |target| drip(target, Way::Tcp))
        .with_limits(IMPATIENT)
        .counted(TIMEOUTS),
    Attack::new("slow-upgrade", "WebSocket upgrade byte by byte, 200 at once", |target| drip(target, Way::WebSocket))
        .over(Way::WebSocket)
        .with_limits(IMPATIENT)
        .counted(TIMEOUTS),
    Attack::new("slow-client-hello", "TLS ClientHello byte by byte, 200 at once", |target| drip(target, Way::Tls))
        .over(Way::Tls)
        .with_limits(IMPATIENT)
        .counted(TIMEOUTS),
    Attack::new("slow-publish", "PUBLISH byte by byte after CONNECT, 200 at once", slow_publish)
        .with_limits("packet_timeout = \"2s\"")
        .counted(PACKET_TIMEOUTS),
    Attack::new("connect-256-mb", "CONNECT announcing 256 MB, 50 times", connect_of_256_mb).counted(FAILURES),
    Attack::new("five-byte-length", "remaining length of five bytes", five_byte_length).counted(PROTOCOL),
    Attack::new("server-packets", "packets that only a server sends", server_packets).counted(PROTOCOL),
    Attack::new("connect-storm", "4,000 connections as fast as they come, one address", connect_storm)
        .with_limits("connect_rate_per_address_per_s = 200\nconnect_burst_per_address = 2000")
        .counted(&[r#"selvedge_listener_refused_total{reason="connect_rate"}"#]),
];

/// Opens many connections, sends the beginning of a handshake or nothing, and waits until the node has ended each.
fn half_open(target: &Target, way: Way) -> anyhow::Result<()> {
    let target = elsewhere(target);
    let beginning = opening(&target, way);
    let mut sockets = Vec::new();
    for number in 0..MANY {
        let mut socket = target.socket(way)?;
        // None, one byte, half, all but one byte.
        let sent = [0, 1, beginning.len() / 2, beginning.len() - 1][number % 4];
        socket.write_all(&beginning[..sent]).with_context(|| format!("send {sent} bytes"))?;
        sockets.push(socket);
    }
    sockets.iter_mut().try_for_each(|socket| ended_unanswered(socket, "half-open"))
}

/// Sends handshakes a byte at a time, on many connections, until the node has ended each: that something comes is no excuse.
fn drip(target: &Target, way: Way) -> anyhow::Result<()> {
    let target = elsewhere(target);
    let bytes = opening(&target, way);
    let mut sockets = (0..200).map(|_| target.socket(way)).collect::<anyhow::Result<Vec<_>>>()?;
    drip_into(&mut sockets, &bytes[..bytes.len() - 1])?;
    sockets.iter_mut().try_for_each(|socket| ended_unanswered(socket, "slow"))
}

/// The same with a packet after CONNECT.
fn slow_publish(target: &Target) -> anyhow::Result<()> {
    let target = elsewhere(target);
    let packet = Publish::new("slow", [0; 4000]).bytes(Version::V5);
    let mut sockets = Vec::new();
    for _ in 0..200 {
        let wire = Wire::connected(&target, Way::Tcp, &target.connect(5, &fresh("slow")))?;
        sockets.push(wire.socket().try_clone().context("share a socket")?);
    }
    drip_into(&mut sockets, &packet[..packet.len() - 1])?;
    for socket in &mut sockets {
        let rest = raw_mqtt::until_closed(socket)?;
        ensure!(rest.is_empty() || rest.get(..1) == Some(&[0xE0]), "a slow packet is answered with {rest:02x?}");
    }
    Ok(())
}

/// A byte to each socket, again and again, until the node has had enough of all of them, or the bytes are sent.
fn drip_into(sockets: &mut [TcpStream], bytes: &[u8]) -> anyhow::Result<()> {
    const PAUSE: Duration = Duration::from_millis(50);
    let begun = Instant::now();
    for byte in bytes {
        let mut open = 0;
        for socket in sockets.iter_mut() {
            open += usize::from(socket.write_all(&[*byte]).is_ok() && !is_closed(socket));
        }
        if open == 0 {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "{open} slow connections are still open after {PATIENCE:?}");
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// Whether the other side has closed, without waiting; what it said stays to be read.
fn is_closed(socket: &TcpStream) -> bool {
    if socket.set_nonblocking(true).is_err() {
        return true;
    }
    let peeked = socket.peek(&mut [0]);
    let blocking = socket.set_nonblocking(false);
    match peeked {
        Ok(count) => count == 0 || blocking.is_err(),
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

fn ended_unanswered(socket: &mut TcpStream, what: &str) -> anyhow::Result<()> {
    let rest = raw_mqtt::until_closed(socket).with_context(|| format!("a {what} connection"))?;
    // An alert of TLS and an answer of HTTP are allowed; a CONNACK would be wrong.
    ensure!(rest.first() != Some(&0x20), "a {what} connection is answered with {rest:02x?}");
    abandon(socket);
    Ok(())
}

/// The first bytes that an honest client would send.
fn opening(target: &Target, way: Way) -> Vec<u8> {
    match way {
        Way::Tcp => target.connect(5, &"x".repeat(200)).bytes(),
        Way::WebSocket => format!(
            "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Padding: {}\r\n",
            "x".repeat(100)
        )
        .into_bytes(),
        // A record that announces a ClientHello of 512 bytes.
        Way::Tls | Way::SecureWebSocket => {
            [&[0x16, 3, 1, 2, 4, 1, 0, 2, 0, 3, 3][..], &[0x5A; 32], &[0], &[0; 200]].concat()
        }
    }
}

fn connect_of_256_mb(target: &Target) -> anyhow::Result<()> {
    let target = elsewhere(target);
    for _ in 0..50 {
        let mut socket = target.socket(Way::Tcp)?;
        socket.write_all(&[0x10, 0xFF, 0xFF, 0xFF, 0x7F, 0, 4, b'M', b'Q', b'T', b'T', 5])?;
        let mut sent = 0;
        // The node closes on the announcement; what the sockets take beyond that is the kernel's.
        while socket.write_all(&[0; 64 * 1024]).is_ok() {
            sent += 64;
            ensure!(sent < 64 * 1024, "the node takes {sent} KiB of a CONNECT");
        }
        let rest = raw_mqtt::until_closed(&mut socket)?;
        ensure!(rest.is_empty() || rest.get(3) == Some(&0x95), "CONNECT of 256 MB is answered with {rest:02x?}");
        abandon(&socket);
    }
    Ok(())
}

fn five_byte_length(target: &Target) -> anyhow::Result<()> {
    let target = elsewhere(target);
    for first in [0x10, 0x30, 0x82, 0xC0] {
        let mut socket = target.socket(Way::Tcp)?;
        socket.write_all(&[first, 0x80, 0x80, 0x80, 0x80, 0x01])?;
        ended_unanswered(&mut socket, "malformed")?;
        for version in [4, 5] {
            let mut wire = Wire::connected(&target, Way::Tcp, &target.connect(version, &fresh("five")))?;
            wire.send(&[first, 0x80, 0x80, 0x80, 0x80, 0x01])?;
            disconnected(&mut wire, version, 0x81)?;
        }
    }
    Ok(())
}

fn server_packets(target: &Target) -> anyhow::Result<()> {
    let target = elsewhere(target);
    for version in [4, 5] {
        let reasons: &[u8] = if version == 5 { &[0, 1, 0, 0] } else { &[0, 1, 0] };
        let connack: &[u8] = if version == 5 { &[0, 0, 0] } else { &[0, 0] };
        let unsuback: &[u8] = if version == 5 { &[0, 1, 0, 0] } else { &[0, 1] };
        let packets = [(0x20, connack), (0x90, reasons), (0xB0, unsuback), (0xD0, &[])];
        for (first, body) in packets {
            let packet = client_packet::packet(first, body);
            let mut socket = target.socket(Way::Tcp)?;
            socket.write_all(&packet)?;
            ended_unanswered(&mut socket, "a server's")?;
            let mut wire = Wire::connected(&target, Way::Tcp, &target.connect(version, &fresh("server")))?;
            wire.send(&packet)?;
            disconnected(&mut wire, version, 0x82)?;
        }
    }
    Ok(())
}

/// Fails unless the connection ends, with a DISCONNECT for this reason where the version has one.
pub(super) fn disconnected(wire: &mut Wire, version: u8, reason: u8) -> anyhow::Result<()> {
    let rest = wire.until_closed()?;
    match version {
        5 => ensure!(
            rest.first() == Some(&0xE0) && rest.get(2) == Some(&reason),
            "expected DISCONNECT {reason:#04x}, got {rest:02x?}"
        ),
        _ => ensure!(rest.is_empty(), "3.1.1 is told {rest:02x?}"),
    }
    abandon(wire.socket());
    Ok(())
}

/// One address connects much faster than it may: the node takes as many as it says, and closes the rest at once.
fn connect_storm(target: &Target) -> anyhow::Result<()> {
    let target = elsewhere(target);
    let name = fresh("storm");
    let (mut served, mut refused) = (0, 0);
    for number in 0..4_000 {
        let mut socket = target.socket(Way::Tcp)?;
        let sent = socket.write_all(&target.connect(4, &format!("{name}-{number}")).bytes());
        let mut connack = [0; 4];
        match sent.and_then(|()| socket.read_exact(&mut connack)) {
            Ok(()) if connack == [0x20, 2, 0, 0] => served += 1,
            Ok(()) => bail!("CONNECT is answered with {connack:02x?}"),
            Err(error) if error.kind() == ErrorKind::WouldBlock => bail!("connection {number} hangs"),
            Err(_) => refused += 1,
        }
        abandon(&socket);
    }
    ensure!(served >= 2_000 && refused >= 500, "{served} of 4,000 connections are served, {refused} refused");
    Ok(())
}
