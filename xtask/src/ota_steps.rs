//! `cargo xtask ota-steps`: an update that is stopped anywhere leaves the old program or the new one, whole.
//!
//! What it does stands in `tests/src/ota`; a small run of it is among the tests (`tests/crash/main.rs`). It fails when anything
//! else is left, or when an update was called done and was not. Times do not matter here, so it takes the development build.

use crate::{process, repository};

/// Arguments of `cargo xtask ota-steps`.
#[derive(clap::Args)]
pub struct Options {
    /// Only these parts: update, launcher (killed at each system call), power-cut (at each change of the disk)
    #[arg(long, value_delimiter = ',')]
    parts: Vec<String>,
    /// Stops at the first step, then at so many later, and so on
    #[arg(long, default_value_t = 1, value_name = "STEPS")]
    every: u64,
    /// For each cut, how many random parts of what was not durable survive, one after the other
    #[arg(long, default_value_t = 7)]
    mixes: u64,
    /// Where the random numbers begin
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What is broken on purpose, which has to fail: copy, fsync, directory-fsync or every-fsync
    #[arg(long, value_name = "WHAT")]
    r#break: Option<String>,
    /// Print the numbers as JSON
    #[arg(long)]
    json: bool,
}

/// Stops updates.
pub fn run(options: &Options) -> anyhow::Result<()> {
    process::run("cargo", &["build", "--locked", "--package", "selvedge", "--package", "selvedge-launch"])?;
    process::run("cargo", &["build", "--locked", "--package", "selvedge-tests", "--bin", "ota-steps"])?;
    let debug = repository::target_folder().join("debug");
    let [every, mixes, seed] = [options.every, options.mixes, options.seed].map(|number| number.to_string());
    let mut words = vec!["--every", &every, "--mixes", &mixes, "--seed", &seed];
    let parts = options.parts.join(",");
    if !parts.is_empty() {
        words.extend(["--parts", &parts]);
    }
    words.extend(options.r#break.iter().flat_map(|what| ["--break", what]));
    if options.json {
        words.push("--json");
    }
    let [program, selvedge] = ["ota-steps", "selvedge"].map(|name| debug.join(name).to_string_lossy().into_owned());
    process::run_with(&program, &words, &[("SELVEDGE_BIN", &selvedge)])
}
