//! Start, greeting, graceful stop, two nodes side by side, sockets of a service manager.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::Command;

use anyhow::{Context as _, ensure};
use selvedge_tests::PATIENCE;
use selvedge_tests::child::{Signal, TestChild};
use selvedge_tests::client::Transport::{Tcp, Ws};
use selvedge_tests::client::Version::{V5, V311};
use selvedge_tests::client::{Client, Closed, Filter, Message, Program};
use selvedge_tests::node::{Node, Place};
use selvedge_tests::raw_mqtt::{self, RawMqtt};

/// Reason code "server shutting down".
const SERVER_SHUTTING_DOWN: u8 = 0x8B;

#[test]
fn a_node_says_where_it_listens_where_its_data_is_and_what_to_try() -> anyhow::Result<()> {
    let place = Place::new()?;
    let any = "127.0.0.1:0";
    let command = place.command(&["run", "--mqtt", any, "--ws", any, "--http", any])?;
    let mut child = TestChild::start("selvedge run", command)?;
    // The examples come last; after the third the greeting is complete.
    let examples = std::cell::Cell::new(0);
    child.wait_for_line(0, PATIENCE, |line| {
        examples.set(examples.get() + usize::from(line.starts_with("  selvedge ")));
        (examples.get() == 3).then_some(())
    })?;
    let greeting = child.stdout();
    let address_after = |word: &str| -> anyhow::Result<SocketAddr> {
        let line = greeting.iter().find(|line| line.trim_start().to_lowercase().starts_with(word));
        let line = line.with_context(|| format!("no line about {word} in {greeting:#?}"))?;
        let address = line.split([' ', '/']).find_map(|part| part.parse().ok());
        address.with_context(|| format!("no address in {line:?}"))
    };
    for word in ["mqtt", "websocket"] {
        RawMqtt::open(address_after(word)?).with_context(|| format!("connect to what is printed for {word}"))?;
    }
    assert_eq!(selvedge_tests::http::get(address_after("http")?, "/livez")?.status, 200);
    let data = place.data().to_string_lossy().into_owned();
    ensure!(greeting.iter().any(|line| line.contains(&data)), "{data} is not named in {greeting:#?}");
    let mut peer = RawMqtt::open(address_after("mqtt")?)?;
    peer.send(&raw_mqtt::connect(4, "first"))?;
    assert_eq!(peer.receive()?, [0x20, 2, 0, 0]);
    child.signal(Signal::INT)?;
    ensure!(child.wait(PATIENCE)?.success(), "interrupted, it did not end well\n{}", child.said());
    Ok(())
}

#[test]
fn the_three_examples_of_the_greeting_work_as_they_stand() -> anyhow::Result<()> {
    let place = Place::new()?;
    let any = "127.0.0.1:0";
    let data = place.data().to_string_lossy().into_owned();
    let command = place.command(&["run", "--data", &data, "--mqtt", any, "--ws", any, "--http", any])?;
    let node = TestChild::start("selvedge run", command)?;
    let example = |word: &str| {
        let start = format!("  selvedge {word} ");
        node.wait_for_line(0, PATIENCE, |line| line.starts_with(&start).then(|| line.trim().to_owned()))
    };
    let binary = selvedge_tests::installed::selvedge()?;
    let folder = binary.parent().context("the folder of the binary")?.to_string_lossy().into_owned();
    let shell = |line: &str| {
        let mut command = std::process::Command::new("sh");
        let path = format!("{folder}:{}", std::env::var("PATH").unwrap_or_default());
        command.arg("-c").arg(format!("exec {line}")).env("PATH", path);
        TestChild::start(line, command)
    };
    let succeeds = |line: &str| -> anyhow::Result<()> {
        let mut child = shell(line)?;
        ensure!(child.wait(PATIENCE)?.success(), "`{line}` failed\n{}", child.said());
        Ok(())
    };
    let publish = example("pub")?;
    // Retained, so that it is there however late the subscriber comes.
    succeeds(&format!("{publish} -r"))?;
    succeeds(&publish)?;
    let subscriber = shell(&example("sub")?)?;
    subscriber.wait_for_line(0, PATIENCE, |line| (line == "demo/hello hi").then_some(()))?;
    succeeds(&example("twin")?)
}

