//! `function-scale`: what `cargo xtask function-scale` runs. The node is the binary that `SELVEDGE_BIN` names.

use std::process::ExitCode;

use clap::Parser;
use selvedge_tests::function_scale::{self, Plan};

#[derive(Parser)]
struct Arguments {
    /// Functions, each with a component of its own
    #[arg(long, default_value_t = 1_000)]
    functions: usize,
    /// Messages through one function, for each quality of service
    #[arg(long, default_value_t = 50_000)]
    messages: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let Arguments { functions, messages, json } = Arguments::parse();
    let plan = Plan { functions: functions.max(1), messages: messages.max(100) };
    match function_scale::measure(&plan, &mut |text| eprintln!("{text}")) {
        Ok(measured) if json => println!("{}", serde_json::json!(measured)),
        Ok(measured) => print!("{measured}"),
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
