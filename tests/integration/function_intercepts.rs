//! Functions in the way of messages, in a real node with real clients.

use std::path::Path;

use anyhow::ensure;
use selvedge_tests::client::{Client, Connect, Filter, Message, Program, Transport, Version};
use selvedge_tests::node::{Node, Place};
use selvedge_tests::{http, installed};

/// The answering function in the way of `in/#`, with these lines in its trigger.
fn intercepting(folder: &Path, name: &str, trigger: &str) -> anyhow::Result<String> {
    let source = installed::repository_file("functions/tests/guests/answering");
    let manifest = format!(
        "name = \"{name}\"\ncomponent = \"answering.wasm\"\n[[trigger]]\nmqtt = \"in/#\"\nmode = \"intercept\"\n{trigger}\n\
         [limits]\nmemory_bytes = \"8MiB\"\ntimeout_ms = 5000\n[retry]\nattempts = 1\n[grants]\nintercept = true\n"
    );
    std::fs::write(folder.join("function.toml"), manifest)?;
    std::fs::copy(source.join("answering.wasm"), folder.join("answering.wasm"))?;
    Ok(folder.to_string_lossy().into_owned())
}

fn deploy(node: &Node, name: &str, trigger: &str) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    node.cli_succeeds(&["fn", "deploy", &intercepting(folder.path(), name, trigger)?]).map(drop)
}

fn started(trigger: &str) -> anyhow::Result<Node> {
    let node = Node::start()?;
    deploy(&node, "gate", trigger)?;
    Ok(node)
}

fn listening(node: &Node, version: Version, filter: &str) -> anyhow::Result<Client> {
    let mut client = Client::start(Program::Paho, version, Transport::Tcp, node.mqtt())?;
    client.connect_clean("session")?;
    client.subscribe("session", &[Filter::new(filter, 2)])?;
    Ok(client)
}

/// A client that says so when a publication is refused.
fn telling(node: &Node) -> anyhow::Result<Client> {
    let mut client = Client::start(Program::MqttJs, Version::V5, Transport::Tcp, node.mqtt())?;
    client.connect_clean("session")?;
    client.subscribe("session", &[Filter::new("#", 2)])?;
    Ok(client)
}

fn publish(client: &mut Client, topic: &str, payload: &str, qos: u8) -> anyhow::Result<()> {
    client.publish("session", &Message::new(topic, payload, qos))
}

fn text(message: &Message) -> String {
    String::from_utf8_lossy(&message.payload).into_owned()
}

#[test]
fn messages_of_each_quality_are_changed_rerouted_and_dropped_before_anybody_gets_them() -> anyhow::Result<()> {
    let node = started("on_failure = \"drop\"\ntimeout_ms = 1000")?;
    for version in [Version::V311, Version::V5] {
        let mut client = listening(&node, version, "#")?;
        for qos in 0..=2 {
            publish(&mut client, "in/a", "upper", qos)?;
            let changed = client.receive("session")?;
            ensure!(
                (changed.topic.as_str(), text(&changed).as_str()) == ("in/a", "UPPER"),
                "{version} {qos}: {changed:?}"
            );
            publish(&mut client, "in/a", "to other/topic", qos)?;
            ensure!(client.receive("session")?.topic == "other/topic", "{version} {qos}");
            publish(&mut client, "in/a", "nothing", qos)?;
            publish(&mut client, "in/a", "as it is", qos)?;
            let same = client.receive("session")?;
            ensure!(text(&same) == "as it is" && same.qos == qos, "{version} {qos}: {same:?}");
            publish(&mut client, "in/a", "twice", qos)?;
            let both = [text(&client.receive("session")?), text(&client.receive("session")?)];
            ensure!(both == ["twice", "second"], "{version} {qos}: {both:?}");
        }
    }
    let metrics = http::get(node.http(), "/metrics")?.body;
    let expected = "selvedge_function_intercepts_total{function=\"gate\",outcome=\"passed\"} 6";
    ensure!(metrics.contains(expected), "{metrics}");
    Ok(())
}

#[test]
fn a_replacement_is_authorized_for_the_client() -> anyhow::Result<()> {
    let node = started("on_failure = \"drop\"\ntimeout_ms = 1000")?;
    let mut client = telling(&node)?;
    // Nobody but the node writes there; the client is told.
    let refused = publish(&mut client, "in/a", "to $SYS/x", 1);
    ensure!(refused.is_err(), "it was published");
    publish(&mut client, "in/a", "on", 1)?;
    ensure!(text(&client.receive("session")?) == "on", "it goes on");
    Ok(())
}

#[test]
fn a_failure_passes_or_drops_as_the_manifest_says() -> anyhow::Result<()> {
    let node = started("on_failure = \"pass\"\ntimeout_ms = 500")?;
    let mut client = telling(&node)?;
    for misdeed in ["trap", "loop", "retry"] {
        publish(&mut client, "in/a", misdeed, 1)?;
        ensure!(text(&client.receive("session")?) == misdeed, "{misdeed} passes");
    }
    deploy(&node, "gate", "on_failure = \"drop\"\ntimeout_ms = 500")?;
    for misdeed in ["trap", "loop", "retry", "reject"] {
        ensure!(publish(&mut client, "in/a", misdeed, 1).is_err(), "{misdeed} is acknowledged as if all were well");
    }
    publish(&mut client, "in/a", "on", 1)?;
    ensure!(text(&client.receive("session")?) == "on", "it goes on");
    node.cli_succeeds(&["fn", "remove", "gate"])?;
    publish(&mut client, "in/a", "upper", 1)?;
    ensure!(text(&client.receive("session")?) == "upper", "a removed function is in nobody's way");
    Ok(())
}

