//! The answers about the network as tables for people.

use std::fmt::Write;

use serde_json::Value;

use crate::control::output::escaped;

/// Who sends and receives most.
pub fn top(answer: &Value) -> String {
    if answer["state"] != "counting" {
        return status(answer);
    }
    let mut text = format!(
        "{:<40} {:>10} {:>10} {:>9} {:>9} {:>11} {:>11}  {}\n",
        "peer", "in B/s", "out B/s", "in pkt/s", "out pkt/s", "in total", "out total", "interface  clients"
    );
    for row in list(&answer["peers"]) {
        let clients: Vec<String> = list(&row["clients"]).filter_map(Value::as_str).map(escaped).collect();
        let _ = writeln!(
            text,
            "{:<40} {:>10} {:>10} {:>9} {:>9} {:>11} {:>11}  {:<9}  {}",
            word(&row["peer"]),
            rate(&row["received_per_s"]["bytes"]),
            rate(&row["sent_per_s"]["bytes"]),
            rate(&row["received_per_s"]["packets"]),
            rate(&row["sent_per_s"]["packets"]),
            scaled(number(&row["received"]["bytes"])),
            scaled(number(&row["sent"]["bytes"])),
            word(&row["interface"]),
            clients.join(", ")
        );
    }
    if list(&answer["peers"]).next().is_none() {
        text.push_str("nothing yet\n");
    }
    text
}

/// Whether packets are counted, where, and what they amount to.
pub fn status(answer: &Value) -> String {
    match answer["state"].as_str() {
        Some("off") => return "packets are not counted: net.counters is \"off\"".to_owned(),
        Some("starting") => return "the programs are being loaded into the kernel".to_owned(),
        Some("counting") => {}
        _ => {
            let problem = &answer["problem"];
            return format!("packets are not counted: {}\n{}", word(&problem["text"]), word(&problem["remedy"]));
        }
    }
    let mut text = String::new();
    for interface in list(&answer["interfaces"]) {
        let guard = match interface["guard"].as_str() {
            None | Some("off" | "none") => String::new(),
            Some(hook) => format!(", guard at {hook}"),
        };
        let _ = writeln!(text, "{}: counted at {}{guard}", word(&interface["name"]), word(&interface["hook"]));
        for direction in ["in", "out"] {
            let rows = || {
                list(&answer["totals"])
                    .filter(|row| row["interface"] == interface["name"] && row["direction"] == direction)
            };
            let sum = |what: &str| rows().map(|row| number(&row["counts"][what])).fold(0, u64::saturating_add);
            let _ = writeln!(
                text,
                "  {direction:<3} {:>12} packets {:>12}  {} SYN, {} RST, {} attempts at MQTT, {} malformed",
                sum("packets"),
                scaled(sum("bytes")),
                sum("syn"),
                sum("rst"),
                sum("mqtt_attempts"),
                sum("malformed")
            );
        }
    }
    let health = &answer["health"];
    let _ = writeln!(
        text,
        "{} flows of at most {}, {} had to make room",
        number(&health["flows_live"]),
        number(&health["flows_max"]),
        number(&health["evictions_estimated"])
    );
    let guard = &answer["guard"];
    if guard["mode"] != "off" {
        let packets = |verdict: &str| number(&guard[verdict]["packets"]);
        let _ = writeln!(
            text,
            "guard {}: {} peers denied; dropped {} of denied peers, {} beyond the rate; would have dropped {} and {}; spared {}",
            word(&guard["mode"]),
            list(&guard["denials"]).count(),
            packets("dropped_denied"),
            packets("dropped_too_fast"),
            packets("would_drop_denied"),
            packets("would_drop_too_fast"),
            packets("spared")
        );
    }
    for problem in list(&answer["problems"]) {
        let _ = writeln!(text, "{}: {}", word(&problem["text"]), word(&problem["remedy"]));
    }
    text
}

/// Who is denied, and who never is.
pub fn denials(answer: &Value) -> String {
    let mut text = String::new();
    for denial in list(&answer["denials"]) {
        let _ = writeln!(
            text,
            "{:<40} {:<24} {:>8} s left {:>12} packets dropped",
            word(&denial["peer"]),
            word(&denial["why"]),
            number(&denial["remaining_s"]),
            number(&denial["dropped_packets"])
        );
    }
    if text.is_empty() {
        text.push_str("nobody is denied\n");
    }
    if answer["mode"] == "dry-run" {
        text.push_str("this is a dry run: nothing is dropped, only counted\n");
    }
    text + &allowed(answer)
}

/// Who is never denied.
pub fn allowed(answer: &Value) -> String {
    let networks: Vec<&str> = list(&answer["allowed"]).filter_map(Value::as_str).collect();
    if networks.is_empty() {
        "no network is in the allow list".to_owned()
    } else {
        format!("allowed: {}", networks.join(", "))
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn word(value: &Value) -> String {
    escaped(value.as_str().unwrap_or("?"))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn rate(value: &Value) -> String {
    scaled_float(value.as_f64().unwrap_or(0.0))
}

fn scaled(count: u64) -> String {
    scaled_float(count as f64)
}

/// With a decimal prefix from ten thousand on.
fn scaled_float(mut count: f64) -> String {
    for prefix in ["", "k", "M", "G", "T"] {
        if count < 10_000.0 {
            let digits = usize::from(!prefix.is_empty());
            return format!("{count:.digits$}{prefix}");
        }
        count /= 1000.0;
    }
    format!("{count:.0}P")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_short() {
        let shown: Vec<String> = [0, 9999, 10_000, 1_234_567, u64::MAX].map(scaled).into();
        assert_eq!(shown, ["0", "9999", "10.0k", "1234.6k", "18447P"]);
    }

    #[test]
    fn a_peer_stands_in_one_line_with_its_clients_and_nothing_that_a_terminal_obeys() {
        let answer = json!({ "state": "counting", "peers": [{
            "peer": "192.0.2.7", "interface": "eth0", "clients": ["pump\u{1b}[2J", "b"],
            "received": { "bytes": 20_000 }, "sent": { "bytes": 5 },
            "received_per_s": { "bytes": 100.0, "packets": 2.0 }, "sent_per_s": { "bytes": 0.0, "packets": 0.0 } }] });
        let text = top(&answer);
        let line = text.lines().nth(1).unwrap();
        assert!(line.starts_with("192.0.2.7 ") && line.ends_with("eth0       pump\\u{1b}[2J, b"), "{line}");
        assert!(line.contains(" 20.0k "), "{line}");
    }

    #[test]
    fn what_is_in_the_way_is_told_with_what_to_do() {
        let answer = json!({ "state": "cannot", "problem": { "text": "no CAP_BPF", "remedy": "give it" } });
        assert_eq!(status(&answer), "packets are not counted: no CAP_BPF\ngive it");
        assert_eq!(top(&answer), status(&answer));
    }

    #[test]
    fn denials_are_listed_with_their_reason() {
        let answer = json!({ "mode": "dry-run", "allowed": ["10.0.0.0/8"], "denials": [
            { "peer": "192.0.2.7", "why": "by-hand", "remaining_s": 9, "dropped_packets": 3 }] });
        let text = denials(&answer);
        assert!(text.contains("192.0.2.7") && text.contains("by-hand") && text.contains("dry run"), "{text}");
        assert!(text.ends_with("allowed: 10.0.0.0/8"), "{text}");
    }
}
