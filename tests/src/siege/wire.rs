//! Connections of attackers and bystanders, over each transport: bytes out, packets in, nothing checked.
//!
//! Not [`crate::peer::Peer`], which holds a broker to every rule at the price of a decoded packet each.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use socket2::{Domain, Protocol, Socket, Type};

use crate::client_packet::Connect;
use crate::node::Node;
use crate::raw_websocket::{self, Framing};
use crate::{PATIENCE, raw_mqtt};

/// What carries the packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// TCP.
    Tcp,
    /// WebSocket over TCP.
    WebSocket,
    /// TLS over TCP.
    Tls,
    /// WebSocket over TLS.
    SecureWebSocket,
}

impl Way {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Tcp, Self::WebSocket, Self::Tls, Self::SecureWebSocket];

    fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls | Self::SecureWebSocket)
    }

    fn is_framed(self) -> bool {
        matches!(self, Self::WebSocket | Self::SecureWebSocket)
    }
}

/// Where a node is, how to reach it, and from where.
#[derive(Debug, Clone)]
pub struct Target {
    /// MQTT over TCP.
    pub mqtt: SocketAddr,
    /// MQTT over WebSocket.
    pub websocket: SocketAddr,
    /// MQTT over TLS, if it is served.
    pub mqtts: Option<SocketAddr>,
    /// MQTT over WebSocket over TLS, if it is served.
    pub secure_websocket: Option<SocketAddr>,
    /// The socket for who may change the node, where this is its machine.
    pub control: Option<PathBuf>,
    /// Which certificates are trusted.
    pub trust: Option<Arc<ClientConfig>>,
    /// Source address of connections; limits by address tell attackers and bystanders apart by it.
    pub source: Option<Ipv4Addr>,
    /// User name and password.
    pub login: Option<(String, String)>,
}

impl Target {
    /// The listeners of a node, for clients without a login that trust nobody.
    pub fn of(node: &Node) -> Self {
        Self {
            mqtt: node.mqtt(),
            websocket: node.websocket(),
            mqtts: node.mqtts(),
            secure_websocket: node.secure_websocket(),
            control: Some(node.place().socket()),
            trust: None,
            source: None,
            login: None,
        }
    }

    /// The same node seen from another address of the loopback network.
    #[must_use]
    pub fn from(&self, source: Ipv4Addr) -> Self {
        Self { source: Some(source), ..self.clone() }
    }

    /// Where a transport is served.
    pub fn address(&self, way: Way) -> Option<SocketAddr> {
        match way {
            Way::Tcp => Some(self.mqtt),
            Way::WebSocket => Some(self.websocket),
            Way::Tls => self.mqtts,
            Way::SecureWebSocket => self.secure_websocket,
        }
    }

    /// A connected socket on which nothing was sent.
    ///
    /// # Errors
    /// Nothing listens there.
    pub fn socket(&self, way: Way) -> anyhow::Result<TcpStream> {
        let address = self.address(way).with_context(|| format!("{way:?} is not served"))?;
        let context = || format!("connect to {address} ({way:?})");
        let socket =
            Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP)).with_context(context)?;
        if let Some(source) = self.source {
            socket.bind(&SocketAddr::from((IpAddr::V4(source), 0)).into()).with_context(context)?;
        }
        socket.connect(&address.into()).with_context(context)?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// The CONNECT of a clean session with the login of this target.
    pub fn connect(&self, version: u8, client_id: &str) -> Connect {
        let connect = if version == 5 { Connect::v5(client_id) } else { Connect::v311(client_id) };
        match &self.login {
            Some((user, password)) => connect.user(user).password(password.as_bytes()),
            None => connect,
        }
    }
}

