//! Packets counted in the kernel, joined with clients; the guard; events. Each test in namespaces of its own.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use selvedge_tests::node::{Node, Place};
use selvedge_tests::raw_mqtt::{self, RawMqtt};
use selvedge_tests::wire::{NODE, Wire, device};
use selvedge_tests::{PATIENCE, installed};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::eventually;

/// Ethernet, IPv4 and TCP with timestamps, which Linux sends in every segment but the SYN with its further options.
const HEADER_BYTES: u64 = 14 + 20 + 32;
/// For a connection attempt that is dropped: the kernel tries again after a second.
const DROPPED_AFTER: Duration = Duration::from_millis(1500);

fn place(rest: &str) -> anyhow::Result<Place> {
    Place::with_configuration(&format!(
        "[mqtt]\nlisten = \"{NODE}:1883\"\nallow_anonymous = true\n\
         [websocket]\nlisten = \"127.0.0.1:0\"\n[http]\nlisten = \"{NODE}:7883\"\nallow_anonymous = true\n\
         [net]\ninterfaces = [\"wire\"]\ninterval = \"200ms\"\n{rest}"
    ))
}

fn mqtt() -> SocketAddr {
    SocketAddr::new(NODE.into(), 1883)
}

fn net(node: &Node) -> anyhow::Result<Value> {
    let text = node.cli_succeeds(&["net", "top", "--once", "--json"])?;
    serde_json::from_str(&text).with_context(|| format!("read {text}"))
}

fn denials(node: &Node) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&node.cli_succeeds(&["net", "denials", "--json"])?)?)
}

/// Waits until packets are counted; says why not where the machine has no such thing, and gives false then.
fn is_counting(node: &Node, test: &str) -> anyhow::Result<bool> {
    eventually(|| Ok(net(node)?["state"] != "starting"))?;
    let found = net(node)?;
    if matches!(found["problem"]["kind"].as_str(), Some("kernel-too-old" | "no-bpf" | "refused")) {
        println!("SKIPPED {test}: {}", found["problem"]["text"]);
        return Ok(false);
    }
    ensure!(found["state"] == "counting", "{found}");
    Ok(true)
}

/// Whether a connection from a device comes about in the time in which a dropped one would be tried again once.
fn connects(wire: &Wire, from: usize) -> anyhow::Result<bool> {
    wire.at_devices(|| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(device(from), 0).into())?;
        Ok(socket.connect_timeout(&mqtt().into(), DROPPED_AFTER).is_ok())
    })
}

#[test]
fn a_client_stands_beside_what_the_kernel_counted_of_its_connection_to_the_byte() -> anyhow::Result<()> {
    let Some(wire) = Wire::new("the bytes of a client")? else { return Ok(()) };
    let node = place("")?.start_on(&wire, &[])?;
    if !is_counting(&node, "the bytes of a client")? {
        return Ok(());
    }
    // A segment that is sent again, on a machine that stands still for a while, is counted by the kernel and not by the broker.
    let mut found = None;
    for attempt in 0..3 {
        found = exchange_and_compare(&wire, &node, &format!("pump-{attempt}"))?;
        if found.is_some() {
            break;
        }
    }
    let (received, sent) = found.with_context(|| format!("broker and kernel do not agree: {:?}", net(&node)))?;
    println!("received: broker {} and kernel {} bytes, sent: {} and {}", received.0, received.1, sent.0, sent.1);
    ensure!(received.0 > 122_500 && sent.0 > 122_500, "{received:?} {sent:?}");
    let shown = node.cli_succeeds(&["net", "top", "--once"])?;
    ensure!(shown.lines().any(|line| line.starts_with("192.0.2.7 ") && line.contains("pump-")), "{shown}");
    Ok(())
}

/// Bytes as the broker and as the kernel counted them, received and sent.
type Counted = ((u64, u64), (u64, u64));

