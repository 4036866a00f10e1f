//! The exchange of twins with the other nodes of a group, wired: one thread that is a client of the group's broker.
//!
//! What comes from there goes to the twins, what they have to say waits in the `outbox`. Losing a message costs time and nothing
//! else: nodes tell each other again and again what they have. So nothing here is kept over a connection.
//!
//! Topics: `{prefix}/{group}/all` for everybody, `{prefix}/{group}/to/{node}` for one.

mod outbox;
mod report;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use parking_lot::Mutex;
use selvedge_codec::{
    Packet, ProtocolVersion, PublishProperties, QoS, ReasonCode, RetainHandling, Subscribe, SubscribeFilter,
    UserProperties, decode, encode,
};
use selvedge_store::Store;
use selvedge_twin::NodeId;
use selvedge_twin::exchange::{ExchangeError, Group};
use selvedge_twin::keys::{Ed25519, PublicKey};
use selvedge_twin::sync::{self, Input, Now, Output};

use super::clock::wall_ms;
use super::twin_service::TwinService;
use super::{identity, settings};
use crate::client::connect_options::ConnectOptions;
use crate::client::encryption::EncryptionOptions;
use crate::client::link::{ConnectError, Link};
use crate::client::session::{Event, OutgoingMessage, Session};
use crate::config::SyncConfig;
use crate::config::sync::BrokerAddress;
use outbox::Outbox;
pub use report::{SyncReadings, refusals};

/// How often the twins are told that time has passed.
const TICK: Duration = Duration::from_secs(1);
/// First pause before connecting again; doubles up to the last.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_LAST: Duration = Duration::from_secs(60);
/// For the broker to answer the subscription.
const SUBSCRIBE_MAX: Duration = Duration::from_secs(20);
/// Messages that the broker has not acknowledged, at most.
const IN_FLIGHT_MAX: u16 = 16;
/// Largest packet that is taken: a message with its topic.
const PACKET_BYTES_MAX: u32 = 96 * 1024;
const STACK_BYTES: usize = 1 << 20;

/// The node's part in a group, or none.
pub struct Exchange {
    config: SyncConfig,
    address: Option<BrokerAddress>,
    node: NodeId,
    public_key: PublicKey,
    /// Where messages of the group go.
    topics: String,
    twins: Arc<TwinService>,
    outbox: Arc<Outbox>,
    started: Instant,
    stopping: AtomicBool,
    dialling: AtomicBool,
    /// Why there is no connection.
    trouble: Mutex<Option<String>>,
    /// Why the last input was not taken.
    not_taken: Mutex<Option<String>>,
    connections: AtomicU64,
}

impl Exchange {
    /// With the node's own key, which is made when there is none. Takes part in the group if the configuration names one.
    ///
    /// # Errors
    /// The twins belong to another group, or the store fails.
    pub fn new(config: &SyncConfig, store: &Store, node: NodeId, twins: Arc<TwinService>) -> anyhow::Result<Arc<Self>> {
        let keys = Ed25519::from_secret(&identity::signing_secret(store)?);
        let public_key = keys.public();
        let outbox = Arc::new(Outbox::new(config.outbox_messages_max as usize).context("make the outbox")?);
        let address = BrokerAddress::parse(&config.broker);
        let started = Instant::now();
        let mut topics = String::new();
        if address.is_some() {
            let signer = PublicKey::parse(&config.group_key).context("sync.group_key is no key")?;
            topics = format!("{}/{}", config.topic_prefix, signer.to_string().get(..16).unwrap_or_default());
            let sender = Arc::clone(&outbox);
            let group = Group {
                signer,
                keys: Box::new(keys),
                sender: Arc::new(move |outputs| sender.push(outputs)),
                steady_ms: Box::new(move || steady_ms(started)),
                config: exchange_settings(config),
            };
            twins.twins().join_group(group).context(
                "take part in the group of sync.group_key (the key of before, or another data directory, would do)",
            )?;
        }
        Ok(Arc::new(Self {
            config: config.clone(),
            address,
            node,
            public_key,
            topics,
            twins,
            outbox,
            started,
            stopping: AtomicBool::new(false),
            dialling: AtomicBool::new(false),
            trouble: Mutex::default(),
            not_taken: Mutex::default(),
            connections: AtomicU64::new(0),
        }))
    }