#[test]
fn several_functions_are_asked_in_order() -> anyhow::Result<()> {
    let node = Node::start()?;
    deploy(&node, "later", "on_failure = \"drop\"\ntimeout_ms = 1000\norder = 2")?;
    deploy(&node, "sooner", "on_failure = \"drop\"\ntimeout_ms = 1000\norder = 1")?;
    let mut client = listening(&node, Version::V5, "#")?;
    // The first doubles it; the second sees both, and knows what `second` is as little as anybody.
    publish(&mut client, "in/a", "twice", 1)?;
    let texts: Vec<String> =
        (0..3).map(|_| client.receive("session").map(|message| text(&message))).collect::<Result<_, _>>()?;
    ensure!(texts == ["twice", "second", "second"], "{texts:?}");
    Ok(())
}

#[test]
fn a_slow_function_holds_nobody_else_up() -> anyhow::Result<()> {
    let node = started("on_failure = \"pass\"\ntimeout_ms = 1000")?;
    let mut client = listening(&node, Version::V5, "#")?;
    let mut slow = Client::any(node.mqtt())?;
    slow.connect_clean("slow")?;
    slow.publish("slow", &Message::new("in/a", "wait 900", 0))?;
    for number in 0..5 {
        publish(&mut client, "other", &number.to_string(), 1)?;
        ensure!(text(&client.receive("session")?) == number.to_string(), "{number}");
    }
    // As it came, where the machine is so busy that the time was over.
    ensure!(text(&client.receive("session")?).starts_with("wait"), "the slow one arrives as well, behind them");
    Ok(())
}

#[test]
fn a_thousand_messages_keep_their_order() -> anyhow::Result<()> {
    let node = started("on_failure = \"drop\"\ntimeout_ms = 1000")?;
    let mut client = Client::any(node.mqtt())?;
    client.connect_clean("session")?;
    // With QoS 2 a client shows a message when its handshake is over, which others pass by.
    client.subscribe("session", &[Filter::new("in/#", 1)])?;
    let mut sender = Client::start(Program::MqttJs, Version::V5, Transport::Ws, node.websocket())?;
    sender.connect_clean("sender")?;
    for number in 0..1000 {
        sender.publish("sender", &Message::new("in/a", number.to_string(), (number % 3) as u8))?;
    }
    for number in 0..1000 {
        ensure!(text(&client.receive("session")?) == number.to_string(), "message {number}");
    }
    Ok(())
}

#[test]
fn a_will_goes_the_same_way_and_shared_subscribers_get_what_comes_out() -> anyhow::Result<()> {
    let node = started("on_failure = \"drop\"\ntimeout_ms = 1000")?;
    let mut client = listening(&node, Version::V5, "$share/group/#")?;
    client.connect("leaver", &Connect::clean("leaver").with_will(&Message::new("in/gone", "upper", 1)))?;
    client.kill("leaver")?;
    let will = client.receive("session")?;
    ensure!((will.topic.as_str(), text(&will).as_str()) == ("in/gone", "UPPER"), "{will:?}");
    Ok(())
}

#[test]
fn what_was_acknowledged_after_it_was_looked_at_survives_a_crash() -> anyhow::Result<()> {
    let place = Place::new()?;
    let node = place.start()?;
    deploy(&node, "gate", "on_failure = \"drop\"\ntimeout_ms = 1000")?;
    let mut client = Client::any(node.mqtt())?;
    client.connect("reader", &Connect::lasting("reader", 600))?;
    client.subscribe("reader", &[Filter::new("in/#", 1)])?;
    client.disconnect("reader")?;
    client.connect_clean("session")?;
    publish(&mut client, "in/a", "upper", 1)?;
    publish(&mut client, "in/a", "count passed", 2)?;
    let place = node.kill()?;
    let node = place.start()?;
    let mut client = Client::any(node.mqtt())?;
    client.connect("reader", &Connect::lasting("reader", 600))?;
    let texts = [text(&client.receive("reader")?), text(&client.receive("reader")?)];
    ensure!(texts == ["UPPER", "1"], "{texts:?}\n{}", node.said());
    // The function is in the way again before clients come.
    client.connect_clean("session")?;
    publish(&mut client, "in/a", "count passed", 1)?;
    ensure!(text(&client.receive("reader")?) == "2", "{}", node.said());
    Ok(())
}

#[test]
fn what_stands_in_the_way_needs_a_grant_and_is_told() -> anyhow::Result<()> {
    let node = Node::start()?;
    let folder = tempfile::tempdir()?;
    let directory = intercepting(folder.path(), "gate", "on_failure = \"drop\"\ntimeout_ms = 50")?;
    let checked = node.cli_succeeds(&["fn", "check", &directory])?;
    ensure!(checked.contains("runs on in/# before anybody gets it, 50 ms, then drop"), "{checked}");
    let path = folder.path().join("function.toml");
    let manifest = std::fs::read_to_string(&path)?.replace("intercept = true\n", "");
    std::fs::write(&path, manifest)?;
    let output = node.cli(&["fn", "deploy", &directory])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success() && said.contains("add intercept = true to [grants]"), "{said}");
    Ok(())
}
