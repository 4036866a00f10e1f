//! `cargo xtask full-disk`: a node whose disk fills under load, and then has room again.
//!
//! What it does stands in `tests/src/siege/full_disk.rs`; the gate runs a short one in `tests/hostile`. Needs root, for a file
//! system of its own; without, it prints SKIPPED and why.

use crate::hostile::{NodeOptions, siege};

/// Arguments of `cargo xtask full-disk`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask full-disk                                 64 MB in memory\n  \
    cargo xtask full-disk --size-mb 64 --disk ext4        64 MB in a file with ext4\n  \
    cargo xtask full-disk --relief filler --json")]
pub struct Options {
    /// Size of the node's file system
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(16..=4_096))]
    size_mb: u32,
    /// What it is
    #[arg(long, default_value = "tmpfs", value_parser = ["tmpfs", "ext4"])]
    disk: String,
    /// How space returns: the sessions come back for their messages, or a file that took space is deleted
    #[arg(long, default_value = "drain", value_parser = ["drain", "filler"])]
    relief: String,
    /// Most seconds until the disk is full
    #[arg(long, default_value_t = 120)]
    seconds: u32,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Which node.
    #[command(flatten)]
    node: NodeOptions,
}

/// Fills it.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let (size, seconds) = (options.size_mb.to_string(), options.seconds.to_string());
    let mut words = vec!["full-disk", "--size-mb", &size, "--disk", &options.disk, "--relief", &options.relief];
    words.extend(["--seconds", &seconds]);
    if options.json {
        words.push("--json");
    }
    siege(&options.node, &words)
}
