//! A new version on its way to live, as its author sees it: recorded, replayed, refused, in the shadow, on trial, explained.

use std::process::Stdio;

use anyhow::{Context as _, ensure};
use selvedge_tests::client::{Client, Filter, Message};
use selvedge_tests::function_trials::{celsius, with_fault};
use selvedge_tests::node::Node;
use selvedge_tests::{http, installed};
use serde_json::Value;

fn json(node: &Node, arguments: &[&str]) -> anyhow::Result<Value> {
    let text = node.cli_succeeds(arguments)?;
    serde_json::from_str(&text).with_context(|| text)
}

struct Readings {
    client: Client,
    sent: u32,
}

impl Readings {
    fn begin(node: &Node) -> anyhow::Result<Self> {
        let mut client = Client::any(node.mqtt())?;
        client.connect_clean("session")?;
        client.subscribe("session", &[Filter::new("celsius", 1)])?;
        Ok(Self { client, sent: 0 })
    }

    /// Sends a reading and waits for the answer.
    fn one(&mut self) -> anyhow::Result<Value> {
        self.sent += 1;
        let reading = format!("oven {}.5", self.sent % 100);
        self.client.publish("session", &Message::new("fahrenheit", reading, 1))?;
        Ok(serde_json::from_slice(&self.client.receive("session")?.payload)?)
    }
}

#[test]
fn a_version_is_tried_on_what_really_came_before_it_goes_live() -> anyhow::Result<()> {
    let node = Node::start()?;
    let folder = tempfile::tempdir()?;
    node.cli_succeeds(&["fn", "deploy", &celsius(folder.path(), "none")?])?;
    let mut readings = Readings::begin(&node)?;
    for _ in 0..12 {
        readings.one()?;
    }

    let recordings = json(&node, &["fn", "recordings", "celsius", "--json"])?;
    let recorded = recordings["recordings"].as_array().context("recordings")?;
    ensure!(recorded.len() == 12 && recorded[11]["context"]["matched_filter"] == "fahrenheit", "{recordings}");
    let run = recorded[11]["invocation_id"].as_str().context("a run")?;
    let said = node.cli_succeeds(&["fn", "replay", run])?;
    ensure!(said.contains("the same, byte for byte"), "{said}");

    let broken = celsius(folder.path(), "unit")?;
    node.cli_succeeds(&["fn", "publish", &broken])?;
    let refused = node.cli(&["fn", "promote", "celsius", "v2"])?;
    let said = String::from_utf8_lossy(&refused.stdout);
    ensure!(refused.status.code() == Some(1), "{said}");
    for expected in [
        "12 recorded messages, v1 (live) and v2",
        "12 (100.0 %)",
        "12 × message 1 payload /celsius",
        "refused: 100.0 %",
    ] {
        ensure!(said.contains(expected), "{expected:?} is not in\n{said}");
    }
    let said = node.cli_succeeds(&["fn", "replay", run, "--at", "v2"])?;
    ensure!(said.contains("not the same") && said.contains("message 1 payload /celsius: "), "{said}");

    let file = folder.path().join("recordings.jsonl");
    let file = file.to_string_lossy();
    node.cli_succeeds(&["fn", "recordings", "celsius", "--save", &file])?;
    let tested = node.cli(&["fn", "test", &broken, "--recording", &file])?;
    let said = String::from_utf8_lossy(&tested.stdout);
    ensure!(tested.status.code() == Some(1) && said.contains("changed celsius-"), "{said}");
    let said = node.cli_succeeds(&["fn", "test", &celsius(folder.path(), "none")?, "--recording", &file])?;
    ensure!(said.lines().count() == 12 && said.lines().all(|line| line.starts_with("same ")), "{said}");

    let promoted = json(&node, &["fn", "promote", "celsius", "v2", "--changed", "100", "--slower", "1000", "--json"])?;
    ensure!(promoted["promoted"] == true && promoted["pointed"]["shares"][0]["version"] == "v2", "{promoted}");
    // The next number is 33.5 or so: forty and more in Fahrenheit would be single digits in Celsius.
    let told = readings.one()?;
    ensure!(told["celsius"].as_f64() == Some(13.5), "v2 forgets to convert: {told}");
    node.cli_succeeds(&["fn", "rollback", "celsius"])?;
    let told = readings.one()?;
    ensure!(told["celsius"].as_f64() == Some(-9.72), "v1 converts: {told}");
    Ok(())
}

