//! `cargo xtask crash`, `power-cut` and `disk-faults`: nothing that was acknowledged is lost, whatever happens to the node.
//!
//! What they do stands in `tests/src/crash`; small runs of it are among the tests (`tests/crash/main.rs`). Each fails when
//! anything acknowledged was lost, came twice where once is promised, or a node does not start again.

use crate::hostile::{NodeOptions, run_against};

/// Arguments of `cargo xtask crash`.
#[derive(clap::Args)]
pub struct KillOptions {
    /// How often it is killed
    #[arg(long, default_value_t = 300)]
    kills: u64,
    /// Go on until so many inputs of functions were acknowledged, and publish mostly those
    #[arg(long, conflicts_with = "kills")]
    inputs: Option<u64>,
    /// Where the random numbers begin
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Runs, each with the next seed
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// What is killed: selvedge, or mosquitto to see what it loses
    #[arg(long, default_value = "selvedge")]
    target: String,
    /// kill, or terminate or disconnect to see that the account is right
    #[arg(long, default_value = "kill")]
    strike: String,
    /// Versions of the functions change hands meanwhile, and canaries are taken back
    #[arg(long)]
    swaps: bool,
    /// Print the numbers as JSON
    #[arg(long)]
    json: bool,
    /// Which node.
    #[command(flatten)]
    node: NodeOptions,
}

/// Arguments of `cargo xtask power-cut`.
#[derive(clap::Args)]
pub struct CutOptions {
    /// How many cuts
    #[arg(long, default_value_t = 300)]
    cuts: u64,
    /// Where the random numbers begin
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What a cut takes: drop (all that is not durable) or mix (some of it)
    #[arg(long, default_value = "mix")]
    mode: String,
    /// Cut short runs one after the other: at the first change of the disk, then so many later, and so on
    #[arg(long, value_name = "CHANGES")]
    every: Option<u64>,
    /// What the disk only pretends to do, which has to fail: fsync, directory-fsync or every-fsync
    #[arg(long, value_name = "WHAT")]
    r#break: Option<String>,
    /// What each fsync takes, milliseconds
    #[arg(long, default_value_t = 0)]
    fsync_delay_ms: u64,
    /// What an fsync of a file does for the names of files: strict (nothing) or journaled (all are kept, as on ext4)
    #[arg(long, default_value = "strict")]
    names: String,
    /// A folder in which is kept what each cut has left
    #[arg(long, value_name = "FOLDER")]
    keep: Option<String>,
    /// Print the numbers as JSON
    #[arg(long)]
    json: bool,
    /// Which node.
    #[command(flatten)]
    node: NodeOptions,
}

/// Arguments of `cargo xtask disk-faults`.
#[derive(clap::Args)]
pub struct FaultOptions {
    /// How many faults, each on a disk of its own
    #[arg(long, default_value_t = 300)]
    faults: u64,
    /// Where the random numbers begin
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print the numbers as JSON
    #[arg(long)]
    json: bool,
    /// Which node.
    #[command(flatten)]
    node: NodeOptions,
}

/// Kills.
pub fn kill(options: &KillOptions) -> anyhow::Result<()> {
    let [seed, seeds] = [options.seed, options.seeds].map(|number| number.to_string());
    let length = match options.inputs {
        Some(inputs) => ["--inputs".to_owned(), inputs.to_string()],
        None => ["--kills".to_owned(), options.kills.to_string()],
    };
    let (target, strike) = (options.target.as_str(), options.strike.as_str());
    let mut words = vec!["kill", "--seed", &seed, "--seeds", &seeds, "--target", target, "--strike", strike];
    words.extend(length.iter().map(String::as_str));
    words.extend(options.swaps.then_some("--swaps"));
    crash(&options.node, &words, options.json)
}

/// Cuts the power.
pub fn power_cut(options: &CutOptions) -> anyhow::Result<()> {
    let [cuts, seed, delay] = [options.cuts, options.seed, options.fsync_delay_ms].map(|number| number.to_string());
    let every = options.every.map(|changes| changes.to_string());
    let mut words = vec!["power-cut", "--cuts", &cuts, "--seed", &seed, "--mode", &options.mode];
    words.extend(["--fsync-delay-ms", &delay, "--names", &options.names]);
    words.extend(options.keep.iter().flat_map(|folder| ["--keep", folder]));
    words.extend(every.iter().flat_map(|changes| ["--every", changes]));
    words.extend(options.r#break.iter().flat_map(|what| ["--break", what]));
    crash(&options.node, &words, options.json)
}

/// Lets disks fail.
pub fn disk_faults(options: &FaultOptions) -> anyhow::Result<()> {
    let (faults, seed) = (options.faults.to_string(), options.seed.to_string());
    crash(&options.node, &["disk-faults", "--faults", &faults, "--seed", &seed], options.json)
}

fn crash(node: &NodeOptions, words: &[&str], json: bool) -> anyhow::Result<()> {
    let format: &[&str] = if json { &["--json"] } else { &[] };
    run_against(node, "crash", &[words, format].concat())
}
