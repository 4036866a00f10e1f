//! Versions on trial: `fn recordings`, `replay`, `promote`, `shadow`, `canary`.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use hyper::Method;
use selvedge_functions::Recording;
use serde_json::{Value, json};

use super::versions::show;
use super::{log_text, word};
use crate::arguments::function_trial::{
    FunctionCanaryArguments, FunctionPromoteArguments, FunctionRecordingsArguments, FunctionReplayArguments,
    FunctionShadowArguments,
};
use crate::atomic_file;
use crate::client::time_text;
use crate::control::node_client::{NodeClient, segment};
use crate::control::output::{escaped, print_line};

/// Bytes of a payload that a table shows.
const PAYLOAD_SHOWN: usize = 40;

pub(super) fn recordings(arguments: &FunctionRecordingsArguments) -> anyhow::Result<()> {
    let client = NodeClient::new(&arguments.socket)?;
    let path = format!("/v1/functions/{}/recordings", segment(&arguments.name));
    if arguments.forget {
        let forgotten = client.call(Method::DELETE, &path, Vec::new())?;
        return show(arguments.json, &forgotten, |_| format!("the recordings of {} are forgotten", arguments.name));
    }
    let answer = client.call(Method::GET, &path, Vec::new())?;
    let Some(file) = &arguments.save else { return show(arguments.json, &answer, table) };
    let recordings: Vec<&Value> = answer["recordings"].as_array().into_iter().flatten().collect();
    let lines: String = recordings.iter().map(|recording| format!("{recording}\n")).collect();
    // Recordings hold what devices sent.
    atomic_file::replace(file, lines.as_bytes(), 0o600).with_context(|| format!("write {}", file.display()))?;
    let saved = json!({ "file": file, "recordings": recordings.len() });
    show(arguments.json, &saved, |_| format!("{} recordings are in {}", recordings.len(), file.display()))
}

/// The recordings of a file, one JSON object a line.
pub(super) fn read_recordings(path: &Path) -> anyhow::Result<Vec<Recording>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let recordings: Vec<Recording> = lines
        .map(|(index, line)| {
            serde_json::from_str(line).with_context(|| {
                format!(
                    "{} line {}: no recording (selvedge fn recordings NAME --save FILE makes them)",
                    path.display(),
                    index + 1
                )
            })
        })
        .collect::<Result<_, _>>()?;
    anyhow::ensure!(!recordings.is_empty(), "{} has no recordings", path.display());
    Ok(recordings)
}

fn table(answer: &Value) -> String {
    let recordings = answer["recordings"].as_array().map(Vec::as_slice).unwrap_or_default();
    if recordings.is_empty() {
        return "no recordings: no message has come since the node started, or [recording] messages = 0".to_owned();
    }
    let mut text = format!("{:<24} {:<27} {:<8} {:>8}  {:<24} result", "run", "at", "version", "µs", "topic");
    for recording in recordings {
        let at = time_text::iso(std::time::UNIX_EPOCH + milliseconds(&recording["start_ms"]));
        let _ = write!(
            text,
            "\n{:<24} {at:<27} {:<8} {:>8}  {:<24} {}",
            word(&recording["invocation_id"]),
            word(&recording["version"]),
            word(&recording["run_us"]),
            escaped(&word(&recording["message"]["topic"])),
            result_text(&recording["result"])
        );
    }
    text
}

pub(in crate::control) fn milliseconds(value: &Value) -> std::time::Duration {
    std::time::Duration::from_millis(value.as_u64().unwrap_or(0))
}

/// What a run came to, in a line.
pub(in crate::control) fn result_text(result: &Value) -> String {
    if let Some(failed) = result.get("failed") {
        return escaped(&format!("{}: {}", word(&failed["how"]), word(&failed["reason"])));
    }
    let done = &result["ok"];
    let count = |key: &str| done[key].as_array().map_or(0, Vec::len);
    let mut parts: Vec<String> = done["published"].as_array().into_iter().flatten().take(3).map(message_text).collect();
    if count("published") > 3 {
        parts.push(format!("… {} messages", count("published")));
    }
    for (key, what) in [("kv", "keys"), ("twins", "twin patches")] {
        if count(key) > 0 {
            parts.push(format!("{} {what}", count(key)));
        }
    }
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}

/// `[topic] payload`.
pub(in crate::control) fn message_text(message: &Value) -> String {
    let payload = match &message["payload"] {
        Value::String(text) => text.clone(),
        other => format!("0x{}", word(&other["hex"])),
    };
    let shown: String = payload.chars().take(PAYLOAD_SHOWN).collect();
    let more = if shown.len() < payload.len() { "…" } else { "" };
    escaped(&format!("[{}] {shown}{more}", word(&message["topic"])))
}

