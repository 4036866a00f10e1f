//! Runs a transcript against the core in virtual time and compares.
//!
//! A line `name > PACKET …` is what a client sends, `name < PACKET …` what it gets, `wait 10s` lets time pass (every
//! deadline on the way is kept). The lines with `<` are what the transcript claims: the run must give exactly these, in
//! this order, after the line that caused them. Besides packets, a client can be `LOST` (its network), `CONGESTED`,
//! `DRAINED` or `BROKEN` (undecodable bytes), a consumer inside the node can ATTACH and KEEP subscriptions, and the node
//! itself (`node >`) can PUBLISH, END the consumers that nobody claimed, change RULES, REVOKE credentials, answer what a
//! client sent to be AUTHENTICATED, say how much MEMORY is in use outside, and SHUTDOWN.

mod rules;
mod show;
mod words;

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    num::{NonZeroU16, NonZeroU32},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rules::{Rules, TestPermit};
use selvedge_codec::{
    Ack, Auth, Connect, Disconnect, Packet, PacketId, ProtocolVersion, Publish, PublishPropertiesBuffer, ReasonCode,
    Subscribe, Unsubscribe, Will,
};
use selvedge_core::{
    Authentication, Config, ConnectionId, Core, Effect, Effects, Input, Interception, Message, Moment, Peer, Permit,
    Reauthentication,
};
use show::{show, show_payload};
use words::{Words, duration, interceptor, quality, subscription};

/// Checks a transcript against a broker with default limits and without `$SYS` topics.
pub fn check(transcript: &str) {
    check_with(quiet(), transcript);
}

/// Default limits, no `$SYS` topics, so that a transcript shows only what it is about.
pub fn quiet() -> Config {
    Config { sys_interval_s: 0, ..Config::default() }
}

/// Checks a transcript against a broker with the given limits.
pub fn check_with(config: Config, transcript: &str) {
    let mut run = Run::new(config);
    let claimed: Vec<&str> = transcript.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    for line in &claimed {
        if !is_output(line) {
            run.step(line);
        }
    }
    let actual = run.log.join("\n");
    assert!(actual == claimed.join("\n"), "the run differs from the transcript; it gave:\n{actual}\n");
}

fn is_output(line: &str) -> bool {
    line.split_whitespace().nth(1) == Some("<")
}

struct Client {
    id: ConnectionId,
    version: Option<ProtocolVersion>,
}

struct Run {
    core: Core,
    now: Moment,
    clients: BTreeMap<String, Client>,
    names: HashMap<ConnectionId, String>,
    /// Credentials by name, and whether they were withdrawn.
    revoked: HashMap<String, Arc<AtomicBool>>,
    next_slot: u32,
    log: Vec<String>,
}

impl Run {
    fn new(config: Config) -> Self {
        Self {
            core: Core::new(config, Box::new(Rules::default()), 7),
            now: Moment::from_millis(1000),
            clients: BTreeMap::new(),
            names: HashMap::new(),
            revoked: HashMap::new(),
            next_slot: 0,
            log: Vec::new(),
        }
    }

    fn step(&mut self, line: &str) {
        self.log.push(line.to_owned());
        if let Some(time) = line.strip_prefix("wait ") {
            self.wait(duration(time));
            return;
        }
        let words = Words::split(line);
        let (name, verb) = (words.at(0), words.at(2));
        assert_eq!(words.at(1), ">", "a line is `name > WORD …`, `name < WORD …` or `wait TIME`: {line}");
        if name == "node" {
            return self.node_step(verb, &words);
        }
        match verb {
            "CONNECT" if !words.has("again") => self.connect(name, &words),
            "ATTACH" => {
                let connection = self.new_connection(name, None);
                let receive_maximum = words.number("recv").unwrap_or(100) as u16;
                self.feed(Input::Attach { connection, client_id: format!("$node/{name}").into(), receive_maximum });
                for word in &words.plain {
                    let (filter, qos) = word.split_once(':').unwrap_or((word, "1"));
                    self.feed(Input::SubscribeInternal { connection, filter, qos: quality(qos) });
                }
            }
            _ => {
                let connection = self.clients.get(name).unwrap_or_else(|| panic!("no client {name}: {line}")).id;
                self.client_step(connection, verb, &words);
            }
        }
    }

