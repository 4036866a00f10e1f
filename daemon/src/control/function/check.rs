//! `fn check`: what a `function.toml` means, and what of it this machine cannot do.

use anyhow::Context as _;
use selvedge_functions::{Config, Fallback, Isolation, Manifest, find_zone};
use serde_json::{Value, json};

use super::MANIFEST;
use crate::arguments::function::FunctionDirectoryArguments;
use crate::control::output::{escaped, print_line};

pub(super) fn run(arguments: &FunctionDirectoryArguments) -> anyhow::Result<()> {
    let path = arguments.directory.join(MANIFEST);
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("read {} (selvedge fn new NAME begins a function)", path.display()))?;
    let manifest =
        Manifest::parse(&text, &Config::default()).with_context(|| format!("in {}", arguments.directory.display()))?;
    let component = manifest.component.clone().unwrap_or_else(|| format!("{}.wasm", manifest.name));
    let is_built = arguments.directory.join(&component).is_file();
    let mut warnings = manifest.warnings();
    warnings.extend(manifest.zones().filter_map(|zone| find_zone(zone).err()).map(|error| error.to_string()));
    if !is_built {
        warnings.push(format!("there is no {component}: selvedge fn build makes it"));
    }
    if arguments.json {
        return Ok(print_line(&facts(&manifest, &warnings).to_string())?);
    }
    for line in lines(&manifest) {
        print_line(&escaped(&line))?;
    }
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    Ok(())
}

fn facts(manifest: &Manifest, warnings: &[String]) -> Value {
    json!({
        "name": manifest.name,
        "version": manifest.version,
        "triggers": manifest.triggers,
        "limits": {
            "memory_bytes": manifest.limits.memory_bytes,
            "timeout_ms": manifest.limits.timeout_ms,
            "rate_per_s": manifest.limits.rate.map(|rate| rate.per_s),
            "cpu_percent": manifest.limits.cpu_percent,
            "depth": manifest.limits.depth,
            "concurrency": manifest.limits.concurrency.ceiling,
        },
        "isolation": if manifest.isolation == Isolation::Fresh { "fresh" } else { "reuse" },
        "then": manifest.then,
        "retry": { "attempts": manifest.retry.attempts, "dead_letter": manifest.retry.dead_letter },
        "circuit": manifest.circuit.as_ref().map(|circuit| fallback(&circuit.fallback)),
        "grants": {
            "publish": manifest.grants.publish,
            "twin_read": manifest.grants.twin_read,
            "twin_write": manifest.grants.twin_write,
            "intercept": manifest.grants.intercept,
            "http": manifest.grants.http,
            "keys": manifest.grants.keys,
        },
        "warnings": warnings,
    })
}

fn fallback(fallback: &Fallback) -> String {
    match fallback {
        Fallback::Wait => "wait".to_owned(),
        Fallback::Drop => "drop".to_owned(),
        Fallback::Version(version) => version.to_string(),
        Fallback::Reply { .. } => "reply".to_owned(),
    }
}

/// One thing a line.
fn lines(manifest: &Manifest) -> Vec<String> {
    let limits = &manifest.limits;
    let mut lines = vec![format!("{} {}", manifest.name, manifest.version).trim_end().to_owned()];
    lines.extend(manifest.triggers.iter().map(|trigger| match trigger.http_route() {
        Some(_) => format!("  runs on {trigger}, below /fn/{}", manifest.name),
        None => format!("  runs on {trigger}"),
    }));
    lines.push(format!("  memory {} bytes, time {} ms a message", limits.memory_bytes, limits.timeout_ms));
    if let Some(rate) = limits.rate {
        lines.push(format!("  at most {} messages a second, {} at once", rate.per_s, rate.burst));
    }
    if let Some(percent) = limits.cpu_percent {
        lines.push(format!("  at most {percent} % of a processor"));
    }
    let concurrency = limits.concurrency;
    if concurrency.ceiling > 1 {
        lines.push(format!(
            "  {} to {} messages at once, those of a publisher in order",
            concurrency.floor, concurrency.ceiling
        ));
    }
    if let Isolation::Reuse(reuse) = manifest.isolation {
        lines.push(format!("  an instance runs up to {} messages within {} s", reuse.calls, reuse.age.as_secs()));
    }
    if let Some(next) = &manifest.then {
        lines.push(format!("  what it returns goes to {next}, in the same commit"));
    }
    let recording = &manifest.recording;
    if recording.messages > 0 {
        lines.push(format!(
            "  the last {} messages are recorded, at most {} a second",
            recording.messages, recording.per_s
        ));
    }
    let retry = &manifest.retry;
    let then = retry.dead_letter.as_ref().map_or_else(|| "is dropped".to_owned(), |topic| format!("goes to {topic}"));
    lines.push(format!("  {} attempts, then the message {then}", retry.attempts));
    if let Some(circuit) = &manifest.circuit {
        let rule = &circuit.rule;
        lines.push(format!(
            "  after {} failures in a row, or {} % within {} s, not run for {} s: {}",
            rule.failures,
            rule.failure_percent,
            rule.window_s,
            rule.probe_after_s,
            fallback(&circuit.fallback)
        ));
    }
    let may = |what: &str, granted: &[String]| {
        if granted.is_empty() { format!("  {what} nothing") } else { format!("  {what} {}", granted.join(", ")) }
    };
    lines.push(may("publishes to", &manifest.grants.publish));
    lines.push(may("reads twins of", &manifest.grants.twin_read));
    lines.push(may("changes twins of", &manifest.grants.twin_write));
    lines.push(may("asks over HTTP", &manifest.grants.http));
    if let Some(keys) = &manifest.grants.keys {
        lines.push(may("uses of its keys", keys));
    }
    if manifest.grants.intercept {
        lines.push("  may stand in the way of messages".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_told_in_sentences() {
        let text = "name = \"f\"\nthen = \"g\"\nisolation = \"reuse\"\n[[trigger]]\ncron = \"0 6 * * *\"\n[limits]\nrate_per_s = 5\nconcurrency = 3\n[retry]\ndead_letter = \"dead\"\n[circuit]\n[grants]\npublish = [\"a\", \"b\"]\nkeys = [\"k*\"]";
        let manifest = Manifest::parse(text, &Config::default()).unwrap();
        let lines = lines(&manifest).join("\n");
        for expected in [
            "runs on cron \"0 6 * * *\" UTC",
            "1 to 3 messages at once",
            "an instance runs up to 1000 messages within 60 s",
            "what it returns goes to g",
            "uses of its keys k*",
            "at most 5 messages a second, 5 at once",
            "3 attempts, then the message goes to dead",
            "after 3 failures in a row, or 60 % within 60 s, not run for 30 s: wait",
            "publishes to a, b",
            "reads twins of nothing",
        ] {
            assert!(lines.contains(expected), "{expected:?} is not in\n{lines}");
        }
        let facts = facts(&manifest, &[]);
        assert_eq!((&facts["triggers"][0]["source"], &facts["circuit"]), (&json!("schedule"), &json!("wait")));
    }
}
