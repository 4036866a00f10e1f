//! Versions that hold: confirmed, everything kept, and the ways back.

use std::time::Duration;

use anyhow::ensure;
use selvedge_tests::client_packet::{Connect, Publish};
use selvedge_tests::supervisor::{Happening, Unit};
use selvedge_tests::update::{Gateway, Publisher, ServiceWatch, good};
use serde_json::{Value, json};

use super::{LONG, SHORT, why};

const LASTING: &str = "keeps-its-session";

/// A session that is away, a message for it, a retained message, and a twin.
fn leave_something(gateway: &Gateway) -> anyhow::Result<()> {
    let (mut away, _) = gateway.connect(&Connect::v5(LASTING).session_expiry(3600))?;
    away.subscribe("orders/#", 1)?;
    away.disconnect()?;
    let (mut sender, _) = gateway.connect(&Connect::v5("sender"))?;
    sender.publish(&Publish::new("orders/1", "before").qos(1, 1))?;
    sender.publish(&Publish::new("kept/1", "retained").qos(1, 2).retained())?;
    let twin = json!({ "state": { "desired": { "limit": 7 } } }).to_string();
    sender.publish(&Publish::new("$twin/pump/update", twin).qos(1, 3))?;
    sender.disconnect()
}

/// That it is there, with what came since.
fn is_all_there(gateway: &Gateway, since: &[&str]) -> anyhow::Result<()> {
    let (mut back, connack) = gateway.connect(&Connect::v5(LASTING).session_expiry(3600).resuming())?;
    ensure!(connack.session_present, "the session is gone");
    let payloads = back.all_payloads()?;
    let expected: Vec<&str> = [&["before"], since].concat();
    ensure!(payloads == expected, "{payloads:?} instead of {expected:?}");
    back.subscribe("kept/#", 1)?;
    let payloads = back.all_payloads()?;
    ensure!(payloads == ["retained"], "{payloads:?} is retained");
    let twin: Value = serde_json::from_str(&gateway.cli_succeeds(&["twin", "get", "pump", "--json"])?)?;
    ensure!(twin.to_string().contains("\"limit\":7"), "{twin}");
    Ok(())
}

fn publish_order(gateway: &Gateway, payload: &str) -> anyhow::Result<()> {
    let (mut sender, _) = gateway.connect(&Connect::v5("sender"))?;
    sender.publish(&Publish::new("orders/2", payload).qos(1, 1))
}

#[test]
fn a_good_version_is_confirmed_and_sessions_retained_messages_and_twins_are_kept() -> anyhow::Result<()> {
    let gateway = Gateway::start(SHORT, Unit::default())?;
    let folder = tempfile::tempdir()?;
    let (publisher, bundle) = Publisher::of_program(&good(folder.path(), "2.0.0")?, "2.0.0")?;
    gateway.trust(&publisher)?;
    leave_something(&gateway)?;
    let watch = ServiceWatch::start(gateway.ports().mqtt, Duration::from_millis(20));
    let said = gateway.cli_succeeds(&["ota", "apply", &bundle.to_string_lossy(), "--wait"])?;
    ensure!(said.contains("2.0.0 was committed"), "{said}");
    let service = watch.stop();
    ensure!(service.pauses.len() <= 1, "one pause at most, for the start of the new version: {service:?}");
    let status = gateway.status()?;
    ensure!(status["good"]["version"] == "2.0.0" && status["good"]["slot"] == status["slot"], "{status}");
    publish_order(&gateway, "after")?;
    is_all_there(&gateway, &["after"])?;
    // The same process all the time, so that nobody sees a service that failed.
    ensure!(gateway.supervisor().count(&Happening::Started) == 1, "{}", gateway.supervisor().said());
    gateway.stop().map(drop)
}

#[test]
fn a_service_manager_leaves_a_new_version_alone() -> anyhow::Result<()> {
    let unit = Unit { stop_within: Duration::from_secs(4), ..Unit::default() };
    let gateway = Gateway::start(SHORT, unit)?;
    let folder = tempfile::tempdir()?;
    let (publisher, bundle) = Publisher::of_program(&good(folder.path(), "2.0.0")?, "2.0.0")?;
    gateway.trust(&publisher)?;
    gateway.apply(&bundle)?;
    gateway.supervisor().wait_for(&Happening::Ready, 2)?;
    gateway.wait_for_end("2.0.0", "committed")?;
    // Longer than the time to stop: signs of life come every second.
    let alive = gateway.supervisor().count(&Happening::Alive);
    gateway.supervisor().wait_for(&Happening::Alive, alive + 6)?;
    let killed = gateway.supervisor().records().iter().any(|record| matches!(record.what, Happening::Killed(_)));
    ensure!(!killed, "{}", gateway.supervisor().said());
    gateway.stop().map(drop)
}

