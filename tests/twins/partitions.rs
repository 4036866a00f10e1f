//! `twin-partitions`: what `cargo xtask twin-partitions` runs. The node is the binary that `SELVEDGE_BIN` names.

use std::process::ExitCode;

use clap::Parser;
use selvedge_tests::partition::{self, Plan, Round};

#[derive(Parser)]
struct Arguments {
    /// Rounds, each of which ends with everything mended
    #[arg(long, default_value_t = 10)]
    rounds: u32,
    /// Seconds of load and trouble in each
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Of what is broken and written
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let plan = Plan { rounds: arguments.rounds, seconds: arguments.seconds, seed: arguments.seed };
    let rounds = match partition::run(&plan, &mut |text| eprintln!("{text}")) {
        Ok(Some(rounds)) => rounds,
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    if arguments.json {
        println!("{}", serde_json::json!({ "rounds": rounds }));
    } else {
        print!("{}", partition::print(&rounds));
    }
    for line in rounds.iter().flat_map(|round| round.lost.iter().chain(&round.different)) {
        eprintln!("{line}");
    }
    if rounds.iter().all(Round::is_good) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
