//! Nodes that exchange twins over a real broker, in network namespaces, while wires are cut and processes killed: whether they
//! agree in the end, how soon, and whether anything is gone that was acknowledged.
//!
//! Each node has things that only its own writer writes, so that the last write that was acknowledged is known, and all write
//! some shared ones. Rounds of load and trouble end with everything mended; then all nodes must show the same.

mod ledger;
mod trouble;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use serde_json::Value;

use crate::child::{Signal, TestChild};
use crate::node::{Node, Place};
use crate::random::Random;
use crate::star::{HUB, Star};
use crate::{PATIENCE, http, installed};
use ledger::Ledger;
use trouble::Trouble;

/// Nodes of the group.
pub const NODES: usize = 3;
/// Things of each node that only it writes, and things that all write.
const OWN_THINGS: usize = 20;
const SHARED_THINGS: usize = 10;
const FIELDS: usize = 5;
/// For all to show the same once everything is mended.
const CONVERGE_MAX: Duration = Duration::from_secs(180);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What is run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Rounds of load and trouble, each with an end in peace.
    pub rounds: u32,
    /// Seconds of load a round.
    pub seconds: u64,
    /// Of all choices.
    pub seed: u64,
}

/// What happened in a round.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Round {
    /// Writes that were acknowledged.
    pub acknowledged: u64,
    /// Writes whose answer never came.
    pub unanswered: u64,
    /// Wires cut, nodes killed, the broker killed.
    pub cuts: u32,
    /// The same.
    pub kills: u32,
    /// The same.
    pub broker_kills: u32,
    /// From the last mending until all nodes showed the same, milliseconds; none if they never did.
    pub converged_ms: Option<u64>,
    /// Twins at the end.
    pub twins: usize,
    /// Fields whose last acknowledged write, or a later one, is not there.
    pub lost: Vec<String>,
    /// Twins that nodes show differently.
    pub different: Vec<String>,
}

impl Round {
    /// Whether everything is as promised.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.lost.is_empty() && self.different.is_empty() && self.converged_ms.is_some()
    }
}

/// Runs the plan; `None` where namespaces cannot be made, after saying so. `tell` hears of each round.
///
/// # Errors
/// Something does not start.
pub fn run(plan: &Plan, tell: &mut dyn FnMut(&str)) -> anyhow::Result<Option<Vec<Round>>> {
    let Some(star) = Star::new(NODES, "twins between nodes in namespaces")? else { return Ok(None) };
    let mut world = World::new(star)?;
    let mut random = Random::new(plan.seed);
    let ledger = Ledger::default();
    let mut rounds = Vec::new();
    for number in 1..=plan.rounds {
        let round = world.round(plan, &ledger, &mut random)?;
        tell(&format!("round {number}: {}", serde_json::to_string(&round)?));
        let is_good = round.is_good();
        rounds.push(round);
        if !is_good {
            break;
        }
    }
    Ok(Some(rounds))
}

/// The rounds as a table.
#[must_use]
pub fn print(rounds: &[Round]) -> String {
    let mut text = String::from(
        "round  acknowledged  unanswered  cuts  kills  broker kills  twins  agreed after  lost  different\n",
    );
    for (number, round) in (1..).zip(rounds) {
        let agreed = round.converged_ms.map_or("never".to_owned(), |ms| format!("{ms} ms"));
        let _ = writeln!(
            text,
            "{number:>5}  {:>12}  {:>10}  {:>4}  {:>5}  {:>12}  {:>5}  {agreed:>12}  {:>4}  {:>9}",
            round.acknowledged,
            round.unanswered,
            round.cuts,
            round.kills,
            round.broker_kills,
            round.twins,
            round.lost.len(),
            round.different.len()
        );
    }
    text
}

/// Everything that runs.
struct World {
    // Before the star: processes end before their namespaces.
    nodes: Vec<Option<Node>>,
    places: Vec<Place>,
    broker: Option<TestChild>,
    broker_folder: tempfile::TempDir,
    star: Star,
}

