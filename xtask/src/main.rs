//! The only task runner of the project: `cargo xtask help` lists the tasks.
//!
//! It is not a build script: building the product needs only cargo. Every task can be
//! repeated, says what it runs, and works from any folder inside the repository.

mod bench_peers;
mod fuzz;
mod guests;
mod process;
mod repository;
mod setup;
mod test;
mod tidy;

use clap::{Parser, Subcommand};

/// Tasks of the Selvedge repository.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    disable_help_subcommand = false,
    after_help = "Examples:\n  \
        cargo xtask test                        everything that has to pass before a commit\n  \
        cargo xtask setup --print               the one command that installs what tests need\n  \
        cargo xtask fuzz --seconds 60 decode    fuzz one target for a minute"
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what the tests need: packages (as root on Debian) and the third-party clients.
    Setup(setup::SetupArgs),
    /// Run every check and every test except long soaks.
    Test(test::TestArgs),
    /// Check the rules of the house: file lengths, dependency arrows, named paths, forgotten tests.
    Tidy,
    /// Fuzz one target of `fuzz/` with libFuzzer; needs a C++ compiler, no nightly.
    Fuzz(fuzz::FuzzArgs),
    /// Measure Selvedge beside mosquitto, rumqttd and a bare relay: CPU per delivered message, as ratios.
    BenchPeers(bench_peers::Options),
    /// Rebuild the function components that are committed beside their source, or compare with them.
    Guests(guests::Options),
}

fn main() -> std::process::ExitCode {
    let result = match Arguments::parse().task {
        Task::Setup(arguments) => setup::run(&arguments),
        Task::Test(arguments) => test::run(&arguments),
        Task::Tidy => tidy::run(),
        Task::Fuzz(arguments) => fuzz::run(&arguments),
        Task::BenchPeers(arguments) => bench_peers::run(arguments),
        Task::Guests(arguments) => guests::run(&arguments),
    };
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