    /// Starts the thread, if the node takes part in a group.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(self: &Arc<Self>) -> std::io::Result<Option<JoinHandle<()>>> {
        let Some(address) = self.address.clone() else { return Ok(None) };
        let exchange = Arc::downgrade(self);
        let thread = std::thread::Builder::new().name("exchange".to_owned()).stack_size(STACK_BYTES);
        thread.spawn(move || run(&exchange, &address)).map(Some)
    }

    /// Ends the thread. One that is just dialling ends by itself later, and holds nothing meanwhile.
    pub fn stop(&self, thread: Option<JoinHandle<()>>) {
        self.stopping.store(true, Ordering::SeqCst);
        self.outbox.wake();
        let is_dialling = self.dialling.load(Ordering::SeqCst);
        if thread.filter(|_| !is_dialling).is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that exchanges twins panicked");
        }
    }

    /// Takes the group's next policy, and answers when it is durable.
    ///
    /// # Errors
    /// It is not the next one, or not signed.
    pub fn adopt(&self, signed: &[u8], done: impl FnOnce(bool) + Send + 'static) -> Result<(), ExchangeError> {
        self.twins.adopt_policy(signed, self.now(), done)
    }

    fn now(&self) -> Now {
        Now { steady_ms: steady_ms(self.started), wall_ms: wall_ms() }
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Waits; time passes for the twins meanwhile.
    fn rest(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while !self.is_stopping() && Instant::now() < until {
            self.outbox.wait(until.min(Instant::now() + TICK));
            self.input(Input::Tick);
        }
        self.outbox.clear();
    }

    /// Once for each cause.
    fn say(&self, trouble: &str) {
        let mut last = self.trouble.lock();
        if last.as_deref() != Some(trouble) {
            tracing::warn!(broker = self.config.broker, trouble, "no exchange of twins with other nodes");
            *last = Some(trouble.to_owned());
        }
    }

    /// Says that it dials now; `None` if the node stops.
    fn before_dialling(
        &self,
        address: &BrokerAddress,
        version: ProtocolVersion,
    ) -> Option<anyhow::Result<ConnectOptions>> {
        self.dialling.store(true, Ordering::SeqCst);
        (!self.is_stopping()).then(|| self.options(address, version))
    }

    fn options(&self, address: &BrokerAddress, version: ProtocolVersion) -> anyhow::Result<ConnectOptions> {
        let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let file = |text: &String| some(text).map(Into::into);
        let password = match some(&self.config.password_file) {
            // Read each time: it may be changed.
            Some(path) => {
                let text = std::fs::read_to_string(&path).with_context(|| format!("read sync.password_file {path}"))?;
                Some(text.trim_end_matches(['\r', '\n']).to_owned())
            }
            None => None,
        };
        let encryption = address.is_encrypted.then(|| EncryptionOptions {
            authorities: file(&self.config.ca),
            certificate: file(&self.config.certificate),
            key: file(&self.config.key),
            insecure: false,
        });
        let mut options = ConnectOptions::plain(&address.host, address.port, version);
        options.client_id = format!("selvedge-{}", self.node);
        // A broker that is gone without a word is noticed within a heartbeat or so.
        options.keep_alive_s = u16::try_from(self.config.heartbeat.0.as_secs() / 2).unwrap_or(u16::MAX).clamp(5, 60);
        (options.username, options.password) = (some(&self.config.username), password);
        options.encryption = encryption;
        options.properties.connect.maximum_packet_size = std::num::NonZero::new(PACKET_BYTES_MAX);
        options.properties.connect.receive_maximum = std::num::NonZero::new(IN_FLIGHT_MAX);
        if version == ProtocolVersion::V311 {
            options.properties = crate::client::properties::PropertySet::default();
        }
        Ok(options)
    }

    /// One connection, until it is lost or the node stops.
    fn serve(&self, mut link: Link, version: ProtocolVersion, receive_maximum: u16) -> anyhow::Result<()> {
        let mut session = Session::new(version);
        let mut out = Vec::new();
        self.subscribe(&mut session, version, &mut out)?;
        link.send(&out)?;
        let in_flight_max = usize::from(IN_FLIGHT_MAX.min(receive_maximum));
        let mut is_subscribed = false;
        let answered_until = Instant::now() + SUBSCRIBE_MAX;
        let mut tick = Instant::now() + TICK;
        loop {
            if self.is_stopping() {
                link.close(&ConnectOptions::plain("", 0, version));
                return Ok(());
            }
            let ready = link.wait(&[self.outbox.descriptor()], Some(tick))?;
            if ready.first {
                self.outbox.quiet();
            }
            if ready.server {
                link.fill()?;
            }
            while let Some(frame) = link.take_frame()? {
                out.clear();
                is_subscribed |= self.take(&mut session, version, &frame, &mut out)?;
                link.send(&out)?;
            }
            if Instant::now() >= tick {
                self.input(Input::Tick);
                tick = Instant::now() + TICK;
            }
            if !is_subscribed && Instant::now() >= answered_until {
                bail!("the broker did not answer the subscription");
            }
            out.clear();
            while session.in_flight() < in_flight_max
                && let Some(output) = self.outbox.pop()
            {
                self.publish(&mut session, &output, &mut out)?;
            }
            link.send(&out)?;
        }
    }

    fn subscribe(&self, session: &mut Session, version: ProtocolVersion, out: &mut Vec<u8>) -> anyhow::Result<()> {
        let packet_id = session.fresh_id().context("no packet identifier is free")?;
        let (all, own) = (format!("{}/all", self.topics), format!("{}/to/{}", self.topics, self.node));
        let filter = |filter| SubscribeFilter {
            filter,
            qos: QoS::AtLeastOnce,
            no_local: version == ProtocolVersion::V5,
            retain_as_published: false,
            retain_handling: RetainHandling::DoNotSend,
        };
        let filters = [all.as_str(), own.as_str()].into_iter().map(filter).collect();
        let user_properties = UserProperties::from_pairs(&[]);
        let subscribe = Subscribe { packet_id, subscription_identifier: None, user_properties, filters };
        encode(version, &Packet::Subscribe(subscribe), out).context("subscribe")
    }

    fn publish(&self, session: &mut Session, output: &Output, out: &mut Vec<u8>) -> anyhow::Result<()> {
        let (topic, payload) = match output {
            Output::Broadcast(payload) => (format!("{}/all", self.topics), payload),
            Output::Send(node, payload) => (format!("{}/to/{node}", self.topics), payload),
        };
        let (qos, properties) = (QoS::AtLeastOnce, PublishProperties::default());
        session.publish(&OutgoingMessage { topic: &topic, payload, qos, retain: false, properties }, out)?;
        Ok(())
    }

    /// Takes a packet of the broker. Whether the way to the others is open now.
    fn take(
        &self,
        session: &mut Session,
        version: ProtocolVersion,
        frame: &[u8],
        out: &mut Vec<u8>,
    ) -> anyhow::Result<bool> {
        let packet = decode(version, frame).context("the broker sent a malformed packet")?;
        match session.receive(packet, out)? {
            Event::Message { publish, .. } => self.input(Input::Received(publish.payload)),
            Event::Subscribed { reasons, .. } => {
                if let Some(reason) = reasons.iter().find(|reason| reason.is_error()) {
                    bail!("the broker does not let this node subscribe to {}/#: {reason:?}", self.topics);
                }
                *self.trouble.lock() = None;
                self.connections.fetch_add(1, Ordering::Relaxed);
                tracing::info!(broker = self.config.broker, "twins are exchanged with other nodes");
                self.input(Input::Connected);
                return Ok(true);
            }
            Event::Done { reason, .. } if reason.is_error() => {
                bail!("the broker does not let this node publish to {}/#: {reason:?}", self.topics);
            }
            Event::Disconnected { reason, reason_string } => {
                bail!("the broker ended the connection: {reason:?} {}", reason_string.unwrap_or_default());
            }
            _ => {}
        }
        Ok(false)
    }

    /// What cannot be taken now is told again by the others.
    fn input(&self, input: Input<'_>) {
        let refused = self.twins.exchange(input, self.now()).err().map(|error| error.to_string());
        let mut last = self.not_taken.lock();
        if let Some(cause) = refused.as_ref().filter(|_| *last != refused) {
            tracing::warn!(cause, "twins of other nodes cannot be taken in");
        }
        *last = refused;
    }
}