    fn client_step(&mut self, connection: ConnectionId, verb: &str, words: &Words<'_>) {
        match verb {
            "LOST" => return self.feed(Input::Closed { connection }),
            "CONGESTED" => return self.feed(Input::Congested { connection }),
            "DRAINED" => return self.feed(Input::Drained { connection }),
            "BROKEN" => {
                let error =
                    selvedge_codec::decode(ProtocolVersion::V5, &[0x00, 0x00]).expect_err("packet type 0 is reserved");
                return self.feed(Input::Undecodable { connection, error: &error });
            }
            "ACKNOWLEDGE" => return self.feed(Input::Acknowledge { connection, packet_id: words.packet_id(0) }),
            "DETACH" => return self.feed(Input::Detach { connection }),
            "KEEP" => return self.feed(Input::KeepSubscriptions { connection, filters: &words.plain }),
            _ => {}
        }
        let ack = || Ack::with_reason(words.packet_id(0), words.reason().unwrap_or(ReasonCode::Success));
        let packet = match verb {
            "PUBACK" => Packet::PubAck(ack()),
            "PUBREC" => Packet::PubRec(ack()),
            "PUBREL" => Packet::PubRel(ack()),
            "PUBCOMP" => Packet::PubComp(ack()),
            "PINGREQ" => Packet::PingReq,
            "PUBLISH" => return self.publish(connection, words),
            "SUBSCRIBE" => Packet::Subscribe(Subscribe {
                packet_id: words.packet_id(0),
                subscription_identifier: words.number("sid").map(|value| value as u32),
                user_properties: Default::default(),
                filters: words.plain[1..].iter().map(|word| subscription(word)).collect(),
            }),
            "UNSUBSCRIBE" => Packet::Unsubscribe(Unsubscribe {
                packet_id: words.packet_id(0),
                user_properties: Default::default(),
                filters: words.plain[1..].iter().copied().collect(),
            }),
            "CONNECT" => {
                let version = if words.has("v3") { ProtocolVersion::V311 } else { ProtocolVersion::V5 };
                Packet::Connect(Box::new(Connect::new(version, words.text("id").unwrap_or_default(), true)))
            }
            "DISCONNECT" => {
                let mut packet = Disconnect::with_reason(words.reason().unwrap_or(ReasonCode::Success));
                packet.session_expiry_s = words.number("expiry").map(|value| value as u32);
                Packet::Disconnect(packet)
            }
            "PINGRESP" => Packet::PingResp,
            "AUTH" => Packet::Auth(Auth {
                reason: words.reason().unwrap_or(ReasonCode::Success),
                method: words.text("method"),
                data: (!words.payload.is_empty()).then_some(words.payload.as_bytes()),
                ..Auth::default()
            }),
            other => panic!("no such step: {other}"),
        };
        self.feed(Input::Packet { connection, packet });
    }

    fn connect(&mut self, name: &str, words: &Words<'_>) {
        let version = if words.has("v3") { ProtocolVersion::V311 } else { ProtocolVersion::V5 };
        let connection = self.new_connection(name, Some(version));
        let mut connect = Connect::new(version, words.text("id").unwrap_or(name), !words.has("resume"));
        connect.keep_alive_s = words.number("keep").unwrap_or(0) as u16;
        connect.session_expiry_s = words.number("expiry").map(|value| value as u32);
        connect.receive_maximum = words.number("recv").and_then(|value| NonZeroU16::new(value as u16));
        connect.maximum_packet_size = words.number("max").and_then(|value| NonZeroU32::new(value as u32));
        connect.topic_alias_maximum = words.number("aliases").unwrap_or(0) as u16;
        connect.authentication_method = words.text("auth");
        connect.request_problem_information = !words.has("no-problem-information");
        let payload = words.text("will-payload").unwrap_or("gone");
        let mut will_properties = PublishPropertiesBuffer::new();
        if let Some(content_type) = words.text("will-content") {
            will_properties.content_type(content_type).expect("a short content type");
        }
        let mut properties = will_properties.as_properties();
        properties.message_expiry_s = words.number("will-expiry").map(|value| value as u32);
        connect.will = words.text("will").map(|topic| Will {
            qos: quality(words.text("will-qos").unwrap_or("0")),
            retain: words.has("will-retain"),
            topic,
            payload: payload.as_bytes(),
            delay_s: words.number("will-delay").unwrap_or(0) as u32,
            properties,
        });
        connect.authentication_data = connect.authentication_method.and(words.text("auth-data")).map(str::as_bytes);
        let peer = self.peer(words);
        self.feed(Input::Connect { connection, connect: &connect, peer });
    }

