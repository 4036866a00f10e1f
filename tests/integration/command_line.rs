//! `selvedge pub` and `selvedge sub` against the node and against mosquitto, with mosquitto's flags.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Output, Stdio};

use anyhow::{Context as _, ensure};
use selvedge_tests::client::Version::{V5, V311};
use selvedge_tests::client::{Client, Filter, Message, Program, Properties, Transport};
use selvedge_tests::mosquitto::Mosquitto;
use selvedge_tests::node::{Node, Place};

/// Runs `selvedge` with a broker, more flags and something on standard input.
fn selvedge(place: &Place, command: &str, broker: SocketAddr, flags: &[&str], input: &[u8]) -> anyhow::Result<Output> {
    let (host, port) = (broker.ip().to_string(), broker.port().to_string());
    let mut words = vec![command, "-h", &host, "-p", &port];
    words.extend(flags);
    let mut command = place.command(&words)?;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("start selvedge")?;
    child.stdin.take().context("standard input")?.write_all(input)?;
    child.wait_with_output().context("wait for selvedge")
}

fn succeeds(place: &Place, command: &str, broker: SocketAddr, flags: &[&str], input: &[u8]) -> anyhow::Result<Vec<u8>> {
    let output = selvedge(place, command, broker, flags, input)?;
    ensure!(
        output.status.success(),
        "`selvedge {command} {}` ended with {}\n{}",
        flags.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}

/// What both brokers have to see: everything that `pub` can send, in both versions.
fn publishes(broker: SocketAddr) -> anyhow::Result<()> {
    let place = Place::new()?;
    let mut client = Client::any(broker)?;
    client.connect_clean("listener")?;
    client.subscribe("listener", &[Filter::new("cli/#", 2)])?;
    let file = place.folder().join("payload");
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    std::fs::write(&file, &bytes)?;
    for version in ["mqttv311", "5"] {
        for qos in ["0", "1", "2"] {
            let number = qos.parse()?;
            let publish = |flags: &[&str], input: &[u8]| {
                let all = [&["-V", version, "-q", qos, "-t", "cli/topic"], flags].concat();
                succeeds(&place, "pub", broker, &all, input)
            };
            publish(&["-m", "a word"], b"")?;
            assert_eq!(client.receive("listener")?, Message::new("cli/topic", "a word", number));
            publish(&["-n"], b"")?;
            assert_eq!(client.receive("listener")?, Message::new("cli/topic", "", number));
            publish(&["-f", &file.to_string_lossy()], b"")?;
            ensure!(client.receive("listener")?.payload == bytes, "QoS {qos}: the file arrived changed");
            publish(&["-s"], &bytes)?;
            ensure!(client.receive("listener")?.payload == bytes, "QoS {qos}: standard input arrived changed");
            publish(&["-l"], b"one\ntwo\nthree")?;
            for line in ["one", "two", "three"] {
                assert_eq!(client.receive("listener")?, Message::new("cli/topic", line, number));
            }
        }
    }
    let properties =
        "-D publish user-property unit kelvin -D publish user-property unit celsius -D publish content-type text/plain";
    let mut flags = vec!["-t", "cli/topic", "-m", "x", "-q", "1"];
    flags.extend(properties.split(' '));
    succeeds(&place, "pub", broker, &flags, b"")?;
    let pair = |value: &str| ("unit".to_owned(), value.to_owned());
    let expected = Message::new("cli/topic", "x", 1).with(Properties {
        user_properties: vec![pair("kelvin"), pair("celsius")],
        content_type: Some("text/plain".to_owned()),
        ..Properties::default()
    });
    assert_eq!(client.receive("listener")?, expected);
    Ok(())
}

/// What both brokers have to see: everything that `sub` asks for, in both versions.
fn subscribes(broker: SocketAddr) -> anyhow::Result<()> {
    let place = Place::new()?;
    for (version, program) in [("mqttv311", V311), ("5", V5)] {
        let mut client = Client::start(Program::Mosquitto, program, Transport::Tcp, broker)?;
        client.connect_clean("speaker")?;
        // Retained, so that they are there however late the subscriber comes.
        client.publish("speaker", &Message::new("cli/kept/a", "first", 1).retained())?;
        client.publish("speaker", &Message::new("cli/kept/b", [0_u8, 255, 10, 65], 1).retained())?;
        let sub =
            |flags: &[&str]| succeeds(&place, "sub", broker, &[&["-V", version, "-W", "60"], flags].concat(), b"");
        assert_eq!(sub(&["-t", "cli/kept/a", "-C", "1"])?, b"first\n");
        assert_eq!(sub(&["-t", "cli/kept/a", "-C", "1", "-v"])?, b"cli/kept/a first\n");
        assert_eq!(sub(&["-t", "cli/kept/b", "-C", "1", "-N"])?, [0, 255, 10, 65]);
        assert_eq!(sub(&["-t", "cli/kept/b", "-C", "1", "-F", "%t %q %r %l %x"])?, b"cli/kept/b 0 1 4 00ff0a41\n");
        assert_eq!(
            sub(&["-t", "cli/kept/+", "-C", "1", "-T", "cli/kept/b", "-q", "1", "-F", "%t %q"])?,
            b"cli/kept/a 1\n"
        );

        // A session that lasts collects what is published while nobody is there.
        let id = format!("collector-{version}");
        let mut session = vec!["-c", "-i", &id, "-q", "2", "-t", "cli/later"];
        if program == V5 {
            session.extend(["-x", "300"]);
        }
        sub(&[&session[..], &["-E"]].concat())?;
        for word in ["one", "two", "three"] {
            client.publish("speaker", &Message::new("cli/later", word, 2))?;
        }
        assert_eq!(sub(&[&session[..], &["-C", "3"]].concat())?, b"one\ntwo\nthree\n");
    }
    Ok(())
}

#[test]
fn pub_speaks_to_the_node() -> anyhow::Result<()> {
    let node = Node::start()?;
    publishes(node.mqtt()).with_context(|| node.said())
}

#[test]
fn pub_speaks_to_mosquitto() -> anyhow::Result<()> {
    let mosquitto = Mosquitto::start()?;
    publishes(mosquitto.mqtt()).with_context(|| mosquitto.said())
}

#[test]
fn sub_hears_the_node() -> anyhow::Result<()> {
    let node = Node::start()?;
    subscribes(node.mqtt()).with_context(|| node.said())
}

#[test]
fn sub_hears_mosquitto() -> anyhow::Result<()> {
    let mosquitto = Mosquitto::start()?;
    subscribes(mosquitto.mqtt()).with_context(|| mosquitto.said())
}

#[test]
fn a_broker_that_is_not_there_is_an_error_that_names_it() -> anyhow::Result<()> {
    let place = Place::new()?;
    // A port that was free a moment ago.
    let gone = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    for (command, flags) in [("pub", ["-t", "a", "-m", "b"].as_slice()), ("sub", &["-t", "a"])] {
        let output = selvedge(&place, command, gone, flags, b"")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(!output.status.success() && said.contains(&gone.to_string()), "{command}: {said}");
    }
    Ok(())
}

#[test]
fn commands_without_a_node_say_which_socket_is_missing() -> anyhow::Result<()> {
    let place = Place::new()?;
    for words in [["twin", "list"], ["fn", "list"]] {
        let output = place.command(&words)?.output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(!output.status.success() && said.contains("control.sock"), "{words:?}: {said}");
    }
    Ok(())
}

#[test]
fn status_shows_the_parts_of_a_running_node() -> anyhow::Result<()> {
    let node = Node::start()?;
    let printed = node.cli_succeeds(&["status", "--json"])?;
    let status: serde_json::Value = serde_json::from_str(&printed).with_context(|| format!("read {printed}"))?;
    ensure!(status["ready"] == true && status["parts"].as_object().is_some_and(|parts| parts.len() > 1), "{status}");
    ensure!(node.cli_succeeds(&["status"])?.lines().count() > 1, "status for people is too short");
    Ok(())
}
