//! A connection that never blocks: packets that have come, and bytes that wait to be sent.
//!
//! Invariant: after the broker has died, what it sent before is still given, and then the end.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use anyhow::Context as _;

use crate::client::Version;
use crate::server_packet::{ServerPacket, decode};

/// A broker on this machine takes a connection in this time or is dead.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Read at a time.
const READ_BYTES: usize = 16 * 1024;

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    version: Version,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    ended: bool,
}

impl Connection {
    /// Opens one.
    ///
    /// # Errors
    /// Nothing listens there.
    pub fn open(address: SocketAddr, version: Version) -> anyhow::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).context("connect")?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, version, incoming: Vec::new(), outgoing: Vec::new(), ended: false })
    }

    /// Sends now or later.
    pub fn send(&mut self, bytes: &[u8]) {
        self.outgoing.extend(bytes);
    }

    /// Bytes that the broker has not taken.
    pub fn backlog(&self) -> usize {
        self.outgoing.len()
    }

    /// Whether the broker has closed and everything it sent was given.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Sends what the socket takes and gives the packets that have come.
    ///
    /// # Errors
    /// A packet breaks a rule of the standard.
    pub fn exchange(&mut self) -> anyhow::Result<Vec<ServerPacket>> {
        self.flush();
        let mut buffer = [0; READ_BYTES];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.ended = true,
                Ok(read) => {
                    self.incoming.extend(&buffer[..read]);
                    if read == buffer.len() {
                        continue;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => self.ended = true,
            }
            break;
        }
        let (mut packets, mut taken) = (Vec::new(), 0);
        while let Some((packet, length)) = decode(self.version, &self.incoming[taken..])? {
            packets.push(packet);
            taken += length;
        }
        self.incoming.drain(..taken);
        Ok(packets)
    }

    fn flush(&mut self) {
        while !self.outgoing.is_empty() {
            match self.stream.write(&self.outgoing) {
                Ok(written) => drop(self.outgoing.drain(..written)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // Reading tells that it has ended, after what came before.
                Err(_) => self.outgoing.clear(),
            }
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
