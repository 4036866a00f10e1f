//! Running the generator against a measured broker, and reading its report.
//!
//! Invariant: a run that found something wrong gives its report, which says what; only a run without one is an error.

use std::process::{Command, Stdio};

use anyhow::Context as _;
use serde_json::Value;

use super::Programs;
use super::node::Node;

/// Runs `selvedge bench` with these arguments; gives its report.
pub fn run(programs: &Programs, node: &Node, arguments: &[String]) -> anyhow::Result<Value> {
    let (program, leading) = programs.generator.split_first().context("find the generator")?;
    let words: Vec<String> =
        leading.iter().chain(arguments).cloned().chain(node.arguments()).chain(["--json".to_owned()]).collect();
    let output =
        Command::new(program).args(&words).stdin(Stdio::null()).output().with_context(|| format!("start {program}"))?;
    serde_json::from_slice(&output.stdout).with_context(|| {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        format!("`{program} {}` ended with {} and said: {said}", words.join(" "), output.status)
    })
}

/// Complaints of a report.
pub fn complaints(report: &Value) -> Vec<String> {
    let list = report.get("complaints").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}
