//! What lies between TCP and MQTT: encryption, WebSocket frames, or both. Not built for speed beyond what keeps the
//! generator cheaper than a broker: one copy each way.
//! Invariant: no MQTT byte leaves before the handshakes below it are done.

use std::io::{self, Read, Write};
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::Broken;
use super::websocket::WebSocket;

/// How a connection is encrypted.
#[derive(Clone, Debug)]
pub(crate) struct Encryption {
    pub config: Arc<ClientConfig>,
    pub server_name: ServerName<'static>,
}

/// What a new connection gets between TCP and MQTT.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wrapping {
    pub encryption: Option<Encryption>,
    /// Host and path of the WebSocket upgrade.
    pub websocket: Option<(String, String)>,
}

/// The layers of one connection.
#[derive(Debug)]
pub(crate) struct Layers {
    tls: Option<ClientConnection>,
    websocket: Option<WebSocket>,
    /// Bytes for the socket where nothing encrypts them.
    wire: Vec<u8>,
    written: usize,
}

impl Layers {
    /// What `wrapping` asks for; `None` where nothing lies between.
    pub fn new(wrapping: &Wrapping) -> Result<Option<Self>, rustls::Error> {
        if wrapping.encryption.is_none() && wrapping.websocket.is_none() {
            return Ok(None);
        }
        let tls = match &wrapping.encryption {
            Some(Encryption { config, server_name }) => {
                let mut tls = ClientConnection::new(Arc::clone(config), server_name.clone())?;
                // Backlogs are bounded above, by the window and the outbox.
                tls.set_buffer_limit(None);
                Some(tls)
            }
            None => None,
        };
        let websocket = wrapping.websocket.as_ref().map(|(host, path)| WebSocket::new(host, path));
        Ok(Some(Self { tls, websocket, wire: Vec::new(), written: 0 }))
    }

    /// Whether something waits for the socket.
    pub fn has_output(&self) -> bool {
        self.written < self.wire.len() || self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Wraps `outbox` and sends what the system takes. Before the upgrade is done, `outbox` stays as it is.
    pub fn flush(&mut self, stream: &mut TcpStream, outbox: &mut Vec<u8>) -> Result<(), Broken> {
        match &mut self.websocket {
            Some(websocket) => websocket.wrap(outbox, &mut self.wire),
            None => self.wire.append(outbox),
        }
        let Some(tls) = &mut self.tls else { return self.write_plain(stream) };
        tls.writer().write_all(&self.wire).map_err(Broken::Io)?;
        self.wire.clear();
        while tls.wants_write() {
            match tls.write_tls(stream) {
                Ok(0) => return Err(Broken::Closed),
                Ok(_) => {}
                Err(error) => return not_now(error),
            }
        }
        Ok(())
    }

    fn write_plain(&mut self, stream: &mut TcpStream) -> Result<(), Broken> {
        while self.written < self.wire.len() {
            match stream.write(&self.wire[self.written..]) {
                Ok(0) => return Err(Broken::Closed),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.wire.drain(..self.written);
                    self.written = 0;
                    return not_now(error);
                }
            }
        }
        self.wire.clear();
        self.written = 0;
        Ok(())
    }

    /// Reads bytes of MQTT into `into`, as a socket does: `WouldBlock` when there are none now, 0 at the end.
    pub fn read(&mut self, stream: &mut TcpStream, into: &mut [u8]) -> Result<io::Result<usize>, Broken> {
        loop {
            let read = match &mut self.tls {
                Some(tls) => read_encrypted(tls, stream, into)?,
                None => stream.read(into),
            };
            let count = match read {
                Ok(count @ 1..) => count,
                other => return Ok(other),
            };
            let Some(websocket) = &mut self.websocket else { return Ok(Ok(count)) };
            let payload = websocket.unwrap(&mut into[..count]).map_err(Broken::Layer)?;
            if payload > 0 {
                return Ok(Ok(payload));
            }
        }
    }
}

fn not_now(error: io::Error) -> Result<(), Broken> {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected | io::ErrorKind::Interrupted => Ok(()),
        _ => Err(Broken::Io(error)),
    }
}

fn read_encrypted(
    tls: &mut ClientConnection,
    stream: &mut TcpStream,
    into: &mut [u8],
) -> Result<io::Result<usize>, Broken> {
    loop {
        match tls.reader().read(into) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // An end without close_notify is an end as well: the run's account shows what is missing.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Ok(0)),
            other => return Ok(other),
        }
        match tls.read_tls(stream) {
            Ok(_) => {
                tls.process_new_packets().map_err(|error| Broken::Layer(error.to_string()))?;
            }
            Err(error) => return Ok(Err(error)),
        }
    }
}
