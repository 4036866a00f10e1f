//! Many functions on one node: what they cost at rest and after a burst on all of them, and how many messages a second go through one.

mod slots;

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use serde_json::Value;

use crate::client::Version;
use crate::client_packet::{self, Publish};
use crate::crash::functions;
use crate::node::{Node, Place};
use crate::siege::footprint;
use crate::siege::wire::{Target, Way, Wire};
use crate::{http, installed};
pub use slots::Slots;

/// Messages that are not acknowledged, or not come through, at once.
const WINDOW: usize = 200;
/// Functions of a burst, and messages of each.
const BURST: (usize, usize) = (200, 50);
const COMPONENT: &str = "examples/scale-transform/scale-transform.wasm";

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Functions, each with a component of its own.
    pub functions: usize,
    /// Messages through one function, for each quality of service.
    pub messages: usize,
}

/// Memory of a node at rest, KiB.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Rest {
    /// Proportional set size.
    pub pss: u64,
    /// Of that, what is no file's.
    pub anonymous: u64,
}

/// Messages through one function.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Through {
    /// Messages a second.
    pub per_s: f64,
    /// Processor time of the whole node for a message, microseconds.
    pub cpu_us: f64,
    /// To instantiate and call, microseconds by the clock: more than it took of a processor where the thread had to wait for one.
    pub run_us: f64,
    /// How often a thread of the node gave a processor up or lost it, for a message.
    pub switches: f64,
}

/// Messages through one function, at both qualities of service.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct ThroughOne {
    /// Messages at QoS 0.
    pub qos_0: Through,
    /// Durable messages at QoS 1.
    pub qos_1: Through,
    /// The same through a function that reads and writes a key and patches a twin with each.
    pub state: Through,
}

/// A function that messages go through: what comes in, and what goes out.
struct Passage {
    function: &'static str,
    topic: String,
    payload: &'static [u8],
    outputs: &'static str,
}

impl Passage {
    fn scale() -> Self {
        Self { function: "scale-00000", topic: topic(0), payload: b"213", outputs: "scaled/#" }
    }

    fn state() -> Self {
        let topic = "sensors/kiln/temperature".to_owned();
        Self { function: "unit-alarm", topic, payload: b"21.3", outputs: "converted/#" }
    }
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// Functions.
    pub functions: usize,
    /// To deploy them all, compiling each, seconds.
    pub deployed_s: f64,
    /// From the start of the process until it says that it is ready, with all of them, milliseconds.
    pub ready_ms: f64,
    /// Without functions.
    pub empty: Rest,
    /// Right after all were deployed.
    pub deployed: Rest,
    /// Started with all of them.
    pub started: Rest,
    /// After a burst on 200 of them.
    pub burst: Rest,
    /// A burst on every place for an instance.
    pub slots: Slots,
    /// Messages through one of them.
    pub through: ThroughOne,
}

/// Measures; `tell` hears of each step.
///
/// # Errors
/// The node does not start, refuses a function, or loses a message.
pub fn measure(plan: &Plan, tell: &mut dyn FnMut(&str)) -> anyhow::Result<Measured> {
    // And the one with state.
    let limit = plan.functions.max(64) + 1;
    let configuration = format!("[functions]\nfunctions_max = {limit}\n[net]\ncounters = \"off\"\n");
    let place = Place::with_configuration(&configuration)?;
    let node = place.start()?;
    let empty = at_rest(&node)?;
    tell("deploying");
    let begun = Instant::now();
    let folder = tempfile::tempdir().context("make a folder for functions")?;
    for number in 0..plan.functions {
        if number > 0 && number % 100 == 0 {
            tell(&format!("{number} of {} after {:.0} s", plan.functions, begun.elapsed().as_secs_f64()));
        }
        deploy(&node, folder.path(), number).with_context(|| format!("deploy function {number}"))?;
    }
    let deployed_s = begun.elapsed().as_secs_f64();
    let deployed = at_rest(&node)?;
    node.stop()?;
    tell("starting again");
    let begun = Instant::now();
    let node = place.start()?;
    let ready_ms = begun.elapsed().as_secs_f64() * 1e3;
    let started = at_rest(&node)?;
    tell("a burst");
    let (functions, each) = (BURST.0.min(plan.functions), BURST.1);
    let topics: Vec<String> = (0..functions * each).map(|index| topic(index % functions)).collect();
    through(&node, &Passage::scale(), topics.iter().map(String::as_str), 0)?;
    let burst = at_rest(&node)?;
    tell("through one function");
    let through = through_one(&node, plan.messages)?;
    node.stop()?;
    tell("a burst on every place for an instance");
    let slots = slots::measure()?;
    Ok(Measured { functions: plan.functions, deployed_s, ready_ms, empty, deployed, started, burst, slots, through })
}

