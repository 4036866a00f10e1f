//! `selvedge ota apply --offline`: puts a new program into its slot while no node runs. Functions and files wait for the node.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};
use selvedge_ota::metadata::{Architecture, Clock, Content};
use selvedge_ota::slots::{LocalDisk, ReadAt, digest_of};
use selvedge_ota::source::bundle::Bundle;
use selvedge_ota::{Agent, AgentLimits, Event, Facts, Host, Occasion, OnTrial, Restart, Run, Thing};

use super::super::output::print_line;
use super::{folder_of, words};
use crate::arguments::ota::OtaApplyArguments;
use crate::trusted_clock::{TrustedClock, built_at_s};
use crate::wiring::updates;

/// A node that does not run.
struct SleepingNode {
    data: PathBuf,
    config: Option<PathBuf>,
    program: Option<PathBuf>,
}

impl Host for SleepingNode {
    fn put_in_place(&self, _thing: &Thing, _version: &str, _file: &Path) -> Result<(), String> {
        Err("functions and files are put in place by the running node: apply the bundle again when it runs".to_owned())
    }

    fn open_base(&self, _thing: &Thing, _content: Content) -> Option<Box<dyn ReadAt>> {
        None
    }

    fn open_running(&self) -> Option<Box<dyn ReadAt>> {
        File::open(self.program.as_ref()?).ok().map(|file| Box::new(file) as _)
    }

    fn preflight(&self, program: &Path) -> Result<(), String> {
        updates::preflight(program, &self.data, self.config.as_deref())
    }
}

/// Runs the command.
///
/// # Errors
/// Nothing was changed, or the program is in its slot and not everything else in place.
pub(super) fn apply(arguments: &OtaApplyArguments) -> anyhow::Result<()> {
    let (config, data) = folder_of(arguments)?;
    let folder =
        updates::make_folder(&data).with_context(|| format!("make the folder of updates in {}", data.display()))?;
    let limits = AgentLimits {
        content_bytes_max: config.ota.content_bytes_max.0,
        tries_max: config.ota.tries_max,
        ..AgentLimits::default()
    };
    let agent = Agent::new(Arc::new(LocalDisk), &folder, limits);
    let _lock = agent.lock()?;
    agent.recover()?;
    if agent.trust()?.is_none() && !config.ota.root.is_empty() {
        agent.pin(&std::fs::read(&config.ota.root).with_context(|| format!("read {}", config.ota.root))?)?;
    }
    let good = agent.slots().record()?.good.map(|slot| agent.slots().program(slot));
    let program = good.or_else(|| arguments.package.is_file().then(|| arguments.package.clone()));
    let running = program.as_ref().and_then(|path| digest_of(&File::open(path).ok()?).ok());
    let host = SleepingNode { data: data.clone(), config: arguments.config.clone(), program };
    let clock = TrustedClock::open(&data).judgement();
    let now = i64::try_from(clock.now_s).unwrap_or(0);
    let mut source = Bundle::open(&arguments.file)?;
    let report = agent.update(&mut Run {
        source: &mut source,
        host: &host,
        facts: Facts {
            node_id: String::new(),
            architecture: Architecture::of_this_program().context("there are no updates for this architecture")?,
            running: running.map(|digest| Content { length: digest.length, sha256: digest.sha256 }),
            on_trial: OnTrial::No,
            files: config.ota.files.keys().cloned().collect(),
            windows: Vec::new(),
            now_unix_s: clock.is_trusted.then_some(clock.now_s),
        },
        occasion: Occasion::Operator,
        clock: if clock.is_trusted { Clock::trusted(now) } else { Clock::unknown() }
            .built_at(i64::try_from(built_at_s()).unwrap_or(0)),
        events: &mut |event| {
            if let Event::Fallback { path, cause } = event {
                eprintln!("{path} is not used: {cause}");
            }
        },
    })?;
    let answer = updates::report_json(&report);
    if arguments.node.node.json {
        print_line(&answer.to_string())?;
    } else {
        print_line(&words::report(&answer))?;
        if report.restart == Restart::Needed {
            print_line("the new program runs when selvedge-launch starts the node")?;
        }
    }
    ensure!(report.failed.is_empty(), "{} of the targets could not be put in place", report.failed.len());
    Ok(())
}
