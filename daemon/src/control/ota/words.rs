//! Updates in words.

use serde_json::Value;

use crate::control::output::escaped;

fn text(value: &Value, key: &str) -> String {
    match value.get(key) {
        Some(Value::String(text)) => escaped(text),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

fn list<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// What an update came to, a line for each target.
pub(super) fn report(answer: &Value) -> String {
    let mut lines = Vec::new();
    for row in list(answer, "installed") {
        lines.push(format!("{} {}: in place", text(row, "path"), text(row, "version")));
    }
    for (key, word) in [("left", ""), ("failed", "NOT in place: ")] {
        for row in list(answer, key) {
            lines.push(format!("{} {}: {word}{}", text(row, "path"), text(row, "version"), text(row, "why")));
        }
    }
    for problem in list(answer, "problems") {
        lines.push(escaped(problem.as_str().unwrap_or_default()));
    }
    match (answer.get("restart").and_then(Value::as_bool), answer.get("restarts").and_then(Value::as_bool)) {
        (Some(true), Some(true)) => lines.push("the node starts again and tries the new version".to_owned()),
        (Some(true), Some(false)) => {
            lines.push("the new version is tried when the node is started again by selvedge-launch".to_owned());
        }
        _ => {}
    }
    if lines.is_empty() {
        // An answer of another kind: what the node says of itself.
        return status(answer);
    }
    lines.join("\n")
}

/// All that the node says of updates.
pub(super) fn status(status: &Value) -> String {
    let mut lines = vec![format!("runs       {} from slot {}", text(status, "version"), text(status, "slot"))];
    let slot = |key: &str| {
        status
            .get(key)
            .filter(|value| !value.is_null())
            .map(|value| format!("{} in slot {}", text(value, "version"), text(value, "slot")))
    };
    lines.extend(slot("good").map(|good| format!("good       {good}")));
    lines.extend(slot("previous").map(|previous| format!("way back   {previous}")));
    if let Some(on_trial) = status.get("on_trial").filter(|value| !value.is_null()) {
        lines.push(format!("probation  {}", trial(on_trial)));
    }
    if let Some(last) = status.get("last_trial").filter(|value| !value.is_null()) {
        let reason = text(last, "reason");
        let reason = if reason.is_empty() { reason } else { format!(": {reason}") };
        lines.push(format!("last       {} was {}{reason}", text(last, "version"), text(last, "outcome")));
    }
    let repository = text(status, "repository");
    lines.push(format!("repository {}", if repository.is_empty() { "none" } else { &repository }));
    lines.push(match status.get("trusted").filter(|value| !value.is_null()) {
        Some(trusted) => format!("trusts     root {}", text(trusted.get("root").unwrap_or(&Value::Null), "version")),
        None => "trusts     nobody yet: selvedge ota trust root.json".to_owned(),
    });
    if status.get("paused").and_then(Value::as_bool) == Some(true) {
        lines.push("paused     selvedge ota resume".to_owned());
    }
    if let Some(last) = status.get("last").filter(|value| !value.is_null()) {
        let source = text(last, "source");
        match last.get("error") {
            Some(error) => lines.push(format!("last look  {source}: {}", escaped(error.as_str().unwrap_or_default()))),
            None => {
                lines.push(format!("last look  {source}"));
                let inner = report(last.get("report").unwrap_or(&Value::Null));
                lines.extend(inner.lines().map(|line| format!("           {line}")));
            }
        }
    }
    for refused in list(status, "refused") {
        lines.push(format!("refused    {}: {}", text(refused, "version"), text(refused, "reason")));
    }
    let problem = text(status, "problem");
    if !problem.is_empty() {
        lines.push(format!("PROBLEM    {problem}"));
    }
    lines.join("\n")
}

/// A trial on one line.
pub(super) fn trial(trial: &Value) -> String {
    let about = format!(
        "{} in slot {}, start {} of {}",
        text(trial, "version"),
        text(trial, "slot"),
        text(trial, "start"),
        text(trial, "starts_max")
    );
    let problem = text(trial, "problem");
    if !problem.is_empty() {
        return format!("{about}: {problem}");
    }
    match (trial.get("well_for_s").and_then(Value::as_u64), trial.get("needed_s").and_then(Value::as_u64)) {
        (Some(well), Some(needed)) => format!("{about}: well for {well} of {needed} s"),
        _ => format!("{about}: waits for its start"),
    }
}

/// What the node does now, on one line.
pub(super) fn activity(status: &Value) -> String {
    let Some(activity) = status.get("activity").filter(|value| !value.is_null()) else { return String::new() };
    let (done, total) = (activity.get("done").and_then(Value::as_u64), activity.get("total").and_then(Value::as_u64));
    let part = match (done, total) {
        (Some(done), Some(total)) if total > 0 => format!(" {} %", done.saturating_mul(100) / total),
        _ => String::new(),
    };
    format!("{} {}{part}", text(activity, "what"), text(activity, "path"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_has_a_line_for_each_target() {
        let answer = json!({
            "installed": [{ "path": "daemon/x", "version": "2" }],
            "left": [{ "path": "files/a", "version": "1", "why": "up to date" }],
            "failed": [{ "path": "files/b", "version": "1", "why": "no\nroom" }],
            "problems": [], "restart": true, "restarts": true,
        });
        assert_eq!(
            report(&answer),
            "daemon/x 2: in place\nfiles/a 1: up to date\nfiles/b 1: NOT in place: no\\nroom\n\
             the node starts again and tries the new version"
        );
    }

    #[test]
    fn a_status_says_what_runs_and_why_the_last_one_failed() {
        let shown = status(&json!({
            "version": "1.0.0", "slot": "a", "good": { "slot": "a", "version": "1.0.0" }, "previous": null, "on_trial": null,
            "last_trial": { "outcome": "rolled-back", "version": "2.0.0", "reason": "MQTT does not answer" },
            "repository": "", "trusted": null, "paused": true,
        }));
        assert_eq!(
            shown,
            "runs       1.0.0 from slot a\ngood       1.0.0 in slot a\nlast       2.0.0 was rolled-back: MQTT does not answer\n\
             repository none\ntrusts     nobody yet: selvedge ota trust root.json\npaused     selvedge ota resume"
        );
        let line = trial(
            &json!({ "version": "2", "slot": "b", "start": 1, "starts_max": 3, "well_for_s": 4, "needed_s": 60, "problem": null }),
        );
        assert_eq!(line, "2 in slot b, start 1 of 3: well for 4 of 60 s");
    }
}
