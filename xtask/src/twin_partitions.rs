//! `cargo xtask twin-partitions`: nodes that exchange twins over mosquitto, in network namespaces, while wires are cut and processes
//! killed. It fails when nodes do not agree in the end, or something that was acknowledged is gone.
//!
//! Builds the node and the program `twin-partitions` in release; what that does stands in `tests/src/partition.rs`. Needs root.

use crate::hostile::{NodeOptions, run_against};

/// Arguments of `cargo xtask twin-partitions`.
#[derive(clap::Args)]
pub struct Options {
    /// Rounds, each of which ends with everything mended
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Seconds of load and trouble in each
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Of what is broken and written
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    node: NodeOptions,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs them.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let [rounds, seconds, seed] =
        [options.rounds.into(), options.seconds, options.seed].map(|number| number.to_string());
    let mut arguments = vec!["--rounds", &rounds, "--seconds", &seconds, "--seed", &seed];
    if options.json {
        arguments.push("--json");
    }
    run_against(&options.node, "twin-partitions", &arguments)
}