/// The function that a run is of: `my-filter-1042`.
pub(in crate::control) fn function_of(invocation: &str) -> anyhow::Result<&str> {
    match invocation.rsplit_once('-') {
        Some((name, number)) if !name.is_empty() && number.parse::<u64>().is_ok() => Ok(name),
        _ => bail!("{invocation:?} is no run of a function: they are called like my-filter-1042"),
    }
}

pub(super) fn replay(arguments: &FunctionReplayArguments) -> anyhow::Result<()> {
    let name = segment(function_of(&arguments.invocation)?);
    let client = NodeClient::new(&arguments.socket)?;
    let at = arguments.at.map_or_else(String::new, |version| format!("&at={version}"));
    let path = format!("/v1/functions/{name}/replay?invocation={}{at}", segment(&arguments.invocation));
    let replay = client.call(Method::POST, &path, Vec::new())?;
    show(arguments.json, &replay, replay_text)
}

fn replay_text(replay: &Value) -> String {
    let recording = &replay["recording"];
    let mut text = format!(
        "then {:<6} {:>8} µs  {}\nnow  {:<6} {:>8.0} µs  {}",
        word(&recording["version"]),
        word(&recording["run_us"]),
        result_text(&recording["result"]),
        word(&replay["version"]),
        replay["run_us"].as_f64().unwrap_or(0.0),
        result_text(&replay["result"])
    );
    text.push_str(if replay["is_same"] == true { "\nthe same, byte for byte" } else { "\nnot the same" });
    differences(&mut text, &replay["differences"], "  ");
    if replay["unrecorded_reads"] != 0 {
        let _ =
            write!(text, "\n{} reads were not recorded: answered from the present", word(&replay["unrecorded_reads"]));
    }
    for line in replay["logs"].as_array().into_iter().flatten() {
        let _ = write!(text, "\n{}", log_text(line));
    }
    text
}

/// One line for each place that differs.
pub(super) fn differences(text: &mut String, differences: &Value, indent: &str) {
    let told = differences["told"].as_array().map(Vec::as_slice).unwrap_or_default();
    for difference in told {
        let line =
            format!("{}: {} → {}", word(&difference["place"]), word(&difference["before"]), word(&difference["after"]));
        let _ = write!(text, "\n{indent}{}", escaped(&line));
    }
    let more = differences["count"].as_u64().unwrap_or(0).saturating_sub(told.len() as u64);
    if more > 0 {
        let _ = write!(text, "\n{indent}… and {more} more");
    }
}

pub(super) fn promote(arguments: &FunctionPromoteArguments) -> anyhow::Result<()> {
    let recordings = arguments.recording.as_deref().map(read_recordings).transpose()?;
    let policy: serde_json::Map<String, Value> = [
        ("messages", arguments.messages.map(Value::from)),
        ("changed_percent", arguments.changed.map(Value::from)),
        ("failed_percent", arguments.failed.map(Value::from)),
        ("slower", arguments.slower.map(Value::from)),
        ("memory", arguments.memory.map(Value::from)),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key.to_owned(), value?)))
    .collect();
    let body = json!({
        "version": arguments.version,
        "dry_run": arguments.dry_run,
        "policy": policy,
        "recordings": recordings,
    });
    let client = NodeClient::new(&arguments.socket)?;
    let path = format!("/v1/functions/{}/promote", segment(&arguments.name));
    let report = client.call(Method::POST, &path, body.to_string().into_bytes())?;
    show(arguments.json, &report, report_text)?;
    match report["refusals"].as_array().map_or(0, Vec::len) {
        0 => Ok(()),
        _ => bail!("{} does not go live", arguments.version),
    }
}