/// What a client receives and sends, once broker and kernel agree on it; `None` if they do not for ten seconds.
fn exchange_and_compare(wire: &Wire, node: &Node, name: &str) -> anyhow::Result<Option<Counted>> {
    let _client = wire.at_devices(|| {
        let mut client = RawMqtt::open(mqtt())?;
        client.send(&raw_mqtt::connect(4, name))?;
        client.receive()?;
        client.send(&raw_mqtt::subscribe("readings/#"))?;
        client.receive()?;
        for number in 0..50_u8 {
            client.send(&raw_mqtt::publish("readings/a", &vec![number; 100 * usize::from(number)]))?;
            client.receive()?;
        }
        Ok(client)
    })?;
    let counted = |net: &Value| -> Option<Counted> {
        let client = net["clients"].as_array()?.iter().find(|client| client["client_id"] == name)?;
        let (broker, kernel) = (&client["broker"], &client["kernel"]);
        let payload =
            |counts: &Value| counts["bytes"].as_u64()?.checked_sub(HEADER_BYTES * counts["buffers"].as_u64()?);
        let received = (broker["received_bytes"].as_u64()?, payload(&kernel["received"])?);
        let sent = (broker["sent_bytes"].as_u64()?, payload(&kernel["sent"])?);
        Some((received, sent))
    };
    // Until the last acknowledgement has crossed the wire and was read. The SYN with ACK is in the row of the peer; all that is
    // in the client's has the same header.
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        let agreed = counted(&net(node)?).filter(|(received, sent)| received.0 == received.1 && sent.0 == sent.1);
        if agreed.is_some() {
            return Ok(agreed);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(None)
}

#[test]
fn metrics_topics_and_readiness_tell_of_the_counters() -> anyhow::Result<()> {
    let Some(wire) = Wire::new("metrics of the counters")? else { return Ok(()) };
    let node = place("[net.events]\nnew_peers = true\n")?.start_on(&wire, &[])?;
    if !is_counting(&node, "metrics of the counters")? {
        return Ok(());
    }
    let mut listener = wire.beside_node(|| {
        let mut listener = RawMqtt::open(mqtt())?;
        listener.send(&raw_mqtt::connect(4, "listener"))?;
        listener.receive()?;
        listener.send(&raw_mqtt::subscribe("$SYS/net/wire/in/packets"))?;
        listener.receive()?;
        listener.send(&raw_mqtt::subscribe("$net/event/#"))?;
        listener.receive()?;
        Ok(listener)
    })?;
    wire.at_devices(|| RawMqtt::open(mqtt()))?;
    let (mut has_packets, mut has_event) = (false, false);
    while !(has_packets && has_event) {
        let packet = String::from_utf8_lossy(&listener.receive()?).into_owned();
        has_packets |= packet.contains("$SYS/net/wire/in/packets");
        has_event |= packet.contains("$net/event/new-peer") && packet.contains("192.0.2.7");
    }
    let get = |path: &str| wire.beside_node(|| selvedge_tests::http::get(SocketAddr::new(NODE.into(), 7883), path));
    let metrics = get("/metrics")?.body;
    for line in ["selvedge_ebpf_up 1", "selvedge_net_mqtt_attempts_total{interface=\"wire\",direction=\"in\""] {
        ensure!(metrics.lines().any(|found| found.starts_with(line)), "{line}\n{metrics}");
    }
    let ready = get("/readyz")?;
    ensure!(ready.status == 200 && ready.body.contains("packets are counted on wire"), "{ready:?}");
    let over_tcp: Value = serde_json::from_str(&get("/v1/net")?.body)?;
    ensure!(over_tcp["interfaces"][0]["name"] == "wire", "{over_tcp}");
    Ok(())
}

#[test]
fn without_the_rights_the_node_runs_and_says_what_is_missing_and_what_to_do() -> anyhow::Result<()> {
    let Some(wire) = Wire::new("a node without capabilities")? else { return Ok(()) };
    let less = ["setpriv", "--bounding-set", "-bpf,-net_admin,-sys_admin"];
    let node = place("counters = \"on\"\n")?.start_on(&wire, &less)?;
    eventually(|| Ok(net(&node)?["state"] == "cannot"))?;
    let remedy = "AmbientCapabilities=CAP_BPF CAP_NET_ADMIN";
    for command in ["top", "status"] {
        let said = node.cli_succeeds(&["net", command])?;
        ensure!(said.contains("no CAP_BPF and no CAP_NET_ADMIN") && said.contains(remedy), "{said}");
    }
    let refused = node.cli(&["net", "deny", "192.0.2.7"])?;
    ensure!(!refused.status.success(), "{refused:?}");
    ensure!(String::from_utf8_lossy(&refused.stderr).contains(remedy), "{refused:?}");
    let status = node.cli_succeeds(&["status"])?;
    ensure!(status.contains(", ready") && status.contains(remedy), "{status}");
    let metrics = wire.beside_node(|| selvedge_tests::http::get(SocketAddr::new(NODE.into(), 7883), "/metrics"))?.body;
    ensure!(metrics.contains("selvedge_ebpf_up 0\n"), "{metrics}");
    ensure!(
        node.log().iter().any(|line| line.contains("WARN") && line.contains("packets are not counted")),
        "{}",
        node.said()
    );
    ensure!(connects(&wire, 0)?, "the broker does its work");
    Ok(())
}

#[test]
fn a_peer_that_breaks_the_protocol_is_kept_out_and_another_is_not() -> anyhow::Result<()> {
    let Some(wire) = Wire::new("a guard fed by the broker")? else { return Ok(()) };
    let guard = "[net.guard]\nmode = \"enforce\"\nprotocol_errors_max = 3\ndeny_for = \"1h\"\n";
    let node = place(guard)?.start_on(&wire, &[])?;
    if !is_counting(&node, "a guard fed by the broker")? {
        return Ok(());
    }
    ensure!(connects(&wire, 0)?, "before");
    wire.at_devices(|| {
        for _ in 0..3 {
            let mut stream = TcpStream::connect(mqtt())?;
            stream.write_all(b"GET / HTTP/1.1\r\n\r\n")?;
            stream.set_read_timeout(Some(PATIENCE))?;
            // The broker closes; a reset is an end as well.
            let _ = stream.read_to_end(&mut Vec::new());
        }
        Ok(())
    })?;
    eventually(|| Ok(denials(&node)?["denials"][0]["peer"] == "192.0.2.7"))?;
    ensure!(denials(&node)?["denials"][0]["why"] == "protocol-errors", "{}", denials(&node)?);
    ensure!(!connects(&wire, 0)?, "the offender connects still");
    ensure!(connects(&wire, 1)?, "another device is kept out, too");
    ensure!(denials(&node)?["denials"][0]["dropped_packets"].as_u64() >= Some(1), "{}", denials(&node)?);
    node.cli_succeeds(&["net", "undeny", "192.0.2.7"])?;
    ensure!(connects(&wire, 0)?, "after the end of the denial");
    Ok(())
}

#[test]
fn wrong_passwords_have_a_peer_kept_out() -> anyhow::Result<()> {
    let Some(wire) = Wire::new("a guard fed by logins")? else { return Ok(()) };
    let place = place("[net.guard]\nmode = \"enforce\"\nfailed_logins_max = 3\n")?;
    let added = place.command(&["user", "add", "alice", "--generate"])?.output()?;
    ensure!(added.status.success(), "{added:?}");
    let node = place.start_on(&wire, &[])?;
    if !is_counting(&node, "a guard fed by logins")? {
        return Ok(());
    }
    wire.at_devices(|| {
        for _ in 0..3 {
            let mut client = RawMqtt::open(mqtt())?;
            // Clean session, user name and password (3.1.1, 3.1.2).
            let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 0xC2, 0, 0];
            for text in ["guess", "alice", "wrong"] {
                body.extend([0, text.len() as u8]);
                body.extend(text.as_bytes());
            }
            client.send(&raw_mqtt::packet(0x10, &body))?;
            client.until_closed()?;
        }
        Ok(())
    })?;
    eventually(|| Ok(denials(&node)?["denials"][0]["why"] == "authentication-failures"))?;
    ensure!(!connects(&wire, 0)?, "it connects still");
    Ok(())
}