#[test]
fn a_shadow_is_told_apart_and_a_canary_goes_back_by_itself() -> anyhow::Result<()> {
    let node = Node::start()?;
    let folder = tempfile::tempdir()?;
    node.cli_succeeds(&["fn", "deploy", &celsius(folder.path(), "none")?])?;
    let mut readings = Readings::begin(&node)?;
    node.cli_succeeds(&["fn", "publish", &celsius(folder.path(), "field")?])?;
    node.cli_succeeds(&["fn", "shadow", "celsius", "v2"])?;
    for _ in 0..5 {
        ensure!(readings.one()?["sensor"] == "oven", "the shadow has no effects");
    }
    crate::eventually(|| {
        let said = node.cli_succeeds(&["fn", "shadow", "celsius"])?;
        Ok(said.contains("v2: 5 messages compared, 5 changed, 0 newly failed")
            && said.contains("5 × message 1 payload /sensor"))
    })?;
    node.cli_succeeds(&["fn", "shadow", "celsius", "--off"])?;

    let mut events = Client::any(node.mqtt())?;
    events.connect_clean("events")?;
    events.subscribe("events", &[Filter::new("$fn/event/celsius/canary-rolled-back", 1)])?;
    let said = node.cli_succeeds(&["fn", "canary", "celsius", "v2", "--percent", "30", "--slower", "1000"])?;
    ensure!(said.contains("v1=70 v2=30"), "{said}");
    let said = node.cli_succeeds(&["fn", "canary", "celsius"])?;
    ensure!(said.starts_with("v2 beside v1, 30 % of the messages"), "{said}");
    let live = || -> anyhow::Result<Value> { Ok(json(&node, &["fn", "list", "--json"])?[0]["live"].clone()) };
    let mut sent = 0;
    while live()?.as_array().is_some_and(|live| live.len() == 2) {
        readings.one()?;
        sent += 1;
        ensure!(sent < 500, "no verdict after {sent} readings");
    }
    ensure!(live()?[0]["version"] == "v1", "{}", live()?);
    let event: Value = serde_json::from_slice(&events.receive("events")?.payload)?;
    let reason = event["reason"].as_str().context("a reason")?;
    ensure!(reason.contains("had another output than v1's"), "{event}");
    let logs = node.cli_succeeds(&["fn", "logs", "celsius"])?;
    ensure!(logs.contains("canary v2 goes back"), "{logs}");
    let metrics = http::get(node.http(), "/metrics")?.body;
    ensure!(metrics.contains("selvedge_function_canaries_rolled_back_total{function=\"celsius\"} 1"), "{metrics}");
    for _ in 0..5 {
        ensure!(readings.one()?["sensor"] == "oven", "all messages are v1's again");
    }
    Ok(())
}

#[test]
fn what_came_of_a_message_is_explained_through_all_functions() -> anyhow::Result<()> {
    let node = Node::start()?;
    let folder = tempfile::tempdir()?;
    node.cli_succeeds(&["fn", "deploy", &celsius(folder.path(), "none")?])?;
    node.cli_succeeds(&["fn", "deploy", &with_fault(folder.path(), "none", ("second", "celsius"))?])?;
    let mut readings = Readings::begin(&node)?;
    readings.one()?;
    let mut recordings = Value::Null;
    crate::eventually(|| {
        recordings = json(&node, &["fn", "recordings", "second", "--json"])?["recordings"].take();
        Ok(recordings.as_array().is_some_and(|recordings| recordings.len() == 1))
    })?;
    let cause = recordings[0]["context"]["caused_by"].as_str().context("a cause")?;
    let said = node.cli_succeeds(&["explain", cause])?;
    for expected in [
        "ran v1 by alias live, attempt 1",
        "on       [fahrenheit] oven 1.5",
        "matched fahrenheit",
        "came to  [celsius]",
        "led to",
        "second-",
        "reject: expected: SENSOR FAHRENHEIT",
    ] {
        ensure!(said.contains(expected), "{expected:?} is not in\n{said}");
    }
    let refused = node.cli(&["explain", "celsius-999999"])?;
    let said = String::from_utf8_lossy(&refused.stderr);
    ensure!(!refused.status.success() && said.contains("selvedge fn recordings celsius"), "{said}");
    Ok(())
}

#[test]
fn a_function_is_tested_with_lines_of_topics_and_payloads() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let directory = celsius(folder.path(), "none")?;
    let mut child = std::process::Command::new(installed::selvedge()?)
        .args(["fn", "test", &directory])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    std::io::Write::write_all(
        &mut child.stdin.take().context("input")?,
        b"[fahrenheit] oven 212\n\n[fahrenheit] nothing\n",
    )?;
    let output = child.wait_with_output()?;
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(
        said.starts_with("[celsius] {\"sensor\":\"oven\",\"celsius\":100.00,") && said.lines().count() == 1,
        "{said}{errors}"
    );
    ensure!(
        errors.contains("reject: expected: SENSOR FAHRENHEIT") && errors.contains("1 of 2 messages failed"),
        "{errors}"
    );
    Ok(())
}
