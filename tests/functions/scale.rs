//! `function-scale`: what `cargo xtask function-scale` runs. The node is the binary that `SELVEDGE_BIN` names.

use std::fmt::Display;
use std::process::ExitCode;

use clap::Parser;
use selvedge_tests::function_scale::{self, Plan};
use serde::Serialize;

#[derive(Parser)]
struct Arguments {
    /// Functions, each with a component of its own
    #[arg(long, default_value_t = 1_000)]
    functions: usize,
    /// Messages through one function, for each quality of service
    #[arg(long, default_value_t = 50_000)]
    messages: usize,
    /// Only messages through one function: a minute instead of six
    #[arg(long)]
    through: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let Arguments { functions, messages, through, json } = Arguments::parse();
    let plan = Plan { functions: functions.max(1), messages: messages.max(100) };
    let told = if through {
        function_scale::measure_through(plan.messages).map(|measured| told(&measured, json))
    } else {
        function_scale::measure(&plan, &mut |text| eprintln!("{text}")).map(|measured| told(&measured, json))
    };
    match told {
        Ok(text) => println!("{}", text.trim_end()),
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn told(measured: &(impl Display + Serialize), json: bool) -> String {
    if json { serde_json::json!(measured).to_string() } else { measured.to_string() }
}
