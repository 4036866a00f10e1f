//! `cargo xtask twin-scale`: ten thousand twins on one node: memory, start, questions, durable updates.
//!
//! Builds the node and the program `twin-scale` in release; what that does stands in `tests/src/twin_scale.rs`.

use crate::hostile::{NodeOptions, run_against};

/// Arguments of `cargo xtask twin-scale`.
#[derive(clap::Args)]
pub struct Options {
    /// Twins
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    twins: u32,
    /// Fields of each, half of them desired
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..=1_000))]
    fields: u32,
    /// Writers at once
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=256))]
    writers: u32,
    /// Seconds of updates
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    #[command(flatten)]
    node: NodeOptions,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Measures.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let numbers = [options.twins, options.fields, options.writers, options.seconds].map(|number| number.to_string());
    let [twins, fields, writers, seconds] = &numbers;
    let mut arguments = vec!["--twins", twins, "--fields", fields, "--writers", writers, "--seconds", seconds];
    if options.json {
        arguments.push("--json");
    }
    run_against(&options.node, "twin-scale", &arguments)
}
