//! `fn …`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

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
  selvedge fn remove my-filter";

/// What to do with a function.
#[derive(Debug, Subcommand)]
pub enum FunctionCommand {
    /// Write a new function to start from
    New(FunctionNewArguments),
    /// Build the function in a directory to a component
    Build(FunctionDirectoryArguments),
    /// Run a built function on one message, without a node
    Test(FunctionTestArguments),
    /// Give a built function to a running node
    Deploy(FunctionDeployArguments),
    /// List the functions of a running node
    List(FunctionListArguments),
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
    /// Language of the template
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
    /// Message as JSON (topic, payload or payload_base64, qos, retain, properties), or a file that holds it
    #[arg(long, value_name = "JSON|FILE")]
    pub message: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
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
