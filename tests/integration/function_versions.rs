//! Versions of a function as operators see them: published, tried on a part of the clients, taken back; over crashes and restarts.

use std::path::Path;

use anyhow::{Context as _, ensure};
use selvedge_tests::client::{Client, Filter, Message};
use selvedge_tests::node::Node;
use selvedge_tests::{http, installed};
use serde_json::Value;

/// A function that tells the colour in its manifest.
fn in_colour(folder: &Path, colour: &str) -> anyhow::Result<String> {
    const SOURCE: &str = "functions/tests/guests/hostile";
    let manifest = installed::function_manifest(SOURCE)?;
    ensure!(manifest.contains("colour = \"green\""), "{manifest}");
    let directory = folder.join(colour);
    std::fs::create_dir_all(&directory)?;
    std::fs::write(directory.join("function.toml"), manifest.replace("green", colour))?;
    std::fs::copy(installed::repository_file(SOURCE).join("hostile.wasm"), directory.join("hostile.wasm"))?;
    Ok(directory.to_string_lossy().into_owned())
}

fn listening(node: &Node) -> anyhow::Result<Client> {
    let mut client = Client::any(node.mqtt())?;
    client.connect_clean("session")?;
    client.subscribe("session", &[Filter::new("hostile/reply", 1)])?;
    Ok(client)
}

fn told(client: &mut Client, topic: &str, order: &str) -> anyhow::Result<String> {
    client.publish("session", &Message::new(topic, order, 1))?;
    Ok(String::from_utf8_lossy(&client.receive("session")?.payload).into_owned())
}

fn colour(client: &mut Client) -> anyhow::Result<String> {
    told(client, "hostile/in/x", "config colour")
}

fn json(node: &Node, arguments: &[&str]) -> anyhow::Result<Value> {
    let text = node.cli_succeeds(arguments)?;
    serde_json::from_str(&text).with_context(|| text)
}

#[test]
fn a_new_version_gets_no_message_before_it_is_given_some_and_a_roll_back_takes_them_away() -> anyhow::Result<()> {
    let node = Node::start()?;
    let folder = tempfile::tempdir()?;
    node.cli_succeeds(&["fn", "deploy", &in_colour(folder.path(), "green")?])?;
    let said = node.cli_succeeds(&["fn", "publish", &in_colour(folder.path(), "red")?])?;
    ensure!(said.contains("hostile v2 is published") && said.contains("fn alias hostile live v2"), "{said}");
    let mut client = listening(&node)?;
    ensure!(colour(&mut client)? == "green", "v2 has no messages yet");
    let said = node.cli_succeeds(&["fn", "alias", "hostile", "live", "v2"])?;
    ensure!(said.contains("hostile live: v2=100"), "{said}");
    ensure!(colour(&mut client)? == "red", "v2 has all messages");
    let context = told(&mut client, "hostile/in/x", "context")?;
    ensure!(context.contains("version=v2"), "{context}");
    let said = node.cli_succeeds(&["fn", "rollback", "hostile"])?;
    ensure!(said.contains("hostile live: v1=100"), "{said}");
    ensure!(colour(&mut client)? == "green", "v1 has them back");
    let refused = node.cli(&["fn", "rollback", "hostile"])?;
    ensure!(!refused.status.success(), "there is nothing further back");
    let table = node.cli_succeeds(&["fn", "versions", "hostile"])?;
    ensure!(table.lines().nth(1).is_some_and(|line| line.starts_with("v1 ") && line.ends_with("live=100")), "{table}");
    let list = json(&node, &["fn", "list", "--json"])?;
    // It is counted from when it was made live again.
    ensure!(list[0]["live"][0]["version"] == "v1" && list[0]["versions"][0]["counters"]["ok"] == 1, "{list}");
    Ok(())
}

#[test]
fn topics_stay_with_their_version_over_a_crash_and_a_restart() -> anyhow::Result<()> {
    let mut node = Node::start()?;
    let folder = tempfile::tempdir()?;
    node.cli_succeeds(&["fn", "deploy", &in_colour(folder.path(), "green")?])?;
    node.cli_succeeds(&["fn", "publish", &in_colour(folder.path(), "red")?])?;
    node.cli_succeeds(&["fn", "alias", "hostile", "live", "v1=50", "v2=50", "--sticky", "topic"])?;
    let colours = |node: &Node| -> anyhow::Result<Vec<String>> {
        let mut client = listening(node)?;
        (0..40).map(|topic| told(&mut client, &format!("hostile/in/{topic}"), "config colour")).collect()
    };
    let before = colours(&node)?;
    let red = before.iter().filter(|colour| *colour == "red").count();
    ensure!((5..=35).contains(&red), "{red} of 40 topics at a weight of a half");
    for way in ["crash", "restart"] {
        let place = if way == "crash" {
            node.kill()?
        } else {
            let place = node.place().clone();
            ensure!(node.stop()?.success(), "it did not end well");
            place
        };
        node = place.start()?;
        ensure!(colours(&node)? == before, "after a {way}");
    }
    let metrics = http::get(node.http(), "/metrics")?.body;
    for line in [
        "selvedge_function_version_weight{function=\"hostile\",version=\"v2\"} 50".to_owned(),
        format!("selvedge_function_version_ends_total{{function=\"hostile\",version=\"v2\",outcome=\"ok\"}} {red}"),
    ] {
        ensure!(metrics.contains(&line), "{line} is not in\n{metrics}");
    }
    Ok(())
}

#[test]
fn versions_can_be_called_by_number_and_alias_and_are_removed_when_nobody_needs_them() -> anyhow::Result<()> {
    let node = Node::start()?;
    let folder = tempfile::tempdir()?;
    for colour in ["green", "red", "blue"] {
        node.cli_succeeds(&["fn", "publish", &in_colour(folder.path(), colour)?])?;
    }
    let list = node.cli_succeeds(&["fn", "list"])?;
    ensure!(list.contains("idle"), "{list}");
    node.cli_succeeds(&["fn", "alias", "hostile", "beta", "v2"])?;
    let mut client = listening(&node)?;
    let message = r#"{"topic": "hostile/in/x", "payload": "config colour"}"#;
    for (at, colour) in [("v3", "blue"), ("beta", "red"), ("v1", "green")] {
        let ended = json(&node, &["fn", "invoke", "hostile", "--at", at, "--message", message, "--json"])?;
        ensure!(ended["outputs"] == 1, "{ended}");
        let reply = client.receive("session")?.payload;
        ensure!(reply == colour.as_bytes(), "{at} says {reply:?}");
    }
    let gone = json(&node, &["fn", "gc", "hostile", "--keep", "1", "--json"])?;
    ensure!(gone["removed"] == serde_json::json!(["v1", "v3"]), "beta needs v2: {gone}");
    let refused = node.cli(&["fn", "invoke", "hostile", "--at", "v3", "--message", message])?;
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(words.contains("there is no v3; there are v2"), "{words}");
    let versions = http::get(node.http(), "/v1/functions/hostile/versions")?;
    ensure!(versions.body.contains("\"beta\""), "{versions:?}");
    Ok(())
}
