//! What must hold whatever clients send, shared by the fuzz target `connection` and the test that replays its corpus.
//!
//! An input is a script: its first byte chooses the limits, then come operations on a few connections: bytes, cut anywhere;
//! whole packets of common kinds, so that a fuzzer gets deep; lost networks, full sockets, time. After each operation the
//! core's books must be right, and all that it sends must be packets that a server may send to that client.

#[path = "client.rs"]
mod client;
#[path = "rules.rs"]
mod rules;
#[path = "script.rs"]
mod script;

use selvedge_core::{Config, ConnectionId, Core, Effect, Effects, Input, Moment, OpenAccess, OverflowRule};

use client::Client;
use rules::Forbidding;
use script::Script;

/// Connections at a time; each has a client identifier of its own at hand, and may use another's.
const CLIENTS: usize = 4;
/// Operations that one input may ask for: enough to fill every queue.
const OPERATIONS_MAX: usize = 400;

/// Plays the script; panics where something does not hold.
pub fn check_input(input: &[u8]) {
    let mut script = Script::new(input);
    let mut world = World::new(config(script.byte()));
    for _ in 0..OPERATIONS_MAX {
        if script.is_over() {
            break;
        }
        world.play(&mut script);
    }
    world.shut_down();
}

/// Limits so small that a short script reaches them.
fn config(choice: u8) -> Config {
    if choice & 0x80 != 0 {
        return Config::default();
    }
    Config {
        packet_bytes_max: 4096,
        receive_maximum: 3,
        in_flight_max: 4,
        consumer_in_flight_bytes_max: 500,
        queue_messages_max: 5,
        queue_bytes_max: 900,
        overflow: if choice & 1 == 0 { OverflowRule::DropOldest } else { OverflowRule::Disconnect },
        session_expiry_max_s: 100,
        sessions_max: 6,
        anonymous_sessions_max: 4,
        keep_alive_max_s: if choice & 2 == 0 { 0 } else { 20 },
        topic_alias_max: 3,
        topic_alias_out_max: 3,
        subscriptions_max: 4,
        topic_levels_max: 6,
        topic_bytes_max: 14,
        will_bytes_max: 100,
        reauthentication_timeout_s: 3,
        memory_bytes_max: if choice & 8 == 0 { 128 * 1024 } else { 20 * 1024 },
        retained_messages_max: 4,
        retained_bytes_max: 8_000,
        share_payload_bytes: 32,
        sys_interval_s: if choice & 4 == 0 { 0 } else { 5 },
        ..Config::default()
    }
}

/// The core, its clients, one consumer inside the node, and the time.
struct World {
    core: Core,
    packet_bytes_max: u32,
    now: Moment,
    clients: [Client; CLIENTS],
    consumer: Option<ConnectionId>,
    deliveries: Vec<selvedge_codec::PacketId>,
    /// Connections so far: the generation of the last.
    opened: u32,
    effects: Effects,
}

impl World {
    fn new(config: Config) -> Self {
        Self {
            packet_bytes_max: config.packet_bytes_max,
            core: Core::new(config, Box::new(OpenAccess), 1),
            now: Moment::default(),
            clients: Default::default(),
            consumer: None,
            deliveries: Vec::new(),
            opened: 0,
            effects: Effects::new(),
        }
    }

    fn play(&mut self, script: &mut Script<'_>) {
        let operation = script.byte();
        let index = usize::from(operation >> 4) % CLIENTS;
        match operation & 0x0F {
            0 => self.receive(index, script.bytes()),
            1 => self.open(index),
            2 => self.lose(index),
            3 => self.wait(script.byte()),
            4 => self.push_back(index, script.byte()),
            5 if operation & 0x80 != 0 => self.change_rules(index, script.byte()),
            5 => self.consume(script),
            6 => self.receive(index, &script.acknowledgement(&self.clients[index])),
            7 | 8 => {
                if self.clients[index].is_open() {
                    self.lose(index);
                }
                self.open(index);
                let connect = script.connect();
                self.receive(index, &connect);
            }
            _ => {
                let packet = script.packet(self.clients[index].version());
                self.receive(index, &packet);
            }
        }
        self.audit();
    }

    fn open(&mut self, index: usize) {
        self.lose(index);
        self.opened += 1;
        let id = ConnectionId { slot: index as u32, generation: self.opened };
        self.clients[index].open(id);
    }

    fn lose(&mut self, index: usize) {
        if let Some(connection) = self.clients[index].lose() {
            self.handle(Input::Closed { connection });
        }
    }

    /// Bytes of a client, as the shell hands them to the core.
    fn receive(&mut self, index: usize, bytes: &[u8]) {
        let mut pending = self.clients[index].with_partial(bytes);
        let mut at = 0;
        while let Some(connection) = self.clients[index].connection() {
            let rest = &pending[at..];
            let frame = match selvedge_codec::frame_length(rest, self.packet_bytes_max) {
                Ok(None) => break,
                Ok(Some(length)) => Ok(&rest[..length]),
                Err(error) => Err(error),
            };
            at += frame.as_ref().map_or(0, |frame| frame.len());
            if !self.clients[index].has_connected() {
                self.connect(index, connection, frame);
            } else {
                match frame.and_then(|frame| selvedge_codec::decode(self.clients[index].version(), frame)) {
                    Ok(packet) => self.handle(Input::Packet { connection, packet }),
                    Err(error) => self.handle(Input::Undecodable { connection, error: &error }),
                }
            }
        }
        if self.clients[index].is_open() {
            self.clients[index].keep(pending.split_off(at));
        }
    }

