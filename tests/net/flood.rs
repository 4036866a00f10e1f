//! `net-flood`: what `cargo xtask net-flood` runs. The node is the binary that `SELVEDGE_BIN` names.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use selvedge_tests::flood::{self, Plan};

#[derive(Parser)]
struct Arguments {
    /// The program that floods
    #[arg(long)]
    flooder: PathBuf,
    /// Each row so often
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Seconds of each
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// SYNs a second
    #[arg(long, default_value_t = 200_000)]
    rate: u32,
    /// Messages a second of the others
    #[arg(long, default_value_t = 500)]
    messages: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let plan = Plan {
        flooder: arguments.flooder,
        rounds: arguments.rounds.max(1),
        seconds: arguments.seconds.max(1),
        rate: arguments.rate,
        messages: arguments.messages,
    };
    match flood::measure(&plan, &mut |text| eprintln!("{text}")) {
        Ok(rows) if arguments.json => println!("{}", serde_json::json!({ "rows": rows })),
        Ok(rows) => print!("{}", flood::print(&rows)),
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
