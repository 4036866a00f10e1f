//! `fn …`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use selvedge_functions::{Share, Sticky};

use super::function_trial::{
    self, FunctionCanaryArguments, FunctionPromoteArguments, FunctionRecordingsArguments, FunctionReplayArguments,
    FunctionShadowArguments,
};
use super::node::SocketArguments;

pub(super) const EXAMPLES: &str = "\
Examples:
  selvedge fn new my-filter --lang rust
  cd my-filter
  selvedge fn build
  selvedge fn test --message '{\"topic\": \"demo/in\", \"payload\": \"21.5\"}'
  selvedge fn deploy
  selvedge fn logs my-filter -f
  selvedge fn list
  selvedge fn publish && selvedge fn versions my-filter
  selvedge fn alias my-filter live v1=90 v2=10 --sticky client
  selvedge fn rollback my-filter
  selvedge fn remove my-filter";

const CHECK_EXAMPLES: &str = "\
Examples:
  selvedge fn check
  selvedge fn check my-filter --json";
const TEST_EXAMPLES: &str = "\
Examples:
  selvedge fn test --message '{\"topic\": \"demo/in\", \"payload\": \"21.5\"}'
  printf '[demo/in] 21.5\\n[demo/in] 22\\n' | selvedge fn test
  selvedge fn test --recording recordings.jsonl                (selvedge fn recordings NAME --save makes it)";
const TOP_EXAMPLES: &str = "\
Examples:
  selvedge fn top
  selvedge fn top --every 10
  selvedge fn top --times 1                                    one table, for scripts";
const DEV_EXAMPLES: &str = "\
Examples:
  selvedge fn dev
  selvedge fn dev my-filter";
const ALIAS_EXAMPLES: &str = "\
Examples:
  selvedge fn alias my-filter                            which aliases there are
  selvedge fn alias my-filter live v3=90 v4=10           one message in ten to v4
  selvedge fn alias my-filter live v3=90 v4=10 --sticky client
  selvedge fn alias my-filter live v4                    everything to v4
  selvedge fn alias my-filter beta v5                    for fn invoke --at beta
  selvedge fn alias my-filter beta --remove";
const ROLLBACK_EXAMPLES: &str = "\
Examples:
  selvedge fn rollback my-filter
  selvedge fn rollback my-filter --alias beta";
const GC_EXAMPLES: &str = "\
Examples:
  selvedge fn gc my-filter --keep 3";
const INVOKE_EXAMPLES: &str = "\
Examples:
  selvedge fn invoke my-filter --message '{\"topic\": \"demo/in\", \"payload\": \"21.5\"}'
  selvedge fn invoke my-filter --at v4 --message message.json";

/// What to do with a function.
#[derive(Debug, Subcommand)]
pub enum FunctionCommand {
    /// Write a new function to start from
    New(FunctionNewArguments),
    /// Build the function in a directory to a component
    Build(FunctionDirectoryArguments),
    /// Read the function.toml of a directory and say what it means, without a node
    #[command(after_help = CHECK_EXAMPLES)]
    Check(FunctionDirectoryArguments),
    /// Run a built function on messages or recordings, without a node
    #[command(after_help = TEST_EXAMPLES)]
    Test(FunctionTestArguments),
    /// Build, deploy and follow the log again at each change of a directory
    #[command(after_help = DEV_EXAMPLES)]
    Dev(FunctionDevArguments),
    /// Give a built function to a running node
    Deploy(FunctionDeployArguments),
    /// Give a built function to a running node as a new version, without messages yet
    Publish(FunctionDeployArguments),
    /// Share messages out to versions by weight, or show the aliases
    #[command(after_help = ALIAS_EXAMPLES)]
    Alias(FunctionAliasArguments),
    /// Point an alias where it pointed before; again for a further step
    #[command(name = "rollback", after_help = ROLLBACK_EXAMPLES)]
    RollBack(FunctionRollBackArguments),
    /// List the versions of a function
    Versions(FunctionNameArguments),
    /// Remove old versions that no alias needs
    #[command(after_help = GC_EXAMPLES)]
    Gc(FunctionGcArguments),
    /// Run a function of a running node once, with all effects
    #[command(after_help = INVOKE_EXAMPLES)]
    Invoke(FunctionInvokeArguments),
    /// Show, save or forget the recorded messages of a function
    #[command(after_help = function_trial::RECORDINGS_EXAMPLES)]
    Recordings(FunctionRecordingsArguments),
    /// Run a version on a recorded message again, without effects
    #[command(after_help = function_trial::REPLAY_EXAMPLES)]
    Replay(FunctionReplayArguments),
    /// Run a version on the recorded messages; it goes live if nothing speaks against it
    #[command(after_help = function_trial::PROMOTE_EXAMPLES)]
    Promote(FunctionPromoteArguments),
    /// Let a version see the messages without effects, and compare
    #[command(after_help = function_trial::SHADOW_EXAMPLES)]
    Shadow(FunctionShadowArguments),
    /// Give a version part of the messages; it goes back by itself when it is worse
    #[command(after_help = function_trial::CANARY_EXAMPLES)]
    Canary(FunctionCanaryArguments),
    /// List the functions of a running node
    List(FunctionListArguments),
    /// Show what a function and its versions did, and what they took
    Stats(FunctionNameArguments),
    /// Show which functions are busiest, again and again
    #[command(after_help = TOP_EXAMPLES)]
    Top(FunctionTopArguments),
    /// Print what a function logged
    Logs(FunctionLogsArguments),
    /// Take a function off a running node
    Remove(FunctionRemoveArguments),
}

