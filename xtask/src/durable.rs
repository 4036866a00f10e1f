//! Measuring durable sessions: `cargo xtask bench-durable`, `bench-backlog` and `full-disk`.
//!
//! The tasks share how a node is started with a configuration of the task's own, killed and started again, and how the
//! generator is run against it. None is a test of speed: a task fails when something acknowledged is lost, doubled or
//! reordered, never because a goal is missed. Invariant: whatever a task started or mounted is gone when it ends.

pub mod backlog;
pub mod bench;
pub mod full_disk;

mod configuration;
mod figures;
mod folder;
mod generator;
mod memory;
mod node;
mod rows;
mod table;
mod volatile_disk;

use std::path::PathBuf;

use anyhow::{Context as _, ensure};

use crate::{process, repository};

/// Which programs are measured and measure.
#[derive(clap::Args)]
pub struct ProgramOptions {
    /// A built `selvedge` instead of a release build of this tree
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// A program that takes the arguments of `selvedge bench`, instead of the node's binary
    #[arg(long, value_name = "FILE")]
    generator: Option<PathBuf>,
    /// Measure what was built before
    #[arg(long)]
    no_build: bool,
}

/// Programs that are there.
struct Programs {
    selvedge: PathBuf,
    /// The generator and its first arguments.
    generator: Vec<String>,
}

impl ProgramOptions {
    fn prepare(&self) -> anyhow::Result<Programs> {
        let selvedge = match &self.binary {
            Some(binary) => std::path::absolute(binary).context("find the binary")?,
            None => {
                if !self.no_build {
                    process::run("cargo", &["build", "--locked", "--release", "--package", "selvedge"])?;
                }
                repository::target_folder().join("release/selvedge")
            }
        };
        ensure!(selvedge.is_file(), "{} is not there: build it, or name another with --binary", selvedge.display());
        let generator = match &self.generator {
            Some(program) => vec![std::path::absolute(program)?.to_string_lossy().into_owned()],
            None => vec![selvedge.to_string_lossy().into_owned(), "bench".to_owned()],
        };
        Ok(Programs { selvedge, generator })
    }
}
