//! `fn check`: what a `function.toml` means, and what of it this machine cannot do.

use anyhow::Context as _;
use selvedge_functions::{Config, Manifest};
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
        },
        "retry": { "attempts": manifest.retry.attempts },
        "grants": {
            "publish": manifest.grants.publish,
            "twin_read": manifest.grants.twin_read,
            "twin_write": manifest.grants.twin_write,
        },
        "warnings": warnings,
    })
}

/// One thing a line.
fn lines(manifest: &Manifest) -> Vec<String> {
    let limits = &manifest.limits;
    let mut lines = vec![format!("{} {}", manifest.name, manifest.version).trim_end().to_owned()];
    lines.extend(manifest.triggers.iter().map(|trigger| format!("  runs on {}", trigger.mqtt)));
    lines.push(format!("  memory {} bytes, time {} ms a message", limits.memory_bytes, limits.timeout_ms));
    lines.push(format!("  {} attempts", manifest.retry.attempts));
    let may = |what: &str, granted: &[String]| {
        if granted.is_empty() { format!("  {what} nothing") } else { format!("  {what} {}", granted.join(", ")) }
    };
    lines.push(may("publishes to", &manifest.grants.publish));
    lines.push(may("reads twins of", &manifest.grants.twin_read));
    lines.push(may("changes twins of", &manifest.grants.twin_write));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_told_in_sentences() {
        let text = "name = \"f\"\n[[trigger]]\nmqtt = \"in/#\"\n[grants]\npublish = [\"a\", \"b\"]";
        let manifest = Manifest::parse(text, &Config::default()).unwrap();
        let lines = lines(&manifest).join("\n");
        for expected in ["runs on in/#", "3 attempts", "publishes to a, b", "reads twins of nothing"] {
            assert!(lines.contains(expected), "{expected:?} is not in\n{lines}");
        }
        assert_eq!(facts(&manifest, &[])["triggers"][0]["mqtt"], "in/#");
    }
}
