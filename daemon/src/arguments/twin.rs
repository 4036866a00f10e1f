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
  selvedge twin inc pump-1 reported.starts
  selvedge twin add pump-1 reported.alarms high
  selvedge twin get pump-1 --at 2026-11-29T12:00:00Z
  selvedge twin log pump-1
  selvedge twin diff pump-1@3 pump-1
  selvedge twin blame pump-1
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
    /// Count up or down
    Inc(TwinIncArguments),
    /// Put an element into a set
    Add(TwinAddArguments),
    /// Take an element out of a set, or remove a counter or set
    Remove(TwinRemoveArguments),
    /// Delete a twin
    Delete(TwinNameArguments),
    /// List all twins
    List(TwinListArguments),
    /// Print each change of a twin as it happens
    Watch(TwinNameArguments),
    /// Print the twins of which something holds
    Query(TwinQueryArguments),
    /// Print what was changed, the oldest first
    Log(TwinLogArguments),
    /// Print who wrote each field and when, and what lost against it
    Blame(TwinBlameArguments),
    /// Print what differs between two twins, or two revisions of one
    Diff(TwinDiffArguments),
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
    /// As it was: a revision (7) or a time (2026-11-29T12:00:00Z)
    #[arg(long, value_name = "WHEN")]
    pub at: Option<String>,
}

/// Flags of `twin inc`.
#[derive(Debug, Args)]
pub struct TwinIncArguments {
    /// The twin.
    #[command(flatten)]
    pub name: TwinNameArguments,
    /// Counter, from the half on: reported.starts
    pub path: String,
    /// How much
    #[arg(default_value_t = 1, allow_hyphen_values = true)]
    pub by: i64,
}

/// Flags of `twin add`.
#[derive(Debug, Args)]
pub struct TwinAddArguments {
    /// The twin.
    #[command(flatten)]
    pub name: TwinNameArguments,
    /// Set, from the half on: reported.alarms
    pub path: String,
    /// Text, number, true or false; what is no JSON is taken as a text
    #[arg(allow_hyphen_values = true)]
    pub value: String,
    /// Let the later of an addition and a removal win that did not know of each other, not the addition
    #[arg(long)]
    pub latest: bool,
}

/// Flags of `twin remove`.
#[derive(Debug, Args)]
pub struct TwinRemoveArguments {
    /// The twin.
    #[command(flatten)]
    pub name: TwinNameArguments,
    /// Set or counter, from the half on: reported.alarms
    pub path: String,
    /// Element; without one, all
    #[arg(allow_hyphen_values = true)]
    pub value: Option<String>,
}

/// Flags of `twin log`.
#[derive(Debug, Args)]
pub struct TwinLogArguments {
    /// The twin.
    #[command(flatten)]
    pub name: TwinNameArguments,
    /// Only changes after this revision
    #[arg(long, default_value_t = 0, value_name = "REVISION")]
    pub after: u64,
}

/// Flags of `twin blame`.
#[derive(Debug, Args)]
pub struct TwinBlameArguments {
    /// The twin.
    #[command(flatten)]
    pub name: TwinNameArguments,
    /// Only this half
    #[arg(long)]
    pub section: Option<SectionName>,
}

/// Flags of `twin diff`.
#[derive(Debug, Args)]
pub struct TwinDiffArguments {
    /// From: a thing, or a thing as it was (pump-1@3, pump-1@2026-11-29T12:00:00Z)
    pub from: String,
    /// To: the same, or @WHEN for the same thing
    pub to: String,
    /// How to find the node.
    #[command(flatten)]
    pub socket: SocketArguments,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
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
