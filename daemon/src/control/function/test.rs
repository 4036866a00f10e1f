//! `fn test`: a built function on messages or recordings, without a node.

use std::io::{BufRead as _, IsTerminal as _, Read as _};

use anyhow::{Context as _, bail};
use selvedge_functions::{Config, InvocationContext, InvocationMessage, OfflineState, replay_offline, run_offline};
use serde_json::json;

use super::trials::{differences, message_text as one_line, print, read_recordings, result_text};
use super::{built_project, message_text};
use crate::arguments::function::FunctionTestArguments;
use crate::function_message::MessageText;

/// Wall time of one compilation, milliseconds. Here a person waits for it, and the interpreter of a Python function takes long.
const COMPILE_TIMEOUT_MS: u64 = 600_000;
/// Messages of one test.
const MESSAGES_MAX: usize = 100_000;

pub(super) fn run(arguments: &FunctionTestArguments) -> anyhow::Result<()> {
    let (manifest, component) = built_project(&arguments.directory, "test")?;
    let native_code = arguments.directory.join("target").join("selvedge-test");
    std::fs::create_dir_all(&native_code).with_context(|| format!("create {}", native_code.display()))?;
    let child = crate::wiring::settings::compile_child();
    let config = Config { compile_timeout_ms: COMPILE_TIMEOUT_MS, ..Config::default() };
    if let Some(path) = &arguments.recording {
        let recordings = read_recordings(path)?;
        let runs = replay_offline(&native_code, &child, &config, &manifest, &component, &recordings)?;
        return report_replay(arguments.json, &serde_json::to_value(&runs)?);
    }
    let (messages, is_one) = match &arguments.message {
        Some(message) => (vec![MessageText::parse(&message_text(message)?)?], true),
        None => (messages_from_input()?, false),
    };
    let messages = messages.into_iter().map(|message| (message, InvocationContext::default())).collect();
    let state = OfflineState::default();
    let report = run_offline(&native_code, &child, &config, &manifest, &component, messages, state)?;
    if arguments.json {
        print(&serde_json::to_string(&report)?)?;
    } else if is_one {
        print(&serde_json::to_string_pretty(&report)?)?;
    } else {
        for run in &report.runs {
            for message in &run.published {
                print(&format!("[{}] {}", message.topic, String::from_utf8_lossy(&message.payload)))?;
            }
            if let Some(failure) = &run.failure {
                eprintln!("failed: {failure}");
            }
        }
    }
    match report.runs.iter().filter(|run| run.failure.is_some()).count() {
        0 => Ok(()),
        1 if is_one => bail!("{}", report.runs.iter().find_map(|run| run.failure.as_deref()).unwrap_or_default()),
        count => bail!("{count} of {} messages failed", report.runs.len()),
    }
}

fn messages_from_input() -> anyhow::Result<Vec<InvocationMessage>> {
    let input = std::io::stdin();
    if input.is_terminal() {
        eprintln!("messages, one a line: [topic] payload (end with Ctrl-D; --message JSON gives one with properties)");
    }
    let mut messages = Vec::new();
    // As much as any message may have, and a line of it is no message.
    let mut lines = input.lock().take(1 << 30);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if lines.read_until(b'\n', &mut line).context("read the messages")? == 0 {
            break;
        }
        if let Some(message) = line_message(&line).with_context(|| format!("line {number}"))? {
            messages.push(message);
        }
        anyhow::ensure!(messages.len() <= MESSAGES_MAX, "more than {MESSAGES_MAX} messages: give them in parts");
    }
    anyhow::ensure!(!messages.is_empty(), "no message: give lines of the form [topic] payload, or --message JSON");
    Ok(messages)
}

/// `[topic] payload`; nothing for an empty line.
fn line_message(line: &[u8]) -> anyhow::Result<Option<InvocationMessage>> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let parts = line.strip_prefix(b"[").and_then(|rest| {
        let end = rest.iter().position(|byte| *byte == b']')?;
        Some((rest.get(..end)?, rest.get(end + 1..)?))
    });
    let Some((topic, payload)) = parts else { bail!("expected [topic] payload") };
    let topic = std::str::from_utf8(topic).context("the topic is no text")?;
    anyhow::ensure!(!topic.is_empty() && !topic.contains(['+', '#', '\0']), "{topic:?} is no name of a topic");
    let payload = payload.strip_prefix(b" ").unwrap_or(payload);
    Ok(Some(InvocationMessage { topic: topic.to_owned(), payload: payload.to_vec(), ..InvocationMessage::default() }))
}

fn report_replay(is_json: bool, runs: &serde_json::Value) -> anyhow::Result<()> {
    let runs = runs.as_array().map(Vec::as_slice).unwrap_or_default();
    let changed = runs.iter().filter(|run| run["differences"]["count"] != 0).count();
    if is_json {
        print(&json!({ "runs": runs, "changed": changed }).to_string())?;
    } else {
        for run in runs {
            let mut text = String::new();
            differences(&mut text, &run["differences"], "  ");
            let mark = if text.is_empty() { "same   " } else { "changed" };
            let input = one_line(&json!({ "topic": run["topic"], "payload": "" }));
            let result = result_text(&run["result"]);
            print(&format!("{mark} {} {input} {result}{text}", super::word(&run["invocation_id"])))?;
        }
    }
    match changed {
        0 => Ok(()),
        changed => bail!("{changed} of {} recorded messages have another output", runs.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &[u8]) -> Option<(String, Vec<u8>)> {
        line_message(line).unwrap().map(|message| (message.topic, message.payload))
    }

    #[test]
    fn a_line_is_a_topic_in_brackets_and_a_payload() {
        assert_eq!(parsed(b"[a/b] 21.5\r\n"), Some(("a/b".into(), b"21.5".to_vec())));
        assert_eq!(parsed(b"[a]\xff]"), Some(("a".into(), b"\xff]".to_vec())));
        assert_eq!(parsed(b"[a]  x"), Some(("a".into(), b" x".to_vec())));
        assert_eq!(parsed(b" \n"), None);
        for wrong in [&b"a 1"[..], b"[a 1", b"[] 1", b"[a/#] 1", b"[\xff] 1"] {
            assert!(line_message(wrong).is_err(), "{wrong:?}");
        }
    }
}
