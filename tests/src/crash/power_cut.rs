//! Cuts of the power: the node's data on a disk with a volatile cache, cut at an operation of the node itself.
//!
//! After the cut the node is killed, and the next one starts on what a disk would have left. Cuts hit writes, syncs, renames
//! and new files, also while a node starts on what an earlier cut has left. Invariant: the seed decides the cut's place and what
//! survives; only how far the clients got depends on time.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::broker::{Broker, Product, Running};
use super::load::Load;
use super::recovery::{Attendance, recover};
use super::report::{Breach, Kind, Report};
use super::world::World;
use super::{functions, round};
use crate::random::Random;
use crate::volatile_disk::{Cut, CutPoint, Ignored, NamesKept, Operation, Options, Tree, VolatileDisk, Which};

/// Rounds on the same data.
const LIFE: u64 = 15;
/// A cut that its operation does not bring comes after this time.
const LOAD: Duration = Duration::from_millis(1500);
/// Publications of a round whose cut is counted through.
const SHORT_PUBLICATIONS: usize = 60;
/// A short load is cut after this time, so that also a node is cut that has nothing to write.
const SHORT_LOAD: Duration = Duration::from_millis(400);

/// A run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many cuts.
    pub cuts: u64,
    /// Decides where, and what survives.
    pub seed: u64,
    /// What survives.
    pub mode: Cut,
    /// What the disk only pretends to do.
    pub ignored: Ignored,
    /// What each fsync takes.
    pub sync_delay: Duration,
    /// Cuts short runs on empty disks at their first change, then at this many later, and so on.
    pub every: Option<u64>,
    /// What a sync of a file does for names.
    pub names: NamesKept,
    /// A folder in which is kept what each cut has left, by its number.
    pub keep: Option<PathBuf>,
}

/// A node on a disk.
struct Machine {
    broker: Broker,
    disk: VolatileDisk,
    cuts: u64,
}

impl Machine {
    fn new(plan: &Plan) -> anyhow::Result<Self> {
        let broker = Broker::new(Product::Selvedge)?;
        let disk = VolatileDisk::mount(Tree::default(), plan.options(), &broker.data())?;
        Ok(Self { broker, disk, cuts: 0 })
    }

    /// The machine with what the power left on its disk.
    fn after_cut(self, plan: &Plan, seed: u64) -> anyhow::Result<Self> {
        let survivors = self.disk.survivors(plan.mode, seed);
        self.disk.unmount()?;
        let cuts = self.cuts + 1;
        if let Some(keep) = &plan.keep {
            let folder = keep.join(cuts.to_string());
            std::fs::create_dir_all(&folder).and_then(|()| survivors.write_to(&folder)).context("keep a disk")?;
        }
        let disk = VolatileDisk::mount(survivors, plan.options(), &self.broker.data())?;
        Ok(Self { broker: self.broker, disk, cuts })
    }
}

impl Plan {
    fn options(&self) -> Options {
        Options { sync_delay: self.sync_delay, ignored: self.ignored, names: self.names }
    }
}

/// Runs it.
///
/// # Errors
/// There is no FUSE, or the node cannot be started for the first time.
pub fn run(plan: &Plan) -> anyhow::Result<Report> {
    match plan.every {
        Some(step) => count_through(plan, step.max(1)),
        None => at_random(plan),
    }
}

fn at_random(plan: &Plan) -> anyhow::Result<Report> {
    let mut dice = Random::new(plan.seed ^ 0x00c0_ffee);
    let (mut machine, mut running) = begin(plan)?;
    let mut world = World::new(plan.seed, running.address, true);
    let started = Instant::now();
    for cut in 1..=plan.cuts {
        machine.disk.cut_at(random_point(&mut dice));
        load(&mut world, &machine.disk, round::PUBLICATIONS, LOAD);
        machine.disk.cut();
        running.kill()?;
        world.crashed();
        machine = machine.after_cut(plan, dice.number())?;
        if dice.below(4) == 0 {
            machine = cut_while_starting(machine, plan, &mut dice)?;
        }
        let last = cut == plan.cuts || cut % LIFE == 0;
        let restarted = restart(&machine, &mut world, if last { Attendance::All } else { Attendance::Some });
        round::progress(&world.report, cut, plan.cuts, started);
        match restarted {
            Some(restarted) if !last => running = restarted,
            restarted => {
                drop(restarted);
                if cut == plan.cuts {
                    break;
                }
                (machine, running) = begin(plan)?;
                world.begin_anew();
                world.address = running.address;
            }
        }
    }
    Ok(world.report)
}

