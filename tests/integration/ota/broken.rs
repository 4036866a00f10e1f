//! Versions that do not hold: the one before comes back by itself, says why, and keeps what was there.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use selvedge_tests::supervisor::{Happening, Why};
use selvedge_tests::update::{Broken, Gateway, Publisher, ServiceWatch, broken, good};

use super::{SHORT, impatient, is_as_before, why};

const VERSION: &str = "9.9.9";

/// A version that does not hold comes, and goes; gives the gateway, on which the package runs again.
fn comes_and_goes(how: Broken) -> anyhow::Result<(Gateway, Publisher)> {
    let gateway = Gateway::start(SHORT, impatient())?;
    let folder = tempfile::tempdir()?;
    let (publisher, bundle) = Publisher::of_program(&broken(folder.path(), how)?, VERSION)?;
    gateway.trust(&publisher)?;
    let watch = ServiceWatch::start(gateway.ports().mqtt, Duration::from_millis(20));
    let said = gateway.cli_fails(&["ota", "apply", &bundle.to_string_lossy(), "--wait"])?;
    ensure!(said.contains("the new version was taken back: it was started 2 times and never confirmed"), "{said}");
    let status = gateway.wait_for_end(VERSION, "rolled-back").context("the version goes by itself")?;
    gateway.wait_until("the package is back", |status| status["slot"] == "package")?;
    gateway.serves()?;
    let service = watch.stop();
    ensure!(service.pauses.len() == 1, "one pause, while it was tried: {service:?}");
    let reason = status["last_trial"]["reason"].as_str().unwrap_or_default();
    ensure!(reason == "it was started 2 times and never confirmed", "{reason:?}");
    Ok((gateway, publisher))
}

fn kills(gateway: &Gateway, why: Why) -> usize {
    gateway.supervisor().count(&Happening::Killed(why))
}

#[test]
fn a_version_that_crashes_at_once_is_taken_back() -> anyhow::Result<()> {
    let (gateway, _publisher) = comes_and_goes(Broken::Crashes)?;
    let ended = gateway.supervisor().count(&Happening::Ended("exit status: 3".to_owned()));
    ensure!(ended == 2, "{}", gateway.supervisor().said());
    gateway.stop().map(drop)
}

#[test]
fn a_version_that_never_gets_ready_is_taken_back() -> anyhow::Result<()> {
    let (gateway, _publisher) = comes_and_goes(Broken::NeverReady)?;
    // The first start is in a process that was ready before; there its silence tells.
    let (silent, unready) = (kills(&gateway, Why::Watchdog), kills(&gateway, Why::Start));
    ensure!((silent, unready) == (1, 1), "{}", gateway.supervisor().said());
    gateway.stop().map(drop)
}

#[test]
fn a_version_that_says_it_is_ready_and_falls_silent_is_taken_back() -> anyhow::Result<()> {
    let (gateway, _publisher) = comes_and_goes(Broken::FallsSilent)?;
    ensure!(kills(&gateway, Why::Watchdog) == 2, "{}", gateway.supervisor().said());
    gateway.stop().map(drop)
}

#[test]
fn a_version_that_gets_ready_and_dies_is_taken_back_and_a_better_one_follows() -> anyhow::Result<()> {
    let (gateway, publisher) = comes_and_goes(Broken::ReadyThenDies)?;
    let folder = tempfile::tempdir()?;
    publisher.add_program(&good(folder.path(), "10.0.0")?, "10.0.0", &[])?;
    publisher.publish()?;
    gateway.apply(&publisher.bundle("better", &[])?)?;
    let status = gateway.wait_for_end("10.0.0", "committed")?;
    ensure!(status["good"]["version"] == "10.0.0", "{status}");
    gateway.stop().map(drop)
}

#[test]
fn a_version_that_fails_before_it_is_tried_is_never_tried() -> anyhow::Result<()> {
    let gateway = Gateway::start(SHORT, impatient())?;
    let folder = tempfile::tempdir()?;
    let (publisher, bundle) = Publisher::of_program(&broken(folder.path(), Broken::FailsPreflight)?, VERSION)?;
    gateway.trust(&publisher)?;
    let watch = ServiceWatch::start(gateway.ports().mqtt, Duration::from_millis(20));
    let said = gateway.cli_fails(&["ota", "apply", &bundle.to_string_lossy()])?;
    ensure!(said.contains("this version does not take the configuration"), "{said}");
    let status = gateway.status()?;
    ensure!(status["refused"].to_string().contains("does not take the configuration"), "{status}");
    let failed = why(&status["last"]["report"], "failed", "daemon/");
    ensure!(failed.is_some_and(|why| why.contains("does not run here")), "{status}");
    is_as_before(&gateway)?;
    let service = watch.stop();
    ensure!(service.refused == 0, "nobody notices: {service:?}");
    gateway.stop().map(drop)
}