/// Flags of `fn new`.
#[derive(Debug, Args)]
pub struct FunctionNewArguments {
    /// Name of the function, and of the directory that is made
    pub name: String,
    /// Language of the template: rust, js, c or python
    #[arg(long, default_value = "rust")]
    pub lang: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `fn build`.
#[derive(Debug, Args)]
pub struct FunctionDirectoryArguments {
    /// Directory of the function
    #[arg(default_value = ".")]
    pub directory: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `fn test`.
#[derive(Debug, Args)]
pub struct FunctionTestArguments {
    /// Directory of the function
    #[arg(default_value = ".")]
    pub directory: PathBuf,
    /// Message as JSON (topic, payload, qos, retain, properties), or a file that holds it; without it, lines of the form
    /// `[topic] payload` are read from standard input
    #[arg(long, value_name = "JSON|FILE")]
    pub message: Option<String>,
    /// Run it on the recordings in this file instead, and compare
    #[arg(long, value_name = "FILE", conflicts_with = "message")]
    pub recording: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `fn dev`.
#[derive(Debug, Args)]
pub struct FunctionDevArguments {
    /// Directory of the function
    #[arg(default_value = ".")]
    pub directory: PathBuf,
    /// How to find the node.
    #[command(flatten)]
    pub socket: SocketArguments,
}

/// Flags of `fn deploy`.
#[derive(Debug, Args)]
pub struct FunctionDeployArguments {
    /// Directory of the function
    #[arg(default_value = ".")]
    pub directory: PathBuf,
    /// How to find the node.
    #[command(flatten)]
    pub socket: SocketArguments,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `fn alias`.
#[derive(Debug, Args)]
pub struct FunctionAliasArguments {
    /// Name of the function
    pub name: String,
    /// Name of the alias; messages go by the alias live
    pub alias: Option<String>,
    /// Versions and their weights; without a weight, 100
    #[arg(value_name = "VERSION=WEIGHT", requires = "alias")]
    pub versions: Vec<Share>,
    /// What stays with one version: topic, client, or key (the user property of that name)
    #[arg(long, value_name = "topic|client|key", requires = "versions")]
    pub sticky: Option<Sticky>,
    /// Forget the alias
    #[arg(long, requires = "alias", conflicts_with = "versions")]
    pub remove: bool,
    /// How to find the node.
    #[command(flatten)]
    pub socket: SocketArguments,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `fn rollback`.
#[derive(Debug, Args)]
pub struct FunctionRollBackArguments {
    /// Name of the function
    pub name: String,
    /// Name of the alias
    #[arg(long, default_value = "live")]
    pub alias: String,
    /// How to find the node.
    #[command(flatten)]
    pub socket: SocketArguments,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of commands about one function.
#[derive(Debug, Args)]
pub struct FunctionNameArguments {
    /// Name of the function
    pub name: String,
    /// How to find the node.
    #[command(flatten)]
    pub socket: SocketArguments,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `fn gc`.
#[derive(Debug, Args)]
pub struct FunctionGcArguments {
    /// Name of the function
    pub name: String,
    /// Versions that stay, those that aliases need included
    #[arg(long, value_name = "N")]
    pub keep: usize,
    /// How to find the node.
    #[command(flatten)]
    pub socket: SocketArguments,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `fn invoke`.
#[derive(Debug, Args)]
pub struct FunctionInvokeArguments {
    /// Name of the function
    pub name: String,
    /// Message as JSON (topic, payload, qos, retain, properties), or a file that holds it
    #[arg(long, value_name = "JSON|FILE")]
    pub message: String,
    /// Alias or version that runs
    #[arg(long, value_name = "ALIAS|VERSION", default_value = "live")]
    pub at: String,
    /// How to find the node.
    #[command(flatten)]
    pub socket: SocketArguments,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `fn list`.
#[derive(Debug, Args)]
pub struct FunctionListArguments {
    /// How to find the node.
    #[command(flatten)]
    pub socket: SocketArguments,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `fn top`.
#[derive(Debug, Args)]
pub struct FunctionTopArguments {
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 2)]
    pub every: u64,
    /// Tables until it ends; without it, it goes on
    #[arg(long, value_name = "N")]
    pub times: Option<u64>,
    /// How to find the node.
    #[command(flatten)]
    pub socket: SocketArguments,
}

/// Flags of `fn logs`.
#[derive(Debug, Args)]
pub struct FunctionLogsArguments {
    /// Name of the function
    pub name: String,
    /// Go on printing what it logs
    #[arg(short, long)]
    pub follow: bool,
    /// How to find the node.
    #[command(flatten)]
    pub socket: SocketArguments,
    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// Flags of `fn remove`.
#[derive(Debug, Args)]
pub struct FunctionRemoveArguments {
    /// Name of the function
    pub name: String,
    /// How to find the node.
    #[command(flatten)]
    pub socket: SocketArguments,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
