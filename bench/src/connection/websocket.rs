//! WebSocket as a client: the upgrade, and frames around MQTT (MQTT 5, section 6; RFC 6455). Headers are tungstenite's.
//! The masking key is zero: frames are masked as the standard asks, and masking costs the generator nothing.
//! Invariant: nothing is wrapped before the server has switched protocols.

use std::io::Cursor;

use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// The longest answer to an upgrade, bytes.
const RESPONSE_BYTES_MAX: usize = 8_192;

/// The longest header of a server's frame, bytes: there is no masking key.
const HEADER_BYTES_MAX: usize = 10;

/// The longest payload of a ping, bytes (RFC 6455, 5.5).
const PING_BYTES_MAX: u64 = 125;

#[derive(Debug)]
enum State {
    /// The upgrade is asked for; this is what came of the answer.
    Upgrading(Vec<u8>),
    /// So many bytes of the present frame's payload are still to come.
    Open { left: u64 },
}

/// One connection's framing.
#[derive(Debug)]
pub(super) struct WebSocket {
    state: State,
    /// The upgrade request, until it is sent.
    request: Vec<u8>,
    /// The beginning of a header that has not ended yet.
    header: Vec<u8>,
    /// The payload of a ping that is coming in.
    ping: Option<Vec<u8>>,
    /// Payloads of pings to answer.
    pongs: Vec<Vec<u8>>,
}

impl WebSocket {
    pub fn new(host: &str, path: &str) -> Self {
        let key = generate_key();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
        );
        Self {
            state: State::Upgrading(Vec::new()),
            request: request.into_bytes(),
            header: Vec::new(),
            ping: None,
            pongs: Vec::new(),
        }
    }

    /// Moves what is to be sent from `outbox` to `wire`, as one frame.
    pub fn wrap(&mut self, outbox: &mut Vec<u8>, wire: &mut Vec<u8>) {
        wire.append(&mut self.request);
        if matches!(self.state, State::Upgrading(_)) {
            return;
        }
        for pong in self.pongs.drain(..) {
            frame(OpCode::Control(Control::Pong), &pong, wire);
        }
        if !outbox.is_empty() {
            frame(OpCode::Data(Data::Binary), outbox, wire);
            outbox.clear();
        }
    }

    /// Takes framing out of what arrived; gives how many bytes of payload now stand at the beginning of `bytes`.
    pub fn unwrap(&mut self, bytes: &mut [u8]) -> Result<usize, String> {
        let mut from = self.finish_upgrade(bytes)?;
        let mut payload = 0;
        while from < bytes.len() {
            let State::Open { left } = &mut self.state else { return Ok(payload) };
            if *left == 0 {
                self.header.push(bytes[from]);
                from += 1;
                self.begin_frame()?;
                continue;
            }
            let count = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - from);
            *left -= count as u64;
            let ended = *left == 0;
            match &mut self.ping {
                Some(ping) => ping.extend_from_slice(&bytes[from..from + count]),
                None => {
                    bytes.copy_within(from..from + count, payload);
                    payload += count;
                }
            }
            if ended && let Some(ping) = self.ping.take() {
                self.pongs.push(ping);
            }
            from += count;
        }
        Ok(payload)
    }

    /// A frame begins when its header is complete.
    fn begin_frame(&mut self) -> Result<(), String> {
        let parsed = FrameHeader::parse(&mut Cursor::new(&self.header)).map_err(|error| error.to_string())?;
        let Some((header, length)) = parsed else {
            if self.header.len() > HEADER_BYTES_MAX {
                return Err("a WebSocket frame header that does not end".to_owned());
            }
            return Ok(());
        };
        self.header.clear();
        match header.opcode {
            OpCode::Data(Data::Binary | Data::Continue) => {}
            OpCode::Control(Control::Ping) if length == 0 => self.pongs.push(Vec::new()),
            OpCode::Control(Control::Ping) if length <= PING_BYTES_MAX => self.ping = Some(Vec::new()),
            OpCode::Control(Control::Close) => return Err("the server closed the WebSocket".to_owned()),
            other => return Err(format!("a WebSocket frame of kind {other}")),
        }
        if header.mask.is_some() {
            return Err("a masked WebSocket frame from the server".to_owned());
        }
        self.state = State::Open { left: length };
        Ok(())
    }

    /// Reads the answer to the upgrade; gives where the frames begin in `bytes`.
    fn finish_upgrade(&mut self, bytes: &[u8]) -> Result<usize, String> {
        const END: &[u8] = b"\r\n\r\n";
        let State::Upgrading(response) = &mut self.state else { return Ok(0) };
        let before = response.len();
        response.extend_from_slice(bytes);
        let Some(at) = response.windows(END.len()).position(|window| window == END) else {
            if response.len() > RESPONSE_BYTES_MAX {
                return Err("an answer to the WebSocket upgrade that does not end".to_owned());
            }
            return Ok(bytes.len());
        };
        let status = response.split(|byte| *byte == b'\r').next().unwrap_or_default();
        if status.get(9..12) != Some(b"101") {
            return Err(format!("the WebSocket upgrade was answered with: {}", String::from_utf8_lossy(status)));
        }
        self.state = State::Open { left: 0 };
        Ok(at + END.len() - before)
    }
}

