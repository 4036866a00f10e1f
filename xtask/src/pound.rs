//! `cargo xtask pound`: random and mutated packets at a live node, over every transport.
//!
//! What is sent stands in `tests/src/siege/pound.rs`; a smoke of it is one of the tests. Fails when the node dies, stops serving
//! others, or keeps memory.

use crate::hostile::{NodeOptions, siege};

/// Arguments of `cargo xtask pound`.
#[derive(clap::Args)]
pub struct Options {
    /// How many
    #[arg(long, default_value_t = 10_000_000)]
    packets: u64,
    /// Where the random numbers begin; the same seed sends the same packets
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Connections at a time
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    threads: u32,
    /// Which node.
    #[command(flatten)]
    node: NodeOptions,
}

/// Sends them.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let [packets, seed, threads] = [options.packets, options.seed, options.threads.into()].map(|n: u64| n.to_string());
    siege(&options.node, &["pound", "--packets", &packets, "--seed", &seed, "--threads", &threads])
}
