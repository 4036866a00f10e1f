//! `vm`: what `cargo xtask test-vm` runs, on an image that it has made. Publishing is done by the binary that `SELVEDGE_BIN` names.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use selvedge_tests::vm::{self, Plan};

#[derive(Parser)]
struct Arguments {
    /// A disk, which is written
    #[arg(long)]
    disk: PathBuf,
    /// A private SSH key whose public half is on its boot partition
    #[arg(long)]
    key: PathBuf,
    /// The node's program for the board
    #[arg(long)]
    program: PathBuf,
    #[arg(long, default_value_t = 20)]
    cuts: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print the numbers as JSON
    #[arg(long)]
    json: bool,
    /// Starts a board, but for its disk and its network
    #[arg(last = true, required = true)]
    emulator: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Arguments { disk, key, program, cuts, seed, json, emulator } = arguments;
    let plan = Plan { emulator, disk, key, program, cuts, seed };
    match vm::run(&plan, &mut |line| eprintln!("{line}")) {
        Ok(outcome) => {
            if json {
                println!("{:#}", vm::json(&outcome));
            } else {
                println!("{}", vm::print(&outcome));
            }
            if outcome.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
