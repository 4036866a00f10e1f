//! `selvedge fn …`: the author's half (new, build, test) runs here, the other half asks the node.

mod check;
mod dev;
mod stats;
mod test;
mod trials;
mod versions;

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use hyper::Method;
use selvedge_functions::author::{self, Language, NewProject};
use selvedge_functions::{Config, Manifest};
use serde_json::{Value, json};

use super::node_client::{NodeClient, segment};
use super::output::{escaped, print_line};
use crate::arguments::FunctionCommand;
use crate::arguments::function::{
    FunctionDeployArguments, FunctionDirectoryArguments, FunctionListArguments, FunctionLogsArguments,
    FunctionNewArguments, FunctionRemoveArguments,
};
use crate::http::DeployRequest;

pub(super) use trials::{function_of, message_text as told_message, milliseconds, result_text};

/// In the directory of a function.
pub const MANIFEST: &str = "function.toml";

/// Does what `command` says.
///
/// # Errors
/// The project is wrong, a tool is missing, no node answers, or it refused.
pub fn run(command: FunctionCommand) -> anyhow::Result<()> {
    match command {
        FunctionCommand::New(arguments) => new(&arguments),
        FunctionCommand::Build(arguments) => build(&arguments),
        FunctionCommand::Check(arguments) => check::run(&arguments),
        FunctionCommand::Test(arguments) => test::run(&arguments),
        FunctionCommand::Dev(arguments) => dev::run(&arguments),
        FunctionCommand::Deploy(arguments) => deploy(&arguments),
        FunctionCommand::Publish(arguments) => versions::publish(&arguments),
        FunctionCommand::Alias(arguments) => versions::alias(&arguments),
        FunctionCommand::RollBack(arguments) => versions::roll_back(&arguments),
        FunctionCommand::Versions(arguments) => versions::list(&arguments),
        FunctionCommand::Gc(arguments) => versions::collect(&arguments),
        FunctionCommand::Invoke(arguments) => versions::invoke(&arguments),
        FunctionCommand::Recordings(arguments) => trials::recordings(&arguments),
        FunctionCommand::Replay(arguments) => trials::replay(&arguments),
        FunctionCommand::Promote(arguments) => trials::promote(&arguments),
        FunctionCommand::Shadow(arguments) => trials::shadow(&arguments),
        FunctionCommand::Canary(arguments) => trials::canary(&arguments),
        FunctionCommand::Stats(arguments) => stats::stats(&arguments),
        FunctionCommand::Top(arguments) => stats::top(&arguments),
        FunctionCommand::List(arguments) => list(&arguments),
        FunctionCommand::Logs(arguments) => logs(&arguments),
        FunctionCommand::Remove(arguments) => remove(&arguments),
    }
}

fn new(arguments: &FunctionNewArguments) -> anyhow::Result<()> {
    let language: Language = arguments.lang.parse()?;
    let created = author::new_project(&NewProject { name: arguments.name.clone(), language, directory: None })?;
    if arguments.json {
        let created =
            json!({ "directory": created.directory, "files": created.files, "next_steps": created.next_steps });
        return Ok(print_line(&created.to_string())?);
    }
    print_line(&format!("{} is in {}; try next:", arguments.name, created.directory.display()))?;
    for step in &created.next_steps {
        print_line(&format!("  {step}"))?;
    }
    Ok(())
}

fn build(arguments: &FunctionDirectoryArguments) -> anyhow::Result<()> {
    let built = author::build(&arguments.directory, &mut |line| eprintln!("{line}"))?;
    if arguments.json {
        let built = json!({
            "name": built.name,
            "language": built.language.to_string(),
            "component": built.component,
            "bytes": built.bytes,
            "sha256": built.sha256,
            "imports": built.imports,
        });
        print_line(&built.to_string())?;
    } else {
        let component = built.component.display();
        print_line(&format!("{}: {component} ({} bytes, sha256 {})", built.name, built.bytes, built.sha256))?;
    }
    Ok(())
}

/// Manifest and component of a project. `command` is what was asked for.
pub(super) fn built_project(directory: &Path, command: &str) -> anyhow::Result<(String, Vec<u8>)> {
    let path = directory.join(MANIFEST);
    let manifest = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => bail!(
            "{} is a file: name the directory that has {MANIFEST} in it (selvedge fn {command} DIR)",
            directory.display()
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
            "there is no {}: name the directory of a function (selvedge fn {command} DIR), or begin one with \
             selvedge fn new NAME",
            path.display()
        ),
        read => read.with_context(|| format!("read {}", path.display()))?,
    };
    // What a function may ask for at most is the node's to say.
    let parsed = Manifest::parse(&manifest, &Config::default().without_limits())
        .with_context(|| format!("in {}", directory.display()))?;
    let component = directory.join(parsed.component.unwrap_or_else(|| format!("{}.wasm", parsed.name)));
    let bytes = std::fs::read(&component)
        .with_context(|| format!("read {} (selvedge fn build makes it)", component.display()))?;
    Ok((manifest, bytes))
}