#[test]
fn an_operator_loopback_and_the_allow_list_cannot_be_denied() -> anyhow::Result<()> {
    let Some(wire) = Wire::new("who cannot be denied")? else { return Ok(()) };
    let guard = "[net.guard]\nmode = \"enforce\"\nallow = [\"192.0.2.8\"]\noperator_ports = [1883]\n";
    let node = place(guard)?.start_on(&wire, &[])?;
    if !is_counting(&node, "who cannot be denied")? {
        return Ok(());
    }
    let refused = |peer: &str, part: &str| {
        let output = node.cli(&["net", "deny", peer])?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(!output.status.success() && said.contains(part), "{peer}: {said}");
        Ok(())
    };
    refused("127.0.0.1", "cannot be denied")?;
    refused("192.0.2.8", "allow list")?;
    let operator = wire.at_devices(|| Ok(TcpStream::connect(mqtt())?))?;
    refused("192.0.2.7", "would lock its user out")?;
    drop(operator);
    eventually(|| Ok(node.cli(&["net", "deny", "192.0.2.7", "--for", "1h"])?.status.success()))?;
    ensure!(!connects(&wire, 0)?, "it connects although it is denied");
    node.cli_succeeds(&["net", "allow", "192.0.2.0/29"])?;
    ensure!(connects(&wire, 0)?, "allowing a network does not end the denials in it");
    Ok(())
}

