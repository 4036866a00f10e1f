//! `ota`: the device's half. The publisher's is in `ota_publisher`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::ota_publisher::OtaPublisherCommand;
use super::{ConnectionArguments, SocketArguments};

pub(super) const EXAMPLES: &str = "\
Examples, on the gateway:
  selvedge ota trust root.json               whom to believe, once
  selvedge ota apply update.selvedge --wait  put an update in place and wait until it is confirmed or taken back
  selvedge ota push update.selvedge -h gateway -u ops -P secret    the same over MQTT, from elsewhere
  selvedge ota status                        what runs, what waits, how the last update ended
  selvedge ota check                         look at the repository now
  selvedge ota rollback                      back to the version before

Examples, on the publisher's machine:
  selvedge ota init repository --keys keys
  selvedge ota add repository target/release/selvedge --daemon aarch64 --version 1.2.0
  selvedge ota publish repository --keys keys
  selvedge ota bundle repository update.selvedge";

/// Updates.
#[derive(Debug, Subcommand)]
pub enum OtaCommand {
    /// Show what runs, what waits, and how the last update ended
    Status(OtaStatusArguments),
    /// Put a bundle in place
    Apply(OtaApplyArguments),
    /// Send a bundle to a node over MQTT (flags of selvedge pub; -h is the host)
    #[command(disable_help_flag = true)]
    Push(Box<OtaPushArguments>),
    /// Look at the repository now; windows, pauses and staged roll-outs do not count
    Check(OtaWaitArguments),
    /// End the probation of a new version, or go back to the version before
    Rollback(OtaWaitArguments),
    /// Take no updates by itself
    Pause(OtaStatusArguments),
    /// Take updates by itself again
    Resume(OtaStatusArguments),
    /// Try once more what did not hold
    Retry(OtaStatusArguments),
    /// Trust the publisher of this root.json
    Trust(OtaTrustArguments),
    /// Make and sign updates.
    #[command(flatten)]
    Publisher(OtaPublisherCommand),
}

/// How to reach the node.
#[derive(Clone, Debug, Args)]
pub struct OtaStatusArguments {
    /// How to reach the node.
    #[command(flatten)]
    pub socket: SocketArguments,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// How to reach the node, and whether to wait.
#[derive(Clone, Debug, Args)]
pub struct OtaWaitArguments {
    /// How to reach the node.
    #[command(flatten)]
    pub node: OtaStatusArguments,
    /// Wait until a new version is confirmed or taken back
    #[arg(long)]
    pub wait: bool,
}

/// Arguments of `ota apply`.
#[derive(Clone, Debug, Args)]
pub struct OtaApplyArguments {
    /// The bundle (`selvedge ota bundle` makes them)
    pub file: PathBuf,
    /// How to reach the node.
    #[command(flatten)]
    pub node: OtaWaitArguments,
    /// Put the new program into its slot here and now, for a node that does not run; --data names its data directory
    #[arg(long)]
    pub offline: bool,
    /// With --offline: the installed program, for as long as no slot is good
    #[arg(long, value_name = "FILE", default_value = "/usr/lib/selvedge/selvedge")]
    pub package: PathBuf,
    /// With --offline: the configuration file
    #[arg(long, value_name = "FILE", env = "SELVEDGE_CONFIG")]
    pub config: Option<PathBuf>,
}

/// Arguments of `ota push`.
#[derive(Clone, Debug, Args)]
pub struct OtaPushArguments {
    /// The bundle (`selvedge ota bundle` makes them)
    pub file: PathBuf,
    /// How to reach the node.
    #[command(flatten)]
    pub connection: ConnectionArguments,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `ota trust`.
#[derive(Clone, Debug, Args)]
pub struct OtaTrustArguments {
    /// The publisher's first root.json
    pub root: PathBuf,
    /// How to reach the node.
    #[command(flatten)]
    pub node: OtaStatusArguments,
}
