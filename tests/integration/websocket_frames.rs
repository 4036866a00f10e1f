//! WebSocket at the level of frames, which no client library lets one choose: RFC 6455 and section 6 of MQTT 5.

use anyhow::ensure;
use selvedge_tests::node::Node;
use selvedge_tests::raw_mqtt::{self, PINGREQ, PINGRESP};
use selvedge_tests::raw_websocket::{self, Framing, Opcode, RawWebSocket};

/// CONNACK of an accepted MQTT 3.1.1 connection without a session.
const CONNACK_311: [u8; 4] = [0x20, 2, 0, 0];
/// SUBACK for packet 1 with QoS 0.
const SUBACK: [u8; 5] = [0x90, 3, 0, 1, 0];

/// A node that takes packets of up to 64 KiB.
fn small_packets() -> anyhow::Result<Node> {
    Node::start_with("[limits]\npacket_bytes_max = \"64KiB\"\n")
}

fn connected(node: &Node) -> anyhow::Result<RawWebSocket> {
    let mut websocket = RawWebSocket::open(node.websocket())?;
    websocket.send(Framing::BINARY, &raw_mqtt::connect(4, "raw"))?;
    let answer = websocket.receive_bytes(CONNACK_311.len())?;
    ensure!(answer == CONNACK_311, "not accepted: {answer:02x?}");
    Ok(websocket)
}

/// Fails unless the rest of the connection is a close frame with that status, and no more.
fn closed_with(mut websocket: RawWebSocket, status: u16) -> anyhow::Result<()> {
    let rest = websocket.until_closed()?;
    let [high, low] = status.to_be_bytes();
    ensure!(
        rest.first() == Some(&0x88) && rest.get(2..4) == Some(&[high, low]),
        "expected a close frame with {status}, got {rest:02x?}"
    );
    ensure!(rest.len() == 2 + usize::from(rest[1]), "more than the close frame: {rest:02x?}");
    Ok(())
}

#[test]
fn a_packet_that_is_split_over_many_frames_is_read() -> anyhow::Result<()> {
    let node = Node::start()?;
    let mut websocket = RawWebSocket::open(node.websocket())?;
    for byte in raw_mqtt::connect(4, "bytewise") {
        websocket.send(Framing::BINARY, &[byte])?;
    }
    assert_eq!(websocket.receive_bytes(4)?, CONNACK_311);
    Ok(())
}

#[test]
fn a_fragmented_message_with_a_ping_between_its_frames_is_read() -> anyhow::Result<()> {
    let node = Node::start()?;
    let mut websocket = RawWebSocket::open(node.websocket())?;
    let connect = raw_mqtt::connect(4, "fragments");
    let (first, rest) = connect.split_at(5);
    let (second, third) = rest.split_at(3);
    websocket.send(Framing { last: false, ..Framing::BINARY }, first)?;
    websocket.send(Framing { opcode: Opcode::Ping, ..Framing::BINARY }, b"still there?")?;
    let pong = websocket.receive()?;
    assert_eq!((pong.opcode, pong.payload.as_slice()), (Opcode::Pong as u8, b"still there?".as_slice()));
    websocket.send(Framing { opcode: Opcode::Continuation, last: false, masked: true }, second)?;
    websocket.send(Framing { opcode: Opcode::Continuation, ..Framing::BINARY }, third)?;
    assert_eq!(websocket.receive_bytes(4)?, CONNACK_311);
    Ok(())
}

#[test]
fn several_packets_in_one_frame_are_all_answered_in_order() -> anyhow::Result<()> {
    let node = Node::start()?;
    let mut websocket = RawWebSocket::open(node.websocket())?;
    let publish = raw_mqtt::publish("raw/echo", b"hello");
    let all =
        [raw_mqtt::connect(4, "batch"), raw_mqtt::subscribe("raw/echo"), publish.clone(), PINGREQ.to_vec()].concat();
    websocket.send(Framing::BINARY, &all)?;
    let mut expected = [CONNACK_311.as_slice(), &SUBACK].concat();
    let answers = websocket.receive_bytes(expected.len() + publish.len() + PINGRESP.len())?;
    // The message to oneself may come before or after the answer to the ping.
    let rest = answers[expected.len()..].to_vec();
    expected.extend(&rest);
    assert_eq!(answers, expected);
    assert!(rest == [publish.as_slice(), &PINGRESP].concat() || rest == [&PINGRESP, publish.as_slice()].concat());
    Ok(())
}

#[test]
fn a_frame_with_half_a_packet_and_the_next_with_the_rest_and_more_are_read() -> anyhow::Result<()> {
    let node = Node::start()?;
    let mut websocket = connected(&node)?;
    let packets = [raw_mqtt::subscribe("raw/#"), PINGREQ.to_vec(), PINGREQ.to_vec()].concat();
    let (first, second) = packets.split_at(7);
    websocket.send(Framing::BINARY, first)?;
    websocket.send(Framing::BINARY, second)?;
    assert_eq!(websocket.receive_bytes(9)?, [SUBACK.as_slice(), &PINGRESP, &PINGRESP].concat());
    Ok(())
}

