//! `cargo xtask net-flood`: what a flood of connection attempts costs a node and those around it, with the guard off and on.
//!
//! Builds the node, the flooder (`ebpf/examples/syn_flood.rs`) and the program `net-flood` in release; what that does stands in
//! `tests/src/flood.rs`. Needs root. It fails when a message of the others is lost, never because of a time.

use crate::hostile::{NodeOptions, run_against};
use crate::{process, repository};

/// Arguments of `cargo xtask net-flood`.
#[derive(clap::Args)]
pub struct Options {
    /// Each row so often, in turns
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Seconds of each
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// SYNs a second
    #[arg(long, default_value_t = 200_000)]
    rate: u32,
    /// Messages a second of the others
    #[arg(long, default_value_t = 500)]
    messages: u32,
    #[command(flatten)]
    node: NodeOptions,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Measures.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let release = repository::target_folder().join("release");
    process::run("cargo", &["build", "--locked", "--release", "--package", "selvedge-ebpf", "--example", "syn_flood"])?;
    let flooder = release.join("examples/syn_flood").to_string_lossy().into_owned();
    let words = [options.rounds.into(), options.seconds, options.rate.into(), options.messages.into()];
    let [rounds, seconds, rate, messages] = words.map(|number: u64| number.to_string());
    let mut arguments = vec!["--flooder", &flooder, "--rounds", &rounds, "--seconds", &seconds];
    arguments.extend(["--rate", &rate, "--messages", &messages]);
    if options.json {
        arguments.push("--json");
    }
    run_against(&options.node, "net-flood", &arguments)
}
