//! `cargo xtask bench-peers`: Selvedge beside Debian's mosquitto, rumqttd and the bare relay, same client, same run.
//!
//! Builds what is needed in release, starts every broker once on a free loopback port, runs the rows of [`rows::ROWS`] in
//! interleaved rounds, and prints what each broker spent per delivered message. Not a test of speed: it fails when Selvedge
//! loses, doubles or reorders anything, never because a goal is missed.
//! Invariant: every figure of a row comes from the same fixed number of messages, and every broker that was started is
//! stopped, whichever way the task ends.

mod brokers;
mod rows;
mod table;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::{process, repository};
pub use brokers::find_mosquitto;
use brokers::{Broker, Kind};
use rows::{ROWS, Row};
use table::{Measured, RowResult};

/// Arguments of `cargo xtask bench-peers`.
#[derive(clap::Args)]
pub struct Options {
    /// Interleaved rounds
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Only these rows
    #[arg(long, value_delimiter = ',', value_parser = ROWS.each_ref().map(|row| row.name))]
    scenarios: Vec<String>,
    /// Only these brokers
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = Kind::ALL)]
    brokers: Vec<Kind>,
    /// MQTT version of all clients: 4 is 3.1.1, 5 is 5
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(4..=5))]
    protocol: u8,
    /// One round with few messages: a smoke run whose figures mean little
    #[arg(long)]
    quick: bool,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// A program that takes the arguments of `selvedge bench`, instead of the built one
    #[arg(long)]
    generator: Option<PathBuf>,
    /// Measure what was built before
    #[arg(long)]
    no_build: bool,
}

/// Builds, starts, measures, prints, stops.
pub fn run(options: Options) -> anyhow::Result<()> {
    let rows: Vec<&Row> = ROWS.iter().filter(|row| wanted(&options.scenarios, row.name)).collect();
    let generator = Generator::prepare(&options)?;
    let folder = brokers::Folder::create()?;
    folder.certify()?;
    let mut running = Vec::new();
    for kind in &options.brokers {
        running.push(Broker::start(*kind, options.protocol, &folder, &generator.relay_command())?);
    }
    let rounds = if options.quick { 1 } else { options.rounds };
    let mut results: Vec<RowResult> = rows.iter().map(|row| RowResult::new(row, &options.brokers)).collect();
    for round in 0..rounds {
        for (row, result) in rows.iter().zip(&mut results) {
            // Each round begins with another broker, so that none always follows the same one.
            for at in 0..running.len() {
                let at = (at + round as usize) % running.len();
                let broker = &running[at];
                if !broker.can_run(row) {
                    continue;
                }
                eprintln!("round {} of {rounds}: {}, {}", round + 1, row.title, broker.kind().name());
                let measured = generator.measure(row, broker, &options);
                if let Err(error) = &measured {
                    eprintln!("  {error:#}");
                }
                result.add(at, measured.map_err(|error| format!("{error:#}")));
            }
        }
    }
    if options.json {
        println!("{}", table::json(&results));
    } else {
        print!("{}", table::text(&results));
    }
    verdict(&results)
}

/// Fails if a run against Selvedge failed or its account was not clean.
fn verdict(results: &[RowResult]) -> anyhow::Result<()> {
    let complaints: Vec<String> = results.iter().flat_map(RowResult::complaints_about_selvedge).collect();
    if !complaints.is_empty() {
        bail!("selvedge failed: {}", complaints.join("; "));
    }
    Ok(())
}

fn wanted(names: &[String], name: &str) -> bool {
    names.is_empty() || names.iter().any(|wanted| wanted == name)
}

/// The load generator as a program and its first arguments.
struct Generator {
    program: String,
    leading: &'static [&'static str],
}

impl Generator {
    /// Builds Selvedge, which carries the generator, and what the peers need.
    fn prepare(options: &Options) -> anyhow::Result<Self> {
        if !options.no_build {
            // It also makes the certificates of every broker.
            process::run("cargo", &["build", "--release", "--package", "selvedge"])?;
        }
        if options.brokers.contains(&Kind::Rumqttd) && !options.no_build {
            let manifest = repository::root().join("tests/peers/Cargo.toml");
            let manifest = manifest.to_string_lossy();
            process::run("cargo", &["build", "--release", "--locked", "--manifest-path", &manifest])?;
        }
        if options.brokers.contains(&Kind::Mosquitto) && brokers::find_mosquitto().is_none() {
            crate::setup::install()?;
        }
        Ok(match &options.generator {
            Some(program) => Self { program: program.to_string_lossy().into_owned(), leading: &[] },
            None => Self { program: brokers::selvedge_program(), leading: &["bench"] },
        })
    }

    fn relay_command(&self) -> Vec<String> {
        let words =
            std::iter::once(self.program.as_str()).chain(self.leading.iter().copied()).chain(["relay", "--listen"]);
        words.map(str::to_owned).collect()
    }

    /// One run of one row against one broker.
    fn measure(&self, row: &Row, broker: &Broker, options: &Options) -> anyhow::Result<Measured> {
        let (pid, protocol) = (broker.pid().to_string(), options.protocol.to_string());
        let output = Command::new(&self.program)
            .args(self.leading)
            .args(row.arguments)
            .args(row.amount(options.quick))
            .args(broker.address_of(row.transport)?)
            .args(["--pid", &pid, "--protocol", &protocol, "--json"])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .with_context(|| format!("start {}", self.program))?;
        // A run that lost something prints its figures and then fails: the figures say what.
        Measured::read(&output.stdout).with_context(|| {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            format!("the generator ended with {} and said: {said}", output.status)
        })
    }
}
