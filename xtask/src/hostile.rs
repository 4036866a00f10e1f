//! `cargo xtask hostile`: what well-behaved clients notice of each hostile one, attack by attack.
//!
//! Builds the node and the program `siege` in release; that starts nodes, attacks and measures (`tests/src/siege`). Not a test
//! of speed: it fails when a node does not answer an attack as it should, loses a message or keeps memory, never because of a
//! latency. `docs/hostile-clients.md` keeps the figures.

use std::path::PathBuf;

use crate::{process, repository};

/// Arguments of `cargo xtask hostile`.
#[derive(clap::Args)]
pub struct Options {
    /// Interleaved rounds of each attack
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Only these attacks, of those that `--list` names
    #[arg(long, value_delimiter = ',')]
    attacks: Vec<String>,
    /// List the attacks and do nothing else
    #[arg(long)]
    list: bool,
    /// Print the figures of each round as JSON
    #[arg(long)]
    json: bool,
    /// Which node.
    #[command(flatten)]
    node: NodeOptions,
}

/// Which node is put under siege.
#[derive(clap::Args)]
pub struct NodeOptions {
    /// A built `selvedge` instead of a release build of this tree
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// Measures.
pub fn run(options: &Options) -> anyhow::Result<()> {
    if options.list {
        return siege(&options.node, &["list"]);
    }
    let rounds = options.rounds.to_string();
    let attacks = options.attacks.join(",");
    let mut words = vec!["measure", "--rounds", &rounds];
    if !attacks.is_empty() {
        words.extend(["--attacks", &attacks]);
    }
    if options.json {
        words.push("--json");
    }
    siege(&options.node, &words)
}

/// Builds what is needed and runs `siege` with these arguments.
pub fn siege(node: &NodeOptions, words: &[&str]) -> anyhow::Result<()> {
    run_against(node, "siege", words)
}

/// Builds a node and a program of the tests in release, and runs the program against the node.
pub fn run_against(node: &NodeOptions, program: &str, words: &[&str]) -> anyhow::Result<()> {
    let release = repository::target_folder().join("release");
    let selvedge = match &node.binary {
        Some(binary) => std::path::absolute(binary)?,
        None => {
            process::run("cargo", &["build", "--locked", "--release", "--package", "selvedge"])?;
            release.join("selvedge")
        }
    };
    process::run("cargo", &["build", "--locked", "--release", "--package", "selvedge-tests", "--bin", program])?;
    let program = release.join(program);
    process::run_with(&program.to_string_lossy(), words, &[("SELVEDGE_BIN", &selvedge.to_string_lossy())])
}
