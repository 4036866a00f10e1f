//! `function-trials`: what `cargo xtask function-trials` runs. The node is the binary that `SELVEDGE_BIN` names.

use std::process::ExitCode;

use clap::Parser;
use selvedge_tests::function_trials::{self, Plan};

#[derive(Parser)]
struct Arguments {
    /// Messages a second through the function
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// How often each broken version is put on trial
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let Arguments { rate, rounds, json } = Arguments::parse();
    match function_trials::measure(&Plan { rate, rounds }, &mut |text| eprintln!("{text}")) {
        Ok(judged) if json => println!("{}", serde_json::json!(judged)),
        Ok(judged) => judged.iter().for_each(|judged| println!("{judged}")),
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
