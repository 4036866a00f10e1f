//! Device twins over MQTT, and that what was acknowledged is still there after a crash.

use anyhow::{Context as _, ensure};
use selvedge_tests::client::{Client, Filter, Message};
use selvedge_tests::node::{Node, Place};
use serde_json::{Value, json};

/// Times that the node is killed after an acknowledgement.
const CRASHES: usize = 10;

/// A client of a node that hears the answers about thing `t1`.
fn device(node: &Node) -> anyhow::Result<Client> {
    let mut client = Client::any(node.mqtt())?;
    client.connect_clean("device")?;
    let answers = ["update/accepted", "update/rejected", "update/delta", "get/accepted", "get/rejected"];
    let filters = answers.map(|answer| Filter::new(&format!("$twin/t1/{answer}"), 1));
    client.subscribe("device", &filters)?;
    Ok(client)
}

/// Publishes a request and gives the next answer: the last two levels of its topic, and its JSON.
fn ask(client: &mut Client, operation: &str, request: &str) -> anyhow::Result<(String, Value)> {
    client.publish("device", &Message::new(&format!("$twin/t1/{operation}"), request, 1))?;
    answer(client)
}

fn answer(client: &mut Client) -> anyhow::Result<(String, Value)> {
    let message = client.receive("device")?;
    let suffix = message.topic.strip_prefix("$twin/t1/").with_context(|| format!("an answer on {}", message.topic))?;
    let value = serde_json::from_slice(&message.payload)
        .with_context(|| format!("read {}", String::from_utf8_lossy(&message.payload)))?;
    Ok((suffix.to_owned(), value))
}

fn updated(client: &mut Client, state: &Value) -> anyhow::Result<Value> {
    let (suffix, accepted) = ask(client, "update", &json!({ "state": state }).to_string())?;
    ensure!(suffix == "update/accepted", "{state} is answered with {suffix} {accepted}");
    Ok(accepted)
}

fn state(client: &mut Client) -> anyhow::Result<Value> {
    let (suffix, mut got) = ask(client, "get", "")?;
    ensure!(suffix == "get/accepted", "get is answered with {suffix} {got}");
    Ok(got["state"].take())
}

#[test]
fn an_update_is_accepted_merged_and_read_back() -> anyhow::Result<()> {
    let node = Node::start()?;
    let mut client = device(&node)?;
    updated(&mut client, &json!({ "reported": { "temperature": 21.5, "valve": { "open": true } } }))?;
    updated(&mut client, &json!({ "reported": { "valve": { "open": false, "cause": "manual" } } }))?;
    updated(&mut client, &json!({ "reported": { "temperature": null } }))?;
    assert_eq!(state(&mut client)?["reported"], json!({ "valve": { "open": false, "cause": "manual" } }));
    Ok(())
}

#[test]
fn what_is_desired_and_not_reported_is_told_as_a_delta() -> anyhow::Result<()> {
    let node = Node::start()?;
    let mut client = device(&node)?;
    let request = json!({ "state": { "desired": { "interval": 5 }, "reported": { "interval": 10 } } });
    client.publish("device", &Message::new("$twin/t1/update", request.to_string(), 1))?;
    let mut answers = [answer(&mut client)?, answer(&mut client)?];
    answers.sort_by(|a, b| a.0.cmp(&b.0));
    let [(accepted, _), (delta, told)] = answers;
    assert_eq!((accepted.as_str(), delta.as_str()), ("update/accepted", "update/delta"));
    assert_eq!(told["state"], json!({ "interval": 5 }));
    Ok(())
}

#[test]
fn an_update_that_cannot_be_understood_is_rejected_and_changes_nothing() -> anyhow::Result<()> {
    let node = Node::start()?;
    let mut client = device(&node)?;
    updated(&mut client, &json!({ "reported": { "n": 1 } }))?;
    for request in ["", "{", "[]", "{\"state\":5}", "{\"state\":{\"wished\":{}}}", "\u{0}"] {
        let (suffix, rejected) = ask(&mut client, "update", request)?;
        ensure!(suffix == "update/rejected" && rejected["code"] == 400, "{request:?}: {suffix} {rejected}");
    }
    assert_eq!(state(&mut client)?["reported"], json!({ "n": 1 }));
    Ok(())
}

