//! What must hold of the WebSocket reader for any bytes, shared by the fuzz target `websocket` and the test that replays its
//! corpus: it reads what tungstenite reads, refuses what tungstenite refuses, and does not care where the bytes are cut.
//!
//! The first byte of an input chooses what the rest is (even: a stream as it is; odd: a script of frames that are all
//! allowed), the second into how long pieces the stream is cut.

use std::io::{self, Cursor, Read, Write};

use selvedge_broker::framing::{Unframed, unframe};
use tokio_tungstenite::tungstenite::{
    Error, Message, WebSocket,
    error::{CapacityError, ProtocolError},
    protocol::{Role, WebSocketConfig, frame::coding::CloseCode},
};

/// Largest frame that is allowed here.
const FRAME_BYTES_MAX: usize = 300;

/// Reads the input in several ways and compares.
pub fn check_input(input: &[u8]) {
    let [kind, cut, rest @ ..] = input else { return };
    if kind % 2 == 0 {
        let read = read_in_pieces(rest, *cut);
        compare(&read, &reference(rest));
    } else {
        let (stream, expected) = allowed_frames(rest);
        assert_eq!(read_in_pieces(&stream, *cut), expected, "frames that are all allowed");
    }
}

/// Reads byte by byte, so that a violation takes nothing with it; and in pieces and at once, which must come to the same.
fn read_in_pieces(stream: &[u8], cut: u8) -> Unframed {
    let maximum = FRAME_BYTES_MAX as u64;
    let bytewise = unframe(stream.chunks(1), maximum);
    let lengths = [usize::from(cut) + 1, stream.len().max(1)];
    for length in lengths {
        let other = unframe(stream.chunks(length), maximum);
        assert_eq!(other.violation, bytewise.violation, "in pieces of {length}");
        assert_eq!((&other.pings, &other.closes), (&bytewise.pings, &bytewise.closes), "in pieces of {length}");
        if bytewise.violation.is_none() {
            assert_eq!(other.payload, bytewise.payload, "in pieces of {length}");
        } else {
            assert!(bytewise.payload.starts_with(&other.payload), "in pieces of {length}");
        }
    }
    bytewise
}

/// How the reference came to its end.
#[derive(Debug, PartialEq)]
enum End {
    /// Nothing wrong; the last frame may be incomplete.
    OutOfBytes,
    /// A close frame with an allowed status, or none (0).
    Closed(u16),
    /// A close frame with a status or text that is not allowed.
    BadClose,
    Text,
    TooLarge,
    Violation,
}

fn compare(read: &Unframed, (payload, pings, end): &(Vec<u8>, Vec<Vec<u8>>, End)) {
    // The reference gives whole messages only.
    assert!(read.payload.starts_with(payload), "payload differs: {:02x?}, not {payload:02x?}", read.payload);
    if read.is_text {
        // It is refused where it begins, unless the reference came to a close frame before.
        assert!(pings.starts_with(&read.pings) || read.pings.starts_with(pings), "pings differ before a text");
        return;
    }
    assert!(read.pings.starts_with(pings), "pings differ: {:02x?}, not {pings:02x?}", read.pings);
    match end {
        // The reference looks at some rules only when a frame is complete.
        End::OutOfBytes => assert!(read.closes.is_empty(), "a close frame that is not there"),
        End::Closed(code) => assert_eq!(read.closes.first(), Some(code), "status of the close frame"),
        End::BadClose => assert!(!read.closes.is_empty(), "a close frame is not seen"),
        End::Text => panic!("a text is read as if it were binary"),
        // A frame that breaks another rule as well is refused for that.
        End::TooLarge => assert!(matches!(read.violation, Some(1002 | 1009)), "a frame that is too large is read"),
        End::Violation => assert!(read.violation.is_some(), "what the reference refuses is read"),
    }
}

fn reference(stream: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>, End) {
    // Small buffers, because they are filled with zeros for each input.
    let config = WebSocketConfig::default()
        .read_buffer_size(512)
        .write_buffer_size(0)
        .max_message_size(None)
        .max_frame_size(Some(FRAME_BYTES_MAX));
    let mut socket = WebSocket::from_raw_socket(OneWay(Cursor::new(stream)), Role::Server, Some(config));
    let (mut payload, mut pings) = (Vec::new(), Vec::new());
    let end = loop {
        match socket.read() {
            Ok(Message::Binary(data)) => payload.extend_from_slice(&data),
            Ok(Message::Ping(data)) => pings.push(data.to_vec()),
            Ok(Message::Pong(_) | Message::Frame(_)) => {}
            Ok(Message::Text(_)) => break End::Text,
            Ok(Message::Close(None)) => break End::Closed(0),
            // The reference puts this in the place of a status that is not allowed.
            Ok(Message::Close(Some(frame))) if frame.code == CloseCode::Protocol => break End::BadClose,
            Ok(Message::Close(Some(frame))) => break End::Closed(frame.code.into()),
            Err(
                Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) | Error::ConnectionClosed | Error::Io(_),
            ) => {
                break End::OutOfBytes;
            }
            Err(Error::Protocol(ProtocolError::InvalidCloseSequence)) => break End::BadClose,
            // Of a text, or of the text in a close frame.
            Err(Error::Utf8(_)) => break End::BadClose,
            Err(Error::Capacity(CapacityError::MessageTooLong { .. })) => break End::TooLarge,
            Err(_) => break End::Violation,
        }
    };
    (payload, pings, end)
}

/// What comes is read, what is written goes nowhere.
struct OneWay<'a>(Cursor<&'a [u8]>);

impl Read for OneWay<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for OneWay<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Frames that a client may send, as the script asks, and what is to be read of them.
fn allowed_frames(script: &[u8]) -> (Vec<u8>, Unframed) {
    let mut stream = Vec::new();
    let mut expected = Unframed::default();
    let mut in_message = false;
    for choice in script.chunks(4) {
        let [kind, length, mask, fill] = [0, 1, 2, 3].map(|at| choice.get(at).copied().unwrap_or(0));
        let payload = vec![fill; usize::from(length)];
        match kind % 8 {
            0 => {
                let ping = &payload[..payload.len().min(125)];
                frame(&mut stream, 0x89, ping, mask);
                expected.pings.push(ping.to_vec());
            }
            1 => frame(&mut stream, 0x8A, &payload[..payload.len().min(125)], mask),
            kind => {
                let last = kind % 2 == 0;
                let opcode = if in_message { 0x00 } else { 0x02 };
                frame(&mut stream, opcode | if last { 0x80 } else { 0 }, &payload, mask);
                expected.payload.extend_from_slice(&payload);
                in_message = !last;
            }
        }
    }
    (stream, expected)
}

fn frame(stream: &mut Vec<u8>, first: u8, payload: &[u8], mask: u8) {
    let mask = [mask, !mask, mask ^ 0x5A, mask.wrapping_add(1)];
    stream.push(first);
    match payload.len() {
        short @ 0..=125 => stream.push(0x80 | short as u8),
        long => {
            stream.push(0x80 | 126);
            stream.extend_from_slice(&(long as u16).to_be_bytes());
        }
    }
    stream.extend_from_slice(&mask);
    stream.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
}
