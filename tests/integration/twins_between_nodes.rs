//! Twins that several nodes write, over a real broker.

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use selvedge_tests::client::{Client, Filter};
use selvedge_tests::mosquitto::Mosquitto;
use selvedge_tests::node::{Node, Place};
use selvedge_tests::partition::{self, Plan, Round};
use serde_json::{Value, json};

use super::eventually;

/// A new group's key file and public key, in a folder that goes with the place.
fn group() -> anyhow::Result<(Place, String, String)> {
    let place = Place::new()?;
    let file = place.folder().join("group.key").to_string_lossy().into_owned();
    let output = place.command(&["twin", "group", "create", "--json", "--key", &file])?.output()?;
    let made: Value = serde_json::from_slice(&output.stdout)?;
    let public = made["group_key"].as_str().context("a public key")?.to_owned();
    Ok((place, file, public))
}

fn member(broker: SocketAddr, group_key: &str) -> anyhow::Result<Node> {
    Node::start_with(&configuration(broker, group_key))
}

fn configuration(broker: SocketAddr, group_key: &str) -> String {
    format!("[sync]\nbroker = \"mqtt://{broker}\"\ngroup_key = \"{group_key}\"\nheartbeat = \"1s\"\n")
}

fn identity(node: &Node) -> anyhow::Result<String> {
    Ok(node.cli_succeeds(&["twin", "sync", "identity"])?.trim().to_owned())
}

/// Takes all nodes in, at the first.
fn admit(nodes: &[&Node], key: &str) -> anyhow::Result<()> {
    let identities = nodes.iter().map(|node| identity(node)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut words = vec!["twin", "group", "add", "--key", key];
    words.extend(identities.iter().map(String::as_str));
    nodes.first().context("a node")?.cli_succeeds(&words)?;
    Ok(())
}

fn twin(node: &Node, thing: &str) -> anyhow::Result<Value> {
    let output = node.cli(&["twin", "get", thing, "--json"])?;
    if !output.status.success() {
        return Ok(Value::Null);
    }
    let twin: Value = serde_json::from_slice(&output.stdout)?;
    Ok(json!({ "desired": twin["desired"], "reported": twin["reported"] }))
}

fn comes_to_show(node: &Node, thing: &str, expected: &Value) -> anyhow::Result<()> {
    let mut last = Value::Null;
    eventually(|| {
        last = twin(node, thing)?;
        Ok(last == *expected)
    })
    .with_context(|| format!("{thing} shows {last}, not {expected}\n{}", node.said()))
}

fn status(node: &Node) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&node.cli_succeeds(&["twin", "sync", "status", "--json"])?)?)
}

#[test]
fn what_one_node_writes_the_others_show_and_tell_their_clients() -> anyhow::Result<()> {
    let mosquitto = Mosquitto::start()?;
    let (_place, key, public) = group()?;
    let nodes =
        [member(mosquitto.mqtt(), &public)?, member(mosquitto.mqtt(), &public)?, member(mosquitto.mqtt(), &public)?];
    admit(&nodes.each_ref(), &key)?;
    let mut client = Client::any(nodes[2].mqtt())?;
    client.connect_clean("device")?;
    client.subscribe("device", &[Filter::new("$twin/pump/update/delta", 1)])?;
    nodes[0].cli_succeeds(&["twin", "set", "pump", "desired.speed", "3"])?;
    let delta = client.receive("device")?;
    let delta: Value = serde_json::from_slice(&delta.payload)?;
    assert_eq!(delta["state"], json!({ "speed": 3 }));
    nodes[1].cli_succeeds(&["twin", "set", "pump", "reported.speed", "2"])?;
    for node in &nodes {
        comes_to_show(node, "pump", &json!({ "desired": { "speed": 3 }, "reported": { "speed": 2 } }))?;
    }
    nodes[2].cli_succeeds(&["twin", "delete", "pump"])?;
    comes_to_show(&nodes[0], "pump", &Value::Null)?;
    let group = status(&nodes[0])?["group"].take();
    assert_eq!((group["connected"].as_bool(), group["members"].as_array().map(Vec::len)), (Some(true), Some(3)));
    Ok(())
}

#[test]
fn a_node_of_the_group_can_be_the_broker_and_what_was_written_apart_comes_together() -> anyhow::Result<()> {
    let (_place, key, public) = group()?;
    let hub = Node::start()?;
    let (one, two) = (member(hub.mqtt(), &public)?, member(hub.mqtt(), &public)?);
    admit(&[&one, &two], &key)?;
    one.cli_succeeds(&["twin", "set", "pump", "desired.a", "1"])?;
    comes_to_show(&two, "pump", &json!({ "desired": { "a": 1 }, "reported": {} }))?;
    let place = two.kill()?;
    one.cli_succeeds(&["twin", "set", "pump", "desired.b", "2"])?;
    one.cli_succeeds(&["twin", "set", "other", "desired.c", "3"])?;
    let one = one.kill()?;
    let two = place.start()?;
    two.cli_succeeds(&["twin", "set", "pump", "desired.a", "null"])?;
    let one = one.start()?;
    for node in [&one, &two] {
        comes_to_show(node, "pump", &json!({ "desired": { "b": 2 }, "reported": {} }))?;
        comes_to_show(node, "other", &json!({ "desired": { "c": 3 }, "reported": {} }))?;
    }
    Ok(())
}

