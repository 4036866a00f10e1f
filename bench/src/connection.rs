//! One non-blocking connection: whole frames in, an outbox out.
//! Knows where frames end and nothing else of MQTT. Invariant: between turns a connection keeps only the bytes of a frame
//! that has not ended yet; everything is read into one buffer of the thread.

mod layers;
mod websocket;

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use selvedge_codec::{DecodeError, frame_length};

use layers::Layers;
pub(crate) use layers::{Encryption, Wrapping};

/// Largest packet that is read, in bytes: the largest payload of a run with its topic and properties.
pub(crate) const PACKET_BYTES_MAX: u32 = 1_048_576 + 1_024;

/// Size of the buffer that a thread reads into, in bytes; it grows to the largest packet that arrives.
pub(crate) const SCRATCH_BYTES: usize = 131_072;

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// What lies between TCP and MQTT; absent where nothing does.
    layers: Option<Box<Layers>>,
    outbox: Vec<u8>,
    written: usize,
    partial: Vec<u8>,
}

/// Why a connection cannot be used any more.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The other side closed it.
    Closed,
    /// The system says so.
    Io(io::Error),
    /// What arrived is no MQTT.
    Malformed(DecodeError),
    /// The handshake or the framing below MQTT failed, in words.
    Layer(String),
}

impl Connection {
    /// Starts to connect; `wrapping` says what lies between TCP and MQTT.
    pub fn open(address: SocketAddr, wrapping: &Wrapping) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let layers = Layers::new(wrapping).map_err(io::Error::other)?;
        Ok(Self { layers: layers.map(Box::new), ..Self::of(stream) })
    }

    /// Takes over an accepted stream.
    pub fn of(stream: TcpStream) -> Self {
        Self { stream, layers: None, outbox: Vec::new(), written: 0, partial: Vec::new() }
    }

    /// Sends small packets at once.
    pub fn set_nodelay(&self) -> io::Result<()> {
        self.stream.set_nodelay(true)
    }

    /// Asks to be told about this connection.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.stream, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Where bytes to send are appended.
    pub fn outbox(&mut self) -> &mut Vec<u8> {
        &mut self.outbox
    }

    /// Bytes that wait to be sent.
    pub fn backlog(&self) -> usize {
        self.outbox.len() - self.written
    }

    /// Whether something waits to be sent.
    pub fn has_output(&self) -> bool {
        self.backlog() > 0 || self.layers.as_ref().is_some_and(|layers| layers.has_output())
    }

    /// Sends what the system takes; the rest goes out when the connection becomes writable.
    pub fn flush(&mut self) -> Result<(), Broken> {
        if let Some(layers) = &mut self.layers {
            return layers.flush(&mut self.stream, &mut self.outbox);
        }
        while self.written < self.outbox.len() {
            match self.stream.write(&self.outbox[self.written..]) {
                Ok(0) => return Err(Broken::Closed),
                Ok(count) => self.written += count,
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock || error.kind() == io::ErrorKind::NotConnected =>
                {
                    self.forget_written();
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Broken::Io(error)),
            }
        }
        self.outbox.clear();
        self.written = 0;
        Ok(())
    }

    /// Reads all there is and hands over each whole frame, together with the outbox for answers.
    ///
    /// `closing` says that the other side will send nothing more; otherwise a short read is taken as the end, which saves
    /// the system call that would say so (edge-triggered readiness, see epoll(7)).
    pub fn read<E: From<Broken>>(
        &mut self,
        scratch: &mut Vec<u8>,
        closing: bool,
        mut frame: impl FnMut(&[u8], &mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        loop {
            let kept = self.partial.len();
            if scratch.len() < kept * 2 {
                scratch.resize(kept * 2, 0);
            }
            scratch[..kept].copy_from_slice(&self.partial);
            let room = scratch.len() - kept;
            let read = match &mut self.layers {
                Some(layers) => layers.read(&mut self.stream, &mut scratch[kept..])?,
                None => self.stream.read(&mut scratch[kept..]),
            };
            let count = match read {
                Ok(0) => return Err(Broken::Closed.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Broken::Io(error).into()),
            };
            let mut rest = &scratch[..kept + count];
            while let Some(length) = frame_length(rest, PACKET_BYTES_MAX).map_err(Broken::Malformed)? {
                let (whole, behind) = rest.split_at(length);
                frame(whole, &mut self.outbox)?;
                rest = behind;
            }
            self.partial.clear();
            self.partial.extend_from_slice(rest);
            // A layer may hold more than it gave at once.
            if count < room && !closing && self.layers.is_none() {
                return Ok(());
            }
        }
    }

    fn forget_written(&mut self) {
        // Rare (a full socket), so moving the rest is cheaper than a ring.
        self.outbox.drain(..self.written);
        self.written = 0;
    }
}
