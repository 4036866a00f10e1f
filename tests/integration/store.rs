//! What a node keeps, checked, exported, moved to another box and compacted, as on the command line.

use std::path::Path;

use anyhow::{Context as _, ensure};
use selvedge_tests::http;
use selvedge_tests::node::{Node, Place};
use serde_json::Value;

/// Runs a command in a place without a node. Gives its exit code and both outputs.
fn run(place: &Place, arguments: &[&str]) -> anyhow::Result<(i32, String, String)> {
    let output = place.command(arguments)?.output().context("run selvedge")?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((output.status.code().context("it was not killed")?, text(&output.stdout), text(&output.stderr)))
}

fn succeeds(place: &Place, arguments: &[&str]) -> anyhow::Result<String> {
    let (code, stdout, stderr) = run(place, arguments)?;
    ensure!(code == 0, "`selvedge {}` ended with {code}\n{stdout}{stderr}", arguments.join(" "));
    Ok(stdout)
}

/// A command of a client that speaks to `node`.
fn client(node: &Node, arguments: &[&str]) -> anyhow::Result<String> {
    let port = node.mqtt().port().to_string();
    let (command, rest) = arguments.split_first().context("a command")?;
    node.cli_succeeds(&[&[*command, "-p", &port], rest].concat())
}

/// A session, its messages, a retained message and a twin.
fn fill(node: &Node) -> anyhow::Result<()> {
    client(node, &["sub", "-V", "5", "-c", "-x", "3600", "-i", "keeper", "-q", "1", "-t", "k/#", "-E"])?;
    for number in 1..=3 {
        client(node, &["pub", "-q", "1", "-t", "k/a", "-m", &number.to_string()])?;
    }
    client(node, &["pub", "-q", "1", "-r", "-t", "status", "-m", "up"])?;
    node.cli_succeeds(&["twin", "set", "pump-1", "desired.interval", "5"])?;
    Ok(())
}

fn check_all_is_there(node: &Node) -> anyhow::Result<()> {
    let kept = client(
        node,
        &["sub", "-V", "5", "-c", "-x", "3600", "-i", "keeper", "-q", "1", "-t", "k/#", "-C", "3", "-W", "9"],
    )?;
    ensure!(kept == "1\n2\n3\n", "{kept:?}\n{}", node.said());
    let retained = client(node, &["sub", "-t", "status", "-C", "1", "-W", "9"])?;
    ensure!(retained == "up\n", "{retained:?}");
    let twin = node.cli_succeeds(&["twin", "get", "pump-1"])?;
    ensure!(twin.contains("\"interval\": 5") || twin.contains("\"interval\":5"), "{twin}");
    Ok(())
}

fn json(text: &str) -> anyhow::Result<Value> {
    serde_json::from_str(text).with_context(|| format!("read {text}"))
}

fn word(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path is text")
}

#[test]
fn what_a_node_keeps_goes_to_another_box_in_one_file() -> anyhow::Result<()> {
    let node = Node::start()?;
    fill(&node)?;
    let place = node.place().clone();
    let file = place.folder().join("gateway.selvedge");
    let (code, _, error) = run(&place, &["store", "export", word(&file)?])?;
    ensure!(code == 1 && error.contains("process") && !file.exists(), "while the node runs: {error}");
    node.kill()?;
    let report = json(&succeeds(&place, &["store", "check", "--json"])?)?;
    ensure!(report["sound"] == true && report["messages"] == 4, "{report}");
    let exported = json(&succeeds(&place, &["store", "export", word(&file)?, "--json"])?)?;
    ensure!(exported["messages"] == 4 && exported["bytes"].as_u64() > Some(100), "{exported}");
    let (code, _, error) = run(&place, &["store", "export", word(&file)?])?;
    ensure!(code == 1 && error.contains("is there already"), "{error}");

    let other = Place::new()?;
    succeeds(&other, &["store", "import", word(&file)?])?;
    let (code, _, error) = run(&other, &["store", "import", word(&file)?])?;
    ensure!(code == 1 && error.contains("not empty"), "{error}");
    check_all_is_there(&other.start()?)?;
    // Where it came from nothing is missing.
    check_all_is_there(&place.start()?)
}