fn frame(opcode: OpCode, payload: &[u8], wire: &mut Vec<u8>) {
    let header = FrameHeader { is_final: true, opcode, mask: Some([0; 4]), ..FrameHeader::default() };
    // Writing into memory does not fail.
    let _ = header.format(payload.len() as u64, wire);
    wire.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> WebSocket {
        let mut websocket = WebSocket::new("broker:1", "/mqtt");
        let mut answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n".to_vec();
        assert_eq!(websocket.unwrap(&mut answer), Ok(0));
        websocket
    }

    #[test]
    fn nothing_but_the_request_leaves_before_the_upgrade() {
        let mut websocket = WebSocket::new("broker:1", "/mqtt");
        let (mut outbox, mut wire) = (vec![1, 2, 3], Vec::new());
        websocket.wrap(&mut outbox, &mut wire);
        assert!(wire.starts_with(b"GET /mqtt HTTP/1.1\r\n") && outbox.len() == 3);
        wire.clear();
        websocket.wrap(&mut outbox, &mut wire);
        assert!(wire.is_empty());
    }

    #[test]
    fn frames_come_apart_wherever_the_bytes_are_cut() {
        let mut bytes = Vec::new();
        for payload in [&[7_u8; 3][..], &[8; 200], &[9; 70_000]] {
            let header = FrameHeader { opcode: OpCode::Data(Data::Binary), ..FrameHeader::default() };
            header.format(payload.len() as u64, &mut bytes).expect("memory takes it");
            bytes.extend_from_slice(payload);
        }
        for step in [1, 2, 5, 1_000, 100_000] {
            let mut websocket = open();
            let mut got = Vec::new();
            for piece in bytes.chunks(step) {
                let mut piece = piece.to_vec();
                let count = websocket.unwrap(&mut piece).expect("frames");
                got.extend_from_slice(&piece[..count]);
            }
            assert_eq!(got.len(), 70_203, "in steps of {step}");
            assert_eq!((got[0], got[3], got[203]), (7, 8, 9));
        }
    }

    #[test]
    fn a_ping_is_answered_and_a_refused_upgrade_is_told() {
        let mut websocket = open();
        assert_eq!(websocket.unwrap(&mut [0x89, 2, b'h', b'i', 0x82, 1, 5]), Ok(1));
        let mut wire = Vec::new();
        websocket.wrap(&mut Vec::new(), &mut wire);
        let request_end = wire.windows(4).position(|window| window == b"\r\n\r\n").expect("a request") + 4;
        assert_eq!(wire[request_end..], [0x8A, 0x82, 0, 0, 0, 0, b'h', b'i']);
        let mut refused = WebSocket::new("broker:1", "/");
        let error = refused.unwrap(&mut b"HTTP/1.1 404 Not Found\r\n\r\n".to_vec()).expect_err("refused");
        assert!(error.contains("404"), "{error}");
    }
}
