//! `cargo xtask soak` and `cargo xtask crowd`: a node under mixed load for long, and with very many clients.
//!
//! What they do stands in `tests/src/siege/soak.rs` and `tests/src/siege/crowd.rs`. The soak fails when anything acknowledged is
//! lost or memory grows; the crowd when the node does not take all clients, or a message is lost.

use crate::hostile::{NodeOptions, siege};

/// Arguments of `cargo xtask soak`.
#[derive(clap::Args)]
pub struct SoakOptions {
    /// How long
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// Idle connections beside those that work
    #[arg(long, default_value_t = 100)]
    connections: u32,
    /// Which node.
    #[command(flatten)]
    node: NodeOptions,
}

/// Arguments of `cargo xtask crowd`.
#[derive(clap::Args)]
pub struct CrowdOptions {
    /// Clients; root may open more files than others
    #[arg(long, default_value_t = 24_000, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    connections: u32,
    /// How long they are idle, and then busy
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// Which node.
    #[command(flatten)]
    node: NodeOptions,
}

/// Soaks.
pub fn soak(options: &SoakOptions) -> anyhow::Result<()> {
    let (minutes, connections) = (options.minutes.to_string(), options.connections.to_string());
    siege(&options.node, &["soak", "--minutes", &minutes, "--connections", &connections])
}

/// Gathers a crowd.
pub fn crowd(options: &CrowdOptions) -> anyhow::Result<()> {
    let (connections, seconds) = (options.connections.to_string(), options.seconds.to_string());
    siege(&options.node, &["crowd", "--connections", &connections, "--seconds", &seconds])
}
