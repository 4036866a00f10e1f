//! MQTT packets by hand: for what no well-behaved client sends, and to be independent of the product's codec.

use std::io::{ErrorKind, Read, Write as _};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context as _, ensure};

use crate::PATIENCE;

/// `PINGREQ`.
pub const PINGREQ: [u8; 2] = [0xC0, 0x00];
/// `PINGRESP`.
pub const PINGRESP: [u8; 2] = [0xD0, 0x00];

/// A TCP connection that sends and receives bytes.
#[derive(Debug)]
pub struct RawMqtt {
    stream: TcpStream,
}

impl RawMqtt {
    /// Opens a connection and sends nothing.
    ///
    /// # Errors
    /// Nothing listens there.
    pub fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// The peer has closed.
    pub fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(bytes).with_context(|| format!("send {} bytes", bytes.len()))
    }

    /// Receives one whole packet.
    ///
    /// # Errors
    /// The connection ends or the time is over first.
    pub fn receive(&mut self) -> anyhow::Result<Vec<u8>> {
        receive_packet(&mut self.stream)
    }

    /// Waits for the end of the connection and gives what came before it.
    ///
    /// # Errors
    /// The connection stays open.
    pub fn until_closed(&mut self) -> anyhow::Result<Vec<u8>> {
        until_closed(&mut self.stream)
    }
}

/// A CONNECT with clean start and no keep-alive.
pub fn connect(version: u8, client_id: &str) -> Vec<u8> {
    let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', version, 0x02, 0, 0];
    if version == 5 {
        body.push(0);
    }
    body.extend(text(client_id));
    packet(0x10, &body)
}

/// A PUBLISH of QoS 0 for MQTT 3.1.1.
pub fn publish(topic: &str, payload: &[u8]) -> Vec<u8> {
    let mut body = text(topic);
    body.extend(payload);
    packet(0x30, &body)
}

/// A SUBSCRIBE with QoS 0 and packet identifier 1 for MQTT 3.1.1.
pub fn subscribe(filter: &str) -> Vec<u8> {
    let mut body = vec![0, 1];
    body.extend(text(filter));
    body.push(0);
    packet(0x82, &body)
}

/// A fixed header in front of `body`.
pub fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    bytes.extend(variable(body.len()));
    bytes.extend(body);
    bytes
}

/// A variable byte integer.
pub fn variable(value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut left = value;
    loop {
        let low = u8::try_from(left % 128).unwrap_or(0);
        left /= 128;
        bytes.push(if left > 0 { low | 0x80 } else { low });
        if left == 0 {
            return bytes;
        }
    }
}

/// Waits for the end of a connection and gives what came before it; a reset is an end.
///
/// # Errors
/// The connection stays open.
pub fn until_closed(stream: &mut impl Read) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(bytes),
        Err(error) => Err(error).with_context(|| format!("wait for the end of the connection, after {bytes:02x?}")),
    }
}

fn receive_packet(stream: &mut impl Read) -> anyhow::Result<Vec<u8>> {
    let mut bytes = vec![0; 2];
    stream.read_exact(&mut bytes).context("receive a fixed header")?;
    let mut length = usize::from(bytes[1] & 0x7F);
    let mut shift = 7;
    while bytes[bytes.len() - 1] & 0x80 != 0 {
        ensure!(shift <= 21, "a remaining length of more than 4 bytes");
        let mut next = [0];
        stream.read_exact(&mut next).context("receive a fixed header")?;
        bytes.push(next[0]);
        length |= usize::from(next[0] & 0x7F) << shift;
        shift += 7;
    }
    let start = bytes.len();
    bytes.resize(start + length, 0);
    stream.read_exact(&mut bytes[start..]).context("receive the rest of a packet")?;
    Ok(bytes)
}

fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_can_be_read_back_at_each_length_of_its_header() {
        for length in [0, 127, 128, 16_383, 16_384] {
            let sent = packet(0x30, &vec![7; length]);
            assert_eq!(receive_packet(&mut sent.as_slice()).unwrap(), sent, "{length}");
        }
    }
}
