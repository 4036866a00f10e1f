//! `net …`.

use std::net::IpAddr;

use clap::{Args, Subcommand};

use super::node::SocketArguments;
use crate::config::Period;

pub(super) const EXAMPLES: &str = "\
Examples:
  selvedge net top                            who sends and receives most, as it happens
  selvedge net top --once --json              the same for a script, once
  selvedge net status                         what is counted, where, and what is in the way
  selvedge net deny 192.0.2.7 --for 10m       drop what comes from there, in the kernel
  selvedge net undeny 192.0.2.7
  selvedge net allow 192.0.2.0/24             never drop what comes from there
  selvedge net denials                        who is denied, why, and for how long

Denying needs net.guard.mode = \"enforce\" (or \"dry-run\") in the configuration.";

/// Packets, counted in the kernel, and the guard.
#[derive(Debug, Subcommand)]
pub enum NetCommand {
    /// Show the busiest peers, with the clients that connect from there
    Top(NetTopArguments),
    /// Show whether packets are counted, on which interfaces, and what they amount to
    Status(NetArguments),
    /// Show who is denied, and who is never denied
    Denials(NetArguments),
    /// Drop what comes from a peer, for a while
    Deny(NetDenyArguments),
    /// End a denial
    Undeny(NetPeerArguments),
    /// Never drop what comes from an address or network, until the node ends
    Allow(NetNetworkArguments),
    /// Take an address or network out of that list
    Disallow(NetNetworkArguments),
}

/// How to reach the node.
#[derive(Clone, Debug, Args)]
pub struct NetArguments {
    /// How to find the node.
    #[command(flatten)]
    pub socket: SocketArguments,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `net top`.
#[derive(Debug, Args)]
pub struct NetTopArguments {
    /// How to reach the node.
    #[command(flatten)]
    pub node: NetArguments,
    /// Peers to show
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub peers: u32,
    /// Print once and end; also what happens when the output is no terminal
    #[arg(long)]
    pub once: bool,
    /// Between two looks
    #[arg(long, value_name = "TIME", default_value = "2s")]
    pub every: Period,
}

/// Arguments of `net deny`.
#[derive(Debug, Args)]
pub struct NetDenyArguments {
    /// The peer.
    #[command(flatten)]
    pub peer: NetPeerArguments,
    /// For how long: 30s, 10m, 2h, 7d
    #[arg(long = "for", value_name = "TIME", default_value = "10m")]
    pub time: Period,
}

/// A peer.
#[derive(Debug, Args)]
pub struct NetPeerArguments {
    /// Its address
    pub peer: IpAddr,
    /// How to reach the node.
    #[command(flatten)]
    pub node: NetArguments,
}

/// An address or network.
#[derive(Debug, Args)]
pub struct NetNetworkArguments {
    /// 192.0.2.7, 192.0.2.0/24, 2001:db8::/32
    pub network: String,
    /// How to reach the node.
    #[command(flatten)]
    pub node: NetArguments,
}
