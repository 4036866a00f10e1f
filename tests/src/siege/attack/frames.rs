//! Attacks with WebSocket frames, after the upgrade and after CONNECT.

use std::io::Write as _;

use anyhow::{Context as _, bail, ensure};

use super::{Attack, elsewhere, fresh};
use crate::raw_websocket::{self, Framing, Opcode};
use crate::siege::wire::{Target, Way, Wire, abandon};
use crate::{raw_mqtt, siege::wire::is_end};

const VIOLATIONS: &[&str] = &["selvedge_websocket_violations_total"];

/// The attacks of this file.
pub const ATTACKS: &[Attack] = &[
    Attack::new("bad-frames", "unmasked, reserved, fragmented, text and giant frames, 50 times", bad_frames)
        .over(Way::WebSocket)
        .counted(VIOLATIONS),
    Attack::new("tiny-fragments", "a packet in 200,000 fragments", tiny_fragments).over(Way::WebSocket),
    Attack::new("ping-flood", "WebSocket pings that are never taken an answer to", ping_flood)
        .over(Way::WebSocket)
        .counted(&["selvedge_socket_reads_paused_total"]),
];

fn bad_frames(target: &Target) -> anyhow::Result<()> {
    let target = elsewhere(target);
    let unmasked = Framing { masked: false, ..Framing::BINARY };
    let part = Framing { last: false, ..Framing::BINARY };
    let frame = raw_websocket::frame;
    let giant = |length: u64| [&[0x82, 0xFF][..], &length.to_be_bytes(), &[1, 2, 3, 4]].concat();
    let cases = [
        ("an unmasked frame", frame(unmasked, &raw_mqtt::PINGREQ), 1002),
        ("a reserved bit", [&[0xC2_u8][..], &frame(Framing::BINARY, b"x")[1..]].concat(), 1002),
        ("a reserved opcode", [&[0x83_u8][..], &frame(Framing::BINARY, b"x")[1..]].concat(), 1002),
        ("a fragmented ping", frame(Framing { opcode: Opcode::Ping, ..part }, b"x"), 1002),
        ("a ping of 126 bytes", frame(Framing { opcode: Opcode::Ping, ..Framing::BINARY }, &[0; 126]), 1002),
        ("a continuation of nothing", frame(Framing { opcode: Opcode::Continuation, ..Framing::BINARY }, b"x"), 1002),
        ("a message in a message", [frame(part, b"\xC0"), frame(Framing::BINARY, b"\0")].concat(), 1002),
        ("text", frame(Framing { opcode: Opcode::Text, ..Framing::BINARY }, b"x"), 1003),
        ("a frame of 5 MB", giant(5 << 20), 1009),
        ("a frame of 2^62 bytes", giant(1 << 62), 1009),
        ("a frame of 2^64-1 bytes", giant(u64::MAX), 1009),
    ];
    for _ in 0..50 {
        for (what, bytes, status) in &cases {
            let connect = target.connect(5, &fresh("frames"));
            let mut wire = Wire::connected(&target, Way::WebSocket, &connect).context(*what)?;
            wire.write_raw(bytes)?;
            let mut socket = wire.socket().try_clone().context("share a socket")?;
            let rest = raw_mqtt::until_closed(&mut socket).context(*what)?;
            // Frames of DISCONNECT may come before the close frame.
            let close = rest.windows(4).any(|bytes| bytes[0] == 0x88 && bytes[2..] == u16::to_be_bytes(*status));
            ensure!(close, "{what}: expected a close frame with {status}, got {rest:02x?}");
            abandon(&socket);
        }
    }
    Ok(())
}

fn tiny_fragments(target: &Target) -> anyhow::Result<()> {
    let target = elsewhere(target);
    let mut wire = Wire::connected(&target, Way::WebSocket, &target.connect(5, &fresh("fragments")))?;
    let first = raw_websocket::frame(Framing { last: false, ..Framing::BINARY }, &raw_mqtt::PINGREQ[..1]);
    let empty = raw_websocket::frame(Framing { opcode: Opcode::Continuation, last: false, masked: true }, b"");
    let last =
        raw_websocket::frame(Framing { opcode: Opcode::Continuation, ..Framing::BINARY }, &raw_mqtt::PINGREQ[1..]);
    wire.write_raw(&first)?;
    for _ in 0..200 {
        wire.write_raw(&empty.repeat(1_000))?;
    }
    wire.write_raw(&last)?;
    let answer = wire.receive().context("a packet in many fragments")?;
    ensure!(answer == raw_mqtt::PINGRESP, "a packet in many fragments is answered with {answer:02x?}");
    abandon(wire.socket());
    Ok(())
}

/// The node must stop reading whoever does not take its pongs.
fn ping_flood(target: &Target) -> anyhow::Result<()> {
    let target = elsewhere(target);
    let wire = Wire::connected(&target, Way::WebSocket, &target.connect(5, &fresh("pings")))?;
    wire.set_patience(std::time::Duration::from_secs(1))?;
    let pings = raw_websocket::frame(Framing { opcode: Opcode::Ping, ..Framing::BINARY }, &[0; 125]).repeat(1_000);
    let mut socket = wire.socket();
    for _ in 0..1_000 {
        if let Err(error) = socket.write_all(&pings) {
            abandon(socket);
            let error = anyhow::Error::new(error);
            // Blocked because the node reads no more, or closed.
            let expected = is_end(&error) || error.to_string().contains("unavailable");
            return if expected { Ok(()) } else { Err(error.context("send pings")) };
        }
    }
    bail!("the node takes 100 MB of pings whose answers nobody reads")
}
