//! A little MQTT 5 and 3.1.1 server that keeps sessions: enough for the backlog, and faults on purpose.
//! Not fast and not whole. Invariant: a queue is given out once, in order, unless a fault says otherwise.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use selvedge_codec::{
    Ack, ConnAck, Packet, PacketId, ProtocolVersion, QoS, ReasonCode, SubAck, connect_version, decode, encode,
    frame_length,
};

/// What is done wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Forgets the queued message of this number.
    pub lose: Option<usize>,
    /// Delivers the queued message of this number twice.
    pub repeat: Option<usize>,
    /// Delivers the queued message of this number before the one in front of it.
    pub swap: Option<usize>,
    /// Refuses every Nth publication with "quota exceeded".
    pub refuse_every: Option<usize>,
    /// Forgets all sessions when a connection that resumes one arrives.
    pub forget: bool,
}

#[derive(Default)]
struct Session {
    filters: Vec<String>,
    queue: Vec<(String, Vec<u8>)>,
    unacknowledged: usize,
    stays: bool,
}

#[derive(Default)]
struct State {
    sessions: HashMap<String, Session>,
    publications: usize,
    open_of_publishers: usize,
    most_open: usize,
}

/// A server in threads of this process.
#[derive(Clone)]
pub struct SessionKeeper {
    address: SocketAddr,
    receive_maximum: u16,
    faults: Faults,
    state: Arc<Mutex<State>>,
}

impl SessionKeeper {
    /// Starts it; `receive_maximum` is what it announces.
    pub fn start(receive_maximum: u16, faults: Faults) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let keeper = Self { address, receive_maximum, faults, state: Arc::default() };
        let server = keeper.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = server.clone();
                thread::spawn(move || server.serve(stream));
            }
        });
        keeper
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sessions that stay, and messages that wait in them or are unacknowledged.
    pub fn kept(&self) -> (usize, usize) {
        self.with(|state| {
            let sessions = state.sessions.values().filter(|session| session.stays);
            let waiting = sessions.clone().map(|session| session.queue.len() + session.unacknowledged);
            (sessions.clone().count(), waiting.sum())
        })
    }

    /// The most publications that one read of a socket brought.
    pub fn most_at_once(&self) -> usize {
        self.with(|state| state.most_open)
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn serve(&self, mut stream: TcpStream) {
        let (mut bytes, mut scratch) = (Vec::new(), vec![0; 65_536]);
        let mut client = Client { version: ProtocolVersion::V5, name: String::new() };
        while let Ok(count @ 1..) = stream.read(&mut scratch) {
            bytes.extend_from_slice(&scratch[..count]);
            let mut answers = Vec::new();
            self.with(|state| state.open_of_publishers = 0);
            while let Ok(Some(length)) = frame_length(&bytes, u32::MAX) {
                let frame: Vec<u8> = bytes.drain(..length).collect();
                self.handle(&mut client, &frame, &mut answers);
            }
            if stream.write_all(&answers).is_err() {
                return;
            }
        }
    }

    fn handle(&self, client: &mut Client, frame: &[u8], answers: &mut Vec<u8>) {
        if let Ok(version) = connect_version(frame) {
            client.version = version;
        }
        match decode(client.version, frame).expect("the generator speaks MQTT") {
            Packet::Connect(connect) => {
                client.name = connect.client_id.to_owned();
                let stays = connect.session_expiry_s.map_or(!connect.clean_start, |expiry_s| expiry_s > 0);
                self.connect(client, connect.clean_start, stays, answers);
            }
            Packet::Subscribe(subscribe) => {
                let filters = subscribe.filters.iter().map(|filter| filter.filter.to_owned());
                self.with(|state| state.sessions.entry(client.name.clone()).or_default().filters.extend(filters));
                let reasons = vec![ReasonCode::GrantedQoS1; subscribe.filters.len()];
                let (reason_string, user_properties) = (None, Default::default());
                let (packet_id, reasons) = (subscribe.packet_id, reasons.as_slice().into());
                client.put(answers, &Packet::SubAck(SubAck { packet_id, reason_string, user_properties, reasons }));
            }
            Packet::Publish(publish) => {
                let reason = self.with(|state| {
                    state.open_of_publishers += 1;
                    state.most_open = state.most_open.max(state.open_of_publishers);
                    self.take(state, publish.topic, publish.payload)
                });
                let packet_id = publish.packet_id.unwrap_or(PacketId::MIN);
                client.put(answers, &Packet::PubAck(Ack::with_reason(packet_id, reason)));
            }
            Packet::PubAck(_) => self.with(|state| {
                let session = state.sessions.get_mut(&client.name).expect("it is connected");
                session.unacknowledged = session.unacknowledged.saturating_sub(1);
            }),
            Packet::PingReq => client.put(answers, &Packet::PingResp),
            Packet::Disconnect(_) => {}
            other => panic!("the generator sent {other:?}"),
        }
    }

    fn connect(&self, client: &Client, clean: bool, stays: bool, answers: &mut Vec<u8>) {
        self.with(|state| {
            if clean || self.faults.forget {
                state.sessions.remove(&client.name);
            }
            let session_present = state.sessions.contains_key(&client.name);
            let session = state.sessions.entry(client.name.clone()).or_default();
            session.stays = stays;
            let receive_maximum = std::num::NonZeroU16::new(self.receive_maximum);
            let receive_maximum = receive_maximum.filter(|_| client.version == ProtocolVersion::V5);
            client.put(answers, &Packet::ConnAck(ConnAck { session_present, receive_maximum, ..ConnAck::default() }));
            let mut queue = std::mem::take(&mut session.queue);
            if let Some(at) = self.faults.swap.filter(|at| *at < queue.len()) {
                queue.swap(at, at - 1);
            }
            for (number, (topic, payload)) in queue.iter().enumerate() {
                let copies = match number {
                    number if self.faults.lose == Some(number) => 0,
                    number if self.faults.repeat == Some(number) => 2,
                    _ => 1,
                };
                for _ in 0..copies {
                    session.unacknowledged += 1;
                    let packet_id = PacketId::new(session.unacknowledged as u16);
                    client.put(answers, &publication(topic, payload, packet_id));
                }
            }
        });
    }

    fn take(&self, state: &mut State, topic: &str, payload: &[u8]) -> ReasonCode {
        state.publications += 1;
        if self.faults.refuse_every.is_some_and(|every| state.publications.is_multiple_of(every)) {
            return ReasonCode::QuotaExceeded;
        }
        for session in state.sessions.values_mut() {
            if session.filters.iter().any(|filter| filter == topic) {
                session.queue.push((topic.to_owned(), payload.to_vec()));
            }
        }
        ReasonCode::Success
    }
}

struct Client {
    version: ProtocolVersion,
    name: String,
}

impl Client {
    fn put(&self, answers: &mut Vec<u8>, packet: &Packet<'_>) {
        encode(self.version, packet, answers).expect("a valid packet");
    }
}

fn publication<'a>(topic: &'a str, payload: &'a [u8], packet_id: Option<PacketId>) -> Packet<'a> {
    Packet::Publish(selvedge_codec::Publish {
        dup: false,
        qos: QoS::AtLeastOnce,
        retain: false,
        topic,
        packet_id,
        properties: Default::default(),
        payload,
    })
}
