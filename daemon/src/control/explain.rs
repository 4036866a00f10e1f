//! `selvedge explain`: who sent a message, which versions ran on it, and what came of it, from the recordings of a running node.

use std::fmt::Write as _;

use anyhow::bail;
use hyper::Method;
use serde_json::{Value, json};

use super::function::{function_of, log_text, milliseconds, result_text, told_message, word};
use super::node_client::{NodeClient, segment};
use super::output::{escaped, print_line};
use crate::arguments::ExplainArguments;
use crate::client::time_text;

/// Runs that one run led to are told so deep.
const DEPTH_MAX: usize = 16;

/// Explains one run.
///
/// # Errors
/// No node answers, or the run is not recorded.
pub fn run(arguments: &ExplainArguments) -> anyhow::Result<()> {
    let name = function_of(&arguments.invocation)?;
    let client = NodeClient::new(&arguments.socket)?;
    let all = all_recordings(&client)?;
    let Some(first) = all.iter().find(|recording| recording["invocation_id"] == arguments.invocation.as_str()) else {
        bail!(
            "there is no recording of {}: only some messages are kept ([recording] in function.toml), and a restart forgets them; \
             selvedge fn recordings {name} lists those that there are",
            arguments.invocation
        );
    };
    let story = story(first, &all, &logs(&client, name, &arguments.invocation)?, 0);
    let shown = if arguments.json { story.to_string() } else { text(&story, "") };
    Ok(print_line(&shown)?)
}

fn all_recordings(client: &NodeClient) -> anyhow::Result<Vec<Value>> {
    let functions = client.call(Method::GET, "/v1/functions", Vec::new())?;
    let mut all = Vec::new();
    for function in functions.as_array().into_iter().flatten() {
        let path = format!("/v1/functions/{}/recordings", segment(&word(&function["name"])));
        // A function may be gone since.
        let Ok(answer) = client.call(Method::GET, &path, Vec::new()) else { continue };
        all.extend(answer["recordings"].as_array().into_iter().flatten().cloned());
    }
    Ok(all)
}

fn logs(client: &NodeClient, name: &str, invocation: &str) -> anyhow::Result<Vec<Value>> {
    let mut lines = Vec::new();
    client.follow(&format!("/v1/functions/{}/logs?follow=false", segment(name)), |line| {
        if line["invocation_id"] == invocation {
            lines.push(line);
        }
        true
    })?;
    Ok(lines)
}

/// A run with those that it led to.
fn story(recording: &Value, all: &[Value], logs: &[Value], depth: usize) -> Value {
    let id = &recording["invocation_id"];
    let led_to: Vec<Value> = if depth < DEPTH_MAX {
        let next = all.iter().filter(|other| other["context"]["caused_by"] == *id && other["invocation_id"] != *id);
        next.map(|next| story(next, all, &[], depth + 1)).collect()
    } else {
        Vec::new()
    };
    let context = &recording["context"];
    json!({
        "invocation_id": id,
        "version": recording["version"],
        "alias": recording["alias"],
        "attempt": recording["attempt"],
        "start_ms": recording["start_ms"],
        "run_us": recording["run_us"],
        "message": recording["message"],
        "client": context["client_id"],
        "matched_filter": context["matched_filter"],
        "received_ms": context["received_ms"],
        "caused_by": context["caused_by"],
        "result": recording["result"],
        "logs": logs,
        "led_to": led_to,
    })
}

fn text(story: &Value, indent: &str) -> String {
    let received = time_text::iso(std::time::UNIX_EPOCH + milliseconds(&story["received_ms"]));
    let alias = story["alias"].as_str().map_or_else(String::new, |alias| format!(" by alias {alias}"));
    let mut text = format!(
        "{indent}{} ran {}{alias}, attempt {}, {} µs\n{indent}  on       {}\n{indent}  from     {}, received {received}, matched {}",
        word(&story["invocation_id"]),
        word(&story["version"]),
        word(&story["attempt"]),
        word(&story["run_us"]),
        told_message(&story["message"]),
        escaped(&story["client"].as_str().map_or_else(|| "the node".to_owned(), str::to_owned)),
        escaped(&word(&story["matched_filter"])),
    );
    if let Some(cause) = story["caused_by"].as_str().filter(|_| indent.is_empty()) {
        let _ = write!(text, "\n{indent}  cause    {} (selvedge explain {0})", escaped(cause));
    }
    let _ = write!(text, "\n{indent}  came to  {}", result_text(&story["result"]));
    for line in story["logs"].as_array().into_iter().flatten() {
        let _ = write!(text, "\n{indent}  log      {}", log_text(line));
    }
    for next in story["led_to"].as_array().into_iter().flatten() {
        let _ = write!(text, "\n{indent}  led to\n{}", self::text(next, &format!("{indent}    ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(id: &str, cause: Option<&str>) -> Value {
        json!({
            "invocation_id": id, "version": "v1", "alias": "live", "attempt": 1, "start_ms": 0, "run_us": 5,
            "message": { "topic": "a", "payload": "1" },
            "context": { "client_id": "pump", "matched_filter": "a/#", "received_ms": 0, "caused_by": cause },
            "result": { "ok": { "published": [{ "topic": "b", "payload": "2" }], "kv": [], "twins": [] } },
        })
    }

    #[test]
    fn a_run_is_told_with_those_that_it_led_to_and_a_circle_ends() {
        let all = [
            recording("f-1", None),
            recording("g-2", Some("f-1")),
            recording("h-3", Some("g-2")),
            recording("x-9", None),
        ];
        let told = text(&story(&all[0], &all, &[], 0), "");
        for expected in
            ["f-1 ran v1 by alias live", "from     pump", "came to  [b] 2", "    g-2 ran v1", "        h-3 ran v1"]
        {
            assert!(told.contains(expected), "{expected:?} is not in\n{told}");
        }
        assert!(!told.contains("x-9"), "{told}");
        let circle = [recording("f-1", Some("g-2")), recording("g-2", Some("f-1"))];
        assert_eq!(text(&story(&circle[0], &circle, &[], 0), "").matches("ran v1").count(), DEPTH_MAX + 1);
    }
}