#[test]
fn a_node_that_is_asked_to_stop_tells_its_clients_why_and_ends_with_0() -> anyhow::Result<()> {
    let mut node = Node::start()?;
    let mut clients = vec![
        (Client::start(Program::Paho, V5, Tcp, node.mqtt())?, Some(SERVER_SHUTTING_DOWN)),
        (Client::start(Program::Paho, V5, Ws, node.websocket())?, Some(SERVER_SHUTTING_DOWN)),
        (Client::start(Program::MqttJs, V5, Tcp, node.mqtt())?, Some(SERVER_SHUTTING_DOWN)),
        (Client::start(Program::MqttJs, V5, Ws, node.websocket())?, Some(SERVER_SHUTTING_DOWN)),
        (Client::start(Program::Paho, V311, Tcp, node.mqtt())?, None),
        (Client::start(Program::MqttJs, V311, Ws, node.websocket())?, None),
    ];
    for (number, (client, _)) in clients.iter_mut().enumerate() {
        client.connect("session", &selvedge_tests::client::Connect::clean(&format!("client-{number}")))?;
        client.subscribe("session", &[Filter::new("life/#", 1)])?;
    }
    node.terminate()?;
    for (client, reason_code) in &mut clients {
        let closed = client.closed("session")?;
        let expected = Closed { closed: true, reason_code: *reason_code };
        ensure!(closed == expected, "{}: {closed:?} instead of {expected:?}\n{}", client.label(), node.said());
    }
    let status = node.wait()?;
    ensure!(status.code() == Some(0), "it ended with {status}\n{}", node.said());
    Ok(())
}

#[test]
fn what_was_accepted_before_the_stop_is_still_delivered() -> anyhow::Result<()> {
    const MESSAGES: usize = 200;
    let mut node = Node::start()?;
    let mut client = Client::any(node.mqtt())?;
    client.connect_clean("publisher")?;
    client.connect_clean("subscriber")?;
    client.subscribe("subscriber", &[Filter::new("life/stop", 1)])?;
    for number in 0..MESSAGES {
        client.publish("publisher", &Message::new("life/stop", format!("{number}"), 1))?;
    }
    node.terminate()?;
    for number in 0..MESSAGES {
        let got = client.receive("subscriber")?;
        ensure!(got.payload == format!("{number}").as_bytes(), "message {number} is {got:?}");
    }
    ensure!(node.wait()?.success(), "it did not end well\n{}", node.said());
    Ok(())
}

#[test]
fn a_connection_in_the_middle_of_its_handshake_does_not_delay_the_stop_beyond_its_own_time() -> anyhow::Result<()> {
    let node = Node::start()?;
    let silent = RawMqtt::open(node.mqtt())?;
    let mut half = RawMqtt::open(node.websocket())?;
    half.send(b"GET /mqtt HTTP/1.1\r\n")?;
    let request = RawMqtt::open(node.http())?;
    ensure!(node.stop()?.success(), "it did not end well");
    drop((silent, half, request));
    Ok(())
}

#[test]
fn two_nodes_side_by_side_know_nothing_of_each_other() -> anyhow::Result<()> {
    let (one, two) = (Node::start()?, Node::start()?);
    let mut on_one = Client::any(one.mqtt())?;
    let mut on_two = Client::any(two.mqtt())?;
    for client in [&mut on_one, &mut on_two] {
        client.connect_clean("same id")?;
        client.subscribe("same id", &[Filter::new("life/#", 1)])?;
    }
    on_one.publish("same id", &Message::new("life/one", "only here", 1))?;
    on_two.publish("same id", &Message::new("life/two", "only there", 1))?;
    assert_eq!(on_one.receive("same id")?.topic, "life/one");
    assert_eq!(on_two.receive("same id")?.topic, "life/two");
    ensure!(one.stop()?.success(), "the first did not end well");
    on_two.publish("same id", &Message::new("life/two", "still there", 1))?;
    assert_eq!(on_two.receive("same id")?.payload, b"still there");
    Ok(())
}

#[test]
fn a_second_node_on_the_same_data_is_refused_and_the_first_goes_on() -> anyhow::Result<()> {
    let first = Node::start()?;
    let any = "127.0.0.1:0";
    let second = first.cli(&["run", "--mqtt", any, "--ws", any, "--http", any])?;
    let said = String::from_utf8_lossy(&second.stderr);
    ensure!(!second.status.success(), "it started");
    let data = first.place().data().to_string_lossy().into_owned();
    ensure!(said.contains(&data), "the data directory is not named: {said}");
    let mut peer = RawMqtt::open(first.mqtt())?;
    peer.send(&raw_mqtt::connect(4, "after"))?;
    assert_eq!(peer.receive()?, [0x20, 2, 0, 0]);
    Ok(())
}

