//! The bytes between a peer and the broker, over TCP or in WebSocket frames.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::client::Transport;
use crate::raw_websocket::{Framing, Opcode, RawWebSocket};

/// An open connection.
#[derive(Debug)]
pub enum Link {
    /// Plain TCP.
    Tcp(TcpStream),
    /// Binary frames.
    WebSocket(RawWebSocket),
}

impl Link {
    /// Opens a connection, with the upgrade where the transport has one.
    ///
    /// # Errors
    /// Nothing listens there.
    pub fn open(address: SocketAddr, transport: Transport, patience: Duration) -> anyhow::Result<Self> {
        match transport {
            Transport::Tcp => {
                let stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
                stream.set_read_timeout(Some(patience))?;
                stream.set_write_timeout(Some(patience))?;
                stream.set_nodelay(true)?;
                Ok(Self::Tcp(stream))
            }
            Transport::Ws => {
                let mut websocket = RawWebSocket::open(address)?;
                websocket.set_patience(patience)?;
                Ok(Self::WebSocket(websocket))
            }
        }
    }

    /// Sends bytes; in one frame over WebSocket.
    ///
    /// # Errors
    /// The broker has closed.
    pub fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes).with_context(|| format!("send {} bytes", bytes.len())),
            Self::WebSocket(websocket) => websocket.send(Framing::BINARY, bytes),
        }
    }

    /// Appends what comes next to `bytes`; false at the end of the connection.
    ///
    /// # Errors
    /// Nothing comes in time, or a frame that MQTT does not use [MQTT-6.0.0-1].
    pub fn receive(&mut self, bytes: &mut Vec<u8>) -> anyhow::Result<bool> {
        match self {
            Self::Tcp(stream) => {
                let mut buffer = [0; 4096];
                match stream.read(&mut buffer) {
                    Ok(read) => {
                        bytes.extend(&buffer[..read]);
                        Ok(read > 0)
                    }
                    Err(error) if is_end(error.kind()) => Ok(false),
                    Err(error) => Err(error).context("nothing came in time"),
                }
            }
            Self::WebSocket(websocket) => {
                let frame = match websocket.receive() {
                    Ok(frame) => frame,
                    Err(error) => {
                        let kind = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
                        let end = kind.is_some_and(|cause| is_end(cause.kind()));
                        return if end { Ok(false) } else { Err(error).context("nothing came in time") };
                    }
                };
                match frame.opcode {
                    opcode if opcode == Opcode::Binary as u8 || opcode == Opcode::Continuation as u8 => {
                        bytes.extend(frame.payload);
                        Ok(true)
                    }
                    opcode if opcode == Opcode::Close as u8 => Ok(false),
                    opcode => bail!("a frame with opcode {opcode} from the server"),
                }
            }
        }
    }
}

fn is_end(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}