/// Measures how messages go through one function, and nothing else.
///
/// # Errors
/// As [`measure`].
pub fn measure_through(messages: usize) -> anyhow::Result<ThroughOne> {
    let place = Place::with_configuration("[net]\ncounters = \"off\"\n")?;
    let node = place.start()?;
    let folder = tempfile::tempdir().context("make a folder for a function")?;
    deploy(&node, folder.path(), 0)?;
    let through = through_one(&node, messages)?;
    node.stop()?;
    Ok(through)
}

fn through_one(node: &Node, messages: usize) -> anyhow::Result<ThroughOne> {
    let (manifest, component) = functions::CONVERTS;
    functions::give(node, "deploy", manifest, component)?;
    let measure = |passage: &Passage, qos| {
        let run_us = || run_us(node, passage.function);
        let (run_before, cpu, switches) = (run_us()?, footprint::cpu(node.id())?, footprint::switches(node.id())?);
        let begun = Instant::now();
        through(node, passage, std::iter::repeat_n(passage.topic.as_str(), messages), qos)?;
        let took = begun.elapsed().as_secs_f64();
        let cpu = (footprint::cpu(node.id())? - cpu).as_secs_f64();
        let switches = footprint::switches(node.id())?.saturating_sub(switches) as f64;
        let run_us = run_us()? - run_before;
        let messages = messages as f64;
        anyhow::Ok(Through {
            per_s: messages / took,
            cpu_us: cpu * 1e6 / messages,
            run_us: run_us / messages,
            switches: switches / messages,
        })
    };
    let scale = Passage::scale();
    Ok(ThroughOne { qos_0: measure(&scale, 0)?, qos_1: measure(&scale, 1)?, state: measure(&Passage::state(), 1)? })
}

fn topic(number: usize) -> String {
    format!("raw/{number:05}")
}

/// A function with a component that no other has: a section that nothing reads tells them apart.
fn deploy(node: &Node, folder: &Path, number: usize) -> anyhow::Result<()> {
    let source = installed::repository_file(COMPONENT);
    let mut component = std::fs::read(&source).with_context(|| format!("read {}", source.display()))?;
    let mark = format!("{number:05}");
    // WebAssembly, 5.5.3: id 0, size, a name with its length, contents.
    component.extend([0, 1 + 4 + mark.len() as u8, 4]);
    component.extend(b"mark");
    component.extend(mark.as_bytes());
    std::fs::write(folder.join("scale.wasm"), component).context("write a component")?;
    let manifest = format!(
        "name = \"scale-{mark}\"\ncomponent = \"scale.wasm\"\n[[trigger]]\nmqtt = \"{}\"\n\
         [limits]\nmemory_bytes = \"2MiB\"\n[grants]\npublish = [\"scaled/#\"]\n[config]\n",
        topic(number)
    );
    std::fs::write(folder.join("function.toml"), manifest).context("write a manifest")?;
    node.cli_succeeds(&["fn", "deploy", &folder.to_string_lossy()]).map(drop)
}

