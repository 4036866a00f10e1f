//! Third-party MQTT clients behind one small protocol, so that a check is written once and runs with each of them.
//!
//! A client is a script in `tests/integration/clients` that reads one JSON command a line and writes one JSON answer a
//! line. It keeps any number of sessions, told apart by `as`. An answer with `error` is a failure. Payloads are hex.
//!
//! | op | takes | answers |
//! |---|---|---|
//! | `connect` | `host port transport version client_id clean_start session_expiry_s will` | `session_present reason_code` |
//! | `subscribe` | `filters: [{filter qos no_local retain_as_published retain_handling}] subscription_id` | `reason_codes` |
//! | `unsubscribe` | `filter` | |
//! | `publish` | `topic payload qos retain properties`; answers when it is acknowledged | |
//! | `receive` | `timeout_ms` | `message`, null when none came |
//! | `disconnect`, `kill` | end with and without DISCONNECT | |
//! | `closed` | `timeout_ms`; waits until the server closes | `closed reason_code` |

mod message;

use std::fmt;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{ChildStdin, Command};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::message::{Connect, Filter, Message, Properties};
use crate::child::TestChild;
use crate::{PATIENCE, installed};

/// Which program is driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `mosquitto_pub` and `mosquitto_sub`.
    Mosquitto,
    /// paho-mqtt for Python.
    Paho,
    /// mqtt.js in Node.
    MqttJs,
    /// mqtt.js in a page of headless Chromium.
    Chromium,
}

/// Version of the protocol, as the CONNECT packet numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(into = "u8")]
pub enum Version {
    /// MQTT 3.1.1.
    V311,
    /// MQTT 5.
    V5,
}

/// What carries the packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Plain TCP.
    Tcp,
    /// WebSocket at `/mqtt`.
    Ws,
}

/// A running client program with the version and transport that its sessions use.
#[derive(Debug)]
pub struct Client {
    label: String,
    version: Version,
    transport: Transport,
    address: SocketAddr,
    child: TestChild,
    stdin: Option<ChildStdin>,
    answers: usize,
}

/// What the server said to a CONNECT.
#[derive(Debug, Deserialize)]
pub struct Connected {
    /// Whether it had the session.
    pub session_present: bool,
    /// 0 is success.
    pub reason_code: u8,
}

/// How the server ended a connection.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Closed {
    /// False when it has not.
    pub closed: bool,
    /// Reason of its DISCONNECT, if it sent one.
    pub reason_code: Option<u8>,
}

impl Client {
    /// Starts `program` for sessions with the broker at `address`.
    ///
    /// # Errors
    /// It is not installed.
    pub fn start(
        program: Program,
        version: Version,
        transport: Transport,
        address: SocketAddr,
    ) -> anyhow::Result<Self> {
        let label = format!("{program}, {version} over {transport}");
        let mut child = TestChild::start(label.clone(), program.command()?)?;
        let stdin = Some(child.take_stdin()?);
        Ok(Self { label, version, transport, address, child, stdin, answers: 0 })
    }

    /// paho-mqtt with MQTT 5 over TCP, for tests in which the client does not matter.
    ///
    /// # Errors
    /// It is not installed.
    pub fn any(address: SocketAddr) -> anyhow::Result<Self> {
        Self::start(Program::Paho, Version::V5, Transport::Tcp, address)
    }

    /// Connects a session called `session`.
    ///
    /// # Errors
    /// The client reports one, or the server refuses.
    pub fn connect(&mut self, session: &str, connect: &Connect) -> anyhow::Result<Connected> {
        let mut command = serde_json::to_value(connect)?;
        command["host"] = json!(self.address.ip());
        command["port"] = json!(self.address.port());
        command["transport"] = json!(self.transport);
        command["version"] = json!(self.version);
        let connected: Connected = self.answer("connect", session, command)?;
        if connected.reason_code != 0 {
            bail!("{}: connect {session}: refused with {:#04x}", self.label, connected.reason_code);
        }
        Ok(connected)
    }