#[test]
fn the_folder_of_updates_is_made_where_the_launcher_wants_it() -> anyhow::Result<()> {
    let place = Place::new()?;
    let folder = place.folder().join("not/there/yet");
    let any = "127.0.0.1:0";
    let mut run = place.command(&["run", "--json", "--mqtt", any, "--ws", any, "--http", any])?;
    run.env("SELVEDGE_OTA", &folder);
    let mut node = TestChild::start("selvedge run", run)?;
    node.wait_for_line(0, PATIENCE, |line| line.starts_with('{').then_some(()))?;
    ensure!(folder.is_dir(), "{} is not there\n{}", folder.display(), node.said());
    node.signal(Signal::TERM)?;
    ensure!(node.wait(PATIENCE)?.success(), "it did not end well\n{}", node.said());
    Ok(())
}

#[test]
fn a_port_that_is_taken_is_named() -> anyhow::Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let any = "127.0.0.1:0";
    for (flag, others) in
        [("--mqtt", ["--ws", "--http"]), ("--ws", ["--mqtt", "--http"]), ("--http", ["--mqtt", "--ws"])]
    {
        let place = Place::new()?;
        let output = place.command(&["run", flag, &address, others[0], any, others[1], any])?.output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(!output.status.success(), "{flag}: it started");
        ensure!(said.contains(&address), "{flag}: {address} is not named: {said}");
    }
    Ok(())
}

#[test]
fn anybody_from_elsewhere_is_let_in_only_when_that_is_said() -> anyhow::Result<()> {
    let any = "127.0.0.1:0";
    let place = Place::new()?;
    let output = place.command(&["run", "--mqtt", "0.0.0.0:0", "--ws", any, "--http", any])?.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success() && said.contains("allow-anonymous"), "{}: {said}", output.status);
    let allowed =
        place.command(&["run", "--json", "--allow-anonymous", "--mqtt", "0.0.0.0:0", "--ws", any, "--http", any])?;
    let child = TestChild::start("selvedge run", allowed)?;
    child.wait_for_line(0, PATIENCE, |line| line.starts_with('{').then_some(()))
}

/// A node that finds a socket of systemd's beside its own (sd_listen_fds(3)): the first file behind the three of every program.
fn start_on_socket(place: &Place, socket: &TcpListener, mqtt: SocketAddr) -> anyhow::Result<TestChild> {
    let any = "127.0.0.1:0";
    let run = place.command(&["run", "--json", "--mqtt", &mqtt.to_string(), "--ws", any, "--http", any])?;
    let mut command = Command::new("sh");
    command.args(["-c", "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$@\"", "sh"]);
    command.arg(run.get_program()).args(run.get_args()).current_dir(place.folder());
    for (name, value) in run.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    TestChild::start_on(OwnedFd::from(socket.try_clone()?).into(), "selvedge run", command)
}

#[test]
fn clients_wait_in_the_socket_of_a_service_manager_until_the_next_node_serves_them() -> anyhow::Result<()> {
    let socket = TcpListener::bind("127.0.0.1:0")?;
    let address = socket.local_addr()?;
    let place = Place::new()?;
    for client_id in ["before the first node", "between two nodes"] {
        let mut waiting = RawMqtt::open(address)?;
        waiting.send(&raw_mqtt::connect(4, client_id))?;
        let mut node = start_on_socket(&place, &socket, address)?;
        assert_eq!(waiting.receive().with_context(|| node.said())?, [0x20, 2, 0, 0]);
        node.signal(Signal::TERM)?;
        ensure!(node.wait(PATIENCE)?.success(), "it did not end well\n{}", node.said());
    }
    Ok(())
}

#[test]
fn a_socket_of_a_service_manager_that_nobody_would_serve_is_named() -> anyhow::Result<()> {
    let socket = TcpListener::bind("127.0.0.1:0")?;
    let mut node = start_on_socket(&Place::new()?, &socket, "127.0.0.1:0".parse()?)?;
    ensure!(!node.wait(PATIENCE)?.success(), "it started");
    let said = node.said();
    ensure!(said.contains(&format!("the service manager listens on {}", socket.local_addr()?)), "{said}");
    Ok(())
}