/// Connects again and again. While it dials it holds nothing of the node, which may end meanwhile.
fn run(exchange: &Weak<Exchange>, address: &BrokerAddress) {
    let mut pause = PAUSE_FIRST;
    let mut version = ProtocolVersion::V5;
    loop {
        let Some(options) = exchange.upgrade().and_then(|exchange| exchange.before_dialling(address, version)) else {
            return;
        };
        let opened = options.and_then(|options| Ok(Link::open(&options)?));
        let Some(exchange) = exchange.upgrade() else { return };
        exchange.dialling.store(false, Ordering::SeqCst);
        if exchange.is_stopping() {
            return;
        }
        let ended = opened.and_then(|(link, greeting)| {
            pause = PAUSE_FIRST;
            let ended = exchange.serve(link, version, greeting.receive_maximum);
            exchange.outbox.clear();
            exchange.input(Input::Disconnected);
            ended
        });
        let Err(error) = ended else { return };
        if is_of_other_version(&error) && version == ProtocolVersion::V5 {
            version = ProtocolVersion::V311;
            continue;
        }
        exchange.say(&format!("{error:#}"));
        exchange.rest(pause);
        // Nodes that lost the same broker do not all come back in the same moment.
        pause = (pause * 2).min(PAUSE_LAST) + Duration::from_millis(exchange.node.0 % 500);
    }
}

fn exchange_settings(config: &SyncConfig) -> sync::Config {
    sync::Config {
        heartbeat_ms: settings::milliseconds(config.heartbeat),
        lease_ms: settings::milliseconds(config.lease),
        held_max: config.far_writes_max as usize,
        tombstones_max: config.removals_max as usize,
        ..sync::Config::default()
    }
}

fn steady_ms(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn is_of_other_version(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(ConnectError::Refused { reason: ReasonCode::UnsupportedProtocolVersion, .. }))
}
