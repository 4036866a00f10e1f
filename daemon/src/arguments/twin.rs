//! `twin …`.

use clap::{Args, Subcommand};

use super::node::SocketArguments;
use super::twin_group::{self, TwinGroupCommand, TwinSyncCommand};

pub(super) const EXAMPLES: &str = "\
Examples:
  selvedge twin get pump-1
  selvedge twin get pump-1 --section reported --json
  selvedge twin set pump-1 desired.interval 5
  selvedge twin set pump-1 desired.mode '\"eco\"'
  selvedge twin patch pump-1 '{\"desired\": {\"interval\": 5, \"mode\": null}}'
  selvedge twin patch pump-1 @state.json
  selvedge twin watch pump-1
  selvedge twin list
  selvedge twin query 'reported.temp > 50 and desired.site = \"a\"'
  selvedge twin delete pump-1";

/// What to do with a twin.
#[derive(Debug, Subcommand)]
pub enum TwinCommand {
    /// Print a twin
    Get(TwinGetArguments),
    /// Set one member
    Set(TwinSetArguments),
    /// Apply a JSON merge patch (RFC 7396: null removes)
    Patch(TwinPatchArguments),
    /// Delete a twin
    Delete(TwinNameArguments),
    /// List all twins
    List(TwinListArguments),
    /// Print each change of a twin as it happens
    Watch(TwinNameArguments),
    /// Print the twins of which something holds
    Query(TwinQueryArguments),
    /// How the exchange of twins with other nodes stands
    #[command(subcommand, after_help = twin_group::SYNC_EXAMPLES)]
    Sync(TwinSyncCommand),
    /// The group of nodes that exchange twins
    #[command(subcommand, after_help = twin_group::GROUP_EXAMPLES)]
    Group(TwinGroupCommand),
}

/// Half of a twin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum SectionName {
    /// What the device should be.
    Desired,
    /// What the device says it is.
    Reported,
}

/// A thing.
#[derive(Debug, Args)]
pub struct TwinNameArguments {
    /// Name of the thing
    pub thing: String,
    /// How to find the node.
    #[command(flatten)]
    pub socket: SocketArguments,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `twin get`.
#[derive(Debug, Args)]
pub struct TwinGetArguments {
    /// The twin.
    #[command(flatten)]
    pub name: TwinNameArguments,
    /// Only this half
    #[arg(long)]
    pub section: Option<SectionName>,
}

/// Flags of `twin set`.
#[derive(Debug, Args)]
pub struct TwinSetArguments {
    /// The twin.
    #[command(flatten)]
    pub name: TwinNameArguments,
    /// Member, from the half on: desired.interval
    pub path: String,
    /// JSON; what is no JSON is taken as a text
    #[arg(allow_hyphen_values = true)]
    pub value: String,
}

/// Flags of `twin patch`.
#[derive(Debug, Args)]
pub struct TwinPatchArguments {
    /// The twin.
    #[command(flatten)]
    pub name: TwinNameArguments,
    /// JSON with desired and reported; @FILE reads a file, - reads standard input
    pub patch: String,
}

/// Flags of `twin query`.
#[derive(Debug, Args)]
pub struct TwinQueryArguments {
    /// What has to hold: reported.temp > 50 and (desired.site = "a" or not exists delta)
    pub condition: String,
    /// At most so many
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub limit: u16,
    /// Only those after this one, in the order of names: where the last answer ended
    #[arg(long, value_name = "THING")]
    pub after: Option<String>,
    /// How to find the node.
    #[command(flatten)]
    pub socket: SocketArguments,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `twin list`.
#[derive(Debug, Args)]
pub struct TwinListArguments {
    /// How to find the node.
    #[command(flatten)]
    pub socket: SocketArguments,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
