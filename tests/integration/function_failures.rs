//! Functions that fail or have too much to do, and what starts them besides messages, in a real node.

use std::path::Path;

use anyhow::{Context as _, ensure};
use selvedge_tests::client::{Client, Filter, Message};
use selvedge_tests::node::Node;
use selvedge_tests::{http, installed};
use serde_json::Value;

/// The hostile function with more in its manifest and other triggers, if any.
fn hostile(folder: &Path, triggers: Option<&str>, more: &str) -> anyhow::Result<String> {
    let source = installed::repository_file("functions/tests/guests/hostile");
    let mut manifest = std::fs::read_to_string(source.join("function.toml"))?;
    if let Some(triggers) = triggers {
        let usual = "[[trigger]]\nmqtt = \"hostile/in/#\"\n";
        ensure!(manifest.contains(usual), "{manifest}");
        manifest = manifest.replace(usual, triggers);
    }
    std::fs::write(folder.join("function.toml"), format!("{manifest}\n{more}"))?;
    std::fs::copy(source.join("hostile.wasm"), folder.join("hostile.wasm"))?;
    Ok(folder.to_string_lossy().into_owned())
}

fn listening(node: &Node, filters: &[&str]) -> anyhow::Result<Client> {
    let mut client = Client::any(node.mqtt())?;
    client.connect_clean("session")?;
    let filters: Vec<Filter> = filters.iter().map(|filter| Filter::new(filter, 1)).collect();
    client.subscribe("session", &filters)?;
    Ok(client)
}

fn order(client: &mut Client, order: &str) -> anyhow::Result<()> {
    client.publish("session", &Message::new("hostile/in/x", order, 1))
}

fn listed(node: &Node) -> anyhow::Result<Value> {
    let text = node.cli_succeeds(&["fn", "list", "--json"])?;
    let list: Value = serde_json::from_str(&text).with_context(|| text)?;
    Ok(list[0].clone())
}

#[test]
fn a_message_that_is_given_up_is_a_dead_letter_and_is_not_delivered_again() -> anyhow::Result<()> {
    let node = Node::start()?;
    let folder = tempfile::tempdir()?;
    let more = "[retry]\nattempts = 2\nbackoff_ms = 1\ndead_letter = \"dead/hostile\"";
    node.cli_succeeds(&["fn", "deploy", &hostile(folder.path(), None, more)?])?;
    let mut client = listening(&node, &["dead/#", "hostile/reply"])?;
    order(&mut client, "trap")?;
    let letter = client.receive("session")?;
    ensure!(letter.topic == "dead/hostile" && letter.payload == b"trap", "{letter:?}");
    order(&mut client, "echo on")?;
    ensure!(client.receive("session")?.payload == b"echo on", "the function goes on");
    let place = node.kill()?;
    let node = place.start()?;
    let mut client = listening(&node, &["dead/#", "hostile/reply"])?;
    order(&mut client, "echo after the crash")?;
    let next = client.receive("session")?;
    ensure!(next.payload == b"echo after the crash", "what was given up came again: {next:?}");
    Ok(())
}

#[test]
fn an_open_circuit_is_seen_everywhere_and_closes_when_the_function_works_again() -> anyhow::Result<()> {
    let node = Node::start()?;
    let folder = tempfile::tempdir()?;
    let more = "[retry]\nattempts = 1\n[circuit]\nprobe_after_s = 2";
    node.cli_succeeds(&["fn", "deploy", &hostile(folder.path(), None, more)?])?;
    let mut client = listening(&node, &["$fn/event/#", "hostile/reply"])?;
    for _ in 0..3 {
        order(&mut client, "trap")?;
    }
    let opened = client.receive("session")?;
    ensure!(opened.topic == "$fn/event/hostile/circuit-opened", "{opened:?}");
    let detail: Value = serde_json::from_slice(&opened.payload)?;
    ensure!(detail["reason"] == "3 messages in a row failed" && detail["version"] == "v1", "{detail}");
    let list = node.cli_succeeds(&["fn", "list"])?;
    ensure!(list.contains(" open "), "{list}");
    let metrics = http::get(node.http(), "/metrics")?.body;
    ensure!(metrics.contains("selvedge_function_circuits_open{function=\"hostile\"} 1"), "{metrics}");
    order(&mut client, "echo waits")?;
    let mut topics = [client.receive("session")?.topic, client.receive("session")?.topic];
    topics.sort();
    ensure!(topics == ["$fn/event/hostile/circuit-closed", "hostile/reply"], "{topics:?}");
    ensure!(listed(&node)?["circuit"] == "closed", "{}", listed(&node)?);
    Ok(())
}