    /// Connects a session of that name, clean, which is also its client id.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub fn connect_clean(&mut self, session: &str) -> anyhow::Result<()> {
        self.connect(session, &Connect::clean(session)).map(drop)
    }

    /// Subscribes to filters and gives their reason codes.
    ///
    /// # Errors
    /// The client reports one.
    pub fn subscribe(&mut self, session: &str, filters: &[Filter]) -> anyhow::Result<Vec<u8>> {
        self.subscribe_as(session, filters, None)
    }

    /// As [`Client::subscribe`] with a subscription identifier.
    ///
    /// # Errors
    /// The client reports one.
    pub fn subscribe_as(
        &mut self,
        session: &str,
        filters: &[Filter],
        subscription_id: Option<u32>,
    ) -> anyhow::Result<Vec<u8>> {
        #[derive(Deserialize)]
        struct Answer {
            reason_codes: Vec<u8>,
        }
        let command = json!({ "filters": filters, "subscription_id": subscription_id });
        Ok(self.answer::<Answer>("subscribe", session, command)?.reason_codes)
    }

    /// Unsubscribes from one filter.
    ///
    /// # Errors
    /// The client reports one.
    pub fn unsubscribe(&mut self, session: &str, filter: &str) -> anyhow::Result<()> {
        self.answer::<Value>("unsubscribe", session, json!({ "filter": filter })).map(drop)
    }

    /// Publishes and waits for the acknowledgement of its quality of service.
    ///
    /// # Errors
    /// The client reports one.
    pub fn publish(&mut self, session: &str, message: &Message) -> anyhow::Result<()> {
        self.answer::<Value>("publish", session, serde_json::to_value(message)?).map(drop)
    }

    /// Waits for the next message of the session.
    ///
    /// # Errors
    /// None comes in time.
    pub fn receive(&mut self, session: &str) -> anyhow::Result<Message> {
        #[derive(Deserialize)]
        struct Answer {
            message: Option<Message>,
        }
        // The reader of the answer gives up a little later than the client.
        let timeout = PATIENCE / 2;
        let answer: Answer = self.answer("receive", session, json!({ "timeout_ms": timeout.as_millis() }))?;
        answer.message.with_context(|| format!("{}: {session} received nothing for {timeout:?}", self.label))
    }

    /// Ends a session with DISCONNECT.
    ///
    /// # Errors
    /// The client reports one.
    pub fn disconnect(&mut self, session: &str) -> anyhow::Result<()> {
        self.answer::<Value>("disconnect", session, json!({})).map(drop)
    }

    /// Ends a session's connection without DISCONNECT.
    ///
    /// # Errors
    /// The client reports one.
    pub fn kill(&mut self, session: &str) -> anyhow::Result<()> {
        self.answer::<Value>("kill", session, json!({})).map(drop)
    }

    /// Waits until the server has ended a session's connection.
    ///
    /// # Errors
    /// The client reports one.
    pub fn closed(&mut self, session: &str) -> anyhow::Result<Closed> {
        self.answer("closed", session, json!({ "timeout_ms": (PATIENCE / 2).as_millis() }))
    }

    /// Which client this is, for failure messages.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The version of its sessions.
    pub fn version(&self) -> Version {
        self.version
    }

    fn answer<T: for<'de> Deserialize<'de>>(
        &mut self,
        op: &str,
        session: &str,
        mut command: Value,
    ) -> anyhow::Result<T> {
        command["op"] = json!(op);
        command["as"] = json!(session);
        let stdin = self.stdin.as_mut().context("the client was stopped")?;
        let context = || format!("{}: {op} {session}", self.label);
        writeln!(stdin, "{command}").and_then(|()| stdin.flush()).with_context(context)?;
        let line =
            self.child.wait_for_line(self.answers, PATIENCE, |line| Some(line.to_owned())).with_context(context)?;
        self.answers += 1;
        let answer: Value = serde_json::from_str(&line).with_context(|| format!("{}: read {line}", context()))?;
        if let Some(error) = answer.get("error") {
            bail!("{}: {error}", context());
        }
        serde_json::from_value(answer).with_context(|| format!("{}: read {line}", context()))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // At the end of its input a client ends what it started; one that does not is killed.
        self.stdin = None;
        drop(self.child.wait(std::time::Duration::from_secs(5)));
    }
}

impl Program {
    fn command(self) -> anyhow::Result<Command> {
        let mut command = match self {
            Self::Mosquitto => {
                installed::program("mosquitto_sub")?;
                Command::new("python3")
            }
            Self::Paho => Command::new(installed::python()?),
            Self::MqttJs | Self::Chromium => Command::new(installed::program("node")?),
        };
        command.arg(installed::client_script(match self {
            Self::Mosquitto => "mosquitto_client.py",
            Self::Paho => "paho_client.py",
            Self::MqttJs => "mqttjs_client.mjs",
            Self::Chromium => "chromium_client.mjs",
        }));
        if matches!(self, Self::MqttJs | Self::Chromium) {
            command.arg(installed::node_packages()?);
        }
        if self == Self::Chromium {
            command.arg(installed::program("chromium")?);
        }
        Ok(command)
    }
}

impl From<Version> for u8 {
    fn from(version: Version) -> Self {
        match version {
            Version::V311 => 4,
            Version::V5 => 5,
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mosquitto => "mosquitto_pub/sub",
            Self::Paho => "paho-mqtt",
            Self::MqttJs => "mqtt.js in Node",
            Self::Chromium => "mqtt.js in Chromium",
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V311 => "MQTT 3.1.1",
            Self::V5 => "MQTT 5",
        })
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Ws => "WebSocket",
        })
    }
}
