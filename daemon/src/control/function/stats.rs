//! `fn stats` and `fn top`: what functions did and took, once or again and again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::Value;

use super::trials::print;
use super::versions::show;
use super::{state, word};
use crate::arguments::function::{FunctionNameArguments, FunctionTopArguments};
use crate::control::node_client::NodeClient;
use crate::control::output::escaped;

/// Clears a terminal and goes to its first line.
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

pub(super) fn stats(arguments: &FunctionNameArguments) -> anyhow::Result<()> {
    let client = NodeClient::new(&arguments.socket)?;
    let functions = client.call(Method::GET, "/v1/functions", Vec::new())?;
    let found = functions.as_array().into_iter().flatten().find(|function| function["name"] == arguments.name.as_str());
    let Some(function) = found else { anyhow::bail!("there is no function {:?}", arguments.name) };
    show(arguments.json, function, stats_text)
}

fn stats_text(function: &Value) -> String {
    let mut text =
        format!("{} {}, live {}", word(&function["name"]), state(function), super::versions::shares(&function["live"]));
    figures(&mut text, "", &function["counters"]);
    for version in function["versions"].as_array().into_iter().flatten() {
        let _ = write!(text, "\n{}, weight {}", word(&version["version"]), word(&version["weight"]));
        figures(&mut text, "  ", &version["counters"]);
    }
    let _ = write!(
        text,
        "\nqueued {}, recorded {} ({} refused)",
        word(&function["queued"]),
        word(&function["recordings"]),
        word(&function["recordings_refused"])
    );
    text
}

fn figures(text: &mut String, indent: &str, counters: &Value) {
    let number = |key: &str| counters[key].as_u64().unwrap_or(0);
    let _ = write!(
        text,
        "\n{indent}  runs {}, {:.3} s of processor; p50 {} µs, p99 {} µs; at most {} KiB",
        number("invocations"),
        number("run_us_total") as f64 / 1e6,
        number("run_p50_us"),
        number("run_p99_us"),
        number("memory_peak_bytes") >> 10
    );
    let ends: Vec<String> = [
        "ok",
        "failed",
        "trapped",
        "timed_out",
        "over_limit",
        "commit_failed",
        "dropped",
        "abandoned",
        "dead_letters",
        "static_replies",
        "reused",
        "overloaded",
        "published",
        "rate_waits",
        "circuit_opened",
        "log_lines_dropped",
    ]
    .into_iter()
    .filter(|key| number(key) > 0)
    .map(|key| format!("{} {}", key.replace('_', " "), number(key)))
    .collect();
    if !ends.is_empty() {
        let _ = write!(text, "\n{indent}  {}", ends.join(", "));
    }
    if let Some(error) = counters["last_error"].as_str() {
        let _ = write!(text, "\n{indent}  last error: {}", escaped(error));
    }
}

pub(super) fn top(arguments: &FunctionTopArguments) -> anyhow::Result<()> {
    let client = NodeClient::new(&arguments.socket)?;
    let mut before: Option<(Instant, BTreeMap<String, Sums>)> = None;
    let mut left = arguments.times;
    loop {
        let functions = client.call(Method::GET, "/v1/functions", Vec::new())?;
        let (now, sums) = (Instant::now(), sums(&functions));
        // The first answer has nothing to be compared with.
        if let Some((then, earlier)) = &before {
            let screen = if std::io::stdout().is_terminal() { CLEAR } else { "" };
            print(&format!("{screen}{}", table(&sums, earlier, now.duration_since(*then))))?;
            left = left.map(|left| left.saturating_sub(1));
            if left == Some(0) {
                return Ok(());
            }
        }
        before = Some((now, sums));
        std::thread::sleep(Duration::from_secs(arguments.every.max(1)));
    }
}

/// What grows.
#[derive(Clone, Copy, Default)]
struct Sums {
    runs: u64,
    run_us: u64,
    failed: u64,
    queued: u64,
}