impl World {
    fn new(star: Star) -> anyhow::Result<Self> {
        let broker_folder = tempfile::tempdir().context("make a folder for mosquitto")?;
        let configuration = format!("allow_anonymous true\nlistener 1883 {HUB}\nset_tcp_nodelay true\n");
        std::fs::write(broker_folder.path().join("mosquitto.conf"), configuration).context("write mosquitto.conf")?;
        let key = broker_folder.path().join("group.key");
        let key_file = key.to_string_lossy().into_owned();
        let made = Place::new()?.command(&["twin", "group", "create", "--json", "--key", &key_file])?.output()?;
        let made: Value = serde_json::from_slice(&made.stdout).context("make the group's key")?;
        let group_key = made["group_key"].as_str().context("the group's key")?;
        let configuration = format!(
            "[mqtt]\nlisten = \"127.0.0.1:0\"\n[websocket]\nlisten = \"127.0.0.1:0\"\n[http]\nlisten = \"127.0.0.1:0\"\n[net]\ncounters = \"off\"\n\
             [sync]\nbroker = \"mqtt://{HUB}\"\ngroup_key = \"{group_key}\"\n"
        );
        let places = (0..NODES).map(|_| Place::with_configuration(&configuration)).collect::<anyhow::Result<_>>()?;
        let nodes = (0..NODES).map(|_| None).collect();
        let mut world = Self { nodes, places, broker: None, broker_folder, star };
        world.start_broker()?;
        for index in 0..NODES {
            world.start_node(index)?;
        }
        let mut identities = Vec::new();
        for place in &world.places {
            let output = place.command(&["twin", "sync", "identity"])?.output().context("run selvedge")?;
            identities.push(String::from_utf8(output.stdout)?.trim().to_owned());
        }
        let mut words = vec!["twin", "group", "add", "--key", &key_file];
        words.extend(identities.iter().map(String::as_str));
        let first = world.places.first().context("a node")?;
        let added = first.command(&words)?.output().context("run selvedge")?;
        ensure!(added.status.success(), "add the nodes: {}", String::from_utf8_lossy(&added.stderr));
        Ok(world)
    }

    fn start_broker(&mut self) -> anyhow::Result<()> {
        let mut command = Command::new(installed::program("mosquitto")?);
        command.arg("-c").arg(self.broker_folder.path().join("mosquitto.conf"));
        self.broker = Some(TestChild::start("mosquitto", self.star.at_hub(&command))?);
        Ok(())
    }

    fn start_node(&mut self, index: usize) -> anyhow::Result<()> {
        let place = self.places.get(index).context("a place")?;
        let node = place.start_in(&|command| self.star.at_node(index, command))?;
        if let Some(slot) = self.nodes.get_mut(index) {
            *slot = Some(node);
        }
        Ok(())
    }

    fn kill_node(&mut self, index: usize) -> anyhow::Result<()> {
        if let Some(node) = self.nodes.get_mut(index).and_then(Option::take) {
            node.kill()?;
        }
        Ok(())
    }

    fn kill_broker(&mut self) -> anyhow::Result<()> {
        if let Some(mut broker) = self.broker.take() {
            broker.signal(Signal::KILL)?;
            broker.wait(PATIENCE)?;
        }
        Ok(())
    }

