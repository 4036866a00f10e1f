//! `twin-scale`: what `cargo xtask twin-scale` runs. The node is the binary that `SELVEDGE_BIN` names.

use std::process::ExitCode;

use clap::Parser;
use selvedge_tests::twin_scale::{self, Plan};

#[derive(Parser)]
struct Arguments {
    /// Twins
    #[arg(long, default_value_t = 10_000)]
    twins: usize,
    /// Fields of each, half of them desired
    #[arg(long, default_value_t = 20)]
    fields: usize,
    /// Writers at once
    #[arg(long, default_value_t = 32)]
    writers: usize,
    /// Seconds of updates
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Questions of each kind
    #[arg(long, default_value_t = 50)]
    questions: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let plan = Plan {
        twins: arguments.twins.max(1),
        fields: arguments.fields.max(2),
        writers: arguments.writers.max(1),
        seconds: arguments.seconds.max(1),
        questions: arguments.questions.max(1),
        configuration: "[net]\ncounters = \"off\"\n".to_owned(),
    };
    match twin_scale::measure(&plan, &mut |text| eprintln!("{text}")) {
        Ok(measured) if arguments.json => println!("{}", serde_json::json!(measured)),
        Ok(measured) => print!("{}", twin_scale::print(&measured)),
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
