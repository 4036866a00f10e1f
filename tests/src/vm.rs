//! The image of a gateway, booted on an emulated board and used from outside as its owner would; then its power is cut.
//!
//! The board is qemu, whose processes are killed: what the guest's kernel had not written to its disk is gone, as when a plug is
//! pulled. Not a test of speed: the board is emulated, so times only say what waited for what. Invariant: the board runs one
//! disk for all of a run, so what a cut breaks stays broken until the end.

mod board;
mod checks;
mod cuts;
mod lan;
mod releases;
mod table;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use self::board::Machine;
use self::releases::Releases;
pub use self::table::{json, print};
use crate::crash::report::Report;

/// Between a start and the first CONNACK: firmware, kernel and systemd, emulated on a busy machine.
const BOOT_MAX: Duration = Duration::from_secs(1200);

/// A run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Starts a board, but for its disk and its network.
    pub emulator: Vec<String>,
    /// A disk that is written.
    pub disk: PathBuf,
    /// Whose public half is on the boot partition.
    pub key: PathBuf,
    /// The node's program for the board.
    pub program: PathBuf,
    /// How often the power is cut.
    pub cuts: u64,
    /// Decides when.
    pub seed: u64,
}

/// Something that was looked at.
#[derive(Debug, Clone)]
pub struct Check {
    /// A sentence.
    pub what: &'static str,
    /// What was found, or what was wrong.
    pub found: Result<String, String>,
    /// How long it took.
    pub took: Duration,
}

/// A cut of the power and what came after it.
#[derive(Debug, Clone)]
pub struct CutRow {
    /// What it hit.
    pub during: &'static str,
    /// From the beginning of that to the cut.
    pub after: Duration,
    /// From the next start to the first CONNACK; none if there was none.
    pub ready: Option<Duration>,
    /// Version before, and what runs afterwards.
    pub versions: (String, String),
    /// What was lost or wrong.
    pub breaches: u64,
}

/// Everything that was found.
#[derive(Debug)]
pub struct Outcome {
    /// What was looked at before the cuts.
    pub checks: Vec<Check>,
    /// Cuts.
    pub cuts: Vec<CutRow>,
    /// The account of what was acknowledged.
    pub report: Report,
}

impl Outcome {
    /// Whether nothing was lost and everything looked at was right.
    pub fn is_good(&self) -> bool {
        self.checks.iter().all(|check| check.found.is_ok()) && self.report.breaches() == 0
    }
}

/// Runs all of it; `tell` hears what goes on.
///
/// # Errors
/// The board does not start for the first time, or versions cannot be made.
pub fn run(plan: &Plan, tell: &mut dyn FnMut(&str)) -> anyhow::Result<Outcome> {
    let machine = Machine::new(plan)?;
    let mut releases = Releases::new(&plan.program).context("make versions for updates")?;
    let mut looked = Looked { checks: Vec::new(), tell };
    let started = Instant::now();
    let mut board = machine.start()?;
    board.until_ready(BOOT_MAX).context("the first start")?;
    looked.note("it boots and takes clients by itself", started.elapsed(), Ok(board.startup()));
    checks::run(&board, &mut looked);
    let update_took = releases::check(&board, &mut releases, &mut looked);
    let mut cutting = cuts::Cutting::new(plan, machine, releases, update_took);
    let (cuts, report) = cutting.run(board, looked.tell)?;
    Ok(Outcome { checks: looked.checks, cuts, report })
}

/// What was looked at so far.
struct Looked<'t> {
    checks: Vec<Check>,
    tell: &'t mut dyn FnMut(&str),
}

impl Looked<'_> {
    fn at(&mut self, what: &'static str, look: impl FnOnce() -> anyhow::Result<String>) {
        let started = Instant::now();
        let found = look().map_err(|error| format!("{error:#}"));
        self.note(what, started.elapsed(), found);
    }

    fn note(&mut self, what: &'static str, took: Duration, found: Result<String, String>) {
        let check = Check { what, found, took };
        (self.tell)(&table::line(&check));
        self.checks.push(check);
    }
}