    fn round(&mut self, plan: &Plan, ledger: &Ledger, random: &mut Random) -> anyhow::Result<Round> {
        let stop = AtomicBool::new(false);
        let sockets: Vec<PathBuf> = self.places.iter().map(Place::socket).collect();
        let counts = Mutex::new((0_u64, 0_u64));
        let mut round = Round::default();
        let until = Instant::now() + Duration::from_secs(plan.seconds);
        let seeds: Vec<u64> = sockets.iter().map(|_| random.number()).collect();
        std::thread::scope(|scope| -> anyhow::Result<()> {
            for (index, (socket, seed)) in sockets.iter().zip(seeds).enumerate() {
                let (stop, counts) = (&stop, &counts);
                scope.spawn(move || {
                    let (acknowledged, unanswered) = write_until(index, socket, ledger, stop, seed);
                    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
                    *counts = (counts.0 + acknowledged, counts.1 + unanswered);
                });
            }
            let made = Trouble::new(self, random).make_until(until, &mut round);
            stop.store(true, Ordering::Release);
            made
        })?;
        (round.acknowledged, round.unanswered) = *counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mended = Instant::now();
        let shown = loop {
            let shown: Vec<Shown> = sockets.iter().map(|socket| show(socket)).collect::<anyhow::Result<_>>()?;
            if shown.windows(2).all(|pair| pair.first() == pair.last()) {
                round.converged_ms = Some(u64::try_from(mended.elapsed().as_millis()).unwrap_or(u64::MAX));
                break shown;
            }
            if mended.elapsed() > CONVERGE_MAX {
                break shown;
            }
            // A condition with a deadline: nobody is told when nodes agree.
            std::thread::sleep(LOOK_EVERY);
        };
        round.twins = shown.first().map_or(0, Shown::len);
        for other in shown.iter().skip(1) {
            let first = shown.first().context("a node")?;
            let all = first.keys().chain(other.keys());
            round.different.extend(all.filter(|thing| first.get(*thing) != other.get(*thing)).cloned());
        }
        for (index, shown) in shown.iter().enumerate() {
            round.lost.extend(ledger.missing(shown).into_iter().map(|what| format!("node {index}: {what}")));
        }
        Ok(round)
    }
}

/// Twins by their names.
type Shown = std::collections::BTreeMap<String, Value>;

/// All twins of a node.
fn show(socket: &std::path::Path) -> anyhow::Result<Shown> {
    let mut shown = Shown::new();
    let mut after = String::new();
    loop {
        let path = format!("/v1/twins?where=not%20exists%20desired.nothing&limit=1000{after}");
        let answer = http::over_socket(socket, "GET", &path, "")?;
        ensure!(answer.status == 200, "list twins: {}", answer.body);
        let answer: Value = serde_json::from_str(&answer.body)?;
        for twin in answer["twins"].as_array().into_iter().flatten() {
            let thing = twin["thing"].as_str().unwrap_or_default().to_owned();
            shown.insert(thing, serde_json::json!({ "desired": twin["desired"], "reported": twin["reported"] }));
        }
        match answer["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return Ok(shown),
        }
    }
}

/// Writes to one node, one after the other, until told to stop. Writes that were acknowledged, and those that were not answered.
fn write_until(index: usize, socket: &std::path::Path, ledger: &Ledger, stop: &AtomicBool, seed: u64) -> (u64, u64) {
    let mut random = Random::new(seed);
    let (mut acknowledged, mut unanswered) = (0, 0);
    while !stop.load(Ordering::Acquire) {
        let field = format!("f{}", random.below(FIELDS));
        let value = if random.below(5) == 0 { Value::Null } else { Value::from(random.number() >> 32) };
        let is_own = random.below(10) < 7;
        let thing = if is_own {
            format!("own-{index}-{}", random.below(OWN_THINGS))
        } else {
            format!("shared-{}", random.below(SHARED_THINGS))
        };
        let section = if random.below(2) == 0 { "desired" } else { "reported" };
        let body = serde_json::json!({ section: { &field: &value } }).to_string();
        let place = format!("{thing} {section} {field}");
        if is_own {
            ledger.tried(&place, &value);
        }
        match http::over_socket(socket, "PATCH", &format!("/v1/twins/{thing}"), &body) {
            Ok(answer) if answer.status == 200 => {
                acknowledged += 1;
                if is_own {
                    ledger.acknowledged(&place);
                }
            }
            Ok(answer) => {
                // Refused: not written.
                ledger.refused(&place, answer.status);
            }
            Err(_) => {
                unanswered += 1;
                // A node that is down refuses at once: not a thousand times a second.
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
    (acknowledged, unanswered)
}

/// Shared between writers and the judge.
type Shared<T> = Arc<Mutex<T>>;
