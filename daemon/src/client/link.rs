//! The socket of `pub` and `sub`: connecting, CONNECT and CONNACK, whole packets out and in, keep-alive, waiting.
//! Decides nothing about messages.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use selvedge_codec::{
    ConnAck, DecodeError, Disconnect, EncodeError, Packet, ProtocolVersion, ReasonCode, decode, encode, frame_length,
};
use socket2::{Domain, Socket, Type};
use thiserror::Error;

use super::connect_options::{ConnectOptions, borrowed};
use super::encryption::{self, EncryptionError, Stream};

/// How a record begins that says why a handshake failed (RFC 8446, 5.1): content type 21, version 3.
const TLS_ALERT: [u8; 2] = [21, 3];
/// For the connection, and again for CONNACK.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A server that takes no bytes for this long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// One read.
const READ_BYTES: usize = 64 * 1024;
/// Largest packet taken unless -D connect maximum-packet-size says less: the protocol's own limit.
const PACKET_BYTES_MAX: u32 = 268_435_460;

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error("resolve {host}")]
    Resolve {
        /// Host.
        host: String,
        /// Cause.
        source: io::Error,
    },
    /// Nobody answers there.
    #[error("connect to {host}:{port}")]
    Connect {
        /// Host.
        host: String,
        /// Port.
        port: u16,
        /// Cause.
        source: io::Error,
    },
    /// Encryption cannot be prepared.
    #[error("encrypt the connection to {host}")]
    Encryption {
        /// Host.
        host: String,
        /// Cause.
        source: EncryptionError,
    },
    /// The options cannot be said in a CONNECT.
    #[error("encode CONNECT")]
    Encode(#[from] EncodeError),
    /// The server said no.
    #[error("the server refused the connection: {reason:?}{words}")]
    Refused {
        /// Its code.
        reason: ReasonCode,
        /// Its words, with a dash before them, or nothing.
        words: String,
    },
    /// No CONNACK came, or something else.
    #[error("wait for CONNACK")]
    Exchange(#[from] LinkError),
}

/// Why a connection ended.
#[derive(Debug, Error)]
pub enum LinkError {
    /// The socket failed.
    #[error("connection lost")]
    Io(#[from] io::Error),
    /// The server closed it.
    #[error("connection closed by the server")]
    Closed,
    /// Nothing came within the keep-alive.
    #[error("the server does not answer")]
    Silent,
    /// A record of TLS where a packet was due.
    #[error("the server speaks TLS on this port: give the certificate of its authority with --cafile")]
    SpeaksTls,
    /// Bytes that are no packet.
    #[error("the server sent a malformed packet")]
    Malformed(#[from] DecodeError),
    /// Not what had to come.
    #[error("the server sent {0} instead of CONNACK")]
    NotConnAck(&'static str),
    /// Larger than the server takes.
    #[error("a packet of {bytes} bytes is larger than the {max} bytes that the server takes")]
    TooLarge {
        /// Ours.
        bytes: usize,
        /// The server's.
        max: u32,
    },
}

/// What the server said in CONNACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// The session of before is continued.
    pub session_present: bool,
    /// QoS 1 and 2 messages that the server handles at once.
    pub receive_maximum: u16,
}

/// What is there after waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// Bytes of the server, or its end.
    pub server: bool,
    /// The first of the other descriptors.
    pub first: bool,
    /// The second of them.
    pub second: bool,
}

/// A connection past CONNACK.
#[derive(Debug)]
pub struct Link {
    stream: Stream,
    version: ProtocolVersion,
    input: Vec<u8>,
    taken: usize,
    packet_bytes_max: u32,
    server_packet_bytes_max: u32,
    keep_alive: Option<Duration>,
    last_sent: Instant,
    ping_sent: Option<Instant>,
    debug: bool,
}

impl Link {
    /// Connects, sends CONNECT, waits for CONNACK.
    ///
    /// # Errors
    /// No address, no connection, or no welcome.
    pub fn open(options: &ConnectOptions) -> Result<(Self, Greeting), ConnectError> {
        // Before dialling: a wrong file is told at once.
        let encryption = match &options.encryption {
            Some(encryption) => Some(
                encryption::connection(encryption, &options.host)
                    .map_err(|source| ConnectError::Encryption { host: options.host.clone(), source })?,
            ),
            None => None,
        };
        let socket = dial(options)?;
        let stream = match encryption {
            Some(connection) => Stream::Tls(Box::new(rustls::StreamOwned::new(connection, socket))),
            None => Stream::Plain(socket),
        };
        let mut link = Self {
            stream,
            version: options.version,
            input: Vec::new(),
            taken: 0,
            packet_bytes_max: options
                .properties
                .connect
                .maximum_packet_size
                .map_or(PACKET_BYTES_MAX, |bytes| bytes.get()),
            server_packet_bytes_max: PACKET_BYTES_MAX,
            keep_alive: None,
            last_sent: Instant::now(),
            ping_sent: None,
            debug: options.debug,
        };
        let mut hello = Vec::new();
        options.with_connect(|connect| connect.encode(&mut hello))?;
        link.send(&hello)?;
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        let frame = loop {
            if link.input.starts_with(&TLS_ALERT) {
                return Err(LinkError::SpeaksTls.into());
            }
            if let Some(frame) = link.take_frame()? {
                break frame;
            }
            if !link.wait(&[], Some(deadline))?.server && Instant::now() >= deadline {
                return Err(LinkError::Silent.into());
            }
            link.fill()?;
        };
        let greeting = match decode(link.version, &frame).map_err(LinkError::from)? {
            Packet::ConnAck(connack) => link.welcome(options, &connack)?,
            other => return Err(LinkError::NotConnAck(other.packet_type().name()).into()),
        };
        Ok((link, greeting))
    }

    fn welcome(&mut self, options: &ConnectOptions, connack: &ConnAck<'_>) -> Result<Greeting, ConnectError> {
        if connack.reason != ReasonCode::Success {
            let words = connack.reason_string.map_or_else(String::new, |words| format!(" - {words}"));
            return Err(ConnectError::Refused { reason: connack.reason, words });
        }
        let keep_alive_s = connack.server_keep_alive_s.unwrap_or(options.keep_alive_s);
        self.keep_alive = (keep_alive_s > 0).then(|| Duration::from_secs(keep_alive_s.into()));
        if let Some(bytes) = connack.maximum_packet_size {
            self.server_packet_bytes_max = bytes.get();
        }
        let receive_maximum = connack.receive_maximum.map_or(u16::MAX, |maximum| maximum.get());
        Ok(Greeting { session_present: connack.session_present, receive_maximum })
    }

    /// Sends whole packets.
    ///
    /// # Errors
    /// The connection is gone, or one packet is larger than the server takes.
    pub fn send(&mut self, packets: &[u8]) -> Result<(), LinkError> {
        let mut rest = packets;
        while let Some(length) = frame_length(rest, u32::MAX)? {
            let (packet, after) = rest.split_at(length.min(rest.len()));
            if length > self.server_packet_bytes_max as usize {
                return Err(LinkError::TooLarge { bytes: length, max: self.server_packet_bytes_max });
            }
            if self.debug {
                eprintln!("> {}", described(self.version, packet));
            }
            rest = after;
        }
        self.stream.write_all(packets)?;
        self.stream.flush()?;
        self.last_sent = Instant::now();
        Ok(())
    }

    /// The next whole packet that has arrived.
    ///
    /// # Errors
    /// The bytes begin no packet, or one larger than we said we take.
    pub fn take_frame(&mut self) -> Result<Option<Vec<u8>>, LinkError> {
        let rest = self.input.get(self.taken..).unwrap_or_default();
        let Some(length) = frame_length(rest, self.packet_bytes_max)? else { return Ok(None) };
        let frame = rest.get(..length).unwrap_or_default().to_vec();
        self.taken += length;
        if self.taken == self.input.len() {
            self.input.clear();
            self.taken = 0;
        }
        if self.debug {
            eprintln!("< {}", described(self.version, &frame));
        }
        Ok(Some(frame))
    }

    /// Reads what has arrived; blocks if nothing has.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn fill(&mut self) -> Result<(), LinkError> {
        self.input.drain(..self.taken);
        self.taken = 0;
        let read = self.stream.read_into(&mut self.input, READ_BYTES);
        match read {
            Ok(0) => Err(LinkError::Closed),
            Ok(_) => {
                self.ping_sent = None;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until the server or one of `others` (at most two) has something, or `deadline`; keeps the connection alive meanwhile.
    ///
    /// # Errors
    /// The server is silent beyond the keep-alive, or the wait itself failed.
    pub fn wait(&mut self, others: &[BorrowedFd<'_>], deadline: Option<Instant>) -> Result<Ready, LinkError> {
        loop {
            let now = Instant::now();
            self.keep_alive(now)?;
            let until = [deadline, self.keep_alive_deadline()].into_iter().flatten().min();
            let timeout = until.map(|until| until.saturating_duration_since(now));
            let mut descriptors = vec![PollFd::new(&self.stream, PollFlags::IN)];
            descriptors.extend(others.iter().map(|other| PollFd::from_borrowed_fd(*other, PollFlags::IN)));
            let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
            match poll(&mut descriptors, timeout.as_ref()) {
                Ok(0) if deadline.is_some_and(|deadline| Instant::now() >= deadline) => return Ok(Ready::default()),
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => {
                    let mut ready = descriptors.iter().map(|descriptor| !descriptor.revents().is_empty());
                    let mut next = || ready.next().unwrap_or(false);
                    return Ok(Ready { server: next(), first: next(), second: next() });
                }
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
    }

    fn keep_alive_deadline(&self) -> Option<Instant> {
        let keep_alive = self.keep_alive?;
        Some(self.ping_sent.map_or(self.last_sent + keep_alive / 2, |sent| sent + keep_alive))
    }

    fn keep_alive(&mut self, now: Instant) -> Result<(), LinkError> {
        if self.keep_alive_deadline().is_none_or(|deadline| now < deadline) {
            return Ok(());
        }
        if self.ping_sent.is_some() {
            return Err(LinkError::Silent);
        }
        let mut ping = Vec::new();
        // PINGREQ has nothing that could be wrong.
        let _ = encode(self.version, &Packet::PingReq, &mut ping);
        self.send(&ping)?;
        self.ping_sent = Some(now);
        Ok(())
    }

    /// Says goodbye and waits, for a short time, until the server has read it all.
    pub fn close(mut self, options: &ConnectOptions) {
        let user = borrowed(&options.properties.disconnect);
        let mut disconnect = Disconnect::with_reason(ReasonCode::Success);
        disconnect.session_expiry_s = options.properties.disconnect_session_expiry_s;
        disconnect.user_properties = selvedge_codec::UserProperties::from_pairs(&user);
        let mut bytes = Vec::new();
        if encode(self.version, &Packet::Disconnect(disconnect), &mut bytes).is_ok() && self.send(&bytes).is_ok() {
            self.stream.finish();
            let _ = self.stream.set_read_timeout(Some(Duration::from_secs(2)));
            let deadline = Instant::now() + Duration::from_secs(2);
            // The server's close: everything before it has been read there.
            while Instant::now() < deadline && self.fill().is_ok() {
                self.input.clear();
            }
        }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn dial(options: &ConnectOptions) -> Result<TcpStream, ConnectError> {
    let addresses: Vec<SocketAddr> = (options.host.as_str(), options.port)
        .to_socket_addrs()
        .map_err(|source| ConnectError::Resolve { host: options.host.clone(), source })?
        .filter(|address| options.bind.is_none_or(|bind| bind.is_ipv4() == address.is_ipv4()))
        .collect();
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "no address of that family");
    for address in addresses {
        match dial_one(address, options.bind.map(|bind| SocketAddr::new(bind, 0))) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(ConnectError::Connect { host: options.host.clone(), port: options.port, source: last })
}

fn dial_one(address: SocketAddr, bind: Option<SocketAddr>) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if let Some(bind) = bind {
        socket.bind(&bind.into())?;
    }
    socket.connect_timeout(&address.into(), CONNECT_TIMEOUT)?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    Ok(stream)
}

/// One packet in a few words, without its payload.
fn described(version: ProtocolVersion, frame: &[u8]) -> String {
    match decode(version, frame) {
        Ok(Packet::Publish(publish)) => format!(
            "publish {} qos {} dup {} retain {} id {} ({} bytes)",
            publish.topic,
            publish.qos.bits(),
            publish.dup,
            publish.retain,
            publish.packet_id.map_or(0, selvedge_codec::PacketId::get),
            publish.payload.len()
        ),
        Ok(Packet::Connect(connect)) => format!("connect {} clean start {}", connect.client_id, connect.clean_start),
        Ok(packet) => format!("{packet:?}"),
        Err(error) => format!("malformed: {error}"),
    }
}
