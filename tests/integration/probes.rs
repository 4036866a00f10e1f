//! What a supervisor and a metrics collector ask the node.

use anyhow::{Context as _, ensure};
use selvedge_tests::client::{Client, Filter, Message};
use selvedge_tests::http;
use selvedge_tests::node::Node;
use serde_json::Value;

#[test]
fn a_running_node_is_live_and_ready() -> anyhow::Result<()> {
    let node = Node::start()?;
    assert_eq!(http::get(node.http(), "/livez")?.status, 200);
    let ready = http::get(node.http(), "/readyz")?;
    let parts: Value = serde_json::from_str(&ready.body).context("read /readyz")?;
    ensure!(ready.status == 200 && parts["ready"] == true, "{} {parts}", ready.status);
    assert_eq!(http::get(node.http(), "/nothing-here")?.status, 404);
    Ok(())
}

#[test]
fn metrics_are_prometheus_text_and_count_messages() -> anyhow::Result<()> {
    let node = Node::start()?;
    let before = samples(&node)?;
    let mut client = Client::any(node.mqtt())?;
    client.connect_clean("session")?;
    client.subscribe("session", &[Filter::new("probe/#", 1)])?;
    for _ in 0..25 {
        client.publish("session", &Message::new("probe/a", "x", 1))?;
        client.receive("session")?;
    }
    let after = samples(&node)?;
    let grown: Vec<&String> = after
        .iter()
        .filter(|(name, value)| {
            let old = before.iter().find(|(known, _)| known == name).map_or(0.0, |(_, value)| *value);
            value - old >= 25.0
        })
        .map(|(name, _)| name)
        .collect();
    for direction in ["received", "sent"] {
        let name = format!("selvedge_mqtt_publishes_{direction}_total{{qos=\"1\"}}");
        ensure!(grown.iter().any(|grown| **grown == name), "{name} did not grow by 25; grown are {grown:?}");
    }
    Ok(())
}

/// Every sample of `/metrics`; fails when a line is not one.
fn samples(node: &Node) -> anyhow::Result<Vec<(String, f64)>> {
    let response = http::get(node.http(), "/metrics")?;
    ensure!(response.status == 200, "/metrics is answered with {}", response.status);
    ensure!(response.headers.to_lowercase().contains("content-type: text/plain"), "{}", response.headers);
    let mut samples = Vec::new();
    for line in response.body.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (name, value) = line.rsplit_once(' ').with_context(|| format!("no value in {line:?}"))?;
        let value = value.parse().with_context(|| format!("no number in {line:?}"))?;
        ensure!(name.starts_with("selvedge_") || name.starts_with("process_"), "an unknown family: {line}");
        ensure!(samples.iter().all(|(known, _)| known != name), "{name} is there twice");
        samples.push((name.to_owned(), value));
    }
    ensure!(!samples.is_empty(), "there are no metrics");
    Ok(samples)
}
