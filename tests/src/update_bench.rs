//! What an update of a running node costs its clients, and how long it takes from `ota publish` to "committed".
//!
//! A node under MQTT load gets four updates: by push and from a web server, each as a whole and as a patch. Publishing is timed
//! beside an idle node, so that the publisher's work is not in the figures of the node. Not a test of speed: it fails when a
//! message that was acknowledged is lost, never because of a time.

mod load;
mod table;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::node::Place;
use crate::supervisor::Unit;
use crate::update::{Gateway, Publisher, Reach, ServiceWatch, WebServer, good, package};
use crate::{PATIENCE, http};

use self::load::Load;
pub use self::load::Loaded;
pub use self::table::{json, print};

/// `[ota] probation`, which is subtracted.
const PROBATION: Duration = Duration::from_secs(1);
/// Load before the update, and after it was confirmed.
const BEFORE: Duration = Duration::from_secs(2);
/// Between two CONNECTs that look for a pause.
const CONNECT_EVERY: Duration = Duration::from_millis(5);
/// Between two looks at the status.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Each of the four updates, so often.
    pub rounds: u32,
    /// Messages a second, of all publishers together.
    pub messages_per_s: u32,
    /// Publishers, and as many subscribers.
    pub pairs: usize,
    /// Level of zstd.
    pub level: u32,
    /// The program of the second version; without one, the package with bytes behind its end, whose patch is tiny.
    pub next: Option<PathBuf>,
}

/// How an update comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// `selvedge ota apply`.
    Push,
    /// From a web server.
    Poll,
}

/// What travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// The program, compressed.
    Whole,
    /// A patch.
    Patch,
}

/// One update.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Which round.
    pub round: u32,
    /// How it came.
    pub delivery: Delivery,
    /// What travelled.
    pub size: Size,
    /// Bytes of the bundle, or of the web server's answers.
    pub bytes: u64,
    /// `selvedge ota publish`, and for a push `ota bundle`.
    pub publish: Duration,
    /// From the push, or the look at the repository, to "committed"; without the probation.
    pub update: Duration,
    /// Longest time between two good CONNACKs, asked for every 5 ms.
    pub connect_gap: Duration,
    /// CONNECTs of these that were not answered with a good CONNACK.
    pub connects_refused: usize,
    /// What the clients saw.
    pub load: Loaded,
}

/// Measures all of it; `tell` hears what goes on.
///
/// # Errors
/// A program is missing, an update does not hold, or a message is lost.
pub fn measure(plan: &Plan, tell: &mut dyn FnMut(&str)) -> anyhow::Result<Vec<Measured>> {
    let mut measured = Vec::new();
    for round in 1..=plan.rounds {
        for delivery in [Delivery::Push, Delivery::Poll] {
            let mut bench = Bench::start(plan, delivery)?;
            for (version, size) in [("2.0.0", Size::Whole), ("3.0.0", Size::Patch)] {
                tell(&format!("round {round}: {delivery:?}, {size:?}"));
                let one = bench.update(round, version, size)?;
                ensure!(one.load.lost == 0, "{} acknowledged messages are lost: {one:?}", one.load.lost);
                measured.push(one);
            }
            bench.gateway.stop()?;
        }
    }
    Ok(measured)
}

/// A gateway, its publisher, and the programs.
struct Bench<'p> {
    plan: &'p Plan,
    delivery: Delivery,
    publisher: Publisher,
    server: WebServer,
    gateway: Gateway,
}

impl<'p> Bench<'p> {
    fn start(plan: &'p Plan, delivery: Delivery) -> anyhow::Result<Self> {
        let publisher = Publisher::new()?;
        publisher.add_program(&package()?, "1.0.0", &[])?;
        publisher.publish()?;
        let server = WebServer::start(&publisher.repository())?;
        let mut text = format!(
            "[ota]\nprobation = \"{}s\"\nprobation_max = \"100s\"\npoll = \"1h\"\nroot = \"{}\"\n",
            PROBATION.as_secs(),
            publisher.root().display()
        );
        if delivery == Delivery::Poll {
            text.push_str(&format!("repository = \"{}\"\n", server.url()));
        }
        let place = Place::with_configuration(&text)?;
        let gateway = Gateway::start_in(place, Unit::default(), Reach::Loopback)?;
        Ok(Self { plan, delivery, publisher, server, gateway })
    }

    fn program(&self, version: &str) -> anyhow::Result<PathBuf> {
        match &self.plan.next {
            // The way back to the package is as long as the way there.
            Some(next) if version == "2.0.0" => Ok(next.clone()),
            _ => good(self.publisher.folder(), version),
        }
    }

    fn update(&mut self, round: u32, version: &str, size: Size) -> anyhow::Result<Measured> {
        self.publisher.add_program(&self.program(version)?, version, &[])?;
        let (level, patches) = (self.plan.level.to_string(), if size == Size::Patch { "1" } else { "0" });
        let started = Instant::now();
        self.publisher.publish_with(&["--level", &level, "--patches-from", patches])?;
        let bundle = match self.delivery {
            Delivery::Push => Some(self.bundle(version, size)?),
            Delivery::Poll => None,
        };
        let publish = started.elapsed();

        let load = Load::start(self.gateway.ports().mqtt, self.plan.pairs, self.plan.messages_per_s)?;
        std::thread::sleep(BEFORE);
        let watch = ServiceWatch::start(self.gateway.ports().mqtt, CONNECT_EVERY);
        let sent_before = self.server.sent_bytes();
        let started = Instant::now();
        match &bundle {
            Some(bundle) => drop(self.gateway.apply(bundle)?),
            None => drop(self.gateway.cli_succeeds(&["ota", "retry"])?),
        }
        self.wait_until_committed(version)?;
        let update = started.elapsed().saturating_sub(PROBATION);
        std::thread::sleep(BEFORE);
        let service = watch.stop();
        let bytes = match &bundle {
            Some(bundle) => length(bundle)?,
            None => self.server.sent_bytes() - sent_before,
        };
        Ok(Measured {
            round,
            delivery: self.delivery,
            size,
            bytes,
            publish,
            update,
            connect_gap: service.longest_gap,
            connects_refused: service.refused,
            load: load.stop()?,
        })
    }

    /// With the patch from the program that runs, or without any.
    fn bundle(&self, version: &str, size: Size) -> anyhow::Result<PathBuf> {
        let status = self.gateway.status()?;
        let running = status["last_trial"]["sha256"].as_str().unwrap_or_default();
        match size {
            Size::Whole => self.publisher.bundle(version, &[]),
            Size::Patch => self.publisher.bundle(version, &["--from", running]),
        }
    }

    /// Over HTTP, which costs the machine less than the command line.
    fn wait_until_committed(&self, version: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut last = Value::Null;
        while Instant::now() < deadline {
            // A node that starts again does not answer.
            if let Ok(response) = http::get(self.gateway.ports().http, "/v1/ota") {
                last = serde_json::from_str(&response.body).context("read the status")?;
                let trial = &last["last_trial"];
                if last["on_trial"].is_null() && trial["version"] == version {
                    ensure!(trial["outcome"] == "committed", "{version} did not hold: {last}");
                    return Ok(());
                }
            }
            std::thread::sleep(LOOK_EVERY);
        }
        bail!("{version} is not committed in time: {last}\n{}", self.gateway.supervisor().said())
    }
}

fn length(path: &Path) -> anyhow::Result<u64> {
    Ok(std::fs::metadata(path).with_context(|| format!("look at {}", path.display()))?.len())
}