#[derive(Debug)]
enum Carrier {
    Plain(TcpStream),
    Encrypted(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// A connection.
#[derive(Debug)]
pub struct Wire {
    carrier: Carrier,
    framed: bool,
    /// Bytes received, framing taken off, not yet taken; and those whose framing is still on.
    inbox: Vec<u8>,
    raw: Vec<u8>,
}

impl Wire {
    /// Opens a connection, with TLS and upgrade where there are any, and sends nothing.
    ///
    /// # Errors
    /// Nothing listens there, or the handshake fails.
    pub fn open(target: &Target, way: Way) -> anyhow::Result<Self> {
        let socket = target.socket(way)?;
        let carrier = if way.is_encrypted() {
            let trust = target.trust.clone().context("no certificate is trusted")?;
            let name = rustls::pki_types::ServerName::try_from("localhost").context("read a server name")?;
            let mut session = ClientConnection::new(trust, name).context("begin TLS")?;
            let mut socket = socket;
            session.complete_io(&mut socket).context("shake hands by TLS")?;
            Carrier::Encrypted(Box::new(StreamOwned::new(session, socket)))
        } else {
            Carrier::Plain(socket)
        };
        let mut wire = Self { carrier, framed: false, inbox: Vec::new(), raw: Vec::new() };
        if way.is_framed() {
            wire.upgrade()?;
            wire.framed = true;
        }
        Ok(wire)
    }

    /// Opens a connection and sends a CONNECT; gives the CONNACK, whatever it says.
    ///
    /// # Errors
    /// There is none.
    pub fn greeted(target: &Target, way: Way, connect: &Connect) -> anyhow::Result<(Self, Vec<u8>)> {
        let mut wire = Self::open(target, way)?;
        wire.send(&connect.bytes())?;
        let connack = wire.receive().context("receive a CONNACK")?;
        Ok((wire, connack))
    }

    /// As [`Wire::greeted`] for a CONNECT that is to be accepted.
    ///
    /// # Errors
    /// It is refused.
    pub fn connected(target: &Target, way: Way, connect: &Connect) -> anyhow::Result<Self> {
        let (wire, connack) = Self::greeted(target, way, connect)?;
        ensure!(connack.get(3) == Some(&0), "{}: CONNECT is answered with {connack:02x?}", connect.client_id);
        Ok(wire)
    }

    fn upgrade(&mut self) -> anyhow::Result<()> {
        self.write_raw(
            b"GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
              Sec-WebSocket-Protocol: mqtt\r\n\r\n",
        )?;
        let end = loop {
            if let Some(end) = self.raw.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            ensure!(self.read_raw()? > 0, "the connection ended in the upgrade");
        };
        let answer: Vec<u8> = self.raw.drain(..end).collect();
        ensure!(answer.starts_with(b"HTTP/1.1 101"), "no upgrade: {:?}", String::from_utf8_lossy(&answer));
        Ok(())
    }

    /// Sends the bytes of packets, in one WebSocket frame where there are frames.
    ///
    /// # Errors
    /// The node has closed.
    pub fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        if self.framed { self.write_raw(&raw_websocket::frame(Framing::BINARY, bytes)) } else { self.write_raw(bytes) }
    }

    /// Sends bytes below any framing.
    ///
    /// # Errors
    /// The node has closed.
    pub fn write_raw(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let written = match &mut self.carrier {
            Carrier::Plain(stream) => stream.write_all(bytes),
            Carrier::Encrypted(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        };
        written.with_context(|| format!("send {} bytes", bytes.len()))
    }

    /// Receives a whole packet.
    ///
    /// # Errors
    /// The connection ends, or nothing comes in time.
    pub fn receive(&mut self) -> anyhow::Result<Vec<u8>> {
        loop {
            if let Some(length) = packet_length(&self.inbox) {
                return Ok(self.inbox.drain(..length).collect());
            }
            ensure!(self.fill()? > 0, "the connection ended after {:02x?}", self.inbox);
        }
    }

    /// As [`Wire::receive`], none when the connection has ended.
    ///
    /// # Errors
    /// Nothing comes in time.
    pub fn receive_or_end(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        loop {
            if let Some(length) = packet_length(&self.inbox) {
                return Ok(Some(self.inbox.drain(..length).collect()));
            }
            match self.fill() {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if is_end(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for the end and gives what came before it, framing off.
    ///
    /// # Errors
    /// The connection stays open.
    pub fn until_closed(&mut self) -> anyhow::Result<Vec<u8>> {
        loop {
            match self.fill() {
                Ok(0) => return Ok(std::mem::take(&mut self.inbox)),
                Ok(_) => {}
                Err(error) if is_end(&error) => return Ok(std::mem::take(&mut self.inbox)),
                Err(error) => return Err(error.context("wait for the end of a connection")),
            }
        }
    }

    /// Sends a PINGREQ and takes what comes until its answer; gives the packets before it.
    ///
    /// # Errors
    /// The connection ends, or there is no answer in time.
    pub fn ping(&mut self) -> anyhow::Result<Vec<Vec<u8>>> {
        self.send(&raw_mqtt::PINGREQ)?;
        let mut before = Vec::new();
        loop {
            let packet = self.receive().context("receive a PINGRESP")?;
            if packet == raw_mqtt::PINGRESP {
                return Ok(before);
            }
            before.push(packet);
        }
    }

    /// How long reads and writes wait.
    ///
    /// # Errors
    /// The socket refuses it.
    pub fn set_patience(&self, patience: Duration) -> anyhow::Result<()> {
        let socket = self.socket();
        socket.set_read_timeout(Some(patience)).context("set a timeout")?;
        socket.set_write_timeout(Some(patience)).context("set a timeout")
    }

    /// The socket below.
    pub fn socket(&self) -> &TcpStream {
        match &self.carrier {
            Carrier::Plain(stream) => stream,
            Carrier::Encrypted(stream) => stream.get_ref(),
        }
    }

    /// Ends the connection as a broken network would, without a last word.
    pub fn cut(self) {
        abandon(self.socket());
        // Fails when the node was first.
        drop(self.socket().shutdown(Shutdown::Both));
    }

    /// Reads once; gives the bytes that came, framing included, 0 at the end.
    fn fill(&mut self) -> anyhow::Result<usize> {
        let count = if self.raw.is_empty() || !self.framed { self.read_raw()? } else { self.raw.len() };
        if !self.framed {
            self.inbox.append(&mut self.raw);
            return Ok(count);
        }
        if self.unframe() == 0 && count > 0 {
            // Only a part of a frame is there.
            let more = self.read_raw()?;
            self.unframe();
            return Ok(more);
        }
        Ok(count)
    }

    /// Takes whole frames off what was received; gives how many bytes they were. What is no data is dropped.
    fn unframe(&mut self) -> usize {
        let mut at = 0;
        while let Some((head, payload)) = frame_length(&self.raw[at..]) {
            if self.raw[at] & 0x0F <= 2 {
                self.inbox.extend_from_slice(&self.raw[at + head..at + head + payload]);
            }
            at += head + payload;
        }
        self.raw.drain(..at);
        at
    }

    fn read_raw(&mut self) -> anyhow::Result<usize> {
        let mut buffer = [0; 16 * 1024];
        let read = match &mut self.carrier {
            Carrier::Plain(stream) => stream.read(&mut buffer),
            Carrier::Encrypted(stream) => stream.read(&mut buffer),
        };
        match read {
            Ok(count) => {
                self.raw.extend_from_slice(&buffer[..count]);
                Ok(count)
            }
            // TLS without a close_notify.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(0),
            Err(error) => Err(error).context("receive"),
        }
    }
}

/// Has the kernel forget a connection at once, so that thousands of closed ones leave no used-up ports behind.
pub fn abandon(socket: &TcpStream) {
    // Fails when the socket is gone already.
    drop(socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO)));
}

/// Waits until `holds`, looking every few milliseconds.
///
/// # Errors
/// It does not within [`PATIENCE`]; the text holds what `describe` says then.
pub fn wait_until(
    what: &str,
    mut holds: impl FnMut() -> anyhow::Result<bool>,
    describe: impl FnOnce() -> String,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !holds()? {
        if Instant::now() >= deadline {
            bail!("{what} did not come true in {PATIENCE:?}: {}", describe());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Whether an error is the end of a connection, which the node may cut as it likes.
pub fn is_end(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.is_some_and(|io| {
        matches!(io.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted)
    })
}

/// Whether an error says only that nothing came in time.
pub fn is_late(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.is_some_and(|io| matches!(io.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

/// Bytes of the first packet, if it is whole.
fn packet_length(bytes: &[u8]) -> Option<usize> {
    let mut length = 0;
    for (index, byte) in bytes.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            let whole = 2 + index + length;
            return (bytes.len() >= whole).then_some(whole);
        }
    }
    None
}

/// Bytes of the head and the payload of the first frame of a server, if it is whole.
fn frame_length(bytes: &[u8]) -> Option<(usize, usize)> {
    let (head, payload) = match bytes.get(1)? & 0x7F {
        126 => (4, usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)).ok()?),
        short => (2, usize::from(short)),
    };
    (bytes.len() >= head + payload).then_some((head, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_taken_when_it_is_whole() {
        assert_eq!(packet_length(&[0xD0, 0, 0x20]), Some(2));
        assert_eq!(packet_length(&[0x30, 0x80]), None);
        assert_eq!(packet_length(&[&[0x30, 0x80, 1][..], &[0; 128]].concat()), Some(131));
        assert_eq!(packet_length(&[&[0x30, 0x80, 1][..], &[0; 127]].concat()), None);
    }

    #[test]
    fn a_frame_is_taken_when_it_is_whole() {
        assert_eq!(frame_length(&[0x82, 2, 1, 1, 9]), Some((2, 2)));
        assert_eq!(frame_length(&[0x82, 126, 0, 1]), None);
        assert_eq!(frame_length(&[0x82, 126, 0, 1, 7]), Some((4, 1)));
    }
}
