//! Peers that send garbage, nothing, or too much: each loses its own connection and nobody else's.

use anyhow::ensure;
use selvedge_tests::node::Node;
use selvedge_tests::raw_mqtt::{self, PINGREQ, PINGRESP, RawMqtt};
use selvedge_tests::raw_websocket::{Framing, RawWebSocket};

/// CONNACK of an accepted MQTT 3.1.1 connection without a session.
const CONNACK_311: [u8; 4] = [0x20, 2, 0, 0];

fn impatient() -> anyhow::Result<Node> {
    Node::start_with("[limits]\nhandshake_timeout = \"300ms\"\n")
}

fn connected(node: &Node, client_id: &str) -> anyhow::Result<RawMqtt> {
    let mut peer = RawMqtt::open(node.mqtt())?;
    peer.send(&raw_mqtt::connect(4, client_id))?;
    let answer = peer.receive()?;
    ensure!(answer == CONNACK_311, "not accepted: {answer:02x?}");
    Ok(peer)
}

fn still_served(peer: &mut RawMqtt) -> anyhow::Result<()> {
    peer.send(&PINGREQ)?;
    let answer = peer.receive()?;
    ensure!(answer == PINGRESP, "not served any more: {answer:02x?}");
    Ok(())
}

#[test]
fn garbage_instead_of_a_connect_ends_the_connection_unanswered() -> anyhow::Result<()> {
    let node = Node::start()?;
    let mut witness = connected(&node, "witness")?;
    let garbage: [(&str, &[u8]); 7] = [
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a TLS greeting", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        ("zeros", &[0; 64]),
        ("ones", &[0xFF; 64]),
        ("a PUBLISH first", b"\x30\x03\x00\x01a"),
        ("a remaining length without end", b"\x10\xFF\xFF\xFF\xFF\x01"),
        ("a CONNECT with wrong flags", b"\x13\x0C\x00\x04MQTT\x04\x02\x00\x00\x00\x00"),
    ];
    for (what, bytes) in garbage {
        let mut peer = RawMqtt::open(node.mqtt())?;
        peer.send(bytes)?;
        let rest = peer.until_closed()?;
        ensure!(rest.is_empty(), "{what} is answered with {rest:02x?}");
        still_served(&mut witness)?;
    }
    Ok(())
}

#[test]
fn an_unknown_protocol_is_refused_with_a_reason() -> anyhow::Result<()> {
    let node = Node::start()?;
    let other_name = b"\x10\x0C\x00\x04MQTX\x04\x02\x00\x00\x00\x00".to_vec();
    for connect in [raw_mqtt::connect(3, "level"), raw_mqtt::connect(6, "level"), other_name] {
        let mut peer = RawMqtt::open(node.mqtt())?;
        peer.send(&connect)?;
        let rest = peer.until_closed()?;
        let refused_311: &[u8] = &[0x20, 2, 0, 1];
        let refused_5: &[u8] = &[0x20, 3, 0, 0x84, 0];
        ensure!(rest == refused_311 || rest == refused_5, "{connect:02x?} is answered with {rest:02x?}");
    }
    Ok(())
}

#[test]
fn a_tcp_handshake_that_stops_half_way_times_out_and_an_accepted_client_does_not() -> anyhow::Result<()> {
    let node = impatient()?;
    let mut witness = connected(&node, "witness")?;
    let connect = raw_mqtt::connect(4, "slow");
    for sent in [0, 1, connect.len() - 1] {
        let mut peer = RawMqtt::open(node.mqtt())?;
        peer.send(&connect[..sent])?;
        let rest = peer.until_closed()?;
        ensure!(rest.is_empty(), "after {sent} bytes: {rest:02x?}");
    }
    // Three deadlines have passed.
    still_served(&mut witness)
}

#[test]
fn a_websocket_handshake_that_stops_half_way_times_out() -> anyhow::Result<()> {
    let node = impatient()?;
    let request = b"GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n";
    for sent in [0, 1, request.len()] {
        let mut peer = RawMqtt::open(node.websocket())?;
        peer.send(&request[..sent])?;
        let rest = peer.until_closed()?;
        ensure!(rest.is_empty(), "after {sent} bytes of the request: {:?}", String::from_utf8_lossy(&rest));
    }
    for sent in [0, 5] {
        let mut peer = RawWebSocket::open(node.websocket())?;
        peer.send(Framing::BINARY, &raw_mqtt::connect(4, "slow")[..sent])?;
        let rest = peer.until_closed()?;
        ensure!(!rest.contains(&0x20), "after {sent} bytes of the CONNECT: {rest:02x?}");
    }
    Ok(())
}

#[test]
fn a_request_line_without_end_is_refused() -> anyhow::Result<()> {
    let node = Node::start()?;
    for address in [node.websocket(), node.http()] {
        let mut peer = RawMqtt::open(address)?;
        // The peer may close while this is being sent.
        let sent = peer.send(b"GET /").and_then(|()| peer.send(&vec![b'a'; 4 * 1024 * 1024]));
        drop(sent);
        drop(peer.until_closed());
        still_served(&mut connected(&node, "after")?)?;
    }
    Ok(())
}

#[test]
fn silent_connections_do_not_keep_others_out() -> anyhow::Result<()> {
    let node = Node::start()?;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push((RawMqtt::open(node.mqtt())?, RawMqtt::open(node.websocket())?, RawMqtt::open(node.http())?));
    }
    still_served(&mut connected(&node, "behind them")?)?;
    drop(silent);
    still_served(&mut connected(&node, "after them")?)
}

#[test]
fn a_packet_larger_than_the_limit_ends_its_connection_with_a_reason() -> anyhow::Result<()> {
    let node = Node::start_with("[limits]\npacket_bytes_max = \"64KiB\"\n")?;
    let mut witness = connected(&node, "witness")?;
    let mut peer = RawMqtt::open(node.mqtt())?;
    peer.send(&raw_mqtt::connect(5, "large"))?;
    let connack = peer.receive()?;
    ensure!(connack.get(3) == Some(&0), "not accepted: {connack:02x?}");
    // The head alone tells the size; nothing more is needed to refuse it.
    peer.send(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F])?;
    let rest = peer.until_closed()?;
    ensure!(rest.first() == Some(&0xE0) && rest.get(2) == Some(&0x95), "expected DISCONNECT 0x95, got {rest:02x?}");
    still_served(&mut witness)
}

#[test]
fn a_malformed_packet_in_a_session_ends_that_session_only() -> anyhow::Result<()> {
    let node = Node::start()?;
    let mut witness = connected(&node, "witness")?;
    let malformed: [(&str, Vec<u8>); 6] = [
        ("a PUBLISH to a wildcard", raw_mqtt::publish("a/#", b"x")),
        ("a PUBLISH to nothing", raw_mqtt::publish("", b"x")),
        ("a PUBLISH with QoS 3", raw_mqtt::packet(0x36, b"\x00\x01a\x00\x01x")),
        ("a SUBSCRIBE without filters", raw_mqtt::packet(0x82, &[0, 1])),
        ("a topic that is no UTF-8", raw_mqtt::packet(0x30, b"\x00\x02\xC3\x28x")),
        ("a second CONNECT", raw_mqtt::connect(4, "twice")),
    ];
    for (what, bytes) in malformed {
        let mut peer = connected(&node, "hostile")?;
        peer.send(&bytes)?;
        let rest = peer.until_closed()?;
        ensure!(rest.is_empty(), "{what} is answered with {rest:02x?}");
        still_served(&mut witness)?;
    }
    Ok(())
}
