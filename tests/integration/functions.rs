//! Functions as their authors and users see them: deployed with the command line, run on messages, kept over restarts.

use anyhow::{Context as _, ensure};
use selvedge_tests::client::{Client, Filter, Message};
use selvedge_tests::crash::functions::give;
use selvedge_tests::installed;
use selvedge_tests::node::{Node, Place};
use serde_json::Value;

fn deploy(node: &Node, folder: &str) -> anyhow::Result<()> {
    if installed::is_emulated()? {
        let name = folder.rsplit('/').next().context("a folder has a name")?;
        return give(node, "deploy", &installed::function_manifest(folder)?, &format!("{folder}/{name}.wasm"));
    }
    node.cli_succeeds(&["fn", "deploy", &installed::repository_file(folder).to_string_lossy()]).map(drop)
}

fn listening(node: &Node, filters: &[&str]) -> anyhow::Result<Client> {
    let mut client = Client::any(node.mqtt())?;
    client.connect_clean("session")?;
    let filters: Vec<Filter> = filters.iter().map(|filter| Filter::new(filter, 1)).collect();
    client.subscribe("session", &filters)?;
    Ok(client)
}

fn json(message: &Message) -> anyhow::Result<Value> {
    serde_json::from_slice(&message.payload).with_context(|| format!("read {message:?}"))
}

/// Publishes a reading in Fahrenheit and gives what arrives converted.
fn celsius(client: &mut Client, fahrenheit: f64) -> anyhow::Result<f64> {
    let reading = format!("{{\"value\": {fahrenheit}, \"unit\": \"F\"}}");
    client.publish("session", &Message::new("sensors/oven/temperature", reading, 1))?;
    let converted = client.receive("session")?;
    ensure!(converted.topic == "converted/oven/temperature", "{converted:?}");
    json(&converted)?["value"].as_f64().context("a value")
}

fn near(found: f64, expected: f64) -> bool {
    (found - expected).abs() < 1e-6
}

#[test]
fn the_example_in_rust_converts_each_message_and_raises_an_alarm_once() -> anyhow::Result<()> {
    let node = Node::start()?;
    deploy(&node, "examples/unit-alarm")?;
    let mut client = listening(&node, &["converted/#", "alarms/#"])?;
    ensure!(near(celsius(&mut client, 50.0)?, 10.0), "50 °F");
    ensure!(near(celsius(&mut client, 212.0)?, 100.0), "212 °F");
    let alarm = client.receive("session")?;
    ensure!(alarm.topic == "alarms/oven" && json(&alarm)?["state"] == "raised", "{alarm:?}");
    // Above the threshold still: a reading, and no further alarm before the next reading.
    ensure!(near(celsius(&mut client, 194.0)?, 90.0), "194 °F");
    ensure!(near(celsius(&mut client, 50.0)?, 10.0), "50 °F again");
    let cleared = client.receive("session")?;
    ensure!(cleared.topic == "alarms/oven" && json(&cleared)?["state"] == "cleared", "{cleared:?}");
    let twin = node.cli_succeeds(&["twin", "get", "oven", "--json"])?;
    ensure!(twin.contains("temperature"), "the twin was not updated: {twin}");
    Ok(())
}

#[test]
fn the_example_in_javascript_forwards_only_what_changed() -> anyhow::Result<()> {
    let node = Node::start()?;
    deploy(&node, "examples/js-deadband")?;
    let mut client = listening(&node, &["changed/#"])?;
    for reading in ["100", "101", "102", "200"] {
        client.publish("session", &Message::new("meters/m1/power", reading, 1))?;
    }
    let first = json(&client.receive("session")?)?;
    let second = json(&client.receive("session")?)?;
    ensure!(first["value"] == 100 && second["value"] == 200, "{first} then {second}");
    ensure!(second["dropped"] == 2 && second["previous"] == 100, "{second}");
    Ok(())
}