/// A function that is built.
pub struct Project {
    /// Its name.
    pub name: String,
    /// Its version; empty when it has none.
    pub version: String,
    /// The text of its manifest.
    pub manifest: String,
    /// The file of its component, which is there.
    pub component: PathBuf,
}

/// Looks at the function in `directory`.
///
/// # Errors
/// There is none, or it is not built.
pub fn project(directory: &Path) -> anyhow::Result<Project> {
    let path = directory.join(MANIFEST);
    anyhow::ensure!(
        path.is_file(),
        "there is no {}: with --function, name the directory of a function (selvedge fn new NAME begins one)",
        path.display()
    );
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let manifest = Manifest::parse(&text, &Config::default().without_limits())
        .with_context(|| format!("in {}", directory.display()))?;
    let component = directory.join(manifest.component.unwrap_or_else(|| format!("{}.wasm", manifest.name)));
    anyhow::ensure!(component.is_file(), "there is no {} (selvedge fn build makes it)", component.display());
    Ok(Project { name: manifest.name, version: manifest.version, manifest: text, component })
}

/// JSON on the command line, or a file that holds it.
fn message_text(argument: &str) -> anyhow::Result<String> {
    if argument.trim_start().starts_with('{') {
        return Ok(argument.to_owned());
    }
    std::fs::read_to_string(argument).with_context(|| format!("read the message {argument}"))
}

fn deploy(arguments: &FunctionDeployArguments) -> anyhow::Result<()> {
    let (manifest, component) = built_project(&arguments.directory, "deploy")?;
    let client = NodeClient::new(&arguments.socket)?;
    let deployed = client.call(Method::POST, "/v1/functions", DeployRequest { manifest, component }.to_bytes())?;
    if arguments.json {
        return Ok(print_line(&deployed.to_string())?);
    }
    warn(&deployed);
    let verb = if deployed["replaced"] == true { "replaced" } else { "deployed" };
    let (name, version, digest) = (word(&deployed["name"]), word(&deployed["version"]), word(&deployed["digest"]));
    print_line(&format!("{name} is {verb}, {version}, digest {digest}"))?;
    for trigger in deployed["triggers"].as_array().into_iter().flatten() {
        print_line(&format!("  runs on {}", trigger_text(trigger)))?;
    }
    Ok(())
}

fn warn(deployed: &Value) {
    for warning in deployed["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        eprintln!("warning: {warning}");
    }
}

fn list(arguments: &FunctionListArguments) -> anyhow::Result<()> {
    let client = NodeClient::new(&arguments.socket)?;
    let functions = client.call(Method::GET, "/v1/functions", Vec::new())?;
    if arguments.json {
        return Ok(print_line(&functions.to_string())?);
    }
    print_line(&format!(
        "{:<24} {:<10} {:>10} {:>8} {:>8} {:>10}  {:<12} triggers",
        "name", "state", "ok", "failed", "queued", "p99 µs", "live"
    ))?;
    for function in functions.as_array().into_iter().flatten() {
        print_line(&line(function))?;
    }
    Ok(())
}

fn line(function: &Value) -> String {
    let counters = &function["counters"];
    let failed: u64 =
        ["failed", "trapped", "timed_out", "over_limit"].iter().filter_map(|name| counters[name].as_u64()).sum();
    let triggers = function["triggers"].as_array().map_or_else(
        || "not known".to_owned(),
        |triggers| triggers.iter().map(trigger_text).collect::<Vec<_>>().join(" "),
    );
    let text = format!(
        "{:<24} {:<10} {:>10} {:>8} {:>8} {:>10}  {:<12} {}",
        word(&function["name"]),
        state(function),
        word(&counters["ok"]),
        failed,
        word(&function["queued"]),
        word(&counters["run_p99_us"]),
        versions::shares(&function["live"]),
        triggers
    );
    match function["reason"].as_str().or(counters["last_error"].as_str()) {
        Some(reason) => format!("{text}\n{:<24} last error: {}", "", escaped(reason)),
        None => text,
    }
}