/// Publishes to these topics and waits for an output of each, so many under way at once.
fn through<'a>(node: &Node, passage: &Passage, topics: impl Iterator<Item = &'a str>, qos: u8) -> anyhow::Result<()> {
    let target = Target::of(node);
    // A session that lasts makes the outputs durable, too.
    let connect = target.connect(5, "through").session_expiry(if qos == 0 { 0 } else { 60 });
    let mut wire = Wire::connected(&target, Way::Tcp, &connect)?;
    wire.send(&client_packet::subscribe(Version::V5, 1, &[], &[(passage.outputs, qos)]))?;
    wire.receive().context("subscribe to outputs")?;
    let (mut sent, mut come, mut acknowledged) = (0, 0, 0);
    let mut topics = topics.peekable();
    while topics.peek().is_some() || come < sent || (qos > 0 && acknowledged < sent) {
        let mut batch = Vec::new();
        while sent - come < WINDOW && (qos == 0 || sent - acknowledged < 50) {
            let Some(topic) = topics.next() else { break };
            sent += 1;
            let id = (sent % 60_000) as u16 + 1;
            batch.extend(Publish::new(topic, passage.payload).qos(qos, id).bytes(Version::V5));
        }
        if !batch.is_empty() {
            wire.send(&batch)?;
        }
        let packet = wire.receive().with_context(|| format!("{come} of {sent} came through"))?;
        match packet.first().map(|byte| byte >> 4) {
            Some(3) => {
                come += 1;
                if qos > 0 {
                    wire.send(&client_packet::ack(0x40, packet_id(&packet)?))?;
                }
            }
            Some(4) => acknowledged += 1,
            other => anyhow::bail!("a packet of type {other:?}: {packet:02x?}"),
        }
    }
    ensure!(come == sent, "{come} outputs of {sent} inputs");
    Ok(())
}

/// The packet identifier of a PUBLISH with quality of service above 0.
fn packet_id(packet: &[u8]) -> anyhow::Result<u16> {
    let header = 1 + packet.iter().skip(1).take_while(|byte| **byte & 0x80 != 0).count() + 1;
    let length = packet.get(header..header + 2).context("the length of a topic")?;
    let at = header + 2 + usize::from(u16::from_be_bytes([length[0], length[1]]));
    let id = packet.get(at..at + 2).context("a packet identifier")?;
    Ok(u16::from_be_bytes([id[0], id[1]]))
}

/// Time of all runs of a function, microseconds.
fn run_us(node: &Node, function: &str) -> anyhow::Result<f64> {
    let answer = http::over_socket(&node.place().socket(), "GET", "/v1/functions", "")?;
    let functions: Value = serde_json::from_str(&answer.body).context("read the functions")?;
    let functions = functions.as_array().context("a list of functions")?;
    let function = functions.iter().find(|one| one["name"] == function).with_context(|| format!("no {function}"))?;
    function["counters"]["run_us_total"].as_f64().context("the time of all runs")
}

/// Memory of the node when it has come to rest.
fn at_rest(node: &Node) -> anyhow::Result<Rest> {
    // The store hands its memory back some seconds after the last change.
    std::thread::sleep(Duration::from_secs(12));
    rest(node)
}

fn rest(node: &Node) -> anyhow::Result<Rest> {
    Ok(Rest { pss: footprint::pss_kib(node.id())?, anonymous: footprint::anonymous_kib(node.id())? })
}

impl fmt::Display for Measured {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.functions;
        writeln!(
            formatter,
            "{count} functions, deployed in {:.1} s, ready with them after {:.0} ms",
            self.deployed_s, self.ready_ms
        )?;
        writeln!(formatter, "{:<40} {:>10} {:>16}", "at rest, MB", "PSS", "anonymous of it")?;
        let slots = self.slots;
        let of_slots = |what| format!("{} places for instances, {what}", slots.slots);
        let (before, taken, after) = (of_slots("never used"), of_slots("all taken"), of_slots("free again"));
        for (name, rest) in [
            ("without functions", self.empty),
            ("after deploying them", self.deployed),
            ("started with them", self.started),
            ("after a burst on 200 of them", self.burst),
            (&before, slots.before),
            (&taken, slots.taken),
            (&after, slots.after),
        ] {
            writeln!(formatter, "{name:<40} {:>10.1} {:>16.1}", rest.pss as f64 / 1e3, rest.anonymous as f64 / 1e3)?;
        }
        write!(formatter, "{}", self.through)
    }
}

impl fmt::Display for ThroughOne {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with_state = "QoS 1, durable, with a key and a twin";
        for (name, through) in [("QoS 0", self.qos_0), ("QoS 1, durable", self.qos_1), (with_state, self.state)] {
            let Through { per_s, cpu_us, run_us, switches } = through;
            writeln!(
                formatter,
                "{name}: {per_s:.0} messages a second through one function; each takes {cpu_us:.1} µs of a processor and \
                 {switches:.2} changes of threads; {run_us:.1} µs by the clock to instantiate and call"
            )?;
        }
        Ok(())
    }
}