#[test]
fn the_operator_goes_back_to_the_version_before_and_back_again() -> anyhow::Result<()> {
    let gateway = Gateway::start(SHORT, Unit::default())?;
    let folder = tempfile::tempdir()?;
    let publisher = Publisher::new()?;
    gateway.trust(&publisher)?;
    let refused = gateway.cli_fails(&["ota", "rollback"])?;
    ensure!(refused.contains("there is no version to go back to"), "{refused}");
    for version in ["2.0.0", "3.0.0"] {
        publisher.add_program(&good(folder.path(), version)?, version, &[])?;
        publisher.publish()?;
        gateway.apply(&publisher.bundle(version, &[])?)?;
        gateway.wait_for_end(version, "committed")?;
    }
    ensure!(gateway.status()?["previous"]["version"] == "2.0.0", "{}", gateway.status()?);
    leave_something(&gateway)?;
    for (version, before) in [("2.0.0", "3.0.0"), ("3.0.0", "2.0.0")] {
        gateway.cli_succeeds(&["ota", "rollback"])?;
        let status = gateway.wait_for_end(version, "committed")?;
        ensure!(status["good"]["version"] == version && status["previous"]["version"] == before, "{status}");
        publish_order(&gateway, version)?;
    }
    is_all_there(&gateway, &["2.0.0", "3.0.0"])?;
    ensure!(gateway.supervisor().count(&Happening::Started) == 1, "{}", gateway.supervisor().said());
    gateway.stop().map(drop)
}

#[test]
fn during_a_probation_a_second_update_waits_and_the_operator_can_end_it() -> anyhow::Result<()> {
    let gateway = Gateway::start(LONG, Unit::default())?;
    let folder = tempfile::tempdir()?;
    let publisher = Publisher::new()?;
    gateway.trust(&publisher)?;
    let bundle = |version: &str| -> anyhow::Result<_> {
        publisher.add_program(&good(folder.path(), version)?, version, &[])?;
        publisher.publish()?;
        publisher.bundle(version, &[])
    };
    gateway.apply(&bundle("2.0.0")?)?;
    gateway.wait_until("2.0.0 is on trial", |status| status["on_trial"]["runs"] == true)?;
    let answer = gateway.apply(&bundle("3.0.0")?)?;
    let why = why(&answer, "left", "daemon/").unwrap_or_default();
    ensure!(why == "waits for the end of the probation", "{answer}");
    publish_order(&gateway, "during the probation")?;
    let status = gateway.status()?;
    ensure!(status["on_trial"]["version"] == "2.0.0", "{status}");
    gateway.cli_succeeds(&["ota", "rollback", "--wait"])?;
    let status = gateway.status()?;
    ensure!(status["slot"] == "package" && status["on_trial"].is_null(), "{status}");
    ensure!(status["last_trial"]["reason"] == "the operator ended its probation", "{status}");
    gateway.serves()?;
    gateway.stop().map(drop)
}

#[test]
fn a_power_cut_during_the_probation_costs_a_start_and_not_the_version() -> anyhow::Result<()> {
    let gateway = Gateway::start(&SHORT.replace("\"1s\"", "\"5s\""), Unit::default())?;
    let folder = tempfile::tempdir()?;
    let (publisher, bundle) = Publisher::of_program(&good(folder.path(), "2.0.0")?, "2.0.0")?;
    gateway.trust(&publisher)?;
    leave_something(&gateway)?;
    gateway.apply(&bundle)?;
    gateway.wait_until("2.0.0 is on trial", |status| status["on_trial"]["runs"] == true)?;
    publish_order(&gateway, "on trial")?;
    gateway.supervisor().signal(selvedge_tests::child::Signal::KILL)?;
    gateway.supervisor().wait_for(&Happening::Started, 2)?;
    let status = gateway.wait_for_end("2.0.0", "committed")?;
    ensure!(status["good"]["version"] == "2.0.0", "{status}");
    is_all_there(&gateway, &["on trial"])?;
    gateway.stop().map(drop)
}