/// What starts a function, as its author wrote it.
fn trigger_text(trigger: &Value) -> String {
    match trigger["source"].as_str() {
        Some("schedule") => format!("cron \"{}\" {}", word(&trigger["cron"]), word(&trigger["zone"])),
        Some("start") => "start".to_owned(),
        Some("http") => {
            let methods: Vec<String> = trigger["methods"].as_array().into_iter().flatten().map(word).collect();
            format!("http {} {}", methods.join(","), word(&trigger["path"]))
        }
        Some("intercept") => format!("{} before anybody gets it", word(&trigger["mqtt"])),
        _ => word(&trigger["mqtt"]),
    }
}

/// A function whose circuit is open is ready and does not run.
fn state(function: &Value) -> String {
    match function["circuit"].as_str() {
        Some(circuit @ ("open" | "half-open")) => circuit.to_owned(),
        _ => word(&function["state"]),
    }
}

fn logs(arguments: &FunctionLogsArguments) -> anyhow::Result<()> {
    let client = NodeClient::new(&arguments.socket)?;
    let path = format!("/v1/functions/{}/logs?follow={}", segment(&arguments.name), arguments.follow);
    let mut printed = Ok(());
    client.follow(&path, |line| {
        printed = print_line(&if arguments.json { line.to_string() } else { log_text(&line) });
        printed.is_ok()
    })?;
    Ok(printed?)
}

pub(super) fn log_text(line: &Value) -> String {
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_millis(line["at_ms"].as_u64().unwrap_or(0));
    let context = match line["context"].as_str() {
        Some(context) if !context.is_empty() => format!(" [{}]", escaped(context)),
        _ => String::new(),
    };
    format!(
        "{} {:<8} {}{context}: {}",
        crate::client::time_text::iso(at),
        word(&line["level"]),
        word(&line["invocation_id"]),
        escaped(&word(&line["text"]))
    )
}

fn remove(arguments: &FunctionRemoveArguments) -> anyhow::Result<()> {
    let client = NodeClient::new(&arguments.socket)?;
    let removed = client.call(Method::DELETE, &format!("/v1/functions/{}", segment(&arguments.name)), Vec::new())?;
    if arguments.json {
        print_line(&removed.to_string())?;
    } else {
        print_line(&format!("{} is removed", arguments.name))?;
    }
    Ok(())
}

pub(super) fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_without_a_function_is_told_from_one_that_is_not_built() {
        let directory = tempfile::tempdir().unwrap();
        let error = built_project(directory.path(), "deploy").unwrap_err().to_string();
        for words in ["function.toml", "selvedge fn new NAME", "selvedge fn deploy DIR"] {
            assert!(error.contains(words), "{error}");
        }
        let file = directory.path().join("echo.wasm");
        std::fs::write(&file, "").unwrap();
        let error = built_project(&file, "deploy").unwrap_err().to_string();
        assert!(error.contains("echo.wasm is a file") && error.contains("selvedge fn deploy DIR"), "{error}");
        std::fs::create_dir(directory.path().join(MANIFEST)).unwrap();
        let error = built_project(directory.path(), "deploy").unwrap_err().to_string();
        assert!(error.starts_with("read ") && !error.contains("fn new"), "{error}");
    }

    #[test]
    fn a_log_line_is_one_line_whatever_the_function_wrote() {
        let line = json!({
            "at_ms": 0, "level": "info", "invocation_id": "f-1", "context": "a\u{1b}]0;x\u{7}", "text": "one\ntwo \u{1b}[31m",
        });
        let text = log_text(&line);
        assert!(text.ends_with("f-1 [a\\u{1b}]0;x\\u{7}]: one\\ntwo \\u{1b}[31m"), "{text}");
        assert!(!text.contains(char::is_control), "{text:?}");
    }

    #[test]
    fn a_list_line_has_the_last_error_below_it() {
        let function = json!({
            "name": "f", "state": "broken", "reason": "no code", "queued": 2, "live": [{ "version": "v3", "weight": 90 }, { "version": "v4", "weight": 10 }], "triggers": [
                { "mqtt": "a/#", "source": "messages" }, { "mqtt": "b" }, { "mqtt": "$fn/start/f", "source": "start" },
                { "mqtt": "x", "source": "schedule", "cron": "* * * * *", "zone": "UTC" },
            ],
            "counters": { "ok": 7, "failed": 1, "trapped": 2, "run_p99_us": 11 },
        });
        let text = line(&function);
        assert!(
            text.contains("v3=90 v4=10  a/# b start cron \"* * * * *\" UTC") && text.contains("last error: no code"),
            "{text}"
        );
        assert_eq!(state(&json!({ "state": "ready", "circuit": "open" })), "open");
        assert_eq!(state(&json!({ "state": "ready", "circuit": "closed" })), "ready");
        assert_eq!(text.split_whitespace().nth(3), Some("3"), "failed and trapped together");
    }
}
