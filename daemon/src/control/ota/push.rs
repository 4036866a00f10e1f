//! `selvedge ota push`: a bundle over MQTT, in pieces, going on where it stopped.

use std::fs::File;
use std::io::{IsTerminal, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use selvedge_codec::{
    Packet, Publish, QoS, ReasonCode, RetainHandling, Subscribe, SubscribeFilter, UserProperties, decode, encode,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::super::output::print_line;
use super::words;
use crate::arguments::ota::OtaPushArguments;
use crate::client;
use crate::client::connect_options::{self, ConnectOptions};
use crate::client::link::{Link, LinkError};
use crate::client::session::{Event, OutgoingMessage, Session};
use crate::signals::Signals;

/// Bytes of a piece.
const PIECE_BYTES: usize = 16 << 10;
/// Without progress for so long, what was sent counts as lost.
const STALLED: Duration = Duration::from_secs(2);
/// Between two connections, and how many there are without a byte of progress.
const PAUSE: Duration = Duration::from_secs(2);
const TRIES_MAX: u32 = 30;

/// Runs the command.
///
/// # Errors
/// The bundle cannot be read, the node refuses it, or cannot be reached.
pub(super) fn run(arguments: &OtaPushArguments) -> anyhow::Result<()> {
    let (options, _) = connect_options::from_arguments(&arguments.connection, "ota", client::random_u64()?)?;
    super::bundle::look_into(&arguments.file)?;
    let file = File::open(&arguments.file).with_context(|| format!("read {}", arguments.file.display()))?;
    let (length, sha256) = measure(&file).with_context(|| format!("read {}", arguments.file.display()))?;
    let interrupt = Signals::new().context("wait for signals")?;
    let mut push =
        Push { options: &options, file, length, id: sha256.chars().take(16).collect(), sha256, next: 0, begun: None };
    let mut tries = 0;
    loop {
        let before = push.next;
        match push.connection(&interrupt) {
            Ok(report) => return finish(arguments, &report),
            Err(error) if error.is::<Lost>() => {
                tries = if push.next > before { 0 } else { tries + 1 };
                if tries >= TRIES_MAX {
                    return Err(error.context(format!("gave up after {} of {} bytes", push.next, length)));
                }
                if std::io::stderr().is_terminal() {
                    eprintln!("{error:#}; connecting again");
                }
                if interrupt.wait(PAUSE).context("wait for signals")?.is_some() {
                    bail!("interrupted after {} of {length} bytes; the same command goes on there", push.next);
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// Length and SHA-256 of a file.
fn measure(mut file: &File) -> std::io::Result<(u64, String)> {
    let mut hash = Sha256::new();
    let mut length = 0;
    let mut buffer = vec![0; 4 * PIECE_BYTES];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((length, hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()));
        }
        hash.update(buffer.get(..read).unwrap_or_default());
        length += read as u64;
    }
}

fn finish(arguments: &OtaPushArguments, report: &Value) -> anyhow::Result<()> {
    let text = if arguments.json { report.to_string() } else { words::report(report) };
    print_line(&text)?;
    let failed = report.get("failed").and_then(Value::as_array).map_or(0, Vec::len);
    anyhow::ensure!(failed == 0, "{failed} of the targets could not be put in place");
    Ok(())
}

/// A connection that another one can take the place of.
#[derive(Debug, thiserror::Error)]
#[error("the connection to the node is lost")]
struct Lost(#[source] anyhow::Error);

struct Push<'p> {
    options: &'p ConnectOptions,
    file: File,
    /// Of the bundle, bytes.
    length: u64,
    /// Of the bundle, hexadecimal.
    sha256: String,
    id: String,
    /// What the node has.
    next: u64,
    /// The packet that announces the bundle.
    begun: Option<selvedge_codec::PacketId>,
}

/// What a connection has sent.
struct Flow {
    link: Link,
    session: Session,
    in_flight_max: usize,
    /// Behind the last byte that was sent.
    sent: u64,
    window: u64,
    progress: Instant,
    applying: bool,
}

impl Push<'_> {
    /// One connection; the node's report at its end.
    fn connection(&mut self, interrupt: &Signals) -> anyhow::Result<Value> {
        let (link, greeting) = Link::open(self.options).map_err(|error| Lost(error.into()))?;
        let session = Session::new(self.options.version);
        let in_flight_max = usize::from(greeting.receive_maximum.clamp(2, 64));
        let mut flow =
            Flow { link, session, in_flight_max, sent: 0, window: 0, progress: Instant::now(), applying: false };
        self.announce(&mut flow)?;
        loop {
            if let Some(report) = self.receive(&mut flow)? {
                flow.link.close(self.options);
                return Ok(report);
            }
            if !flow.applying && flow.progress.elapsed() >= STALLED {
                // A piece was lost on the way: begin again from what the node has.
                flow.sent = self.next;
                flow.progress = Instant::now();
                self.begin(&mut flow)?;
            }
            self.send(&mut flow)?;
            let ready = flow.link.wait(&[interrupt.as_fd()], Some(Instant::now() + STALLED)).map_err(lost)?;
            if ready.first {
                bail!("interrupted after {} of {} bytes; the same command goes on there", self.next, self.length);
            }
            if ready.server {
                flow.link.fill().map_err(lost)?;
            }
        }
    }

    /// Subscribes to the answers and announces the bundle.
    fn announce(&mut self, flow: &mut Flow) -> anyhow::Result<()> {
        let topic = self.topic("state");
        let packet_id = flow.session.fresh_id().context("no packet identifier is free")?;
        let filter = SubscribeFilter {
            filter: &topic,
            qos: QoS::AtLeastOnce,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::SendAtSubscribe,
        };
        let subscribe = Subscribe {
            packet_id,
            subscription_identifier: None,
            user_properties: UserProperties::from_pairs(&[]),
            filters: [filter].into_iter().collect(),
        };
        let mut out = Vec::new();
        encode(self.options.version, &Packet::Subscribe(subscribe), &mut out).context("subscribe")?;
        flow.link.send(&out).map_err(lost)?;
        self.begin(flow)
    }

    fn begin(&mut self, flow: &mut Flow) -> anyhow::Result<()> {
        let announcement = json!({ "length": self.length, "sha256": self.sha256 });
        let packet_id = self.publish(flow, &self.topic("begin"), announcement.to_string().as_bytes())?;
        self.begun = packet_id;
        Ok(())
    }

    fn publish(
        &self,
        flow: &mut Flow,
        topic: &str,
        payload: &[u8],
    ) -> anyhow::Result<Option<selvedge_codec::PacketId>> {
        let message = OutgoingMessage {
            topic,
            payload,
            qos: QoS::AtLeastOnce,
            retain: false,
            properties: self.options.properties.publish.as_properties(),
        };
        let mut out = Vec::new();
        flow.session.publish(&message, &mut out).with_context(|| format!("publish to {topic}"))?;
        flow.link.send(&out).map_err(lost)?;
        Ok(flow.session.last_published())
    }

    /// Sends what the node has room for.
    fn send(&mut self, flow: &mut Flow) -> anyhow::Result<()> {
        flow.sent = flow.sent.max(self.next);
        let mut buffer = vec![0; PIECE_BYTES];
        while flow.sent < self.length.min(self.next + flow.window) && flow.session.in_flight() < flow.in_flight_max {
            let read = self.file.read_at(&mut buffer, flow.sent).context("read the bundle")?;
            if read == 0 {
                bail!("the bundle got shorter while it was read");
            }
            let topic = self.topic(&format!("data/{}", flow.sent));
            self.publish(flow, &topic, buffer.get(..read).unwrap_or_default())?;
            flow.sent += read as u64;
        }
        Ok(())
    }

    /// Takes what has come; the report, if it is there.
    fn receive(&mut self, flow: &mut Flow) -> anyhow::Result<Option<Value>> {
        let mut answers = Vec::new();
        let mut report = None;
        while let Some(frame) = flow.link.take_frame().map_err(lost)? {
            let packet = decode(self.options.version, &frame).map_err(LinkError::from).map_err(lost)?;
            match flow.session.receive(packet, &mut answers)? {
                Event::Message { publish, .. } => {
                    report = self.state(&publish, &mut flow.window, &mut flow.applying, &mut flow.progress)?
                }
                Event::Done { packet_id, reason: ReasonCode::NoMatchingSubscribers }
                    if Some(packet_id) == self.begun =>
                {
                    bail!("the node takes no updates over MQTT: set ota.mqtt = true there");
                }
                Event::Done { reason, .. } if reason.is_error() => {
                    bail!(
                        "the node refuses the bundle ({reason:?}): its rules have to let this user publish to $ota/push/#"
                    );
                }
                Event::Subscribed { reasons, .. } if reasons.iter().any(|reason| reason.is_error()) => {
                    bail!(
                        "the node does not tell this user of its updates: its rules have to let it subscribe to $ota/push/#"
                    );
                }
                Event::Disconnected { reason, .. } => {
                    return Err(Lost(anyhow::anyhow!("the node disconnected: {reason:?}")).into());
                }
                _ => {}
            }
        }
        if !answers.is_empty() {
            flow.link.send(&answers).map_err(lost)?;
        }
        Ok(report)
    }

    fn state(
        &mut self,
        publish: &Publish<'_>,
        window: &mut u64,
        applying: &mut bool,
        progress: &mut Instant,
    ) -> anyhow::Result<Option<Value>> {
        let state: Value = serde_json::from_slice(publish.payload).context("the node's answer")?;
        if let Some(error) = state.get("error").and_then(Value::as_str) {
            bail!("the node refuses the bundle: {error}");
        }
        if let Some(report) = state.get("report") {
            return Ok(Some(report.clone()));
        }
        let next = state.get("next").and_then(Value::as_u64).unwrap_or(0);
        if next > self.next {
            *progress = Instant::now();
        }
        self.next = next;
        *window = state.get("window").and_then(Value::as_u64).unwrap_or(0);
        *applying = state.get("applying").and_then(Value::as_bool).unwrap_or(false);
        if std::io::stderr().is_terminal() && self.length > 0 {
            eprint!("\rsending {} %", next.saturating_mul(100) / self.length);
        }
        Ok(None)
    }

    fn topic(&self, rest: &str) -> String {
        format!("$ota/push/{}/{rest}", self.id)
    }
}

fn lost(error: LinkError) -> Lost {
    Lost(error.into())
}