#[test]
fn a_function_and_what_it_remembers_survive_a_restart_and_a_crash() -> anyhow::Result<()> {
    let mut place = Place::new()?;
    for (life, fahrenheit, alarms) in [("first", 212.0, 1), ("restarted", 194.0, 0), ("crashed", 50.0, 1)] {
        let node = place.start()?;
        if life == "first" {
            deploy(&node, "examples/unit-alarm")?;
        }
        let mut client = listening(&node, &["converted/#", "alarms/#"])?;
        // A retained alarm of the former life comes on subscribing; a new one is not marked as retained.
        let reading = format!("{{\"value\": {fahrenheit}, \"unit\": \"F\"}}");
        client.publish("session", &Message::new("sensors/oven/temperature", reading, 1))?;
        client.publish("session", &Message::new("sensors/end/temperature", "1", 1))?;
        let mut raised = 0;
        loop {
            let message = client.receive("session")?;
            if message.topic == "converted/end/temperature" {
                break;
            }
            raised += usize::from(message.topic.starts_with("alarms/") && !message.retain);
        }
        ensure!(raised == alarms, "{life}: {raised} alarms instead of {alarms}\n{}", node.said());
        place = if life == "first" {
            let place = node.place().clone();
            ensure!(node.stop()?.success(), "it did not end well");
            place
        } else {
            node.kill()?
        };
    }
    Ok(())
}

#[test]
fn functions_are_listed_tell_what_they_logged_and_can_be_removed() -> anyhow::Result<()> {
    let node = Node::start()?;
    deploy(&node, "examples/unit-alarm")?;
    let list = node.cli_succeeds(&["fn", "list"])?;
    ensure!(list.contains("unit-alarm") && list.contains("sensors/+/temperature"), "{list}");
    let mut client = listening(&node, &["converted/#", "alarms/#"])?;
    celsius(&mut client, 212.0)?;
    client.receive("session")?;
    let logs = node.cli_succeeds(&["fn", "logs", "unit-alarm"])?;
    ensure!(logs.contains("alarm raised"), "{logs}");
    node.cli_succeeds(&["fn", "remove", "unit-alarm"])?;
    let list = node.cli_succeeds(&["fn", "list"])?;
    ensure!(!list.contains("unit-alarm"), "{list}");
    client.publish("session", &Message::new("sensors/oven/temperature", "1", 1))?;
    client.publish("session", &Message::new("converted/end", "end", 1))?;
    let next = client.receive("session")?;
    ensure!(next.topic == "converted/end", "a removed function ran: {next:?}");
    Ok(())
}

#[test]
fn a_function_whose_record_cannot_be_read_misses_nothing_until_it_can() -> anyhow::Result<()> {
    let node = Node::start()?;
    deploy(&node, "examples/unit-alarm")?;
    let place = node.kill()?;
    let record = place.data().join("functions/deployed/unit-alarm.json");
    let kept = std::fs::read(&record)?;
    std::fs::write(&record, "{")?;
    let node = place.start()?;
    let list = node.cli_succeeds(&["fn", "list"])?;
    ensure!(list.contains("broken") && list.contains("not known"), "{list}");
    let mut client = listening(&node, &["converted/#"])?;
    client.publish("session", &Message::new("sensors/oven/temperature", "1", 1))?;
    let place = node.kill()?;
    std::fs::write(&record, kept)?;
    let node = place.start()?;
    let mut client = listening(&node, &["converted/#"])?;
    client.publish("session", &Message::new("sensors/end/temperature", "2", 1))?;
    let mut topics = Vec::new();
    while topics.last().is_none_or(|topic| topic != "converted/end/temperature") {
        topics.push(client.receive("session")?.topic);
    }
    // The first came while it was broken; whether its output comes before the subscription does not matter here.
    // An invocation is counted once its effects are durable, which is when its output leaves: the last may be seen before.
    crate::eventually(|| {
        let list: Value = serde_json::from_str(&node.cli_succeeds(&["fn", "list", "--json"])?)?;
        Ok(list[0]["counters"]["ok"] == 2)
    })
    .with_context(|| node.said())
}

#[test]
fn the_session_of_a_function_that_went_in_a_crash_collects_nothing_for_nobody() -> anyhow::Result<()> {
    let node = Node::start()?;
    deploy(&node, "examples/unit-alarm")?;
    let place = node.kill()?;
    std::fs::remove_file(place.data().join("functions/deployed/unit-alarm.json"))?;
    let node = place.start()?;
    let mut client = listening(&node, &["converted/#"])?;
    client.publish("session", &Message::new("sensors/oven/temperature", "1", 1))?;
    // Asked to stop, it writes all that it has to.
    ensure!(node.stop()?.success(), "the node did not stop properly");
    let node = place.start()?;
    // The twins' session is what is left.
    crate::eventually(|| Ok(node.said().contains("sessions=1 messages=0"))).with_context(|| node.said())
}

