//! Updates of a whole node: the launcher under a supervisor that plays systemd, a publisher's folder made with the command line,
//! versions that hold and versions that do not.

mod broken;
mod delivery;
mod over_mqtt;
mod polling;
mod things;
mod versions;

use std::time::Duration;

use anyhow::{Context as _, ensure};
use selvedge_tests::supervisor::Unit;
use selvedge_tests::update::Gateway;
use serde_json::Value;

/// A short probation, and two starts for a version to hold.
const SHORT: &str = "[ota]\nprobation = \"1s\"\nprobation_max = \"40s\"\ntries_max = 2\n";
/// A probation that lasts for as long as a test.
const LONG: &str = "[ota]\nprobation = \"100s\"\nprobation_max = \"200s\"\ntries_max = 2\n";

/// A unit with a short patience for what hangs.
fn impatient() -> Unit {
    Unit { start_within: Duration::from_secs(8), watchdog: Duration::from_secs(5), ..Unit::default() }
}

/// Rows of a report: those of `key` for this target, with why.
fn why(report: &Value, key: &str, path: &str) -> Option<String> {
    let rows = report[key].as_array()?;
    let row = rows.iter().find(|row| row["path"].as_str().is_some_and(|of| of.starts_with(path)))?;
    Some(row["why"].as_str().unwrap_or_default().to_owned())
}

/// That nothing is on trial and that the package is what runs.
fn is_as_before(gateway: &Gateway) -> anyhow::Result<()> {
    let status = gateway.status()?;
    let untouched = status["on_trial"].is_null() && status["good"].is_null() && status["slot"] == "package";
    ensure!(untouched, "{status}");
    gateway.serves().context("after an update that was refused")
}
