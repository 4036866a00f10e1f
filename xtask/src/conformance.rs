//! `cargo xtask conformance`: the conformance tests against the product or another broker, with a table and a score.
//!
//! It only chooses the broker and passes on what the tests print; `tests/conformance/main.rs` says what they are.

use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::{process, repository};

/// Arguments of `cargo xtask conformance`.
#[derive(clap::Args)]
pub struct Options {
    /// A running broker, HOST:PORT, instead of the product
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "mosquitto")]
    target: Option<String>,
    /// Where that broker serves MQTT over WebSocket; left out, only TCP is tested
    #[arg(long, value_name = "HOST:PORT", requires = "target")]
    websocket: Option<String>,
    /// Debian's mosquitto, started for the tests, instead of the product
    #[arg(long)]
    mosquitto: bool,
    /// Print every test and every statement with its outcome as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the tests; one that fails is an error.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let mut environment = Vec::new();
    if let Some(target) = &options.target {
        environment.push(("SELVEDGE_CONFORMANCE_TARGET", target.as_str()));
    }
    if let Some(websocket) = &options.websocket {
        environment.push(("SELVEDGE_CONFORMANCE_WEBSOCKET", websocket.as_str()));
    }
    if options.mosquitto {
        environment.push(("SELVEDGE_CONFORMANCE_TARGET", "mosquitto"));
    } else if options.target.is_none() {
        process::run("cargo", &["build", "--locked", "-p", "selvedge"])?;
    }
    let report = repository::target_folder().join("conformance.json");
    let path = report.to_string_lossy();
    environment.push(("SELVEDGE_CONFORMANCE_REPORT", &path));
    environment.push(("RUST_LIB_BACKTRACE", "0"));
    let arguments = ["test", "--locked", "-p", "selvedge-tests", "--test", "conformance", "--", "--format", "terse"];
    if !options.json {
        return process::run_with("cargo", &arguments, &environment);
    }
    if report.exists() {
        std::fs::remove_file(&report).with_context(|| format!("remove {}", report.display()))?;
    }
    eprintln!("$ {}", process::line("cargo", &arguments, &environment));
    // What the tests print is for people; standard output is for the program that reads the JSON.
    let status = Command::new("cargo")
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(repository::root())
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .context("start cargo")?;
    let text = std::fs::read_to_string(&report).with_context(|| format!("read {}", report.display()))?;
    println!("{text}");
    if !status.success() {
        bail!("the tests ended with {status}");
    }
    Ok(())
}
