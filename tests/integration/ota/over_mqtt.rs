//! Bundles over MQTT: in pieces, from where they stopped, and where nobody takes them.

use std::path::Path;

use anyhow::{bail, ensure};
use selvedge_tests::client_packet::{Connect, Publish};
use selvedge_tests::peer::Peer;
use selvedge_tests::server_packet::ServerPacket;
use selvedge_tests::supervisor::Unit;
use selvedge_tests::update::{Gateway, Publisher, good};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{SHORT, is_as_before};

fn with_mqtt() -> String {
    format!("{SHORT}mqtt = true\n")
}

fn port(gateway: &Gateway) -> String {
    gateway.ports().mqtt.port().to_string()
}

/// The next word of the node about a push.
fn state(peer: &mut Peer) -> anyhow::Result<Value> {
    loop {
        match peer.receive()? {
            ServerPacket::Publish(publish) => {
                peer.acknowledge(&publish)?;
                return Ok(serde_json::from_slice(&publish.payload)?);
            }
            ServerPacket::Disconnect(_) => bail!("the node disconnected"),
            _ => {}
        }
    }
}

fn sha256(bundle: &Path) -> anyhow::Result<(u64, String)> {
    let bytes = std::fs::read(bundle)?;
    let hash = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((bytes.len() as u64, hash))
}

#[test]
fn a_bundle_comes_over_mqtt_and_goes_on_where_it_stopped() -> anyhow::Result<()> {
    let gateway = Gateway::start(&with_mqtt(), Unit::default())?;
    let folder = tempfile::tempdir()?;
    let (publisher, bundle) = Publisher::of_program(&good(folder.path(), "2.0.0")?, "2.0.0")?;
    gateway.trust(&publisher)?;
    let (length, hash) = sha256(&bundle)?;
    let topic = |rest: &str| format!("$ota/push/{}/{rest}", &hash[..16]);
    let (mut peer, _) = gateway.connect(&Connect::v5("sender"))?;
    peer.subscribe("$ota/push/+/state", 1)?;
    peer.send_publish(&Publish::new(&topic("begin"), json!({ "length": length, "sha256": hash }).to_string()))?;
    ensure!(state(&mut peer)?["next"] == 0);
    peer.send_publish(&Publish::new(&topic("data/0"), &std::fs::read(&bundle)?[..1000]))?;
    ensure!(state(&mut peer)?["next"] == 1000);
    // A piece that does not follow is not kept, and another sender has to wait.
    peer.send_publish(&Publish::new(&topic("data/5000"), "lost its way"))?;
    ensure!(state(&mut peer)?["next"] == 1000);
    peer.send_publish(&Publish::new("$ota/push/other/begin", json!({ "length": 1, "sha256": hash }).to_string()))?;
    let busy = state(&mut peer)?;
    ensure!(busy["error"].as_str().is_some_and(|text| text.starts_with("another bundle is being received")), "{busy}");
    peer.disconnect()?;
    // The command goes on behind the first thousand bytes.
    let bundle = bundle.to_string_lossy().into_owned();
    gateway.cli_succeeds(&["ota", "push", &bundle, "-p", &port(&gateway), "--json"])?;
    gateway.wait_for_end("2.0.0", "committed")?;
    gateway.stop().map(drop)
}

#[test]
fn what_is_announced_wrongly_is_refused_with_words() -> anyhow::Result<()> {
    let gateway = Gateway::start(&with_mqtt(), Unit::default())?;
    let (mut peer, _) = gateway.connect(&Connect::v5("sender"))?;
    peer.subscribe("$ota/push/+/state", 1)?;
    let hash = "ab".repeat(32);
    for (rest, payload, words) in [
        ("7/begin", "{".to_owned(), "expected {\"length\": bytes"),
        ("7/begin", json!({ "length": 1, "sha256": "xyz" }).to_string(), "sha256 has to be 64 hexadecimal digits"),
        ("7/begin", json!({ "length": 1_u64 << 40, "sha256": hash }).to_string(), "are more than ota.bundle_bytes_max"),
        ("7/data/0", "x".to_owned(), "begin first"),
    ] {
        peer.send_publish(&Publish::new(&format!("$ota/push/{rest}"), payload))?;
        let answer = state(&mut peer)?;
        ensure!(answer["error"].as_str().is_some_and(|text| text.contains(words)), "{words}: {answer}");
    }
    peer.send_publish(&Publish::new("$ota/push/7/begin", json!({ "length": 3, "sha256": hash }).to_string()))?;
    ensure!(state(&mut peer)?["next"] == 0);
    peer.send_publish(&Publish::new("$ota/push/7/data/0", "four"))?;
    let answer = state(&mut peer)?;
    ensure!(answer["error"] == "there are 3 bytes to come, and not 4", "{answer}");
    peer.send_publish(&Publish::new("$ota/push/7/data/0", "not"))?;
    let answer = state(&mut peer)?;
    ensure!(answer["error"].as_str().is_some_and(|text| text.starts_with("what came has the sha256 ")), "{answer}");
    is_as_before(&gateway)?;
    gateway.stop().map(drop)
}

#[test]
fn where_updates_over_mqtt_are_off_the_sender_is_told() -> anyhow::Result<()> {
    let gateway = Gateway::start(SHORT, Unit::default())?;
    let publisher = Publisher::new()?;
    publisher.add_file("settings", "1", "text")?;
    publisher.publish()?;
    let bundle = publisher.bundle("off", &[])?.to_string_lossy().into_owned();
    let said = gateway.cli_fails(&["ota", "push", &bundle, "-p", &port(&gateway)])?;
    ensure!(said.contains("takes no updates over MQTT: set ota.mqtt = true there"), "{said}");
    gateway.stop().map(drop)
}
