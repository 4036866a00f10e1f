//! A broker to test, and blocking clients for it: over TCP and TLS, and over WebSocket with frames made by hand.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    ops::Deref,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{ClientConfig, ClientConnection};
use selvedge_broker::{AnonymousAccess, Broker, Config, Listener, Running, Snapshot, Transport};
use selvedge_codec::{
    Ack, Connect, Packet, PacketId, ProtocolVersion, Publish, PublishProperties, QoS, Subscribe, SubscribeFilter,
    UserProperties, decode, encode, frame_length,
};
use selvedge_core::OpenAccess;

/// How long anything may take before a test gives up. Generous: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub const V311: ProtocolVersion = ProtocolVersion::V311;
pub const V5: ProtocolVersion = ProtocolVersion::V5;

/// A running broker with one TCP and one WebSocket listener, stopped when dropped.
pub struct TestBroker {
    running: Option<Running>,
}

impl TestBroker {
    pub fn start() -> Self {
        Self::with(Config::default(), selvedge_core::Config::default())
    }

    pub fn with(config: Config, core: selvedge_core::Config) -> Self {
        Self::changed(config, core, |_| ())
    }

    /// With what `change` makes of the broker before it starts.
    pub fn changed(config: Config, core: selvedge_core::Config, change: impl FnOnce(&mut Broker)) -> Self {
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let listeners = [Transport::Tcp, Transport::WebSocket]
            .map(|transport| Listener::bind(any_port, transport).expect("bind"))
            .into();
        let core = selvedge_core::Config { sys_interval_s: 0, ..core };
        let mut broker = Broker {
            config,
            core,
            authorizer: Box::new(OpenAccess),
            authenticator: Arc::new(AnonymousAccess),
            seed: 1,
            listeners,
            continuation: None,
        };
        change(&mut broker);
        let running = broker.start().expect("start");
        running.handle.open();
        Self { running: Some(running) }
    }

    pub fn tcp(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Where the listener at `index` is.
    pub fn address(&self, index: usize) -> SocketAddr {
        self.addresses[index]
    }

    pub fn websocket(&self) -> SocketAddr {
        self.addresses[1]
    }

    pub fn statistics(&self) -> Snapshot {
        self.handle.statistics_blocking().expect("running")
    }

    /// Wait until the counters satisfy `condition`.
    pub fn wait_for(&self, what: &str, condition: impl Fn(&Snapshot) -> bool) -> Snapshot {
        let start = Instant::now();
        loop {
            let snapshot = self.statistics();
            if condition(&snapshot) {
                return snapshot;
            }
            assert!(start.elapsed() < PATIENCE, "waiting for {what}: {snapshot:#?}");
            std::thread::yield_now();
        }
    }

    /// To be stopped by whoever takes it.
    pub fn into_running(mut self) -> Running {
        self.running.take().expect("running")
    }

    /// Stop, and wait for the end.
    pub fn stop(mut self, deadline: Duration) {
        let running = self.running.take().expect("running");
        running.handle.shutdown(deadline);
        running.join().expect("no panic");
    }
}

impl Deref for TestBroker {
    type Target = Running;

    fn deref(&self) -> &Running {
        self.running.as_ref().expect("running")
    }
}

impl Drop for TestBroker {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.handle.shutdown(Duration::ZERO);
            assert!(running.join().is_ok() || std::thread::panicking(), "the reactor panicked");
        }
    }
}

/// A packet as a test sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub bytes: Vec<u8>,
    version: ProtocolVersion,
}

impl Received {
    pub fn packet(&self) -> Packet<'_> {
        decode(self.version, &self.bytes).expect("the broker sends valid packets")
    }

    /// Topic, payload, QoS and identifier of a PUBLISH.
    pub fn publish(&self) -> (String, Vec<u8>, QoS, Option<PacketId>) {
        match self.packet() {
            Packet::Publish(publish) => {
                (publish.topic.to_owned(), publish.payload.to_vec(), publish.qos, publish.packet_id)
            }
            other => panic!("expected PUBLISH, got {other:?}"),
        }
    }
}

/// A client that says exactly what a test wants, over TCP or over WebSocket.
pub struct Client {
    pub stream: TcpStream,
    pub tls: Option<Box<ClientConnection>>,
    version: ProtocolVersion,
    websocket: bool,
    raw: Vec<u8>,
    input: Vec<u8>,
    pongs: VecDeque<Vec<u8>>,
}

impl Client {
    /// Connected on the network level only.
    pub fn open(address: SocketAddr, version: ProtocolVersion) -> Self {
        Self::over(TcpStream::connect(address).expect("connect"), version)
    }

    /// The same over a connection that is there already.
    pub fn over(stream: TcpStream, version: ProtocolVersion) -> Self {
        stream.set_nodelay(true).expect("nodelay");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("timeout");
        Self {
            stream,
            tls: None,
            version,
            websocket: false,
            raw: Vec::new(),
            input: Vec::new(),
            pongs: VecDeque::new(),
        }
    }

