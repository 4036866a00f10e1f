//! `selvedge-launch`: what a service manager starts in place of the node. Picks the slot, counts the start if that slot is on
//! trial, and becomes the program (or, with `--supervise`, looks after it where there is no service manager).
//!
//! It comes with the package and is never updated by an update, so it does little, allocates little and depends on little.
//! Invariant: what was decided is on the disk before the program runs.

mod arguments;
mod supervise;

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use selvedge_ota_slots::{LocalDisk, Lock, LockError, Slots, Start, Started, next_start};

use arguments::{Arguments, Mode, Parsed};

/// Exit code of wrong usage.
const WRONG_USAGE: u8 = 2;
/// An update that is being written is not waited for longer.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(20);
const LOCK_LOOK_EVERY: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    let arguments = match arguments::parse(std::env::args_os().skip(1), &|name| std::env::var_os(name)) {
        Ok(Parsed::Run(arguments)) => arguments,
        Ok(Parsed::Help) => {
            print!("{}", arguments::HELP);
            return ExitCode::SUCCESS;
        }
        Ok(Parsed::Version) => {
            println!("selvedge-launch {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("selvedge-launch: {error}; see selvedge-launch --help");
            return ExitCode::from(WRONG_USAGE);
        }
    };
    let ended = match arguments.mode {
        Mode::Become => choose(&arguments).and_then(|start| become_program(&start, &arguments)),
        Mode::Supervise => supervise::run(&arguments),
    };
    match ended {
        Ok(code) => code,
        Err(error) => {
            eprintln!("selvedge-launch: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Which program starts now; says on stderr what a person should know about it.
fn choose(arguments: &Arguments) -> anyhow::Result<Start> {
    let slots = Slots::new(Arc::new(LocalDisk), &arguments.folder);
    // The lock guards the record; before the first update there is nothing to guard.
    let _lock = if arguments.folder.is_dir() { Some(lock(&arguments.folder)?) } else { None };
    let now_unix_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let start = next_start(&slots, arguments.package.as_deref(), now_unix_s)?;
    for note in &start.notes {
        eprintln!("selvedge-launch: {note}");
    }
    Ok(start)
}

/// An updater holds it for as long as it writes, which on slow flash takes a while.
fn lock(folder: &Path) -> anyhow::Result<Lock> {
    let deadline = Instant::now() + LOCK_WAIT_MAX;
    loop {
        match Lock::take(folder) {
            Err(LockError::Busy { .. }) if Instant::now() < deadline => std::thread::sleep(LOCK_LOOK_EVERY),
            taken => return taken.context("wait for the end of an update that is being written"),
        }
    }
}

/// The program with its arguments, and what it is told about itself.
fn command(start: &Start, arguments: &Arguments) -> Command {
    let mut command = Command::new(&start.program);
    command.args(&arguments.program_arguments);
    command.env("SELVEDGE_OTA", &arguments.folder);
    // For the node to come back through the launcher without anybody's help, after an update.
    if let Ok(launcher) = std::env::current_exe() {
        command.env("SELVEDGE_LAUNCHER", launcher);
    }
    match &arguments.package {
        Some(package) => command.env("SELVEDGE_PACKAGE", package),
        None => command.env_remove("SELVEDGE_PACKAGE"),
    };
    match start.started {
        Started::Good(slot) | Started::Previous(slot) | Started::Candidate { slot, .. } => {
            command.env("SELVEDGE_SLOT", slot.name())
        }
        Started::Package => command.env("SELVEDGE_SLOT", "package"),
    };
    command
}

fn become_program(start: &Start, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let error = command(start, arguments).exec();
    Err(error).with_context(|| format!("start {}", start.program.display()))
}