fn report_text(report: &Value) -> String {
    let (live, candidate) = (word(&report["live_version"]), word(&report["candidate_version"]));
    let messages = report["messages"].as_u64().unwrap_or(0);
    let mut text = format!("{messages} recorded messages, {live} (live) and {candidate}:");
    let percent = |count: &Value| 100.0 * count.as_f64().unwrap_or(0.0) / (messages.max(1) as f64);
    let _ = write!(
        text,
        "\n  {:<20} {} ({:.1} %)",
        "changed outputs",
        word(&report["changed"]),
        percent(&report["changed"])
    );
    let _ = write!(
        text,
        "\n  {:<20} {} ({:.1} %)",
        "newly failed",
        word(&report["newly_failed"]),
        percent(&report["newly_failed"])
    );
    for (what, key) in [("median run, µs", "run_p50_us"), ("99th percentile, µs", "run_p99_us")] {
        let figure = |version: &str| report[version][key].as_f64().unwrap_or(0.0);
        let (before, after) = (figure("live"), figure("candidate"));
        let _ = write!(text, "\n  {what:<20} {before:.0} → {after:.0} ({:.1} ×)", after / before.max(0.1));
    }
    let kib = |version: &str| report[version]["memory_bytes"].as_u64().unwrap_or(0) >> 10;
    let _ = write!(text, "\n  {:<20} {} → {}", "memory, KiB", kib("live"), kib("candidate"));
    for (key, what) in [
        ("not_taken", "messages that none of its triggers takes"),
        ("left_out", "messages for which the time did not last"),
        (
            "unsteady",
            "messages on which the live version gave something else than then: it depends on what is not recorded",
        ),
        ("unrecorded_reads", "reads that were not recorded, answered from the present"),
    ] {
        if report[key] != 0 {
            let _ = write!(text, "\n  {} {what}", word(&report[key]));
        }
    }
    for (place, count) in report["places"].as_object().into_iter().flatten() {
        let _ = write!(text, "\n  {} × {}", word(count), escaped(place));
    }
    for example in report["examples"].as_array().into_iter().flatten().take(3) {
        let _ = write!(text, "\n  {} on {}", word(&example["invocation_id"]), escaped(&word(&example["topic"])));
        differences(&mut text, example, "    ");
    }
    for refusal in report["refusals"].as_array().into_iter().flatten() {
        let _ = write!(text, "\nrefused: {}", escaped(&word(refusal)));
    }
    match (report["promoted"] == true, report["refusals"].as_array().is_some_and(Vec::is_empty)) {
        (true, _) => drop(write!(
            text,
            "\n{candidate} is live; the way back: selvedge fn rollback {}",
            word(&report["function"])
        )),
        (false, true) => text.push_str("\nnothing speaks against it"),
        (false, false) => {}
    }
    text
}

pub(super) fn shadow(arguments: &FunctionShadowArguments) -> anyhow::Result<()> {
    let client = NodeClient::new(&arguments.socket)?;
    let name = segment(&arguments.name);
    let path = format!("/v1/functions/{name}/shadow");
    if arguments.off {
        let off = client.call(Method::DELETE, &path, Vec::new())?;
        return show(arguments.json, &off, |_| format!("{} has no shadow any more", arguments.name));
    }
    if let Some(version) = arguments.version {
        let body = json!({ "version": version }).to_string().into_bytes();
        let set = client.call(Method::PUT, &path, body)?;
        return show(arguments.json, &set, |_| {
            format!(
                "{version} of {0} sees the messages without effects; what it comes to: selvedge fn shadow {0}",
                arguments.name
            )
        });
    }
    let watch = client.call(Method::GET, &format!("/v1/functions/{name}/trial"), Vec::new())?;
    show(arguments.json, &watch["shadow"], shadow_text)
}

fn shadow_text(shadow: &Value) -> String {
    if shadow.is_null() {
        return "no version runs in the shadow".to_owned();
    }
    let mut text = format!(
        "{}: {} messages compared, {} changed, {} newly failed, {} skipped",
        word(&shadow["version"]),
        word(&shadow["compared"]),
        word(&shadow["changed"]),
        word(&shadow["newly_failed"]),
        word(&shadow["skipped"])
    );
    if let Some(problem) = shadow["problem"].as_str() {
        let _ = write!(text, "\ndoes not run: {}", escaped(problem));
    }
    for (place, count) in shadow["places"].as_object().into_iter().flatten() {
        let _ = write!(text, "\n  {} × {}", word(count), escaped(place));
    }
    for example in shadow["examples"].as_array().into_iter().flatten().rev().take(3) {
        let _ = write!(text, "\n  {} on {}", word(&example["invocation_id"]), escaped(&word(&example["topic"])));
        differences(&mut text, example, "    ");
    }
    text
}

