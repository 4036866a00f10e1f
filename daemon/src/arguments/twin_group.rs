//! `twin sync …` and `twin group …`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::node::SocketArguments;
use super::twin::SectionName;

pub(super) const SYNC_EXAMPLES: &str = "\
Examples:
  selvedge twin sync identity      NODE=KEY of this node, as `selvedge twin group add` takes it
  selvedge twin sync status        members, when they were heard, what this node lacks
  selvedge twin sync status --json";

pub(super) const GROUP_EXAMPLES: &str = "\
Examples, on a computer that keeps the group's key and on one node of the group:
  selvedge twin group create --key plant.key          once; prints what goes into [sync] of each node
  selvedge twin group add --key plant.key NODE=KEY    as `selvedge twin sync identity` prints it on that node
  selvedge twin group allow --key plant.key reported 'pump-*' NODE
                                                      only NODE (and who else is allowed) writes that from now on
  selvedge twin group show
  selvedge twin group remove --key plant.key NODE     what it wrote and this node does not have counts no more

The other nodes learn of it by themselves.";

/// The exchange of twins with other nodes.
#[derive(Debug, Subcommand)]
pub enum TwinSyncCommand {
    /// Show how the exchange with the other nodes stands
    Status(GroupArguments),
    /// Show the number and the public key of this node
    Identity(GroupArguments),
}

/// The nodes that exchange twins.
#[derive(Debug, Subcommand)]
pub enum TwinGroupCommand {
    /// Make the key of a new group
    Create(GroupCreateArguments),
    /// Take nodes in
    Add(GroupAddArguments),
    /// Take a node out
    Remove(GroupRemoveArguments),
    /// Let nodes write a section of some things; the first such rule for a section ends that everybody may
    Allow(GroupRuleArguments),
    /// Take such a rule back
    Disallow(GroupRuleArguments),
    /// Show members and rules
    Show(GroupArguments),
}

/// How to reach the node.
#[derive(Clone, Debug, Args)]
pub struct GroupArguments {
    /// How to find the node.
    #[command(flatten)]
    pub socket: SocketArguments,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `twin group create`.
#[derive(Debug, Args)]
pub struct GroupCreateArguments {
    /// File for the group's secret key, which must not be there yet
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What a change of the group needs.
#[derive(Debug, Args)]
pub struct GroupChange {
    /// File with the group's secret key
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// How to reach the node.
    #[command(flatten)]
    pub node: GroupArguments,
}

/// Flags of `twin group add`.
#[derive(Debug, Args)]
pub struct GroupAddArguments {
    /// The change.
    #[command(flatten)]
    pub change: GroupChange,
    /// Number and public key of each node
    #[arg(value_name = "NODE=KEY", required = true)]
    pub members: Vec<String>,
}

/// Flags of `twin group remove`.
#[derive(Debug, Args)]
pub struct GroupRemoveArguments {
    /// The change.
    #[command(flatten)]
    pub change: GroupChange,
    /// Number of the node
    pub node: String,
}

/// Flags of `twin group allow` and `twin group disallow`.
#[derive(Debug, Args)]
pub struct GroupRuleArguments {
    /// The change.
    #[command(flatten)]
    pub change: GroupChange,
    /// Which half
    pub section: SectionName,
    /// Name of a thing, or the beginning of names and *
    pub things: String,
    /// Numbers of the nodes that may write; none: all members
    pub writers: Vec<String>,
}