#[test]
fn a_dry_run_counts_and_drops_nothing() -> anyhow::Result<()> {
    let Some(wire) = Wire::new("a dry run of the guard")? else { return Ok(()) };
    let node = place("[net.guard]\nmode = \"dry-run\"\n")?.start_on(&wire, &[])?;
    if !is_counting(&node, "a dry run of the guard")? {
        return Ok(());
    }
    let said = node.cli_succeeds(&["net", "deny", "192.0.2.7"])?;
    ensure!(said.contains("dry run"), "{said}");
    ensure!(connects(&wire, 0)?, "something was dropped");
    eventually(|| Ok(net(&node)?["guard"]["would_drop_denied"]["packets"].as_u64() > Some(0)))
}

#[test]
fn a_function_runs_on_events_of_the_network() -> anyhow::Result<()> {
    let Some(wire) = Wire::new("a function with a net trigger")? else { return Ok(()) };
    let node = place("[net.events]\nnew_peers = true\n")?.start_on(&wire, &[])?;
    if !is_counting(&node, "a function with a net trigger")? {
        return Ok(());
    }
    let folder = node.place().folder().join("watcher");
    std::fs::create_dir(&folder)?;
    let example = installed::repository_file("examples/unit-alarm");
    std::fs::copy(example.join("unit-alarm.wasm"), folder.join("watcher.wasm"))?;
    let manifest = "name = \"watcher\"\ncomponent = \"watcher.wasm\"\n[[trigger]]\nnet = \"new-peer\"\n";
    std::fs::write(folder.join("function.toml"), manifest)?;
    node.cli_succeeds(&["fn", "deploy", &folder.to_string_lossy()])?;
    wire.at_devices(|| RawMqtt::open(mqtt()))?;
    eventually(|| {
        let listed: Value = serde_json::from_str(&node.cli_succeeds(&["fn", "list", "--json"])?)?;
        Ok(listed[0]["counters"]["invocations"].as_u64() > Some(0))
    })
}
