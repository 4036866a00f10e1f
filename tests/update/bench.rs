//! `update-bench`: what `cargo xtask ota-bench` runs. The node is the binary that `SELVEDGE_BIN` names, the launcher
//! `SELVEDGE_LAUNCH_BIN`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use selvedge_tests::update_bench::{self, Plan};

#[derive(Parser)]
struct Arguments {
    /// Each update so often
    #[arg(long, default_value_t = 2)]
    rounds: u32,
    /// Messages a second of all publishers together
    #[arg(long, default_value_t = 1000)]
    messages: u32,
    /// Publishers, and as many subscribers
    #[arg(long, default_value_t = 10)]
    pairs: usize,
    /// Of zstd, for what is published
    #[arg(long, default_value_t = 19)]
    level: u32,
    /// The program of the second version
    #[arg(long)]
    next: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let plan = Plan {
        rounds: arguments.rounds,
        messages_per_s: arguments.messages,
        pairs: arguments.pairs.max(1),
        level: arguments.level,
        next: arguments.next,
    };
    match update_bench::measure(&plan, &mut |text| eprintln!("{text}")) {
        Ok(measured) if arguments.json => println!("{}", update_bench::json(&measured)),
        Ok(measured) => println!("{}", update_bench::print(&measured)),
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