#[test]
fn an_acknowledged_update_survives_a_crash_at_once_after_the_acknowledgement() -> anyhow::Result<()> {
    let mut place = Place::new()?;
    for crash in 0..CRASHES {
        let node = place.start()?;
        let mut client = device(&node)?;
        if crash > 0 {
            let kept = state(&mut client)?;
            ensure!(kept["reported"]["crash"] == json!(crash - 1), "after crash {crash}: {kept}\n{}", node.said());
            ensure!(kept["desired"]["kept"] == "from the start", "after crash {crash}: {kept}");
        } else {
            updated(
                &mut client,
                &json!({ "desired": { "kept": "from the start" }, "reported": { "kept": "from the start" } }),
            )?;
        }
        updated(&mut client, &json!({ "reported": { "crash": crash } }))?;
        place = node.kill()?;
    }
    Ok(())
}

#[test]
fn the_version_grows_over_a_restart() -> anyhow::Result<()> {
    let node = Node::start()?;
    let mut client = device(&node)?;
    let before = updated(&mut client, &json!({ "reported": { "n": 1 } }))?["version"].as_u64().context("a version")?;
    let place = node.place().clone();
    ensure!(node.stop()?.success(), "it did not end well");
    let node = place.start()?;
    let mut client = device(&node)?;
    let after = updated(&mut client, &json!({ "reported": { "n": 2 } }))?["version"].as_u64().context("a version")?;
    ensure!(after > before, "version {after} after {before}");
    Ok(())
}

#[test]
fn the_command_line_reads_and_changes_what_devices_see() -> anyhow::Result<()> {
    let node = Node::start()?;
    let mut client = device(&node)?;
    updated(&mut client, &json!({ "reported": { "interval": 10 } }))?;
    node.cli_succeeds(&["twin", "set", "t1", "desired.interval", "5"])?;
    let (suffix, told) = loop {
        let (suffix, told) = answer(&mut client)?;
        if suffix == "update/delta" {
            break (suffix, told);
        }
    };
    ensure!(told["state"] == json!({ "interval": 5 }), "{suffix} {told}");
    let printed = node.cli_succeeds(&["twin", "get", "t1", "--json"])?;
    let twin: Value = serde_json::from_str(&printed).with_context(|| format!("read {printed}"))?;
    ensure!(twin.to_string().contains("\"interval\":5"), "{twin}");
    let list = node.cli_succeeds(&["twin", "list"])?;
    ensure!(list.lines().any(|line| line.contains("t1")), "{list}");
    node.cli_succeeds(&["twin", "delete", "t1"])?;
    let (suffix, rejected) = ask(&mut client, "get", "")?;
    ensure!(suffix == "get/rejected" && rejected["code"] == 404, "{suffix} {rejected}");
    Ok(())
}

#[test]
fn the_device_sdk_of_aws_works_unchanged() -> anyhow::Result<()> {
    let node = Node::start()?;
    let output = std::process::Command::new(selvedge_tests::installed::python()?)
        .arg(selvedge_tests::installed::client_script("aws_shadow.py"))
        .args([node.mqtt().ip().to_string(), node.mqtt().port().to_string()])
        .output()
        .context("run the script")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{said}{}\n{}", String::from_utf8_lossy(&output.stderr), node.said());
    print!("{said}");
    Ok(())
}