pub(super) fn canary(arguments: &FunctionCanaryArguments) -> anyhow::Result<()> {
    let client = NodeClient::new(&arguments.socket)?;
    let name = segment(&arguments.name);
    let Some(version) = arguments.version else {
        let watch = client.call(Method::GET, &format!("/v1/functions/{name}/trial"), Vec::new())?;
        return show(arguments.json, &watch["canary"], canary_text);
    };
    let wish = [
        ("percent", arguments.percent.map(Value::from)),
        ("for_s", arguments.time.map(|time| Value::from(time.0.as_secs()))),
        ("messages", arguments.messages.map(Value::from)),
        ("failed_percent", arguments.failed.map(Value::from)),
        ("slower", arguments.slower.map(Value::from)),
        ("changed_percent", arguments.changed.map(Value::from)),
    ];
    let mut body: serde_json::Map<String, Value> =
        wish.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
    body.insert("version".to_owned(), json!(version));
    let path = format!("/v1/functions/{name}/canary");
    let pointed = client.call(Method::POST, &path, Value::Object(body).to_string().into_bytes())?;
    show(arguments.json, &pointed, |pointed| {
        format!(
            "{} live: {}; how it goes: selvedge fn canary {}",
            word(&pointed["name"]),
            super::versions::shares(&pointed["shares"]),
            arguments.name
        )
    })
}

fn canary_text(canary: &Value) -> String {
    if canary.is_null() {
        return "no version is on trial (selvedge fn logs NAME tells how the last one ended)".to_owned();
    }
    let policy = &canary["policy"];
    format!(
        "{} beside {}, {} % of the messages since {}\n\
         runs     {} ({} failed), {} ({} failed) of {}\n\
         p99 µs   {}, {} of {}\n\
         compared {} ({} with another output)\n\
         goes live after {} s and {} messages",
        word(&canary["candidate"]),
        word(&canary["baseline"]),
        word(&policy["percent"]),
        time_text::iso(std::time::UNIX_EPOCH + milliseconds(&canary["began_ms"])),
        word(&canary["runs"]),
        word(&canary["failed"]),
        word(&canary["baseline_runs"]),
        word(&canary["baseline_failed"]),
        word(&canary["baseline"]),
        word(&canary["run_p99_us"]),
        word(&canary["baseline_run_p99_us"]),
        word(&canary["baseline"]),
        word(&canary["compared"]),
        word(&canary["changed"]),
        word(&policy["for_s"]),
        word(&policy["messages"]),
    )
}

/// Prints text as it comes.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    Ok(print_line(text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_names_its_function() {
        assert_eq!(function_of("my-filter-1042").unwrap(), "my-filter");
        for wrong in ["my-filter", "-7", "7", "my-filter-x", ""] {
            assert!(function_of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_result_is_told_in_a_line() {
        let result = json!({ "ok": { "published": [{ "topic": "a", "payload": "1\n" }, { "topic": "b", "payload": { "hex": "ff" } }],
            "kv": [{}], "twins": [] } });
        assert_eq!(result_text(&result), "[a] 1\\n, [b] 0xff, 1 keys");
        assert_eq!(result_text(&json!({ "failed": { "how": "trap", "reason": "unreachable" } })), "trap: unreachable");
        assert_eq!(result_text(&json!({ "ok": { "published": [], "kv": [], "twins": [] } })), "nothing");
    }

    #[test]
    fn a_report_says_what_changed_and_why_it_is_refused() {
        let report = json!({
            "function": "f", "live_version": "v1", "candidate_version": "v2", "messages": 4, "changed": 1, "newly_failed": 0,
            "live": { "run_p50_us": 100.0, "run_p99_us": 100.0, "memory_bytes": 2048 },
            "candidate": { "run_p50_us": 250.0, "run_p99_us": 250.0, "memory_bytes": 4096 },
            "not_taken": 0, "left_out": 0, "unsteady": 2, "unrecorded_reads": 0, "places": { "message 1 payload /t": 1 },
            "examples": [{ "invocation_id": "f-3", "topic": "a", "count": 1, "told": [{ "place": "message 1 payload /t", "before": "1", "after": "2" }] }],
            "refusals": ["25.0 % changed"], "promoted": false,
        });
        let text = report_text(&report);
        for expected in [
            "changed outputs      1 (25.0 %)",
            "100 → 250 (2.5 ×)",
            "2 messages on which",
            "1 × message 1 payload /t",
            "message 1 payload /t: 1 → 2",
            "refused: 25.0 % changed",
        ] {
            assert!(text.contains(expected), "{expected:?} is not in\n{text}");
        }
    }

    #[test]
    fn a_file_of_recordings_is_named_with_the_line_that_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("r.jsonl");
        std::fs::write(&path, "\n{}\n").unwrap();
        let error = format!("{:#}", read_recordings(&path).unwrap_err());
        assert!(error.contains("r.jsonl line 2: no recording"), "{error}");
        std::fs::write(&path, "\n").unwrap();
        assert!(read_recordings(&path).unwrap_err().to_string().contains("has no recordings"));
    }
}
