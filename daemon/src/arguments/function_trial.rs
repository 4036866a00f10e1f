//! `fn …` about versions that are not live yet, and `explain`.

use std::path::PathBuf;

use clap::Args;
use selvedge_functions::VersionNumber;

use super::node::SocketArguments;
use crate::config::quantity::Period;

pub(super) const RECORDINGS_EXAMPLES: &str = "\
Examples:
  selvedge fn recordings my-filter
  selvedge fn recordings my-filter --save recordings.jsonl     for fn test and fn promote elsewhere
  selvedge fn recordings my-filter --forget";
pub(super) const REPLAY_EXAMPLES: &str = "\
Examples:
  selvedge fn replay my-filter-1042
  selvedge fn replay my-filter-1042 --at v4";
pub(super) const PROMOTE_EXAMPLES: &str = "\
Examples:
  selvedge fn promote my-filter v4 --dry-run
  selvedge fn promote my-filter v4
  selvedge fn promote my-filter v4 --changed 100               the output is meant to be another one
  selvedge fn promote my-filter v4 --recording recordings.jsonl

Exit code 1: it is refused; the reasons are printed. What is allowed by default stands in [promote] of its function.toml.";
pub(super) const SHADOW_EXAMPLES: &str = "\
Examples:
  selvedge fn shadow my-filter v4
  selvedge fn shadow my-filter                                 what it came to
  selvedge fn shadow my-filter --off";
pub(super) const CANARY_EXAMPLES: &str = "\
Examples:
  selvedge fn canary my-filter v4
  selvedge fn canary my-filter v4 --percent 5 --for 1h --messages 500
  selvedge fn canary my-filter v4 --changed 100                the output is meant to be another one
  selvedge fn canary my-filter                                 how it goes

It goes back by itself, or live after its time; `fn rollback` ends it at once.";
pub(super) const EXPLAIN_EXAMPLES: &str = "\
Examples:
  selvedge explain my-filter-1042
  selvedge explain my-filter-1042 --json

`selvedge fn recordings NAME` and `selvedge fn logs NAME` name the runs.";

/// Flags of `fn recordings`.
#[derive(Debug, Args)]
pub struct FunctionRecordingsArguments {
    /// Name of the function
    pub name: String,
    /// Write them to this file, one JSON object a line
    #[arg(long, value_name = "FILE", conflicts_with = "forget")]
    pub save: Option<PathBuf>,
    /// Forget them
    #[arg(long)]
    pub forget: bool,
    /// How to find the node.
    #[command(flatten)]
    pub socket: SocketArguments,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `fn replay`.
#[derive(Debug, Args)]
pub struct FunctionReplayArguments {
    /// The run that was recorded, such as my-filter-1042
    pub invocation: String,
    /// The version that runs; without it, the one that ran then
    #[arg(long, value_name = "VERSION")]
    pub at: Option<VersionNumber>,
    /// How to find the node.
    #[command(flatten)]
    pub socket: SocketArguments,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `fn promote`.
#[derive(Debug, Args)]
pub struct FunctionPromoteArguments {
    /// Name of the function
    pub name: String,
    /// The version that wants to go live
    pub version: VersionNumber,
    /// Only say what would be
    #[arg(long)]
    pub dry_run: bool,
    /// Messages to judge by, instead of those that the node has recorded
    #[arg(long, value_name = "FILE")]
    pub recording: Option<PathBuf>,
    /// Recordings that there must be
    #[arg(long, value_name = "N")]
    pub messages: Option<usize>,
    /// Messages whose output may be another one
    #[arg(long, value_name = "PERCENT")]
    pub changed: Option<f64>,
    /// Messages that may fail and did not before
    #[arg(long, value_name = "PERCENT")]
    pub failed: Option<f64>,
    /// How many times as long a run may take
    #[arg(long, value_name = "TIMES")]
    pub slower: Option<f64>,
    /// How many times as much memory it may take
    #[arg(long, value_name = "TIMES")]
    pub memory: Option<f64>,
    /// How to find the node.
    #[command(flatten)]
    pub socket: SocketArguments,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `fn shadow`.
#[derive(Debug, Args)]
pub struct FunctionShadowArguments {
    /// Name of the function
    pub name: String,
    /// The version that sees the messages without effects; without it, what it came to is shown
    pub version: Option<VersionNumber>,
    /// No version any more
    #[arg(long, conflicts_with = "version")]
    pub off: bool,
    /// How to find the node.
    #[command(flatten)]
    pub socket: SocketArguments,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `fn canary`.
#[derive(Debug, Args)]
pub struct FunctionCanaryArguments {
    /// Name of the function
    pub name: String,
    /// The version on trial; without it, how it goes is shown
    pub version: Option<VersionNumber>,
    /// Part of the messages that it gets
    #[arg(long, value_name = "PERCENT", requires = "version")]
    pub percent: Option<u32>,
    /// It goes live after this time
    #[arg(long = "for", value_name = "TIME", requires = "version")]
    pub time: Option<Period>,
    /// and not before it has run so many messages
    #[arg(long, value_name = "N", requires = "version")]
    pub messages: Option<u64>,
    /// Runs that may fail beyond the share of the other version
    #[arg(long, value_name = "PERCENT", requires = "version")]
    pub failed: Option<f64>,
    /// How many times as long a run may take
    #[arg(long, value_name = "TIMES", requires = "version")]
    pub slower: Option<f64>,
    /// Messages whose output may be another one
    #[arg(long, value_name = "PERCENT", requires = "version")]
    pub changed: Option<f64>,
    /// How to find the node.
    #[command(flatten)]
    pub socket: SocketArguments,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// The run that was recorded, such as my-filter-1042
    pub invocation: String,
    /// How to find the node.
    #[command(flatten)]
    pub socket: SocketArguments,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