#[test]
fn an_unmasked_frame_is_refused() -> anyhow::Result<()> {
    let node = Node::start()?;
    let unmasked = Framing { masked: false, ..Framing::BINARY };
    let mut before = RawWebSocket::open(node.websocket())?;
    before.send(unmasked, &raw_mqtt::connect(4, "unmasked"))?;
    closed_with(before, 1002)?;
    let mut after = connected(&node)?;
    after.send(unmasked, &PINGREQ)?;
    closed_with(after, 1002)
}

#[test]
fn a_text_frame_is_refused() -> anyhow::Result<()> {
    let node = Node::start()?;
    let text = Framing { opcode: Opcode::Text, ..Framing::BINARY };
    let mut before = RawWebSocket::open(node.websocket())?;
    before.send(text, &raw_mqtt::connect(4, "text"))?;
    closed_with(before, 1003)?;
    let mut after = connected(&node)?;
    after.send(text, &PINGREQ)?;
    closed_with(after, 1003)
}

#[test]
fn a_frame_that_claims_to_be_enormous_is_refused_before_it_is_sent() -> anyhow::Result<()> {
    let node = small_packets()?;
    for claimed in [64 * 1024 * 1024, u64::MAX >> 1] {
        let mut websocket = connected(&node)?;
        let mut head = vec![0x82, 0x80 | 127];
        head.extend(u64::to_be_bytes(claimed));
        head.extend([1, 2, 3, 4]);
        websocket.send_bytes(&head)?;
        closed_with(websocket, 1009)?;
    }
    Ok(())
}

#[test]
fn a_packet_of_the_largest_size_passes_in_one_frame_and_one_byte_more_does_not() -> anyhow::Result<()> {
    let node = small_packets()?;
    let publish = |whole: usize| {
        // Fixed header of 4 bytes, length of the topic, topic.
        raw_mqtt::publish("raw/size", &vec![b'x'; whole - 4 - 2 - "raw/size".len()])
    };
    let mut allowed = connected(&node)?;
    let largest = publish(64 * 1024);
    assert_eq!(largest.len(), 64 * 1024);
    allowed.send(Framing::BINARY, &largest)?;
    allowed.send(Framing::BINARY, &PINGREQ)?;
    assert_eq!(allowed.receive_bytes(2)?, PINGRESP);

    let mut refused = connected(&node)?;
    refused.send(Framing::BINARY, &publish(64 * 1024 + 1))?;
    let rest = refused.until_closed()?;
    assert!(!rest.windows(2).any(|pair| pair == PINGRESP), "{rest:02x?}");
    assert_eq!(connected(&node)?.receive_after_ping()?, PINGRESP);
    Ok(())
}

#[test]
fn fragments_out_of_order_and_reserved_opcodes_are_refused() -> anyhow::Result<()> {
    let node = Node::start()?;
    let mut continuation_first = connected(&node)?;
    continuation_first.send(Framing { opcode: Opcode::Continuation, ..Framing::BINARY }, &PINGREQ)?;
    closed_with(continuation_first, 1002)?;
    let mut binary_inside = connected(&node)?;
    binary_inside.send(Framing { last: false, ..Framing::BINARY }, &PINGREQ[..1])?;
    binary_inside.send(Framing::BINARY, &PINGREQ[1..])?;
    closed_with(binary_inside, 1002)?;
    for first in [0x83, 0xC2, 0x8B] {
        let mut reserved = connected(&node)?;
        reserved.send_bytes(&[first, 0x80, 1, 2, 3, 4])?;
        closed_with(reserved, 1002)?;
    }
    Ok(())
}

#[test]
fn a_close_frame_is_answered_with_one() -> anyhow::Result<()> {
    let node = Node::start()?;
    let mut websocket = connected(&node)?;
    websocket.send(Framing { opcode: Opcode::Close, ..Framing::BINARY }, &1000_u16.to_be_bytes())?;
    closed_with(websocket, 1000)
}

#[test]
fn an_upgrade_elsewhere_or_without_the_subprotocol_is_refused() -> anyhow::Result<()> {
    let node = Node::start()?;
    for (path, subprotocol, status) in [
        ("/other", Some("mqtt"), "404"),
        ("/mqtt", None, "400"),
        ("/mqtt", Some("chat"), "400"),
        ("/mqtt", Some("chat, mqtt"), "101"),
    ] {
        let (_stream, answer) = raw_websocket::upgrade(node.websocket(), path, subprotocol)?;
        ensure!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path} with {subprotocol:?} is answered {answer}");
    }
    Ok(())
}
