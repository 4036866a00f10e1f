//! Selvedge: one program that makes a gateway a programmable IoT edge node. Parses, dispatches, and turns the end into an exit
//! code: 0 done, 1 failed, 2 wrong usage.

mod arguments;
mod atomic_file;
mod certificates;
mod client;
mod config;
mod control;
mod function_message;
mod http;
mod memory;
mod signals;
mod telemetry;
mod trusted_clock;
mod wiring;

use std::os::unix::process::CommandExt;
use std::process::ExitCode;

use anyhow::Context;

use arguments::{CheckArguments, Cli, Command, RunArguments};
use client::connect_options::OptionsError;
use client::format::FormatError;
use config::Overrides;
use control::output::{PrintError, print_line};
use signals::Signals;
use wiring::Ended;

fn main() -> ExitCode {
    let cli = match Cli::from_arguments(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let (name, ended) = match cli.command {
        Command::Run(arguments) => ("run", run(&arguments)),
        Command::Net(command) => ("net", control::net::run(command)),
        Command::Ota(command) => ("ota", control::ota::run(command)),
        Command::InternalPreflight(arguments) => ("internal-preflight", control::ota::preflight(&arguments)),
        Command::Check(arguments) => ("check", check(&arguments)),
        Command::Pub(arguments) => ("pub", client::publish::run(&arguments)),
        Command::Sub(arguments) => ("sub", client::subscribe::run(&arguments)),
        Command::Twin(command) => ("twin", control::twin::run(command)),
        Command::Explain(arguments) => ("explain", control::explain::run(&arguments)),
        Command::Function(command) => ("fn", control::function::run(command)),
        Command::User(command) => ("user", control::user::run(command)),
        Command::Access(command) => ("access", control::access_check::run(command)),
        Command::Reload(arguments) => ("reload", control::reload::run(&arguments)),
        Command::Certificate(command) => ("cert", control::certificate::run(command)),
        Command::Store(command) => ("store", control::store::run(command)),
        Command::Status(arguments) => ("status", control::status::run(&arguments)),
        Command::Bench(options) => ("bench", selvedge_bench::command(options).map_err(anyhow::Error::from)),
        Command::InternalCompile(arguments) => return selvedge_functions::compile_child_main(arguments.order),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = exit_code(&error);
            if code != 0 {
                // The chain of causes on one line.
                eprintln!("selvedge {name}: {error:#}");
            }
            ExitCode::from(code)
        }
    }
}

fn exit_code(error: &anyhow::Error) -> u8 {
    let wrong_usage = error.is::<OptionsError>() || error.is::<FormatError>();
    match error.downcast_ref() {
        Some(PrintError::ReaderGone) => 0,
        _ if wrong_usage => 2,
        _ => 1,
    }
}

fn run(arguments: &RunArguments) -> anyhow::Result<()> {
    memory::bound();
    let config = config::load(arguments.config.as_deref(), &arguments.overrides())?;
    let level = std::env::var("SELVEDGE_LOG").ok();
    telemetry::start(&config.log, level.as_deref()).context("SELVEDGE_LOG or log.level")?;
    let signals = Signals::with_reload().context("wait for signals")?;
    memory::start_giving_back().context("start the memory thread")?;
    let greeting = if arguments.json { wiring::Greeting::Json } else { wiring::Greeting::Text };
    match wiring::run(&config, arguments.config.as_deref(), greeting, &signals)? {
        Ended::Asked => Ok(()),
        Ended::ForUpdate => become_launcher(),
    }
}

/// The launcher decides what runs now, in this process, so that whoever looks after it notices nothing but a pause.
fn become_launcher() -> anyhow::Result<()> {
    let of_launcher = |name: &str| std::env::var_os(name).with_context(|| format!("{name} is not set by the launcher"));
    let mut command = std::process::Command::new(of_launcher("SELVEDGE_LAUNCHER")?);
    command.arg("--folder").arg(of_launcher("SELVEDGE_OTA")?);
    if let Some(package) = std::env::var_os("SELVEDGE_PACKAGE") {
        command.arg("--package").arg(package);
    }
    command.arg("--").args(std::env::args_os().skip(1));
    wiring::handed_over::hand_on()?;
    Err(command.exec()).context("start the launcher again")
}

fn check(arguments: &CheckArguments) -> anyhow::Result<()> {
    let overrides = Overrides { data: arguments.data.clone(), ..Overrides::default() };
    let config = config::load(Some(&arguments.config), &overrides)?;
    let problems = wiring::access::sources::problems(&config, &config::data_directory::locate(&config.data));
    anyhow::ensure!(problems.is_empty(), "{}", problems.join("\n"));
    if arguments.json {
        // What the file says, wherever the node keeps its data.
        let config = config::load_unchecked(Some(&arguments.config), &Overrides::default())?;
        print_line(&serde_json::to_string(&config).context("print the configuration")?)?;
    } else {
        print_line(&format!("{}: good", arguments.config.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_has_enough_is_no_failure_and_wrong_usage_is_its_own() {
        assert_eq!(exit_code(&PrintError::ReaderGone.into()), 0);
        assert_eq!(exit_code(&PrintError::Io(std::io::ErrorKind::StorageFull.into()).into()), 1);
        assert_eq!(exit_code(&OptionsError::ClientIdMissing.into()), 2);
        assert_eq!(exit_code(&anyhow::anyhow!("no node")), 1);
    }
}