    /// The same with encryption. The handshake is done with the first bytes that are sent or expected.
    pub fn open_tls(address: SocketAddr, version: ProtocolVersion, config: &Arc<ClientConfig>) -> Self {
        let name = "localhost".try_into().expect("a name");
        let connection = ClientConnection::new(config.clone(), name).expect("a configuration");
        Self { tls: Some(Box::new(connection)), ..Self::open(address, version) }
    }

    /// The same past the WebSocket upgrade.
    pub fn open_websocket(address: SocketAddr, version: ProtocolVersion) -> Self {
        let mut client = Self::open(address, version);
        client.become_websocket();
        client
    }

    /// Upgrade, and speak in frames from now on.
    pub fn become_websocket(&mut self) {
        let response = self.upgrade("/mqtt", Some("mqtt"));
        assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
        assert!(response.to_ascii_lowercase().contains("sec-websocket-protocol: mqtt\r\n"), "{response}");
        self.websocket = true;
    }

    /// Write, on whatever there is below.
    pub fn try_write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match &mut self.tls {
            Some(tls) => rustls::Stream::new(tls.as_mut(), &mut self.stream).write_all(bytes),
            None => self.stream.write_all(bytes),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) {
        self.try_write_all(bytes).expect("write");
    }

    /// Read, from whatever there is below. An end of TLS that was not announced is an error.
    pub fn try_read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match &mut self.tls {
            Some(tls) => rustls::Stream::new(tls.as_mut(), &mut self.stream).read(into),
            None => self.stream.read(into),
        }
    }

    /// Ask for a WebSocket; gives the head of the response.
    pub fn upgrade(&mut self, path: &str, subprotocol: Option<&str>) -> String {
        let subprotocol = subprotocol.map_or(String::new(), |name| format!("Sec-WebSocket-Protocol: {name}\r\n"));
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{subprotocol}\r\n"
        );
        self.write_all(request.as_bytes());
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && self.try_read(&mut byte).expect("read") == 1 {
            head.push(byte[0]);
        }
        String::from_utf8(head).expect("text")
    }

    /// A clean session, connected.
    pub fn connect(address: SocketAddr, version: ProtocolVersion, client_id: &str) -> Self {
        let mut client = Self::open(address, version);
        client.handshake(&Connect::new(version, client_id, true));
        client
    }

    /// The same over WebSocket.
    pub fn connect_websocket(address: SocketAddr, version: ProtocolVersion, client_id: &str) -> Self {
        let mut client = Self::open_websocket(address, version);
        client.handshake(&Connect::new(version, client_id, true));
        client
    }

    pub fn handshake(&mut self, connect: &Connect<'_>) {
        self.send(&Packet::Connect(Box::new(*connect)));
        match self.receive().packet() {
            Packet::ConnAck(connack) => assert!(!connack.reason.is_error(), "{connack:?}"),
            other => panic!("expected CONNACK, got {other:?}"),
        }
    }

    pub fn encode(&self, packet: &Packet<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(self.version, packet, &mut bytes).expect("encodable");
        bytes
    }

    pub fn send(&mut self, packet: &Packet<'_>) {
        let bytes = self.encode(packet);
        self.send_bytes(&bytes);
    }

    /// In one write; over WebSocket in one frame.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        if self.websocket {
            self.send_frame(0x82, bytes);
        } else {
            self.write_all(bytes);
        }
    }

    /// Bytes as they are, whatever the transport.
    pub fn send_all(&mut self, bytes: &[u8]) {
        self.write_all(bytes);
    }

    /// All bytes until the broker closes the connection.
    pub fn read_all(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match self.try_read(&mut buffer) {
                Ok(0) => return bytes,
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return bytes,
                Err(error) => panic!("reading: {error}"),
            }
        }
    }

    /// A masked WebSocket frame.
    pub fn send_frame(&mut self, first: u8, payload: &[u8]) {
        self.write_all(&masked_frame(first, payload));
    }

    pub fn publish(&mut self, topic: &str, payload: &[u8], qos: QoS, packet_id: u16) {
        let bytes = self.publish_bytes(topic, payload, qos, packet_id);
        self.send_bytes(&bytes);
    }

    pub fn publish_bytes(&self, topic: &str, payload: &[u8], qos: QoS, packet_id: u16) -> Vec<u8> {
        let packet_id = if qos == QoS::AtMostOnce { None } else { PacketId::new(packet_id) };
        let properties = PublishProperties::default();
        self.encode(&Packet::Publish(Publish { dup: false, qos, retain: false, topic, packet_id, properties, payload }))
    }

    /// Subscribe to one filter and wait for the SUBACK.
    pub fn subscribe(&mut self, filter: &str, qos: QoS) {
        self.send(&Packet::Subscribe(Subscribe {
            packet_id: PacketId::MIN,
            subscription_identifier: None,
            user_properties: UserProperties::EMPTY,
            filters: [SubscribeFilter::new(filter, qos)].into_iter().collect(),
        }));
        let answer = self.receive();
        assert!(matches!(answer.packet(), Packet::SubAck(_)), "{answer:?}");
    }

    /// Send PINGREQ and wait for its answer: everything sent before has been handled.
    pub fn ping(&mut self) {
        self.send(&Packet::PingReq);
        assert_eq!(self.receive().packet(), Packet::PingResp);
    }

    /// The next packet.
    pub fn receive(&mut self) -> Received {
        self.try_receive().expect("the connection was closed")
    }

    /// The next packet; `None` at the end of the stream.
    pub fn try_receive(&mut self) -> Option<Received> {
        loop {
            if let Some(length) = frame_length(&self.input, u32::MAX).expect("a valid fixed header") {
                let bytes = self.input.drain(..length).collect();
                return Some(Received { bytes, version: self.version });
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// What comes until the broker closes the connection.
    pub fn rest(&mut self) -> Vec<Received> {
        std::iter::from_fn(|| self.try_receive()).collect()
    }

    /// Answer a QoS 1 or 2 message completely.
    pub fn acknowledge(&mut self, qos: QoS, packet_id: Option<PacketId>) {
        let Some(packet_id) = packet_id else { return };
        match qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => self.send(&Packet::PubAck(Ack::success(packet_id))),
            QoS::ExactlyOnce => {
                self.send(&Packet::PubRec(Ack::success(packet_id)));
                assert_eq!(self.receive().packet(), Packet::PubRel(Ack::success(packet_id)));
                self.send(&Packet::PubComp(Ack::success(packet_id)));
            }
        }
    }

    /// Publish and go through all steps of `qos`.
    pub fn publish_completely(&mut self, topic: &str, payload: &[u8], qos: QoS, packet_id: u16) {
        self.publish(topic, payload, qos, packet_id);
        let ack = PacketId::new(packet_id).map(Ack::success);
        match (qos, ack) {
            (QoS::AtLeastOnce, Some(ack)) => {
                assert!(matches!(self.receive().packet(), Packet::PubAck(got) if got.packet_id == ack.packet_id));
            }
            (QoS::ExactlyOnce, Some(ack)) => {
                assert!(matches!(self.receive().packet(), Packet::PubRec(got) if got.packet_id == ack.packet_id));
                self.send(&Packet::PubRel(ack));
                assert_eq!(self.receive().packet(), Packet::PubComp(ack));
            }
            _ => {}
        }
    }

    fn fill(&mut self) -> bool {
        if self.take_frames() {
            return true;
        }
        let mut buffer = [0; 65536];
        let count = match self.try_read(&mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("reading: {error}"),
        };
        if !self.websocket {
            self.input.extend_from_slice(&buffer[..count]);
            return count > 0;
        }
        self.raw.extend_from_slice(&buffer[..count]);
        count > 0
    }

    /// Sort what has come by WebSocket into packets and pongs. Gives `true` if there was something.
    fn take_frames(&mut self) -> bool {
        let mut any = false;
        while let Some((first, payload)) = take_frame(&mut self.raw) {
            match first {
                0x82 => self.input.extend_from_slice(&payload),
                0x8A => self.pongs.push_back(payload),
                _ => {}
            }
            any = true;
        }
        any
    }

    /// The payload of the next pong; packets that come before it are kept.
    pub fn receive_pong(&mut self) -> Vec<u8> {
        loop {
            if let Some(payload) = self.pongs.pop_front() {
                return payload;
            }
            assert!(self.fill(), "the connection was closed");
        }
    }

    /// The next WebSocket frame: first byte and payload. `None` at the end of the stream.
    pub fn receive_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some(frame) = take_frame(&mut self.raw) {
                return Some(frame);
            }
            let mut buffer = [0; 4096];
            match self.try_read(&mut buffer).expect("read") {
                0 => return None,
                count => self.raw.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// Send no more, but go on receiving.
    pub fn finish_sending(&self) {
        self.stream.shutdown(Shutdown::Write).expect("shutdown");
    }
}

/// Takes a complete unmasked frame off the front of `raw`.
fn take_frame(raw: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let (&first, rest) = raw.split_first()?;
    let (&second, rest) = rest.split_first()?;
    assert_eq!(second & 0x80, 0, "a server does not mask");
    let (length, header) = match second {
        126 => (u64::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
        127 => (u64::from_be_bytes(*rest.first_chunk()?), 10),
        short => (u64::from(short), 2),
    };
    if header > 2 {
        assert!(length > if header == 4 { 125 } else { 65_535 }, "the shortest form of the length");
    }
    let end = header + length as usize;
    if raw.len() < end {
        return None;
    }
    let frame = raw.drain(..end).skip(header).collect();
    Some((first, frame))
}

pub fn masked_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0xA5, 0x0F, 0x33, 0x71];
    let mut bytes = vec![first];
    match payload.len() {
        0..=125 => bytes.push(0x80 | payload.len() as u8),
        126..=65_535 => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}
