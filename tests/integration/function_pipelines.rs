//! Functions that hand on to each other, and several messages of one at once, through the whole process.

use std::path::Path;

use anyhow::{Context as _, ensure};
use selvedge_tests::client::{Client, Filter, Message};
use selvedge_tests::installed;
use selvedge_tests::node::{Node, Place};
use serde_json::Value;

/// Deploys an example's component under a manifest of the test's own.
fn deploy(node: &Node, folder: &Path, example: &str, manifest: &str) -> anyhow::Result<String> {
    let name = manifest.lines().find_map(|line| line.strip_prefix("name = ")).context("a name")?.trim_matches('"');
    let folder = folder.join(name);
    std::fs::create_dir_all(&folder)?;
    let component = installed::repository_file(&format!("examples/{example}/{example}.wasm"));
    std::fs::copy(component, folder.join(format!("{name}.wasm")))?;
    std::fs::write(folder.join("function.toml"), manifest)?;
    node.cli_succeeds(&["fn", "deploy", &folder.to_string_lossy()])
}

fn listening(node: &Node, filter: &str) -> anyhow::Result<Client> {
    let mut client = Client::any(node.mqtt())?;
    client.connect_clean("session")?;
    client.subscribe("session", &[Filter::new(filter, 1)])?;
    Ok(client)
}

const CONVERTS: &str = "name = \"converts\"\nthen = \"forwards\"\n[[trigger]]\nmqtt = \"sensors/+/temperature\"\n\
    [grants]\ntwin_write = [\"*\"]\n[config]\nthreshold-celsius = \"500\"\n";
const FORWARDS: &str = "name = \"forwards\"\n[[trigger]]\npipeline = true\n[limits]\ntimeout_ms = 5000\n\
    [grants]\npublish = [\"changed/#\"]\n";

/// One converts to Celsius and writes a twin, the next forwards what moved by more than five degrees and counts the rest.
#[test]
fn a_pipeline_is_one_commit_also_over_a_crash() -> anyhow::Result<()> {
    let mut place = Place::new()?;
    let folder = tempfile::tempdir()?;
    // Fahrenheit; then Celsius of what is forwarded, and how many were left out before it.
    let lives: [(&[f64], f64, u64); 3] =
        [(&[50.0], 10.0, 0), (&[51.0, 52.0, 86.0], 30.0, 2), (&[87.0, 212.0], 100.0, 1)];
    for (life, (readings, celsius, dropped)) in lives.into_iter().enumerate() {
        let node = place.start()?;
        if life == 0 {
            let warned = deploy(&node, folder.path(), "unit-alarm", CONVERTS)?;
            ensure!(!warned.is_empty(), "nothing was said");
            deploy(&node, folder.path(), "js-deadband", FORWARDS)?;
        }
        let mut client = listening(&node, "changed/#")?;
        for reading in readings {
            let payload = format!("{{\"value\": {reading}, \"unit\": \"F\"}}");
            client.publish("session", &Message::new("sensors/oven/temperature", payload, 1))?;
        }
        let forwarded = client.receive("session")?;
        let told: Value = serde_json::from_slice(&forwarded.payload)?;
        let value = told["value"].as_f64().context("a value")?;
        ensure!(forwarded.topic == "changed/oven/temperature" && (value - celsius).abs() < 1e-6, "{life}: {told}");
        ensure!(told["dropped"] == dropped, "{life}: {told}\n{}", node.said());
        // What was forwarded is durable, and with it the twin that the first one wrote.
        place = node.kill()?;
    }
    let node = place.start()?;
    let twin: Value = serde_json::from_str(&node.cli_succeeds(&["twin", "get", "oven", "--json"])?)?;
    ensure!(twin.to_string().contains("100"), "{twin}");
    let stats = node.cli_succeeds(&["fn", "list"])?;
    ensure!(stats.contains("converts") && stats.contains("forwards"), "{stats}");
    Ok(())
}

/// Forty publishers, one function that counts the readings it left out of each: nothing is counted twice or lost beside the others.
#[test]
fn several_at_once_count_right() -> anyhow::Result<()> {
    let node = Node::start_with("[functions]\nworkers = 4\n")?;
    let folder = tempfile::tempdir()?;
    let manifest = "name = \"deadband\"\nisolation = \"reuse\"\n[[trigger]]\nmqtt = \"meters/+/power\"\n\
        [limits]\ntimeout_ms = 5000\nconcurrency = 8\nconcurrency_min = 4\n[grants]\npublish = [\"changed/#\"]\n";
    deploy(&node, folder.path(), "js-deadband", manifest)?;
    let mut listener = listening(&node, "changed/#")?;
    let (meters, readings) = (40, 5);
    let mut client = Client::any(node.mqtt())?;
    (0..meters).try_for_each(|meter| client.connect_clean(&format!("meter-{meter}")).map(drop))?;
    for reading in 0..readings {
        for meter in 0..meters {
            // The first and the last are far enough apart; those between are left out.
            let value = if reading + 1 == readings { 100 } else { reading };
            let message = Message::new(&format!("meters/{meter}/power"), value.to_string(), 1);
            client.publish(&format!("meter-{meter}"), &message)?;
        }
    }
    let mut forwarded = vec![Vec::new(); meters];
    for _ in 0..2 * meters {
        let message = listener.receive("session")?;
        let meter: usize = message.topic.split('/').nth(1).context("a meter")?.parse()?;
        forwarded[meter].push(serde_json::from_slice::<Value>(&message.payload)?["dropped"].as_u64());
    }
    let expected = vec![Some(0), Some(readings as u64 - 2)];
    let wrong = forwarded.iter().position(|dropped| *dropped != expected);
    ensure!(wrong.is_none(), "meter {wrong:?}: {forwarded:?}\n{}", node.said());
    Ok(())
}
