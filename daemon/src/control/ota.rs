//! `selvedge ota …` on a gateway: asks the node, shows progress, waits for the end of a probation.

mod bundle;
mod offline;
mod push;
mod words;

use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use hyper::Method;
use serde_json::{Value, json};

use super::node_client::{CallError, NodeClient};
use super::ota_publisher;
use super::output::print_line;
use crate::arguments::CheckedPlace;
use crate::arguments::ota::{OtaApplyArguments, OtaCommand, OtaStatusArguments, OtaWaitArguments};
use crate::config::{self, Overrides};
use crate::wiring::settings;

/// Between two looks at a node that is updating.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// For a node to come back after it started again.
const BACK_WITHIN: Duration = Duration::from_secs(120);

/// Runs the command.
///
/// # Errors
/// No node answers, it refused, or the update was taken back.
pub fn run(command: OtaCommand) -> anyhow::Result<()> {
    match command {
        OtaCommand::Status(arguments) => {
            let status = client(&arguments)?.call(Method::GET, "/v1/ota", Vec::new())?;
            show(&arguments, &status)
        }
        OtaCommand::Apply(arguments) if arguments.offline => offline::apply(&arguments),
        OtaCommand::Apply(arguments) => apply(&arguments),
        OtaCommand::Push(arguments) => push::run(&arguments),
        OtaCommand::Check(arguments) => ask_and_wait(&arguments, "/v1/ota/check"),
        OtaCommand::Rollback(arguments) => roll_back(&arguments),
        OtaCommand::Pause(arguments) => change(&arguments, "/v1/ota/pause", Vec::new()),
        OtaCommand::Resume(arguments) => change(&arguments, "/v1/ota/resume", Vec::new()),
        OtaCommand::Retry(arguments) => change(&arguments, "/v1/ota/retry", Vec::new()),
        OtaCommand::Trust(arguments) => {
            let root = std::fs::read(&arguments.root).with_context(|| format!("read {}", arguments.root.display()))?;
            change(&arguments.node, "/v1/ota/trust", root)
        }
        OtaCommand::Publisher(command) => ota_publisher::run(command),
    }
}

/// What the version before lets a new program do before it is tried: read the configuration, and compile the functions that are
/// deployed, for its own runtime.
///
/// # Errors
/// The new program is not fit to run here.
pub fn preflight(place: &CheckedPlace) -> anyhow::Result<()> {
    let overrides = Overrides { data: Some(place.data.clone()), ..Overrides::default() };
    let config =
        config::load(place.config.as_deref(), &overrides).context("this version does not take the configuration")?;
    let functions = place.data.join("functions");
    let compiled = if functions.is_dir() {
        selvedge_functions::precompile(&functions, &settings::compile_child(), &settings::functions(&config))
            .context("make the functions ready")?
    } else {
        0
    };
    Ok(print_line(&json!({ "version": env!("CARGO_PKG_VERSION"), "compiled": compiled }).to_string())?)
}

fn client(arguments: &OtaStatusArguments) -> anyhow::Result<NodeClient> {
    Ok(NodeClient::new(&arguments.socket)?)
}

fn show(arguments: &OtaStatusArguments, status: &Value) -> anyhow::Result<()> {
    if arguments.json {
        return Ok(print_line(&status.to_string())?);
    }
    Ok(print_line(&words::status(status))?)
}

fn change(arguments: &OtaStatusArguments, path: &str, body: Vec<u8>) -> anyhow::Result<()> {
    let status = client(arguments)?.call(Method::POST, path, body)?;
    show(arguments, &status)
}

fn ask_and_wait(arguments: &OtaWaitArguments, path: &str) -> anyhow::Result<()> {
    let answer = with_progress(&arguments.node, || {
        client(&arguments.node)?.call(Method::POST, path, Vec::new()).map_err(Into::into)
    })?;
    finish(arguments, &answer)
}

fn apply(arguments: &OtaApplyArguments) -> anyhow::Result<()> {
    let node = &arguments.node.node;
    bundle::look_into(&arguments.file)?;
    let sent = with_progress(node, || Ok(client(node)?.send_file(Method::POST, "/v1/ota", &arguments.file)?));
    let answer = match sent {
        Err(error) if matches!(error.downcast_ref(), Some(CallError::NoNode { .. })) => {
            return Err(
                error.context("the node puts the bundle in place; for one that does not run there is --offline")
            );
        }
        sent => sent?,
    };
    finish(&arguments.node, &answer)
}

/// Shows what came of it, and waits for the end of the probation if that was asked for.
fn finish(arguments: &OtaWaitArguments, answer: &Value) -> anyhow::Result<()> {
    // What was asked for may have been under way already.
    let restarts = answer.get("restarts").and_then(Value::as_bool) != Some(false);
    if arguments.wait && (restarts || is_on_trial(&arguments.node)?) {
        let status = wait_for_the_end(arguments)?;
        show(&arguments.node, &status)?;
    } else if arguments.node.json {
        print_line(&answer.to_string())?;
    } else {
        print_line(&words::report(answer))?;
    }
    let failed = answer.get("failed").and_then(Value::as_array).map_or(0, Vec::len);
    if failed > 0 {
        bail!("{failed} of the targets could not be put in place");
    }
    Ok(())
}