    /// `user=`, `expires=` (milliseconds), `by=` (authentication method) with `data=`, `permit=` (the only filter allowed) and
    /// `credential=` (a name to REVOKE).
    fn peer(&mut self, words: &Words<'_>) -> Peer {
        let revoked = words.text("credential").map(|name| self.revoked.entry(name.to_owned()).or_default().clone());
        let only = words.text("permit").map(str::to_owned);
        let permit = (revoked.is_some() || only.is_some())
            .then(|| Arc::new(TestPermit { only, revoked: revoked.unwrap_or_default() }) as Arc<dyn Permit>);
        Peer {
            address: None,
            user: words.text("user").map(Into::into),
            permit,
            expires_in_ms: words.number("expires"),
            authentication: words.text("by").map(|method| Authentication {
                method: method.into(),
                data: words.text("data").unwrap_or_default().as_bytes().into(),
            }),
            durability: None,
        }
    }

    fn publish(&mut self, connection: ConnectionId, words: &Words<'_>) {
        let qos = quality(words.text("q").unwrap_or("0"));
        let mut buffer = PublishPropertiesBuffer::new();
        if let Some(identifier) = words.number("sid") {
            buffer.subscription_identifier(identifier as u32).expect("an identifier in range");
        }
        if let Some(content_type) = words.text("content") {
            buffer.content_type(content_type).expect("a short content type");
        }
        let mut properties = buffer.as_properties();
        properties.message_expiry_s = words.number("expiry").map(|value| value as u32);
        properties.topic_alias = words.number("alias").map(|value| value as u16);
        let topic = if words.plain.first() == Some(&"-") { "" } else { words.plain[0] };
        let publish = Publish {
            dup: words.has("dup"),
            qos,
            retain: words.has("retain"),
            topic,
            packet_id: words.number("id").and_then(|value| PacketId::new(value as u16)),
            properties,
            payload: words.payload.as_bytes(),
        };
        self.feed(Input::Packet { connection, packet: Packet::Publish(publish) });
    }

    fn node_step(&mut self, verb: &str, words: &Words<'_>) {
        match verb {
            "PUBLISH" => {
                let qos = quality(words.text("q").unwrap_or("0"));
                let message = Message::new(words.plain[0], words.payload.as_bytes().to_vec(), qos, words.has("retain"));
                self.feed(Input::Publish { message: Arc::new(message) });
            }
            // `FILTER:MILLISECONDS:END`, the end `passes` or `drops`.
            "INTERCEPTORS" => {
                let interceptors = words.plain.iter().map(|word| interceptor(word)).collect();
                self.feed(Input::SetInterceptors { interceptors });
            }
            // Of ticket `plain[0]`: `pass`, `drop`, `refuse`, or topics, each with the payload.
            "ANSWERS" => self.answer(words),
            "SHUTDOWN" => self.feed(Input::Shutdown),
            "END" => self.feed(Input::EndUnclaimed),
            "RULES" => self.feed(Input::RulesChanged { authorizer: Box::new(Rules::read(&words.plain)) }),
            "REVOKE" => {
                self.revoked.entry(words.plain[0].to_owned()).or_default().store(true, Ordering::Relaxed);
            }
            "AUTHENTICATED" => {
                let connection = self.clients[words.plain[0]].id;
                let outcome = match words.plain[1] {
                    "continue" => Reauthentication::Continue { data: words.payload.as_bytes().into() },
                    "success" => Reauthentication::Success { peer: self.peer(words) },
                    _ => Reauthentication::Failure { reason: words.reason().expect("a reason") },
                };
                self.feed(Input::Authenticated { connection, outcome });
            }
            "MEMORY" => self.core.set_outside_bytes(words.plain[0].parse().expect("bytes")),
            "STATISTICS" => {
                let statistics = format!("{:?}", self.core.statistics());
                let mut line = "node < STATISTICS".to_owned();
                for wanted in &words.plain {
                    let value = statistics
                        .split([' ', '{', '}'])
                        .collect::<Vec<_>>()
                        .windows(2)
                        .find(|pair| pair[0] == format!("{wanted}:"))
                        .map(|pair| pair[1].trim_end_matches(',').to_owned());
                    write!(line, " {wanted}={}", value.expect("no such statistic")).unwrap();
                }
                self.log.push(line);
            }
            other => panic!("no such step of the node: {other}"),
        }
    }

