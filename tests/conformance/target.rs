//! The broker under test, and what one test needs of it: names of its own, connections, another configuration.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use selvedge_tests::child::TestChild;
use selvedge_tests::client::{Transport, Version};
use selvedge_tests::client_packet::Connect;
use selvedge_tests::mosquitto::Mosquitto;
use selvedge_tests::node::{Node, Place};
use selvedge_tests::peer::{Peer, Route};
use selvedge_tests::server_packet::ConnAck;

/// A slow machine is no failure of the product.
const PATIENCE: Duration = Duration::from_secs(30);
/// Another broker fails some tests by silence, and others wait for that.
const FOREIGN_PATIENCE: Duration = Duration::from_secs(8);
/// Broken on purpose (`cargo xtask mutants`), so that much of it is silence.
const BARE_PATIENCE: Duration = Duration::from_secs(8);
/// In `SELVEDGE_CONFORMANCE_TARGET`, before the path of the program.
const BARE_PREFIX: &str = "serve:";

/// The broker that all tests share.
#[derive(Debug)]
pub struct Suite {
    broker: Broker,
    /// Differs from run to run, so that what a run leaves behind on a broker does not meet the next.
    run: String,
}

#[derive(Debug)]
enum Broker {
    /// The tests are only listed.
    None,
    Product(Node),
    /// The product's listeners and protocol core alone: `broker/examples/serve.rs`.
    Bare {
        mqtt: SocketAddr,
        websocket: SocketAddr,
        // Ends with it.
        _child: TestChild,
    },
    Mosquitto(Mosquitto),
    Foreign {
        mqtt: SocketAddr,
        websocket: Option<SocketAddr>,
    },
}

/// A reason not to run a test.
#[derive(Debug)]
pub struct Skipped(pub String);

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SKIPPED: {}", self.0)
    }
}

impl std::error::Error for Skipped {}

/// What one test talks to.
#[derive(Debug, Clone)]
pub struct Target {
    suite: Arc<Suite>,
    transport: Transport,
    number: usize,
    /// Set while a test runs in one version after the other.
    version: Option<Version>,
    /// A node of this test alone.
    own: Option<Arc<Node>>,
}

impl Suite {
    /// Starts or finds the broker that the environment names.
    ///
    /// # Errors
    /// It is not there.
    pub fn start(only_listed: bool) -> anyhow::Result<Self> {
        let broker = match std::env::var("SELVEDGE_CONFORMANCE_TARGET").as_deref() {
            _ if only_listed => Broker::None,
            Ok("mosquitto") => Broker::Mosquitto(Mosquitto::start()?),
            Ok(program) if program.starts_with(BARE_PREFIX) => bare(&program[BARE_PREFIX.len()..])?,
            Ok(address) => Broker::Foreign {
                mqtt: resolved(address)?,
                websocket: std::env::var("SELVEDGE_CONFORMANCE_WEBSOCKET").ok().as_deref().map(resolved).transpose()?,
            },
            Err(_) => Broker::Product(Node::start()?),
        };
        let nanoseconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.subsec_nanos();
        Ok(Self { broker, run: format!("{:x}", nanoseconds ^ std::process::id()) })
    }

    /// What the broker is called.
    pub fn name(&self) -> String {
        match &self.broker {
            Broker::None => "nothing".to_owned(),
            Broker::Product(_) => "selvedge".to_owned(),
            Broker::Bare { .. } => "selvedge's core".to_owned(),
            Broker::Mosquitto(_) => "mosquitto".to_owned(),
            Broker::Foreign { mqtt, .. } => mqtt.to_string(),
        }
    }

    /// Over what it can be reached.
    pub fn transports(&self) -> Vec<Transport> {
        match &self.broker {
            Broker::Foreign { websocket: None, .. } => vec![Transport::Tcp],
            _ => vec![Transport::Tcp, Transport::Ws],
        }
    }

    fn is_product(&self) -> bool {
        matches!(self.broker, Broker::Product(_) | Broker::Bare { .. })
    }

    /// Whether nodes with another configuration can be started beside it.
    fn can_be_configured(&self) -> bool {
        matches!(self.broker, Broker::Product(_))
    }

    fn patience(&self) -> Duration {
        match &self.broker {
            Broker::Bare { .. } => BARE_PATIENCE,
            Broker::None | Broker::Product(_) => PATIENCE,
            Broker::Mosquitto(_) | Broker::Foreign { .. } => FOREIGN_PATIENCE,
        }
    }

