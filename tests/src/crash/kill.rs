//! Kill -9 at random moments under load, and a restart on the same data.
//!
//! The machine goes on, so nothing is lost that reached the kernel: this finds what is acknowledged too early, out of order or
//! twice, not what lacks an fsync ([`super::power_cut`] does). State accumulates over the rounds; now and then all begins anew.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::broker::{Broker, Product, Running};
use super::load::Load;
use super::recovery::{Attendance, recover};
use super::report::{Breach, Kind, Report};
use super::swaps::Swapper;
use super::world::World;
use super::{functions, round};
use crate::random::Random;

/// Rounds on the same data.
const LIFE: u64 = 25;
/// What the node logs of a message that a function gave up.
const GAVE_UP: &str = "function failed on a message";
/// Load before a kill, milliseconds.
const LOAD_MS: usize = 500;

/// What happens to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Strike {
    /// Kill -9.
    Kill,
    /// It is asked to stop: what it keeps then is not what it keeps in a crash, but shows that the account is right.
    Terminate,
    /// It goes on, and all connections break: nothing may be lost by any broker.
    Disconnect,
}

/// When a run is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// After so many kills.
    Kills(u64),
    /// After the kill by which so many inputs of functions were acknowledged; the load is mostly of them.
    Inputs(u64),
}

/// A run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// When it is over.
    pub length: Length,
    /// Decides everything but time.
    pub seed: u64,
    /// What is killed.
    pub product: Product,
    /// What happens to it.
    pub strike: Strike,
    /// Whether versions of the functions change hands meanwhile.
    pub swaps: bool,
}

impl Length {
    fn is_reached(self, kills: u64, report: &Report) -> bool {
        match self {
            Self::Kills(all) => kills >= all,
            Self::Inputs(all) => report.tally(Kind::Function).acknowledged >= all,
        }
    }
}

/// Runs one of each seed, and gives account of all together.
///
/// # Errors
/// As [`run`].
pub fn run_seeds(plan: &Plan, seeds: u64) -> anyhow::Result<Report> {
    let mut all = Report::of_none(plan.seed);
    for seed in plan.seed..plan.seed + seeds {
        let started = Instant::now();
        let report = run(&Plan { seed, ..plan.clone() })?;
        if seeds > 1 {
            eprintln!("seed {seed}: {} in {:.0} s", report.line(), started.elapsed().as_secs_f64());
        }
        all.add(report);
    }
    Ok(all)
}

/// Runs it.
///
/// # Errors
/// The broker cannot be started for the first time, or has no functions and is to count their inputs.
pub fn run(plan: &Plan) -> anyhow::Result<Report> {
    let product = plan.product == Product::Selvedge;
    ensure!(
        product || matches!(plan.length, Length::Kills(_)),
        "a broker without functions takes no inputs of them: count kills"
    );
    let (mut broker, mut running) = begin(plan)?;
    let mut world = World::new(plan.seed, running.address, product);
    let started = Instant::now();
    for kill in 1.. {
        let swapper = match running.node().filter(|_| plan.swaps) {
            Some(node) => Some(Swapper::start(node.place().socket(), Random::new(world.random.number()))?),
            None => None,
        };
        load(&mut world, &mut running, plan.length);
        let survivor = strike(running, plan.strike)?;
        // Not before: the strike is to meet a swap, too.
        if let Some(swapped) = swapper.map(Swapper::stop) {
            world.report.swapped(swapped);
        }
        if survivor.is_some() {
            world.disconnect_all();
        }
        world.crashed();
        let over = plan.length.is_reached(kill, &world.report);
        let last = over || kill % LIFE == 0;
        let restarted = survivor.map_or_else(|| broker.start(), Ok).and_then(|restarted| {
            world.address = restarted.address;
            let attendance = if last { Attendance::All } else { Attendance::Some };
            recover(&mut world, attendance).with_context(|| restarted.said())?;
            if last {
                account_for_drops(&mut world, &restarted);
            }
            Ok(restarted)
        });
        match plan.length {
            Length::Kills(kills) => round::progress(&world.report, kill, kills, started),
            Length::Inputs(_) if kill.is_multiple_of(round::SHOWN_EVERY) => eprintln!("{}", world.report.line()),
            Length::Inputs(_) => {}
        }
        match restarted {
            Ok(restarted) if !last => running = restarted,
            other => {
                if let Err(error) = other {
                    world.report.breach(Kind::Node, Breach::Wrong, || format!("{error:#}"));
                }
                if over {
                    break;
                }
                (broker, running) = begin(plan)?;
                world.begin_anew();
                world.address = running.address;
            }
        }
    }
    Ok(world.report)
}

/// The broker, if it goes on.
fn strike(running: Running, strike: Strike) -> anyhow::Result<Option<Running>> {
    match strike {
        Strike::Kill => running.kill().map(|()| None),
        Strike::Terminate => running.terminate().map(|()| None),
        Strike::Disconnect => Ok(Some(running)),
    }
}

fn begin(plan: &Plan) -> anyhow::Result<(Broker, Running)> {
    let broker = Broker::new(plan.product)?;
    let running = broker.start()?;
    if let Some(node) = running.node() {
        functions::deploy(node)?;
        if plan.swaps {
            functions::publish_more(node)?;
        }
    }
    Ok((broker, running))
}

fn load(world: &mut World, running: &mut Running, length: Length) {
    let last = Instant::now() + Duration::from_millis(world.random.below(LOAD_MS) as u64);
    let mut load = match length {
        Length::Kills(_) => Load::new(round::PUBLICATIONS),
        Length::Inputs(_) => Load::of_inputs(round::PUBLICATIONS),
    };
    while Instant::now() < last {
        load.turn(world);
    }
    if running.has_ended() {
        world.report.breach(Kind::Node, Breach::Wrong, || format!("it ended by itself\n{}", running.said()));
    }
    account_for_drops(world, running);
}

/// No function here refuses a message: what one gives up is lost, also where nothing else would show it.
fn account_for_drops(world: &mut World, running: &Running) {
    for line in running.log().iter().filter(|line| line.contains(GAVE_UP) && line.contains("dropped")) {
        world.report.breach(Kind::Function, Breach::Lost, || line.clone());
    }
}
