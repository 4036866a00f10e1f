//! `cargo xtask ota-bench`: what an update of a running node costs its clients, and how long it takes to come.
//!
//! Builds node, launcher and the program `update-bench` in release; what that does stands in `tests/src/update_bench.rs`. It fails
//! when a message is lost, never because of a time.

use std::path::PathBuf;

use crate::{process, repository};

/// Arguments of `cargo xtask ota-bench`.
#[derive(clap::Args)]
pub struct Options {
    /// Each update so often
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// A built `selvedge` instead of a release build of this tree
    #[arg(long, value_name = "FILE", requires = "launcher")]
    binary: Option<PathBuf>,
    /// The `selvedge-launch` that goes with it
    #[arg(long, value_name = "FILE", requires = "binary")]
    launcher: Option<PathBuf>,
    /// Another build of `selvedge` as the second version; without one, the same with bytes behind its end
    #[arg(long, value_name = "FILE")]
    next: Option<PathBuf>,
    /// Of zstd, for what is published
    #[arg(long, default_value_t = 19)]
    level: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Measures.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let release = repository::target_folder().join("release");
    let (selvedge, launcher) = match (&options.binary, &options.launcher) {
        (Some(binary), Some(launcher)) => (std::path::absolute(binary)?, std::path::absolute(launcher)?),
        _ => {
            process::run(
                "cargo",
                &["build", "--locked", "--release", "--package", "selvedge", "--package", "selvedge-launch"],
            )?;
            (release.join("selvedge"), release.join("selvedge-launch"))
        }
    };
    process::run("cargo", &["build", "--locked", "--release", "--package", "selvedge-tests", "--bin", "update-bench"])?;
    let (rounds, level) = (options.rounds.to_string(), options.level.to_string());
    let mut words = vec!["--rounds", &rounds, "--level", &level];
    let next = options.next.as_ref().map(std::path::absolute).transpose()?;
    let next = next.map(|next| next.to_string_lossy().into_owned());
    words.extend(next.iter().flat_map(|next| ["--next", next]));
    if options.json {
        words.push("--json");
    }
    let program = release.join("update-bench");
    let environment =
        [("SELVEDGE_BIN", &*selvedge.to_string_lossy()), ("SELVEDGE_LAUNCH_BIN", &*launcher.to_string_lossy())];
    process::run_with(&program.to_string_lossy(), &words, &environment)
}