/// Tells the hostile function what to do and gives its next reply.
fn told(client: &mut Client, order: &str) -> anyhow::Result<String> {
    client.publish("session", &Message::new("hostile/in/x", order, 1))?;
    Ok(String::from_utf8_lossy(&client.receive("session")?.payload).into_owned())
}

#[test]
fn an_invocation_that_misbehaves_ends_alone() -> anyhow::Result<()> {
    let node = Node::start()?;
    deploy(&node, "functions/tests/guests/hostile")?;
    deploy(&node, "examples/unit-alarm")?;
    let mut client = listening(&node, &["hostile/reply", "converted/#"])?;
    for misdeed in ["loop", "loop-host", "grow", "trap", "stack", "retry", "reject"] {
        client.publish("session", &Message::new("hostile/in/x", misdeed, 1))?;
        ensure!(near(celsius(&mut client, 50.0)?, 10.0), "another function during {misdeed}");
        let order = format!("echo after {misdeed}");
        let reply = told(&mut client, &order)?;
        ensure!(reply == order, "after {misdeed} it answers {reply:?}\n{}", node.said());
    }
    Ok(())
}

#[test]
fn nothing_of_an_invocation_that_traps_is_seen() -> anyhow::Result<()> {
    let node = Node::start()?;
    deploy(&node, "functions/tests/guests/hostile")?;
    let mut client = listening(&node, &["hostile/#"])?;
    client.publish("session", &Message::new("hostile/in/x", "publish-then-trap", 1))?;
    client.publish("session", &Message::new("hostile/in/x", "get must-never-be-seen", 1))?;
    loop {
        let message = client.receive("session")?;
        if message.topic == "hostile/reply" {
            ensure!(message.payload == b"none", "{message:?}");
            return Ok(());
        }
    }
}

#[test]
fn what_a_function_has_answered_for_survives_a_crash() -> anyhow::Result<()> {
    let mut place = Place::new()?;
    for life in 1..=5 {
        let node = place.start()?;
        if life == 1 {
            deploy(&node, "functions/tests/guests/hostile")?;
        }
        let mut client = listening(&node, &["hostile/reply"])?;
        let counted = told(&mut client, "add counter 1")?;
        ensure!(counted == life.to_string(), "in life {life} the counter is {counted}\n{}", node.said());
        place = node.kill()?;
    }
    Ok(())
}

#[test]
fn a_function_can_be_tried_without_a_node() -> anyhow::Result<()> {
    let place = Place::new()?;
    let folder = installed::repository_file("examples/unit-alarm");
    let message = r#"{"topic": "sensors/oven/temperature", "payload": "{\"value\": 212, \"unit\": \"F\"}"}"#;
    let output = place.command(&["fn", "test", &folder.to_string_lossy(), "--message", message])?.output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success() && said.contains("converted/oven/temperature") && said.contains("alarms/oven"),
        "{}: {said}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[test]
fn what_is_no_component_is_refused_at_deployment() -> anyhow::Result<()> {
    let node = Node::start()?;
    let folder = node.place().folder().join("broken");
    std::fs::create_dir(&folder)?;
    let manifest =
        "name = \"broken\"\nversion = \"0.1.0\"\ncomponent = \"broken.wasm\"\n\n[[trigger]]\nmqtt = \"a/#\"\n";
    std::fs::write(folder.join("function.toml"), manifest)?;
    for bytes in [b"".as_slice(), b"no wasm", b"\0asm\x01\0\0\0"] {
        std::fs::write(folder.join("broken.wasm"), bytes)?;
        let output = node.cli(&["fn", "deploy", &folder.to_string_lossy()])?;
        ensure!(!output.status.success(), "{bytes:?} was deployed");
    }
    let list = node.cli_succeeds(&["fn", "list"])?;
    ensure!(!list.contains("broken"), "{list}");
    deploy(&node, "examples/unit-alarm").context("after the refusals")?;
    Ok(())
}
