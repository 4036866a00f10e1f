//! The generator alone, without the node around it: `cargo run --release -p selvedge-bench --example load -- pair --bare-relay`.

use clap::Parser;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    options: selvedge_bench::Options,
}

fn main() -> anyhow::Result<()> {
    Ok(selvedge_bench::command(Command::parse().options)?)
}
