//! The power goes, at random moments: under load, in the middle of an update, while the board starts. Then it comes back, and the
//! bill is presented.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value;

use super::board::{Board, Machine};
use super::releases::{self, Release, Releases};
use super::{BOOT_MAX, CutRow, Plan, table};
use crate::child::TestChild;
use crate::crash::load::Load;
use crate::crash::recovery::{Attendance, recover};
use crate::crash::report::{Breach, Kind, Report};
use crate::crash::world::{Waits, World};
use crate::random::Random;

/// Load before a cut, milliseconds at most.
const LOAD_MS: usize = 6000;
/// Publications of a round at most: an emulated board takes its time to give them all out again.
const PUBLICATIONS: usize = 500;
/// A start that is cut is cut within this time, milliseconds.
const START_MS: usize = 60_000;
/// Of so many cuts one is followed by another while the board starts.
const CUT_STARTS: usize = 5;

/// An emulated board beside other work may be silent for longer than a node of this machine.
const WAITS: Waits = Waits { all: Duration::from_secs(180), stragglers: Duration::from_secs(60) };

/// All that the rounds share.
pub struct Cutting {
    cuts: u64,
    machine: Machine,
    releases: Releases,
    world: World,
    dice: Random,
    /// From a push to its end.
    update_ms: usize,
}

/// Where the power goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum During {
    Load,
    Update,
}

impl During {
    fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Update => "update and load",
        }
    }
}

impl Cutting {
    /// Of a board with its functions deployed.
    pub fn new(plan: &Plan, machine: Machine, releases: Releases, update_took: Duration) -> Self {
        let mut world = World::new(plan.seed, machine.mqtt(), true);
        world.waits = WAITS;
        let update_ms = usize::try_from(update_took.as_millis()).unwrap_or(usize::MAX);
        Self { cuts: plan.cuts, machine, releases, world, dice: Random::new(plan.seed ^ 0x00c0_ffee), update_ms }
    }

    /// Cuts so often.
    ///
    /// # Errors
    /// The emulator cannot be started or ended.
    pub fn run(&mut self, board: Board, tell: &mut dyn FnMut(&str)) -> anyhow::Result<(Vec<CutRow>, Report)> {
        let (mut rows, mut board) = (Vec::new(), Some(board));
        while (rows.len() as u64) < self.cuts {
            let Some(running) = board.take() else { break };
            let during = if rows.len().is_multiple_of(2) { During::Load } else { During::Update };
            let (row, next) = self.round(running, during)?;
            tell(&table::cut_line(rows.len() + 1, &row));
            rows.push(row);
            board = next;
        }
        let report = std::mem::take(&mut self.world.report);
        Ok((rows, report))
    }

    /// One cut, and perhaps another at once; the board afterwards, if it lives.
    fn round(&mut self, mut board: Board, during: During) -> anyhow::Result<(CutRow, Option<Board>)> {
        let breaches = self.world.report.breaches();
        let before = releases::until_decided(&board).context("ask for the version")?;
        let before = releases::running(&before);
        let release = if during == During::Update { Some(self.releases.good()?) } else { None };
        let pushed = release.as_ref().map(|release| releases::push(&board, release)).transpose()?;
        let after = self.load(&mut board, during);
        board.cut()?;
        drop::<Option<TestChild>>(pushed);
        self.world.crashed();

        let mut name = during.name();
        if self.dice.below(CUT_STARTS) == 0 {
            let board = self.machine.start()?;
            // The moment of the cut is the experiment.
            std::thread::sleep(Duration::from_millis(self.dice.below(START_MS) as u64));
            board.cut()?;
            name = if during == During::Load { "load, then start" } else { "update, then start" };
        }
        let mut board = self.machine.start()?;
        let mut row = CutRow {
            during: name,
            after,
            ready: board.until_ready(BOOT_MAX).ok(),
            versions: (before.clone(), "none".to_owned()),
            breaches: 0,
        };
        let lives = row.ready.is_some();
        if lives {
            row.versions.1 = self.look(&board, &before, release.as_ref());
        } else {
            self.world.report.breach(Kind::Node, Breach::Wrong, || format!("it does not come back\n{}", board.said()));
        }
        row.breaches = self.world.report.breaches() - breaches;
        Ok((row, lives.then_some(board)))
    }

    /// Everybody works until the power goes; how long that was.
    fn load(&mut self, board: &mut Board, during: During) -> Duration {
        let longest = if during == During::Load { LOAD_MS } else { self.update_ms };
        let started = Instant::now();
        let last = started + Duration::from_millis(self.dice.below(longest.max(1)) as u64);
        let mut load = Load::new(PUBLICATIONS);
        while Instant::now() < last {
            load.turn(&mut self.world);
        }
        if board.has_ended() {
            let said = board.said();
            self.world.report.breach(Kind::Node, Breach::Wrong, || format!("the board ended by itself\n{said}"));
        }
        started.elapsed()
    }

    /// Presents the bill; the version that runs.
    fn look(&mut self, board: &Board, before: &str, release: Option<&Release>) -> String {
        if let Err(error) = recover(&mut self.world, Attendance::Some) {
            self.world.report.breach(Kind::Node, Breach::Wrong, || format!("after a cut: {error:#}"));
        }
        let found = releases::status(board).and_then(|status| {
            // Looked through here: a pipe would hide that there is no dmesg.
            let said = board.shell("dmesg")?.to_lowercase();
            let damage: Vec<&str> = said.lines().filter(|line| line.contains("ext4-fs error")).collect();
            Ok((status, damage.join("\n")))
        });
        let report = &mut self.world.report;
        match found {
            Ok((status, damage)) => {
                report.owed(Kind::Node, 1);
                if !damage.trim().is_empty() {
                    report.breach(Kind::Node, Breach::Wrong, || damage);
                }
                let running = releases::running(&status);
                if running != before && release.is_none_or(|release| release.version != running) {
                    report.breach(Kind::Node, Breach::Wrong, || format!("neither old nor new runs: {status}"));
                }
                if status["on_trial"] == Value::Null { running } else { format!("{running} on probation") }
            }
            Err(error) => {
                report.breach(Kind::Node, Breach::Wrong, || format!("it does not tell its version: {error:#}"));
                "unknown".to_owned()
            }
        }
    }
}