    fn address(&self, transport: Transport) -> anyhow::Result<SocketAddr> {
        match (&self.broker, transport) {
            (Broker::None, _) => None,
            (Broker::Product(node), Transport::Tcp) => Some(node.mqtt()),
            (Broker::Product(node), Transport::Ws) => Some(node.websocket()),
            (Broker::Bare { mqtt, .. }, Transport::Tcp) => Some(*mqtt),
            (Broker::Bare { websocket, .. }, Transport::Ws) => Some(*websocket),
            (Broker::Mosquitto(mosquitto), Transport::Tcp) => Some(mosquitto.mqtt()),
            (Broker::Mosquitto(mosquitto), Transport::Ws) => Some(mosquitto.websocket()),
            (Broker::Foreign { mqtt, .. }, Transport::Tcp) => Some(*mqtt),
            (Broker::Foreign { websocket, .. }, Transport::Ws) => *websocket,
        }
        .with_context(|| format!("{} has no address for {transport}", self.name()))
    }
}

impl Target {
    /// The target of the test with this number.
    pub fn new(suite: Arc<Suite>, transport: Transport, number: usize) -> Self {
        Self { suite, transport, number, version: None, own: None }
    }

    /// `tcp` or `websocket`.
    pub fn transport_name(&self) -> &'static str {
        match self.transport {
            Transport::Tcp => "tcp",
            Transport::Ws => "websocket",
        }
    }

    /// The transport of this run of the test.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Whether the product is tested, of which more is expected than the standard asks for.
    pub fn is_product(&self) -> bool {
        self.suite.is_product()
    }

    /// A client identifier of this test, with letters and digits only.
    pub fn id(&self, name: &str) -> String {
        format!("{}{}{name}", self.suite.run, self.letter())
    }

    /// A topic of this test: `rest` below a first level of its own.
    pub fn topic(&self, rest: &str) -> String {
        format!("{}{}/{rest}", self.suite.run, self.letter())
    }

    /// Where the broker is.
    ///
    /// # Errors
    /// It has no address for this transport.
    pub fn route(&self) -> anyhow::Result<Route> {
        let address = match (&self.own, self.transport) {
            (Some(node), Transport::Tcp) => node.mqtt(),
            (Some(node), Transport::Ws) => node.websocket(),
            (None, transport) => self.suite.address(transport)?,
        };
        let patience = self.suite.patience();
        Ok(Route { address, transport: self.transport, patience, must_say_why: self.is_product() })
    }

    /// Opens a connection on which nothing is sent yet; packets of the broker are read as MQTT 5.
    ///
    /// # Errors
    /// The broker is not there.
    pub fn open(&self) -> anyhow::Result<Peer> {
        self.open_as(Version::V5)
    }

    /// As [`Target::open`] with packets of the broker read as those of this version.
    ///
    /// # Errors
    /// The broker is not there.
    pub fn open_as(&self, version: Version) -> anyhow::Result<Peer> {
        Peer::open(self.route()?, version)
    }

    /// Connects; the broker has to accept.
    ///
    /// # Errors
    /// It refuses.
    pub fn connect(&self, connect: &Connect) -> anyhow::Result<Peer> {
        self.connect_and_tell(connect).map(|(peer, _)| peer)
    }

    /// As [`Target::connect`], with the CONNACK.
    ///
    /// # Errors
    /// The broker refuses.
    pub fn connect_and_tell(&self, connect: &Connect) -> anyhow::Result<(Peer, ConnAck)> {
        Peer::connect(self.route()?, connect)
    }

    /// Sends a CONNECT and gives the CONNACK, whatever it says.
    ///
    /// # Errors
    /// There is none.
    pub fn try_connect(&self, connect: &Connect) -> anyhow::Result<(Peer, ConnAck)> {
        Peer::try_connect(self.route()?, connect)
    }

    /// Connects a clean MQTT 5 session whose client identifier is [`Target::id`] of `name`.
    ///
    /// # Errors
    /// The broker refuses.
    pub fn v5(&self, name: &str) -> anyhow::Result<Peer> {
        self.connect(&Connect::v5(self.id(name)))
    }

    /// As [`Target::v5`] with MQTT 3.1.1.
    ///
    /// # Errors
    /// The broker refuses.
    pub fn v311(&self, name: &str) -> anyhow::Result<Peer> {
        self.connect(&Connect::v311(self.id(name)))
    }

    /// Runs `check` once in each version of the protocol, with names of its own in each.
    ///
    /// # Errors
    /// Those of `check`, with the version.
    pub fn in_both_versions(&self, check: impl Fn(&Self, Version) -> anyhow::Result<()>) -> anyhow::Result<()> {
        for version in [Version::V5, Version::V311] {
            let target = Self { version: Some(version), ..self.clone() };
            check(&target, version).with_context(|| format!("in {version}"))?;
        }
        Ok(())
    }

    /// Connects a clean session of this version whose client identifier is [`Target::id`] of `name`.
    ///
    /// # Errors
    /// The broker refuses.
    pub fn peer(&self, version: Version, name: &str) -> anyhow::Result<Peer> {
        self.connect(&Connect::new(version, self.id(name)))
    }

    /// A target of the same test that is a node of its own with this configuration (TOML).
    ///
    /// # Errors
    /// Another broker is tested, so the test is skipped; or the node does not start.
    pub fn configured(&self, configuration: &str) -> anyhow::Result<Self> {
        if !self.suite.can_be_configured() {
            return Err(self.skip("needs a configuration of its own"));
        }
        let own = Some(Arc::new(Node::start_with(configuration)?));
        Ok(Self { own, ..self.clone() })
    }

    /// A target of the same test that is a node of its own with a user who can log in with SCRAM-SHA-256; clients without a
    /// user may come, too.
    ///
    /// # Errors
    /// As [`Target::configured`].
    pub fn with_user(&self, name: &str, password: &str) -> anyhow::Result<Self> {
        if !self.suite.can_be_configured() {
            return Err(self.skip("needs a user of its own"));
        }
        let place = Place::new()?;
        let file = place.folder().join("password");
        std::fs::write(&file, password).with_context(|| format!("write {}", file.display()))?;
        let mut command = place.command(&["user", "add", name, "--scram", "--password-file"])?;
        let output = command.arg(&file).output().context("run selvedge user add")?;
        ensure!(output.status.success(), "selvedge user add: {}", String::from_utf8_lossy(&output.stderr));
        let own = Some(Arc::new(place.start()?));
        Ok(Self { own, ..self.clone() })
    }

    /// The error that skips the test.
    #[must_use]
    pub fn skip(&self, reason: &str) -> anyhow::Error {
        Skipped(reason.to_owned()).into()
    }

    /// Connects with MQTT 5, sends `bytes`, and expects to be disconnected for one of `reasons`; `what` is for failures.
    ///
    /// # Errors
    /// The connection stays open, or ends otherwise.
    pub fn ends(&self, what: &str, bytes: &[u8], reasons: &[u8]) -> anyhow::Result<()> {
        self.ends_in(Version::V5, what, bytes, reasons)
    }

    /// As [`Target::ends`] with either version; one of 3.1.1 gets no reason.
    ///
    /// # Errors
    /// As [`Target::ends`].
    pub fn ends_in(&self, version: Version, what: &str, bytes: &[u8], reasons: &[u8]) -> anyhow::Result<()> {
        let mut peer = self.connect(&Connect::new(version, self.id("ends")))?;
        peer.send(bytes)?;
        peer.expect_closed(reasons).with_context(|| format!("{what}, {bytes:02x?}"))
    }

    /// Sends `bytes` as the first of a connection and expects its end, after no more than a CONNACK of MQTT 5 with one
    /// of `reasons`.
    ///
    /// # Errors
    /// The connection stays open, or ends otherwise.
    pub fn ends_unconnected(&self, what: &str, bytes: &[u8], reasons: &[u8]) -> anyhow::Result<()> {
        let mut peer = self.open()?;
        peer.send(bytes)?;
        peer.expect_closed(reasons).with_context(|| format!("{what}, {bytes:02x?}"))
    }

    fn letter(&self) -> String {
        let letter = if self.transport == Transport::Tcp { 't' } else { 'w' };
        let version = match self.version {
            Some(Version::V5) => "n",
            Some(Version::V311) => "o",
            None => "",
        };
        format!("{letter}{}{version}", self.number)
    }
}

/// Starts `broker/examples/serve.rs`, which says where it listens.
fn bare(program: &str) -> anyhow::Result<Broker> {
    let mut command = std::process::Command::new(program);
    command.args(["127.0.0.1:0", "127.0.0.1:0"]);
    let child = TestChild::start("serve", command)?;
    let (mqtt, websocket) = child.wait_for_line(0, PATIENCE, |line| {
        let (addresses, _) = line.strip_prefix("listening on [")?.split_once(']')?;
        let (mqtt, websocket) = addresses.split_once(", ")?;
        Some((mqtt.parse().ok()?, websocket.parse().ok()?))
    })?;
    Ok(Broker::Bare { mqtt, websocket, _child: child })
}

fn resolved(address: &str) -> anyhow::Result<SocketAddr> {
    let mut addresses = address.to_socket_addrs().with_context(|| format!("look up the target {address}"))?;
    addresses.next().with_context(|| format!("the target {address} has no address"))
}
