//! `selvedge status`.

use anyhow::bail;
use hyper::Method;
use serde_json::Value;

use super::node_client::NodeClient;
use super::output::print_line;
use crate::arguments::StatusArguments;

/// Prints how the node is.
///
/// # Errors
/// No node answers, or it is not ready: the exit code tells scripts.
pub fn run(arguments: &StatusArguments) -> anyhow::Result<()> {
    let client = NodeClient::new(&arguments.socket)?;
    let status = client.call(Method::GET, "/v1/status", Vec::new())?;
    if arguments.json {
        print_line(&status.to_string())?;
    } else {
        print_line(text(&status).trim_end())?;
    }
    if status["ready"] != true {
        bail!("the node is not ready");
    }
    Ok(())
}

fn text(status: &Value) -> String {
    let node = &status["node"];
    let word = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "off".to_owned(),
        other => other.to_string(),
    };
    let mut text = format!(
        "selvedge {} (process {}), up {} s, {}\n",
        word(&node["version"]),
        word(&node["pid"]),
        word(&node["uptime_s"]),
        if status["ready"] == true { "ready" } else { "NOT READY" }
    );
    let listeners = [
        ("mqtt", "mqtt"),
        ("mqtts", "mqtts"),
        ("websocket", "websocket"),
        ("wss", "secure_websocket"),
        ("http", "http"),
    ];
    for (name, key) in listeners {
        let is_optional = matches!(name, "mqtts" | "wss");
        if !(is_optional && node[key].is_null()) {
            text.push_str(&format!("  {name:<10} {}\n", word(&node[key])));
        }
    }
    for name in ["control", "data"] {
        text.push_str(&format!("  {name:<10} {}\n", word(&node[name])));
    }
    for (name, part) in status["parts"].as_object().into_iter().flatten() {
        let mark = if part["ready"] == true { "" } else { "NOT READY: " };
        text.push_str(&format!("  {name:<10} {mark}{}\n", word(&part["detail"])));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_text_has_a_line_for_each_listener_and_part() {
        let status = json!({
            "ready": false,
            "node": { "version": "1", "pid": 7, "uptime_s": 3, "mqtt": "127.0.0.1:1883", "websocket": null, "secure_websocket": "127.0.0.1:8084", "data": "/d" },
            "parts": { "store": { "ready": false, "detail": "the disk is full" }, "broker": { "ready": true, "detail": "2 clients" } },
        });
        let text = text(&status);
        for line in [
            "selvedge 1 (process 7), up 3 s, NOT READY",
            "  websocket  off",
            "  wss        127.0.0.1:8084",
            "  store      NOT READY: the disk is full",
            "  broker     2 clients",
        ] {
            assert!(text.lines().any(|found| found == line), "{line:?} is missing in\n{text}");
        }
    }
}
