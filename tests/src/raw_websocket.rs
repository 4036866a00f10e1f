//! WebSocket frames by hand (RFC 6455): masked or not, of any kind, split anywhere.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::{PATIENCE, raw_mqtt};

/// Key and accept value of the example in RFC 6455, section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Kind of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// More of the message that the last data frame began.
    Continuation = 0x0,
    /// UTF-8 text, which MQTT does not allow.
    Text = 0x1,
    /// Binary data.
    Binary = 0x2,
    /// End of the connection.
    Close = 0x8,
    /// A question whether the peer is there.
    Ping = 0x9,
    /// The answer to it.
    Pong = 0xA,
}

/// How a frame is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framing {
    /// Kind of the frame.
    pub opcode: Opcode,
    /// Whether it ends its message.
    pub last: bool,
    /// Whether it is masked, as a client has to.
    pub masked: bool,
}

/// A frame that the server sent.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    /// Kind of the frame, as its four bits.
    pub opcode: u8,
    /// Payload; a close frame begins with its status code.
    pub payload: Vec<u8>,
}

/// A WebSocket connection after its upgrade.
#[derive(Debug)]
pub struct RawWebSocket {
    stream: TcpStream,
}

impl Framing {
    /// A whole binary message, masked.
    pub const BINARY: Self = Self { opcode: Opcode::Binary, last: true, masked: true };
}

impl RawWebSocket {
    /// Connects and upgrades to the subprotocol `mqtt` at `/mqtt`.
    ///
    /// # Errors
    /// The server does not upgrade; the text holds its answer.
    pub fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let (stream, answer) = upgrade(address, "/mqtt", Some("mqtt"))?;
        let lower = answer.to_ascii_lowercase();
        ensure!(lower.starts_with("http/1.1 101"), "the server does not upgrade: {answer}");
        ensure!(answer.contains(ACCEPT), "the key is not accepted: {answer}");
        ensure!(lower.contains("sec-websocket-protocol: mqtt\r\n"), "the subprotocol is not chosen: {answer}");
        Ok(Self { stream })
    }

    /// How long receiving waits.
    ///
    /// # Errors
    /// The socket refuses it.
    pub fn set_patience(&mut self, patience: Duration) -> anyhow::Result<()> {
        self.stream.set_read_timeout(Some(patience)).context("set how long to wait")
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// The peer has closed.
    pub fn send(&mut self, framing: Framing, payload: &[u8]) -> anyhow::Result<()> {
        let bytes = frame(framing, payload);
        self.stream.write_all(&bytes).with_context(|| format!("send a frame of {} bytes", payload.len()))
    }

    /// Sends bytes as they are, for a frame that is not whole.
    ///
    /// # Errors
    /// The peer has closed.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(bytes).context("send bytes")
    }

    /// Receives one frame.
    ///
    /// # Errors
    /// The connection ends or the time is over first, or the frame is masked, which a server must not.
    pub fn receive(&mut self) -> anyhow::Result<Frame> {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).context("receive the head of a frame")?;
        ensure!(head[1] & 0x80 == 0, "the server masks its frames");
        let length = match head[1] & 0x7F {
            126 => {
                let mut length = [0; 2];
                self.stream.read_exact(&mut length).context("receive the length of a frame")?;
                usize::from(u16::from_be_bytes(length))
            }
            127 => {
                let mut length = [0; 8];
                self.stream.read_exact(&mut length).context("receive the length of a frame")?;
                usize::try_from(u64::from_be_bytes(length)).context("read the length of a frame")?
            }
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).context("receive the payload of a frame")?;
        Ok(Frame { opcode: head[0] & 0x0F, payload })
    }

    /// Receives the payloads of binary frames until they hold `length` bytes.
    ///
    /// # Errors
    /// Another kind of frame comes, or the connection ends.
    pub fn receive_bytes(&mut self, length: usize) -> anyhow::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let frame = self.receive()?;
            ensure!(frame.opcode == Opcode::Binary as u8, "expected binary data after {bytes:02x?}, got {frame:02x?}");
            bytes.extend(frame.payload);
        }
        Ok(bytes)
    }

    /// Sends a PINGREQ and gives the answer.
    ///
    /// # Errors
    /// The connection ends.
    pub fn receive_after_ping(&mut self) -> anyhow::Result<Vec<u8>> {
        self.send(Framing::BINARY, &raw_mqtt::PINGREQ)?;
        self.receive_bytes(raw_mqtt::PINGRESP.len())
    }

    /// Waits for the end of the connection and gives the bytes before it.
    ///
    /// # Errors
    /// The connection stays open.
    pub fn until_closed(&mut self) -> anyhow::Result<Vec<u8>> {
        raw_mqtt::until_closed(&mut self.stream)
    }
}

/// Sends an upgrade request and gives the stream and the head of the answer.
///
/// # Errors
/// There is no answer.
pub fn upgrade(address: SocketAddr, path: &str, subprotocol: Option<&str>) -> anyhow::Result<(TcpStream, String)> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let subprotocol = subprotocol.map(|name| format!("Sec-WebSocket-Protocol: {name}\r\n")).unwrap_or_default();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{subprotocol}\r\n"
    )
    .context("send the upgrade request")?;
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"\r\n\r\n") && stream.read(&mut byte).context("receive the answer to the upgrade")? == 1 {
        answer.push(byte[0]);
    }
    Ok((stream, String::from_utf8_lossy(&answer).into_owned()))
}

/// The bytes of one frame.
pub fn frame(framing: Framing, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
    let mut bytes = vec![framing.opcode as u8 | if framing.last { 0x80 } else { 0 }];
    let masked_bit = if framing.masked { 0x80 } else { 0 };
    if let Ok(length) = u8::try_from(payload.len())
        && length < 126
    {
        bytes.push(length | masked_bit);
    } else if let Ok(length) = u16::try_from(payload.len()) {
        bytes.push(126 | masked_bit);
        bytes.extend(length.to_be_bytes());
    } else {
        bytes.push(127 | masked_bit);
        bytes.extend((payload.len() as u64).to_be_bytes());
    }
    if framing.masked {
        bytes.extend(MASK);
        bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    } else {
        bytes.extend(payload);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_look_as_in_the_examples_of_the_rfc() {
        let hello = Framing { opcode: Opcode::Text, last: true, masked: true };
        let expected = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(frame(hello, b"Hello"), expected);
        let unmasked = Framing { masked: false, ..Framing::BINARY };
        assert_eq!(frame(unmasked, &[0; 256])[..4], [0x82, 0x7E, 0x01, 0x00]);
        assert_eq!(frame(unmasked, &vec![0; 65_536])[..10], [0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}
