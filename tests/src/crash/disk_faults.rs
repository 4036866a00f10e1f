//! Disks that fail: the n-th write, fsync, open or new file fails, once or from then on, with an error or for want of space.
//!
//! The node may go on, refuse, or exit with a reason in its log. Then it is killed, with the machine going on or with the power cut,
//! and started on a disk that works. Invariant: what it acknowledged, also after the fault, is kept.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::io::Errno;

use super::broker::{Broker, Product, Running};
use super::load::Load;
use super::recovery::{Attendance, recover};
use super::report::{Breach, Kind, Report};
use super::world::World;
use super::{functions, round};
use crate::random::Random;
use crate::volatile_disk::{Cut, Fault, Operation, Options, Tree, VolatileDisk, Which};

/// Load after which a fault that did not come is given up.
const LOAD: Duration = Duration::from_millis(600);
/// Load that goes on after a fault.
const AFTERWARDS: Duration = Duration::from_millis(1500);
/// What fails.
const OPERATIONS: [Operation; 6] = [
    Operation::Write,
    Operation::FileSync,
    Operation::DirectorySync,
    Operation::Create,
    Operation::Open,
    Operation::Rename,
];

/// A run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many faults, each on a disk of its own.
    pub faults: u64,
    /// Decides the faults.
    pub seed: u64,
}

/// What nodes did about their faults.
#[derive(Debug, Default, Clone, Copy)]
pub struct Outcomes {
    /// The operation did not come.
    pub not_reached: u64,
    /// It still ran at the end.
    pub went_on: u64,
    /// It exited and said why.
    pub exited: u64,
    /// It did not start and said why.
    pub refused_to_start: u64,
}

/// Runs it.
///
/// # Errors
/// There is no FUSE, or the node cannot be started for the first time.
pub fn run(plan: &Plan) -> anyhow::Result<(Report, Outcomes)> {
    let mut dice = Random::new(plan.seed ^ 0x0bad_d15c);
    let mut world = World::new(plan.seed, ([127, 0, 0, 1], 0).into(), true);
    world.may_refuse = true;
    let mut outcomes = Outcomes::default();
    let started = Instant::now();
    for number in 1..=plan.faults {
        one_fault(&mut world, &mut dice, &mut outcomes)?;
        round::progress(&world.report, number, plan.faults, started);
    }
    Ok((world.report, outcomes))
}

fn one_fault(world: &mut World, dice: &mut Random, outcomes: &mut Outcomes) -> anyhow::Result<()> {
    let broker = Broker::new(Product::Selvedge)?;
    let disk = VolatileDisk::mount(Tree::default(), Options::default(), &broker.data())?;
    let mut running = broker.start()?;
    if let Some(node) = running.node() {
        functions::deploy(node)?;
    }
    world.begin_anew();
    world.address = running.address;
    let mut fault = random_fault(dice);
    let common = matches!(fault.which, Which::Only(Operation::Write | Operation::FileSync));
    if !common || dice.below(4) == 0 {
        // A node that starts on what it has: few operations, of all kinds.
        load(world, &disk, &mut running);
        running.kill()?;
        world.crashed();
        fault.nth = dice.below(12) as u64 + 1;
        disk.fail_at(fault);
        match broker.start() {
            Ok(started) => running = started,
            Err(error) => {
                refused_to_start(world, outcomes, fault, &format!("{error:#}"));
                disk.disarm();
                running = broker.start().context("start on a disk that works again")?;
            }
        }
        world.address = running.address;
    } else {
        disk.fail_at(fault);
    }
    load(world, &disk, &mut running);
    let ended = running.has_ended();
    let (outcome, words) = match (disk.injected() > 0, ended) {
        (false, _) => (&mut outcomes.not_reached, "was not reached"),
        (true, false) => (&mut outcomes.went_on, "and the node went on"),
        (true, true) => (&mut outcomes.exited, "and the node exited"),
    };
    *outcome += 1;
    eprintln!("{fault:?}, {words}");
    if ended {
        judge_exit(world, &running, fault);
    }
    disk.disarm();
    running.kill()?;
    world.crashed();
    // Half of the machines go down with their nodes.
    let kept = if dice.below(2) == 0 { disk.contents() } else { disk.survivors(Cut::Drop, 0) };
    disk.unmount()?;
    let disk = VolatileDisk::mount(kept, Options::default(), &broker.data())?;
    let restarted = broker.start().and_then(|running| {
        world.address = running.address;
        recover(world, Attendance::All).with_context(|| running.said())?;
        running.kill()
    });
    if let Err(error) = restarted {
        world.report.breach(Kind::Node, Breach::Wrong, || format!("after {fault:?}: {error:#}"));
    }
    disk.unmount()
}

fn random_fault(dice: &mut Random) -> Fault {
    let operation = dice.pick(&OPERATIONS);
    let most = match operation {
        Operation::Write => 600,
        Operation::FileSync => 100,
        _ => 4,
    };
    Fault {
        which: Which::Only(operation),
        nth: dice.below(most) as u64 + 1,
        errno: dice.pick(&[Errno::IO, Errno::NOSPC]),
        lasting: dice.below(2) == 0,
    }
}

fn load(world: &mut World, disk: &VolatileDisk, running: &mut Running) {
    let mut last = Instant::now() + LOAD;
    let mut load = Load::new(round::PUBLICATIONS);
    let mut failed = false;
    while Instant::now() < last && !running.has_ended() {
        load.turn(world);
        if !failed && disk.injected() > 0 {
            failed = true;
            last = Instant::now() + AFTERWARDS;
        }
    }
}

fn refused_to_start(world: &mut World, outcomes: &mut Outcomes, fault: Fault, said: &str) {
    outcomes.refused_to_start += 1;
    judge_words(world, fault, said);
}

/// An exit has a reason that a person can read, and is no panic.
fn judge_exit(world: &mut World, running: &Running, fault: Fault) {
    judge_words(world, fault, &running.said());
}

fn judge_words(world: &mut World, fault: Fault, said: &str) {
    let explained = ["ERROR", "error:", "selvedge run:"].iter().any(|word| said.contains(word));
    if said.contains("panicked at") || !explained {
        world.report.breach(Kind::Node, Breach::Wrong, || format!("it ended badly after {fault:?}\n{said}"));
    }
}