    fn answer(&mut self, words: &Words<'_>) {
        let ticket = words.plain[0].parse().expect("a ticket");
        let qos = quality(words.text("q").unwrap_or("0"));
        let publisher = words.text("of").map(Arc::from);
        let message = |topic: &&str| {
            let message = Message::new(topic, words.payload.as_bytes().to_vec(), qos, words.has("retain"));
            Arc::new(message.with_publisher(publisher.clone()))
        };
        let outcome = match words.plain[1] {
            "pass" => Interception::Pass,
            "drop" => Interception::Replace(Vec::new()),
            "refuse" => Interception::Refuse("not like this"),
            _ => Interception::Replace(words.plain[1..].iter().map(message).collect()),
        };
        self.feed(Input::Intercepted { ticket, outcome });
    }

    fn new_connection(&mut self, name: &str, version: Option<ProtocolVersion>) -> ConnectionId {
        let id = ConnectionId { slot: self.next_slot, generation: 1 };
        self.next_slot += 1;
        self.names.insert(id, name.to_owned());
        self.clients.insert(name.to_owned(), Client { id, version });
        id
    }

    fn wait(&mut self, time: Duration) {
        let until = self.now.plus_millis(time.as_millis() as u64);
        while let Some(due) = self.core.next_deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.feed(Input::Tick);
        }
        self.now = until;
    }

    fn feed(&mut self, input: Input<'_>) {
        let mut effects = Effects::new();
        self.core.handle(input, self.now, &mut effects);
        assert_eq!(self.core.audit(), Ok(()), "after {:?}", self.log.last());
        for effect in effects.list() {
            let (connection, what) = match effect {
                Effect::Send { connection, bytes, patch, .. } => {
                    let mut bytes = effects.bytes(*bytes).to_vec();
                    apply(patch, &mut bytes);
                    (connection, self.shown(*connection, &bytes))
                }
                Effect::SendShared { connection, bytes, patch, message, .. } => {
                    let mut bytes = effects.bytes(*bytes).to_vec();
                    apply(patch, &mut bytes);
                    bytes.extend_from_slice(message.payload());
                    (connection, self.shown(*connection, &bytes))
                }
                Effect::Close { connection, cause } => (connection, format!("CLOSED {cause:?}")),
                Effect::Authenticate { connection, reason, data } => (
                    connection,
                    format!("AUTHENTICATE {reason:?} \"{}\"", String::from_utf8_lossy(effects.bytes(*data))),
                ),
                Effect::AwaitDrain { connection } => (connection, "AWAITDRAIN".to_owned()),
                Effect::Intercept { connection: _, held } => {
                    self.log.push(format!(
                        "node < HELD {} {}{}",
                        held.ticket,
                        held.message.topic(),
                        show_payload(held.message.payload())
                    ));
                    continue;
                }
                Effect::Pause { connection } => (connection, "PAUSE".to_owned()),
                Effect::GoOn { connection } => (connection, "GO ON".to_owned()),
                Effect::Fetch { .. } => panic!("without a journal nothing is on disk"),
                Effect::Deliver { connection, delivery } => {
                    let message = &delivery.message;
                    let mut line = format!("DELIVER {} q={}", message.topic(), delivery.qos as u8);
                    if let Some(packet_id) = delivery.packet_id {
                        write!(line, " id={}", packet_id.get()).unwrap();
                    }
                    if delivery.duplicate {
                        line.push_str(" dup");
                    }
                    line.push_str(&show_payload(message.payload()));
                    (connection, line)
                }
            };
            self.log.push(format!("{} < {what}", self.names[connection]));
        }
    }

    fn shown(&self, connection: ConnectionId, bytes: &[u8]) -> String {
        let client = &self.clients.values().find(|client| client.id == connection);
        let version = client.and_then(|client| client.version).unwrap_or(ProtocolVersion::V5);
        let length = selvedge_codec::frame_length(bytes, u32::MAX).expect("a frame").expect("a whole frame");
        assert_eq!(length, bytes.len(), "one effect is one packet");
        show(&selvedge_codec::decode(version, bytes).expect("what the core sends can be decoded"))
    }
}

fn apply(patch: &Option<selvedge_core::PacketIdPatch>, bytes: &mut [u8]) {
    if let Some(patch) = patch {
        let offset = patch.offset as usize;
        bytes[offset..offset + 2].copy_from_slice(&patch.packet_id.get().to_be_bytes());
    }
}