    /// The first packet; the shell does not show the core one that cannot be decoded.
    fn connect(&mut self, index: usize, connection: ConnectionId, frame: Result<&[u8], selvedge_codec::DecodeError>) {
        let Ok(connect) = frame.and_then(selvedge_codec::decode_connect) else {
            self.clients[index].lose();
            return;
        };
        self.clients[index].connect(&connect);
        let peer = rules::peer(&connect, self.now);
        self.handle(Input::Connect { connection, connect: &connect, peer });
    }

    fn wait(&mut self, step: u8) {
        self.now = self.now.plus_millis(u64::from(step) * u64::from(step) * 10);
        // What has many filters takes some steps.
        for _ in 0..100 {
            if self.core.next_deadline().is_some_and(|deadline| deadline <= self.now) {
                self.handle(Input::Tick);
            }
        }
        // Otherwise the shell would ask again at once, and for ever.
        assert!(self.core.next_deadline().is_none_or(|deadline| deadline > self.now), "ticks leave something due");
    }

    /// New access rules, or the answer to a client that authenticates again.
    fn change_rules(&mut self, index: usize, choice: u8) {
        if choice & 1 == 0 {
            return self.handle(Input::RulesChanged { authorizer: Box::new(Forbidding { choice }) });
        }
        let Some(connection) = self.clients[index].connection().filter(|_| self.clients[index].has_connected()) else {
            return;
        };
        self.handle(Input::Authenticated { connection, outcome: rules::outcome(choice) });
    }

    fn push_back(&mut self, index: usize, choice: u8) {
        let Some(connection) = self.clients[index].connection().filter(|_| self.clients[index].has_connected()) else {
            return;
        };
        self.handle(if choice & 1 == 0 { Input::Congested { connection } } else { Input::Drained { connection } });
    }

    /// Something that a part of the node does.
    fn consume(&mut self, script: &mut Script<'_>) {
        let choice = script.byte();
        let Some(connection) = self.consumer else {
            self.opened += 1;
            let id = ConnectionId { slot: CLIENTS as u32, generation: self.opened };
            self.consumer = Some(id);
            let receive_maximum = u16::from(choice % 5) + 1;
            return self.handle(Input::Attach { connection: id, client_id: "$node/test".into(), receive_maximum });
        };
        match choice % 8 {
            0 | 1 => {
                let input = Input::SubscribeInternal { connection, filter: script.filter(), qos: script.qos() };
                self.handle(input);
            }
            2 => self.handle(Input::KeepSubscriptions { connection, filters: &[script.filter()] }),
            3..=5 => {
                let known = self.deliveries.pop();
                let packet_id = known.or_else(|| selvedge_codec::PacketId::new(u16::from(choice)));
                if let Some(packet_id) = packet_id {
                    self.handle(Input::Acknowledge { connection, packet_id });
                }
            }
            6 => {
                let message = std::sync::Arc::new(script.message(self.now));
                self.handle(Input::Publish { message });
            }
            _ => {
                self.consumer = None;
                self.deliveries.clear();
                self.handle(Input::Detach { connection });
            }
        }
    }

    /// Ends everything; nothing may be left when the last session has run out.
    fn shut_down(&mut self) {
        self.handle(Input::Shutdown);
        self.audit();
        assert!(self.clients.iter().all(|client| !client.has_connected()), "a shutdown leaves a connection open");
        if let Some(connection) = self.consumer.take() {
            self.handle(Input::Detach { connection });
        }
        // In bounded steps; wills and the ends of sessions may each take some.
        for _ in 0..100 {
            self.now = self.now.plus_seconds(7 * 24 * 3600);
            self.handle(Input::Tick);
        }
        self.audit();
        let statistics = self.core.statistics();
        assert_eq!((statistics.sessions, statistics.connections), (0, 0), "a session outlives its time");
        assert_eq!((statistics.subscriptions, statistics.queued_messages, statistics.queued_bytes), (0, 0, 0));
    }

    fn audit(&self) {
        if let Err(wrong) = self.core.audit() {
            panic!("{wrong}");
        }
    }

    /// One input, and what it causes.
    fn handle(&mut self, input: Input<'_>) {
        self.effects.clear();
        self.core.handle(input, self.now, &mut self.effects);
        let mut blocked = Vec::new();
        for effect in self.effects.list() {
            match effect {
                Effect::Send { connection, bytes, patch, .. } => {
                    let mut bytes = self.effects.bytes(*bytes).to_vec();
                    if let Some(patch) = patch {
                        assert!(
                            patch.packet_id.write_at(&mut bytes, patch.offset as usize),
                            "a patch beyond its packet"
                        );
                    }
                    client_of(&mut self.clients, *connection).hear(&bytes);
                }
                Effect::SendShared { connection, bytes, message, patch, .. } => {
                    assert!(patch.is_none(), "a shared payload is not preceded by a shared header");
                    let bytes = [self.effects.bytes(*bytes), message.payload()].concat();
                    client_of(&mut self.clients, *connection).hear(&bytes);
                }
                Effect::Close { connection, .. } => {
                    client_of(&mut self.clients, *connection).closed();
                }
                Effect::AwaitDrain { connection } => blocked.push(*connection),
                Effect::Deliver { connection, delivery } => {
                    assert_eq!(Some(*connection), self.consumer, "a delivery to nobody");
                    self.deliveries.extend(delivery.packet_id);
                }
                _ => {}
            }
        }
        // The sockets of this test take everything at once.
        for connection in blocked {
            if self.clients.iter().any(|client| client.connection() == Some(connection)) {
                self.handle(Input::Drained { connection });
            }
        }
    }
}

fn client_of(clients: &mut [Client], connection: ConnectionId) -> &mut Client {
    let client = clients.iter_mut().find(|client| client.connection() == Some(connection));
    client.unwrap_or_else(|| panic!("an effect for {connection:?}, which is closed or never was"))
}