fn sums(functions: &Value) -> BTreeMap<String, Sums> {
    let sums = |function: &Value| {
        let number = |key: &str| function["counters"][key].as_u64().unwrap_or(0);
        Sums {
            runs: number("invocations"),
            run_us: number("run_us_total"),
            failed: ["failed", "trapped", "timed_out", "over_limit"].into_iter().map(number).sum(),
            queued: function["queued"].as_u64().unwrap_or(0),
        }
    };
    functions.as_array().into_iter().flatten().map(|function| (word(&function["name"]), sums(function))).collect()
}

/// Busiest first.
fn table(now: &BTreeMap<String, Sums>, before: &BTreeMap<String, Sums>, passed: Duration) -> String {
    let seconds = passed.as_secs_f64().max(0.001);
    let mut rows: Vec<(&str, Sums)> = now
        .iter()
        .map(|(name, now)| {
            let before = before.get(name).copied().unwrap_or_default();
            // A node that started again counts from nothing.
            let since = |now: u64, before: u64| if now >= before { now - before } else { now };
            let grown = Sums {
                runs: since(now.runs, before.runs),
                run_us: since(now.run_us, before.run_us),
                failed: since(now.failed, before.failed),
                queued: now.queued,
            };
            (name.as_str(), grown)
        })
        .collect();
    rows.sort_by(|(left_name, left), (right_name, right)| {
        right.run_us.cmp(&left.run_us).then(left_name.cmp(right_name))
    });
    let mut text = format!(
        "{:<32} {:>10} {:>8} {:>10} {:>10} {:>8}",
        "function", "runs/s", "cpu %", "µs a run", "failed/s", "queued"
    );
    for (name, grown) in rows {
        let _ = write!(
            text,
            "\n{:<32} {:>10.1} {:>8.1} {:>10.0} {:>10.1} {:>8}",
            escaped(name),
            grown.runs as f64 / seconds,
            grown.run_us as f64 / 1e4 / seconds,
            grown.run_us as f64 / grown.runs.max(1) as f64,
            grown.failed as f64 / seconds,
            grown.queued
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_busiest_comes_first_and_a_node_that_started_again_counts_from_nothing() {
        let list = |runs: u64, run_us: u64| {
            json!([
                { "name": "a", "queued": 0, "counters": { "invocations": 1, "run_us_total": 1 } },
                { "name": "b", "queued": 3, "counters": { "invocations": runs, "run_us_total": run_us, "failed": 2 } },
            ])
        };
        let text = table(&sums(&list(20, 40_000)), &sums(&list(10, 20_000)), Duration::from_secs(2));
        let row = text.lines().nth(1).unwrap();
        assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["b", "5.0", "1.0", "2000", "0.0", "3"]);
        let text = table(&sums(&list(4, 8_000)), &sums(&list(10, 20_000)), Duration::from_secs(2));
        assert_eq!(text.lines().nth(1).unwrap().split_whitespace().nth(1), Some("2.0"));
    }

    #[test]
    fn only_what_happened_is_told() {
        let function = json!({ "name": "f", "state": "ready", "live": [{ "version": "v1", "weight": 100 }], "queued": 0, "recordings": 2,
            "recordings_refused": 0, "counters": { "invocations": 3, "run_us_total": 1500, "ok": 2, "trapped": 1, "last_error": "x\u{7}" },
            "versions": [{ "version": "v1", "weight": 100, "counters": { "ok": 2 } }] });
        let text = stats_text(&function);
        for expected in [
            "f ready, live v1=100",
            "runs 3, 0.002 s of processor",
            "ok 2, trapped 1",
            "last error: x\\u{7}",
            "v1, weight 100",
        ] {
            assert!(text.contains(expected), "{expected:?} is not in\n{text}");
        }
        assert!(!text.contains("timed out"), "{text}");
    }
}