/// Any change, or one of a kind of which there are few.
fn random_point(dice: &mut Random) -> CutPoint {
    let (which, most) = match dice.below(10) {
        0..4 => (Which::Changes, 3000),
        4..6 => (Which::Changes, 100),
        6..8 => (Which::Only(Operation::FileSync), 100),
        8 => (Which::Only(dice.pick(&[Operation::Rename, Operation::Create, Operation::Unlink])), 3),
        _ => (Which::Only(dice.pick(&[Operation::Resize, Operation::DirectorySync])), 3),
    };
    CutPoint { which, nth: dice.below(most) as u64 + 1 }
}

/// A node that starts is cut as well, and nothing that was kept before may go.
fn cut_while_starting(machine: Machine, plan: &Plan, dice: &mut Random) -> anyhow::Result<Machine> {
    machine.disk.cut_at(CutPoint { which: Which::Changes, nth: dice.below(40) as u64 + 1 });
    // Whether it got to its end or not: it is cut.
    let running = machine.broker.start();
    machine.disk.cut();
    if let Ok(running) = running {
        running.kill()?;
    }
    machine.after_cut(plan, dice.number())
}

/// Starts the node on what is left and presents the bill; nothing if it does not start.
fn restart(machine: &Machine, world: &mut World, attendance: Attendance) -> Option<Running> {
    let restarted = machine.broker.start().and_then(|running| {
        world.address = running.address;
        let breaches = world.report.tally(Kind::Twin).breaches;
        recover(world, attendance).with_context(|| running.said())?;
        if world.report.tally(Kind::Twin).breaches != breaches {
            eprintln!("cut {} of this data directory\n{}", machine.cuts, running.said());
        }
        Ok(running)
    });
    match restarted {
        Ok(running) => Some(running),
        Err(error) => {
            world.report.breach(Kind::Node, Breach::Wrong, || format!("after a cut: {error:#}"));
            None
        }
    }
}

fn count_through(plan: &Plan, step: u64) -> anyhow::Result<Report> {
    let mut world = World::new(plan.seed, ([127, 0, 0, 1], 0).into(), true);
    let started = Instant::now();
    for cut in 0..plan.cuts {
        let (machine, running) = begin(plan)?;
        world.begin_anew();
        world.address = running.address;
        machine.disk.cut_at(CutPoint { which: Which::Changes, nth: 1 + cut * step });
        load(&mut world, &machine.disk, SHORT_PUBLICATIONS, SHORT_LOAD);
        let reached = machine.disk.is_cut();
        machine.disk.cut();
        running.kill()?;
        world.crashed();
        let machine = machine.after_cut(plan, plan.seed.wrapping_add(cut))?;
        drop(restart(&machine, &mut world, Attendance::All));
        round::progress(&world.report, cut + 1, plan.cuts, started);
        if !reached {
            eprintln!("the whole run has {} changes at most", cut * step);
            break;
        }
    }
    Ok(world.report)
}

fn begin(plan: &Plan) -> anyhow::Result<(Machine, Running)> {
    let machine = Machine::new(plan)?;
    let running = machine.broker.start()?;
    if let Some(node) = running.node() {
        functions::deploy(node)?;
    }
    Ok((machine, running))
}

fn load(world: &mut World, disk: &VolatileDisk, publications: usize, longest: Duration) {
    let last = Instant::now() + longest;
    let mut load = Load::new(publications);
    while Instant::now() < last && !disk.is_cut() {
        load.turn(world);
    }
}