/// Ends a probation, which is over at once, or goes back to the version before, which has one of its own.
fn roll_back(arguments: &OtaWaitArguments) -> anyhow::Result<()> {
    let answer = client(&arguments.node)?.call(Method::POST, "/v1/ota/rollback", Vec::new())?;
    let comes_back_by_itself = answer.get("launched").and_then(Value::as_bool) == Some(true);
    if !arguments.wait || !comes_back_by_itself || trial_of(&answer).is_some() {
        return finish(arguments, &answer);
    }
    let asked = Instant::now();
    let status = wait_while(arguments, |status| {
        let good = status.pointer("/good/slot").and_then(Value::as_str).unwrap_or("package");
        let runs = status.get("slot").and_then(Value::as_str);
        (runs != Some(good) && asked.elapsed() < BACK_WITHIN).then(|| "the node starts again".to_owned())
    })?;
    show(&arguments.node, &status)
}

/// Until no version is on probation any more.
fn wait_for_the_end(arguments: &OtaWaitArguments) -> anyhow::Result<Value> {
    let status = wait_while(arguments, |status| trial_of(status).map(words::trial))?;
    if let Some(reason) = rolled_back(&status) {
        bail!("the new version was taken back: {reason}");
    }
    Ok(status)
}

fn is_on_trial(arguments: &OtaStatusArguments) -> anyhow::Result<bool> {
    match client(arguments)?.call(Method::GET, "/v1/ota", Vec::new()) {
        Ok(status) => Ok(trial_of(&status).is_some()),
        // It starts again, for its probation.
        Err(CallError::NoNode { .. } | CallError::Io { .. }) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

fn trial_of(status: &Value) -> Option<&Value> {
    status.get("on_trial").filter(|trial| !trial.is_null())
}

/// Until the node answers with a status that is not to be waited for; else what `still` says of it is shown.
fn wait_while(arguments: &OtaWaitArguments, still: impl Fn(&Value) -> Option<String>) -> anyhow::Result<Value> {
    let mut shown = Shown::new();
    let mut answered = Instant::now();
    loop {
        std::thread::sleep(LOOK_EVERY);
        match client(&arguments.node)?.call(Method::GET, "/v1/ota", Vec::new()) {
            Ok(status) => {
                answered = Instant::now();
                match still(&status) {
                    Some(words) => shown.show(&words),
                    None => {
                        shown.end();
                        return Ok(status);
                    }
                }
            }
            Err(CallError::NoNode { .. } | CallError::Io { .. }) if answered.elapsed() < BACK_WITHIN => {
                shown.show("the node starts again");
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn rolled_back(status: &Value) -> Option<String> {
    let trial = status.get("last_trial")?;
    let is_back = trial.get("outcome")?.as_str()? == "rolled-back";
    is_back.then(|| trial.get("reason").and_then(Value::as_str).unwrap_or("for an unknown reason").to_owned())
}

/// Runs `work` and shows on a terminal what the node does meanwhile.
fn with_progress(
    arguments: &OtaStatusArguments,
    work: impl FnOnce() -> anyhow::Result<Value> + Send,
) -> anyhow::Result<Value> {
    std::thread::scope(|scope| {
        let working = scope.spawn(work);
        let mut shown = Shown::new();
        while shown.is_wanted && !working.is_finished() {
            std::thread::sleep(LOOK_EVERY);
            // A node that does not answer now is told of by the work itself.
            let status = client(arguments).and_then(|client| Ok(client.call(Method::GET, "/v1/ota", Vec::new())?));
            if let Ok(status) = status {
                shown.show(&words::activity(&status));
            }
        }
        shown.end();
        working.join().unwrap_or_else(|_| bail!("the request panicked"))
    })
}

/// One line on a terminal, rewritten.
pub(super) struct Shown {
    is_wanted: bool,
    length: usize,
}

impl Shown {
    pub(super) fn new() -> Self {
        Self { is_wanted: std::io::stderr().is_terminal(), length: 0 }
    }

    pub(super) fn show(&mut self, text: &str) {
        if self.is_wanted {
            eprint!("\r{text:<width$}", width = self.length);
            self.length = text.chars().count();
        }
    }

    pub(super) fn end(&mut self) {
        if self.length > 0 {
            eprint!("\r{:width$}\r", "", width = self.length);
            self.length = 0;
        }
    }
}

/// Reads a data directory for `offline`.
fn folder_of(arguments: &OtaApplyArguments) -> anyhow::Result<(config::Config, std::path::PathBuf)> {
    let overrides = Overrides { data: arguments.node.node.socket.data.clone(), ..Overrides::default() };
    let config = config::load(arguments.config.as_deref(), &overrides)?;
    let data = config::data_directory::locate(&config.data);
    anyhow::ensure!(
        Path::new(&data).is_dir(),
        "{} is not there; name the node's data directory with --data DIR",
        data.display()
    );
    Ok((config, data))
}