#[test]
fn compacting_keeps_what_is_alive() -> anyhow::Result<()> {
    let node = Node::start()?;
    let payload = "x".repeat(900);
    client(&node, &["sub", "-V", "5", "-c", "-x", "3600", "-i", "gone", "-q", "1", "-t", "dead", "-E"])?;
    for _ in 0..20 {
        client(&node, &["pub", "-q", "1", "-t", "dead", "-m", &payload])?;
    }
    client(&node, &["sub", "-V", "5", "-c", "-x", "0", "-i", "gone", "-q", "1", "-t", "dead", "-C", "20", "-W", "9"])?;
    fill(&node)?;
    let place = node.kill()?;
    let report = json(&succeeds(&place, &["store", "compact", "--json"])?)?;
    let bytes = |name: &str| report[name].as_u64().unwrap_or_default();
    ensure!(bytes("bytes_before") > 18_000 && bytes("bytes_after") < 6_000, "{report}");
    ensure!(succeeds(&place, &["store", "check"])?.ends_with("in order\n"));
    check_all_is_there(&place.start()?)
}

#[test]
fn damage_and_what_is_not_there_are_named() -> anyhow::Result<()> {
    let place = Place::new()?;
    let (code, _, error) = run(&place, &["store", "check"])?;
    ensure!(code == 1 && error.contains("is not there") && error.contains("--data"), "{error}");
    ensure!(!place.data().exists(), "looking at it made it");
    let node = place.start()?;
    fill(&node)?;
    node.kill()?;
    let segment = place.data().join("store/journal/0000000000000001.journal");
    let mut bytes = std::fs::read(&segment)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, bytes)?;
    let (code, found, error) = run(&place, &["store", "check"])?;
    ensure!(code == 1 && found.ends_with("damaged\n") && error.contains("is damaged"), "{found}{error}");
    Ok(())
}

#[test]
fn on_a_budget_what_is_low_is_given_up_for_what_is_high() -> anyhow::Result<()> {
    const CONFIGURATION: &str = "\
        [store]\ndisk_bytes_max = \"8MiB\"\nsegment_bytes = \"256KiB\"\nslack_bytes = \"256KiB\"\n\
        [limits]\nqueue_bytes_max = \"64MiB\"\n\
        [durability]\ntopics = [{ filter = \"log/#\", priority = \"low\" }, { filter = \"alarm/#\", priority = \"high\" }]\n";
    const ALARMS: usize = 40;
    let place = Place::with_configuration(CONFIGURATION)?;
    let node = place.start()?;
    client(&node, &["sub", "-V", "5", "-c", "-x", "3600", "-i", "keeper", "-q", "1", "-t", "+/#", "-E"])?;
    let file = place.folder().join("payload");
    std::fs::write(&file, "x".repeat(100_000))?;
    let publish = |topic: &str| client(&node, &["pub", "-V", "5", "-q", "1", "-t", topic, "-f", word(&file)?]);
    let mut logs = 0;
    while publish("log/a").is_ok() {
        logs += 1;
        ensure!(logs < 1000, "8 MiB never get full");
    }
    for _ in 0..ALARMS {
        publish("alarm/a")?;
    }
    let metrics = http::get(node.http(), "/metrics")?.body;
    let given_up =
        metrics.lines().find_map(|line| line.strip_prefix("selvedge_mqtt_dropped_total{reason=\"priority\"} "));
    ensure!(given_up.is_some_and(|count| count != "0"), "{metrics}");
    let place = node.kill()?;
    let kept: u64 = std::fs::read_dir(place.data().join("store/journal"))?
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .map(|metadata| metadata.len())
        .sum();
    ensure!(kept < 14 << 20, "{kept} bytes are far over the budget");
    let node = place.start()?;
    let read = client(&node, &["sub", "-V", "5", "-c", "-i", "keeper", "-q", "1", "-t", "+/#", "-F", "%t", "-W", "3"])?;
    let alarms = read.lines().filter(|topic| *topic == "alarm/a").count();
    ensure!(alarms == ALARMS, "{alarms} of {ALARMS} alarms, {} of {logs} logs", read.lines().count() - alarms);
    Ok(())
}
