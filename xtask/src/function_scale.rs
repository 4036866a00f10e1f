//! `cargo xtask function-scale`: a thousand functions on one node, at rest and after a burst, and messages a second through one.
//!
//! Builds the node and the program `function-scale` in release; what that does stands in `tests/src/function_scale.rs`.

use crate::hostile::{NodeOptions, run_against};

/// Arguments of `cargo xtask function-scale`.
#[derive(clap::Args)]
pub struct Options {
    /// Functions, each with a component of its own
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    functions: u32,
    /// Messages through one function, for each quality of service
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    messages: u32,
    /// Only messages through one function: a minute instead of six
    #[arg(long)]
    through: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Which node.
    #[command(flatten)]
    node: NodeOptions,
}

/// Measures.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let (functions, messages) = (options.functions.to_string(), options.messages.to_string());
    let mut words = vec!["--functions", &functions, "--messages", &messages];
    words.extend(options.through.then_some("--through"));
    words.extend(options.json.then_some("--json"));
    run_against(&options.node, "function-scale", &words)
}