#[test]
fn twins_of_which_something_holds_are_found_page_by_page() -> anyhow::Result<()> {
    let node = Node::start()?;
    for number in 0..5 {
        let patch = json!({ "reported": { "temp": 10 * number, "site": if number % 2 == 0 { "a" } else { "b" } } });
        node.cli_succeeds(&["twin", "patch", &format!("pump-{number}"), &patch.to_string()])?;
    }
    let ask = |query: &str, more: &[&str]| {
        let words = [&["twin", "query", query, "--json"], more].concat();
        let answer: Value = serde_json::from_str(&node.cli_succeeds(&words)?)?;
        let names = answer["twins"].as_array().into_iter().flatten();
        anyhow::Ok(names.map(|twin| twin["thing"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(ask("reported.temp > 10", &[])?, ["pump-2", "pump-3", "pump-4"]);
    assert_eq!(ask("reported.temp > 10 and reported.site = \"a\"", &[])?, ["pump-2", "pump-4"]);
    assert_eq!(ask("not exists desired", &["--limit", "2"])?, ["pump-0", "pump-1"]);
    assert_eq!(ask("not exists desired", &["--limit", "2", "--after", "pump-3"])?, ["pump-4"]);
    let shown = node.cli_succeeds(&["twin", "query", "reported.temp >= 40"])?;
    ensure!(shown.contains("pump-4") && shown.contains("\"temp\":40"), "{shown}");
    let wrong = node.cli(&["twin", "query", "temp > 1"])?;
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    ensure!(!wrong.status.success() && said.contains("expected desired, reported"), "{said}");
    Ok(())
}

#[test]
fn what_a_twin_was_is_remembered_over_a_crash_and_told_by_the_command_line() -> anyhow::Result<()> {
    let node = Node::start()?;
    for interval in [5, 6, 7] {
        node.cli_succeeds(&["twin", "set", "pump", "desired.interval", &interval.to_string()])?;
    }
    node.cli_succeeds(&["twin", "inc", "pump", "reported.starts", "2"])?;
    node.cli_succeeds(&["twin", "add", "pump", "reported.alarms", "high"])?;
    let node = node.kill()?.start()?;
    let then = node.cli_succeeds(&["twin", "get", "pump", "--at", "2", "--json"])?;
    let then: Value = serde_json::from_str(&then).with_context(|| format!("read {then}"))?;
    assert_eq!((&then["desired"], &then["version"]), (&json!({ "interval": 6 }), &json!(2)));
    let log = node.cli_succeeds(&["twin", "log", "pump"])?;
    ensure!(log.starts_with("1 ") && log.contains("  ~ desired/interval: 6 -> 7"), "{log}");
    ensure!(log.contains("  + reported/alarms: [\"high\"]"), "{log}");
    let differences = node.cli_succeeds(&["twin", "diff", "pump@1", "@4"])?;
    assert_eq!(differences, "  ~ desired/interval: 5 -> 7\n  + reported/starts: 2\n");
    let blame = node.cli_succeeds(&["twin", "blame", "pump", "--section", "desired"])?;
    ensure!(blame.starts_with("desired/interval = 7\n") && blame.contains("write 7 by node"), "{blame}");
    let early = node.cli(&["twin", "get", "pump", "--at", "2020-01-01T00:00:00Z"])?;
    ensure!(!early.status.success(), "nothing was there then");
    node.cli_succeeds(&["twin", "remove", "pump", "reported.alarms", "high"])?;
    let now: Value = serde_json::from_str(&node.cli_succeeds(&["twin", "get", "pump", "--json"])?)?;
    assert_eq!(now["reported"], json!({ "starts": 2 }));
    Ok(())
}

#[test]
fn counters_and_sets_are_changed_by_operations_over_mqtt() -> anyhow::Result<()> {
    let node = Node::start()?;
    let mut client = Client::any(node.mqtt())?;
    client.connect_clean("device")?;
    client.subscribe("device", &[Filter::new("$twin/t1/ops/+", 1)])?;
    let ops = |ops: &Value| json!({ "ops": ops, "clientToken": "x" }).to_string();
    for _ in 0..2 {
        let counted = ops(&json!([{ "op": "inc", "path": "/starts" }, { "op": "add", "path": "/alarms", "value": 7 }]));
        let (suffix, accepted) = ask(&mut client, "ops", &counted)?;
        ensure!(suffix == "ops/accepted" && accepted["clientToken"] == "x", "{suffix} {accepted}");
    }
    let (suffix, rejected) = ask(&mut client, "ops", &ops(&json!([{ "op": "inc", "path": "/alarms" }])))?;
    ensure!(suffix == "ops/rejected" && rejected["code"] == 422, "{suffix} {rejected}");
    let twin: Value = serde_json::from_str(&node.cli_succeeds(&["twin", "get", "t1", "--json"])?)?;
    assert_eq!(twin["reported"], json!({ "alarms": [7], "starts": 2 }));
    Ok(())
}

#[test]
fn http_answers_as_its_description_says() -> anyhow::Result<()> {
    let python = selvedge_tests::installed::python().ok().filter(|python| {
        let imported = std::process::Command::new(python).args(["-c", "import schemathesis"]).output();
        imported.is_ok_and(|output| output.status.success())
    });
    let Some(python) = python else {
        println!(
            "SKIPPED http_answers_as_its_description_says: schemathesis is not installed; run `cargo xtask setup`"
        );
        return Ok(());
    };
    let node = Node::start()?;
    let examples = std::env::var("SELVEDGE_HTTP_EXAMPLES").unwrap_or_else(|_| "5".to_owned());
    let output = std::process::Command::new(python)
        .arg(selvedge_tests::installed::client_script("http_api.py"))
        .args([
            node.http().to_string(),
            node.place().data().join("control.sock").to_string_lossy().into_owned(),
            examples,
        ])
        .output()
        .context("run the script")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{said}{}\n{}", String::from_utf8_lossy(&output.stderr), node.said());
    Ok(())
}
