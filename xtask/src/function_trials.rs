//! `cargo xtask function-trials`: three broken versions of a function under load; what the gate says of each, and how soon its canary goes back.
//!
//! Builds the node and the program `function-trials` in release; what that does stands in `tests/src/function_trials.rs`. Fails
//! when a broken version passes, never because of a time.

use crate::hostile::{NodeOptions, run_against};

/// Arguments of `cargo xtask function-trials`.
#[derive(clap::Args)]
pub struct Options {
    /// Messages a second through the function
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// How often each broken version is put on trial
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Which node.
    #[command(flatten)]
    node: NodeOptions,
}

/// Measures.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let (rate, rounds) = (options.rate.to_string(), options.rounds.to_string());
    let mut words = vec!["--rate", &rate, "--rounds", &rounds];
    words.extend(options.json.then_some("--json"));
    run_against(&options.node, "function-trials", &words)
}