#[test]
fn strangers_are_refused_and_who_is_taken_out_counts_no_more() -> anyhow::Result<()> {
    let mosquitto = Mosquitto::start()?;
    let (_place, key, public) = group()?;
    let nodes = [member(mosquitto.mqtt(), &public)?, member(mosquitto.mqtt(), &public)?];
    admit(&nodes.each_ref(), &key)?;
    let stranger = member(mosquitto.mqtt(), &public)?;
    stranger.cli_succeeds(&["twin", "set", "pump", "desired.bad", "1"])?;
    nodes[0].cli_succeeds(&["twin", "set", "pump", "desired.good", "1"])?;
    comes_to_show(&nodes[1], "pump", &json!({ "desired": { "good": 1 }, "reported": {} }))?;
    // It has no policy, so it says nothing and hears nothing.
    assert_eq!(twin(&stranger, "pump")?["desired"], json!({ "bad": 1 }));
    assert!(status(&stranger)?["group"]["policy"].is_null());

    let second = identity(&nodes[1])?;
    let (number, _) = second.split_once('=').context("NODE=KEY")?;
    nodes[0].cli_succeeds(&["twin", "group", "remove", "--key", &key, number])?;
    eventually(|| Ok(status(&nodes[1])?["group"]["policy"]["version"] == 2))?;
    let output = nodes[1].cli(&["twin", "set", "pump", "desired.late", "1"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success() && said.contains("policy of the group"), "{said}");

    let output = nodes[0].cli(&["twin", "group", "remove", "--key", &key, number])?;
    ensure!(String::from_utf8_lossy(&output.stderr).contains("is no member"));
    let other = Place::new()?.folder().join("other.key").to_string_lossy().into_owned();
    std::fs::create_dir_all(std::path::Path::new(&other).parent().context("a folder")?)?;
    std::fs::write(&other, "ab".repeat(32))?;
    let output = nodes[0].cli(&["twin", "group", "remove", "--key", &other, number])?;
    ensure!(String::from_utf8_lossy(&output.stderr).contains("is not the key that signs"));
    Ok(())
}

#[test]
fn the_policy_says_which_node_writes_what() -> anyhow::Result<()> {
    let mosquitto = Mosquitto::start()?;
    let (_place, key, public) = group()?;
    let nodes = [member(mosquitto.mqtt(), &public)?, member(mosquitto.mqtt(), &public)?];
    admit(&nodes.each_ref(), &key)?;
    let first = identity(&nodes[0])?;
    let (number, _) = first.split_once('=').context("NODE=KEY")?;
    nodes[0].cli_succeeds(&["twin", "group", "allow", "--key", &key, "reported", "pump*", number])?;
    eventually(|| Ok(status(&nodes[1])?["group"]["policy"]["version"] == 2))?;
    let output = nodes[1].cli(&["twin", "set", "pump-1", "reported.speed", "2"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success() && said.contains("does not let this node write reported of \"pump-1\""), "{said}");
    nodes[0].cli_succeeds(&["twin", "set", "pump-1", "reported.speed", "2"])?;
    nodes[1].cli_succeeds(&["twin", "set", "pump-1", "desired.speed", "3"])?;
    for node in &nodes {
        comes_to_show(node, "pump-1", &json!({ "desired": { "speed": 3 }, "reported": { "speed": 2 } }))?;
    }
    let shown = nodes[1].cli_succeeds(&["twin", "group", "show"])?;
    ensure!(shown.contains(&format!("reported of pump* is written by {number}")), "{shown}");
    Ok(())
}

#[test]
fn a_broker_that_does_not_let_the_node_in_is_told_of() -> anyhow::Result<()> {
    let (_place, _, public) = group()?;
    let nowhere = member("127.0.0.1:1".parse()?, &public)?;
    let trouble = |node: &Node| -> anyhow::Result<String> {
        Ok(status(node)?["group"]["trouble"].as_str().unwrap_or_default().to_owned())
    };
    eventually(|| Ok(trouble(&nowhere)?.contains("connect to 127.0.0.1:1")))?;
    let shown = nowhere.cli_succeeds(&["twin", "sync", "status"])?;
    ensure!(shown.contains("connect to 127.0.0.1:1") && shown.contains("policy  none yet"), "{shown}");
    // It is a node all the same.
    nowhere.cli_succeeds(&["twin", "set", "pump", "desired.a", "1"])?;

    let place = Place::with_configuration(&configuration("127.0.0.1:1".parse()?, &"ab".repeat(32)))?;
    place.start()?.stop()?;
    std::fs::write(place.folder().join("selvedge.toml"), configuration("127.0.0.1:1".parse()?, &"cd".repeat(32)))?;
    let error = place.start().err().context("a node of another group starts")?;
    ensure!(format!("{error:#}").contains("belong to the group of the key abab"), "{error:#}");
    Ok(())
}

#[test]
fn nodes_agree_after_cut_wires_and_kills() -> anyhow::Result<()> {
    let plan = Plan { rounds: 1, seconds: 10, seed: 5 };
    let Some(rounds) = partition::run(&plan, &mut |text| println!("{text}"))? else { return Ok(()) };
    assert!(rounds.iter().all(Round::is_good), "{}", partition::print(&rounds));
    let broken = rounds.iter().map(|round| round.cuts + round.kills).sum::<u32>();
    let written = rounds.iter().map(|round| round.acknowledged).sum::<u64>();
    assert!(broken > 0 && written > 0, "{}", partition::print(&rounds));
    Ok(())
}
