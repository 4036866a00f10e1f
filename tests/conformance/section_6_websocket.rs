//! Section 6: MQTT in the frames of a WebSocket connection.

use anyhow::ensure;
use selvedge_tests::client::Transport;
use selvedge_tests::client_packet::{Connect, Publish, subscribe};
use selvedge_tests::raw_websocket::{Framing, Opcode, RawWebSocket, upgrade};

use crate::registry::section;
use crate::target::Target;

section! {
    "6 Using WebSocket as a network transport";
    a_text_frame_ends_the_connection => V5["MQTT-6.0.0-1"], V311["MQTT-6.0.0-1"];
    packets_come_in_binary_frames => V5["MQTT-6.0.0-1"], V311["MQTT-6.0.0-1"];
    a_frame_may_hold_parts_of_packets_and_several => V5["MQTT-6.0.0-2"], V311["MQTT-6.0.0-2"];
    the_subprotocol_that_is_chosen_is_mqtt => V5["MQTT-6.0.0-4"], V311["MQTT-6.0.0-4"];
}

fn open(target: &Target) -> anyhow::Result<RawWebSocket> {
    if target.transport() != Transport::Ws {
        return Err(target.skip("is about WebSocket"));
    }
    let route = target.route()?;
    let mut websocket = RawWebSocket::open(route.address)?;
    websocket.set_patience(route.patience)?;
    Ok(websocket)
}

fn a_text_frame_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    let text = Framing { opcode: Opcode::Text, ..Framing::BINARY };
    // As the first frame, and after an accepted CONNECT.
    let mut early = open(target)?;
    early.send(text, &Connect::v5(target.id("a")).bytes())?;
    early.until_closed()?;
    for connect in [Connect::v5(target.id("b")), Connect::v311(target.id("b"))] {
        let mut late = open(target)?;
        late.send(Framing::BINARY, &connect.bytes())?;
        late.receive()?;
        late.send(text, &[0xC0, 0x00])?;
        let answer = late.until_closed()?;
        ensure!(!answer.windows(2).any(|pair| pair == [0xD0, 0x00]), "a PINGREQ in a text frame is answered");
    }
    Ok(())
}

fn packets_come_in_binary_frames(target: &Target) -> anyhow::Result<()> {
    let mut websocket = open(target)?;
    websocket.send(Framing::BINARY, &Connect::v5(target.id("a")).bytes())?;
    let frame = websocket.receive()?;
    ensure!(frame.opcode == Opcode::Binary as u8 && frame.payload[0] == 0x20, "{frame:02x?}");
    websocket.send(Framing::BINARY, &[0xC0, 0x00])?;
    let frame = websocket.receive()?;
    ensure!(frame.opcode == Opcode::Binary as u8 && frame.payload == [0xD0, 0x00], "{frame:02x?}");
    Ok(())
}

fn a_frame_may_hold_parts_of_packets_and_several(target: &Target) -> anyhow::Result<()> {
    if target.transport() != Transport::Ws {
        return Err(target.skip("is about WebSocket"));
    }
    target.in_both_versions(|target, version| {
        let topic = target.topic("t");
        let connect = Connect::new(version, target.id("a")).bytes();
        let stream = [
            connect,
            subscribe(version, 1, &[], &[(&topic, 0)]),
            Publish::new(&topic, "one").bytes(version),
            Publish::new(&topic, "two").qos(1, 2).bytes(version),
            vec![0xC0, 0x00],
        ]
        .concat();
        let expected = {
            let mut websocket = open(target)?;
            websocket.send(Framing::BINARY, &stream)?;
            gathered(&mut websocket)?
        };
        for length in [1, 2, 3, 7, stream.len() - 1] {
            let mut websocket = open(target)?;
            for piece in stream.chunks(length) {
                websocket.send(Framing::BINARY, piece)?;
            }
            let answers = gathered(&mut websocket)?;
            ensure!(answers == expected, "in frames of {length} bytes: {answers:02x?} instead of {expected:02x?}");
        }
        // A message of several frames is one run of bytes as well.
        let (first, rest) = stream.split_at(5);
        let mut websocket = open(target)?;
        websocket.send(Framing { last: false, ..Framing::BINARY }, first)?;
        websocket.send(Framing { opcode: Opcode::Continuation, ..Framing::BINARY }, rest)?;
        ensure!(gathered(&mut websocket)? == expected, "in one message of two frames");
        Ok(())
    })
}

/// The bytes of the broker up to a PINGRESP.
fn gathered(websocket: &mut RawWebSocket) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(&[0xD0, 0x00]) {
        bytes.extend(websocket.receive()?.payload);
    }
    Ok(bytes)
}

fn the_subprotocol_that_is_chosen_is_mqtt(target: &Target) -> anyhow::Result<()> {
    if target.transport() != Transport::Ws {
        return Err(target.skip("is about WebSocket"));
    }
    for offered in ["mqtt", "other, mqtt", "mqtt, other"] {
        let (_, answer) = upgrade(target.route()?.address, "/mqtt", Some(offered))?;
        let lower = answer.to_ascii_lowercase();
        ensure!(lower.contains("sec-websocket-protocol: mqtt\r\n"), "{offered} is answered with {answer}");
    }
    // [MQTT-6.0.0-3] binds clients; one that does not offer it is not given another.
    let (_, answer) = upgrade(target.route()?.address, "/mqtt", Some("other"))?;
    let lower = answer.to_ascii_lowercase();
    ensure!(!lower.contains("sec-websocket-protocol: other"), "other is answered with {answer}");
    Ok(())
}
