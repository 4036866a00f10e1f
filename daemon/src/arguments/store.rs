//! `store`: what a node keeps, looked at and moved while no node runs.

use std::path::PathBuf;

use clap::{Args, Subcommand};

pub(super) const EXAMPLES: &str = "\
Examples:
  selvedge store check                         read everything, change nothing
  selvedge store export gateway.selvedge       all that is kept, as one file
  selvedge store import gateway.selvedge --data /var/lib/selvedge
  selvedge store compact                       give back the disk space of what is dead

No node may run on the data directory meanwhile. The file holds sessions, messages that wait, retained messages, twins,
key-values and the node's identity; functions, users, rules, keys and certificates are files in the data directory.";

/// What to do with the store.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Read everything and say what is there and what is damaged; exit code 1 if something is
    Check(StorePlace),
    /// Write everything that is alive into one file
    Export(StoreFileArguments),
    /// Make a store from such a file, where there is none
    Import(StoreFileArguments),
    /// Give back the disk space of what is dead; a node does that by itself, little by little
    Compact(StorePlace),
}

/// Where the store is.
#[derive(Clone, Debug, Default, Args)]
pub struct StorePlace {
    /// Configuration file of the node (TOML); none means defaults
    #[arg(long, value_name = "FILE", env = "SELVEDGE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Data directory of the node
    #[arg(long, value_name = "DIR", env = "SELVEDGE_DATA")]
    pub data: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `store export` and `store import`.
#[derive(Clone, Debug, Args)]
pub struct StoreFileArguments {
    /// The file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Where.
    #[command(flatten)]
    pub place: StorePlace,
}
