//! Functions that fail or have too much to do, and what starts them besides messages, in a real node.

use std::path::Path;

use anyhow::{Context as _, ensure};
use selvedge_tests::client::{Client, Filter, Message};
use selvedge_tests::node::{Node, Place};
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

#[test]
fn a_schedule_and_the_start_of_the_node_start_a_function() -> anyhow::Result<()> {
    let place = Place::new()?;
    let node = place.start()?;
    let folder = tempfile::tempdir()?;
    let triggers = "[[trigger]]\ncron = \"* * * * * *\"\n[[trigger]]\nstart = true\n";
    let directory = hostile(folder.path(), Some(triggers), "")?;
    let checked = node.cli_succeeds(&["fn", "check", &directory])?;
    ensure!(checked.contains("runs on cron \"* * * * * *\" UTC") && checked.contains("runs on start"), "{checked}");
    let said = node.cli_succeeds(&["fn", "deploy", &directory])?;
    ensure!(said.contains("runs on cron") && said.contains("runs on start"), "{said}");
    let mut client = listening(&node, &["$fn/cron/hostile/#", "$fn/start/#"])?;
    let mut due = Vec::new();
    for _ in 0..3 {
        let message = client.receive("session")?;
        let payload: Value = serde_json::from_slice(&message.payload)?;
        due.push(payload["due_ms"].as_i64().context("due_ms")?);
    }
    ensure!(due.iter().all(|due| due % 1000 == 0) && due.is_sorted() && due[0] < due[2], "{due:?}");
    crate::eventually(|| Ok(listed(&node)?["counters"]["ok"].as_u64() >= Some(3))).with_context(|| node.said())?;
    node.cli_succeeds(&["fn", "remove", "hostile"])?;
    let directory = hostile(folder.path(), Some("[[trigger]]\nstart = true\n"), "")?;
    node.cli_succeeds(&["fn", "deploy", &directory])?;
    ensure!(listed(&node)?["counters"]["ok"] == 0, "it starts with the node, not with its deployment");
    let place = node.kill()?;
    let node = place.start()?;
    crate::eventually(|| Ok(listed(&node)?["counters"]["ok"] == 1)).with_context(|| node.said())
}

#[test]
fn a_change_of_a_twin_starts_a_function() -> anyhow::Result<()> {
    let node = Node::start()?;
    let folder = tempfile::tempdir()?;
    let directory = hostile(folder.path(), Some("[[trigger]]\ntwin = \"pump-1\"\n"), "")?;
    node.cli_succeeds(&["fn", "deploy", &directory])?;
    let mut client = listening(&node, &["hostile/reply"])?;
    for thing in ["pump-2", "pump-1"] {
        let update = Message::new(&format!("$twin/{thing}/update"), "{\"state\": {\"reported\": {\"on\": true}}}", 1);
        client.publish("session", &update)?;
    }
    let reply = String::from_utf8(client.receive("session")?.payload)?;
    // It knows no such order, and says what it was given.
    ensure!(reply.contains("\"previous\""), "{reply}");
    crate::eventually(|| Ok(listed(&node)?["counters"]["ok"] == 1)).with_context(|| node.said())
}

#[test]
fn messages_of_a_window_come_as_one_batch_and_survive_a_crash() -> anyhow::Result<()> {
    let node = Node::start()?;
    let folder = tempfile::tempdir()?;
    let triggers = "[[trigger]]\nmqtt = \"hostile/in/+\"\nwindow = \"session\"\ngap_s = 2\nby = \"level:3\"\n";
    let directory = hostile(folder.path(), Some(triggers), "")?;
    let checked = node.cli_succeeds(&["fn", "check", &directory])?;
    ensure!(checked.contains("hostile/in/+ in windows"), "{checked}");
    node.cli_succeeds(&["fn", "deploy", &directory])?;
    let mut client = listening(&node, &["hostile/reply"])?;
    for (room, order) in [("kitchen", "1"), ("cellar", "2"), ("kitchen", "3")] {
        client.publish("session", &Message::new(&format!("hostile/in/{room}"), order, 1))?;
    }
    let place = node.kill()?;
    let node = place.start()?;
    let mut client = listening(&node, &["hostile/reply"])?;
    // It knows no such order, and says what it was given.
    let mut rooms: Vec<(String, Vec<String>)> = Vec::new();
    for _ in 0..2 {
        let reply = String::from_utf8(client.receive("session")?.payload)?;
        let (_, batch) = reply.split_once("no such command: ").with_context(|| reply.clone())?;
        let batch: Value = serde_json::from_str(batch).with_context(|| reply.clone())?;
        let messages = batch.as_array().context("a batch")?;
        let text = |message: &Value, key: &str| message[key].as_str().unwrap_or_default().to_owned();
        rooms.push((text(&messages[0], "topic"), messages.iter().map(|message| text(message, "payload")).collect()));
    }
    rooms.sort();
    let expected = [
        ("hostile/in/cellar".to_owned(), vec!["2".to_owned()]),
        ("hostile/in/kitchen".to_owned(), vec!["1".to_owned(), "3".to_owned()]),
    ];
    ensure!(rooms == expected, "{rooms:?}\n{}", node.said());
    // All of it is acknowledged: nothing comes again.
    crate::eventually(|| Ok(listed(&node)?["counters"]["ok"] == 2)).with_context(|| node.said())?;
    let place = node.kill()?;
    let node = place.start()?;
    let mut client = listening(&node, &["hostile/reply"])?;
    client.publish("session", &Message::new("hostile/in/hall", "4", 1))?;
    let reply = String::from_utf8(client.receive("session")?.payload)?;
    ensure!(reply.contains("hostile/in/hall") && !reply.contains("kitchen"), "{reply}");
    Ok(())
}
