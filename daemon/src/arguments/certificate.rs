//! `cert`: the certificates of the box.

use std::path::PathBuf;

use clap::{Args, Subcommand};

pub(super) const EXAMPLES: &str = "\
Examples:
  selvedge cert create                         an authority of its own, and a certificate of the node
  selvedge cert create --name gw.example.com   with one more name
  selvedge cert create --client pump-1         a certificate for the client that logs in as pump-1
  selvedge cert show                           names, validity, fingerprints
  selvedge cert renew                          extend the node's certificate, its key stays
  selvedge cert revoke pump-1                  withdraw what pump-1 was given

A running node takes new files within seconds; clients stay connected.";

/// What to do with certificates.
#[derive(Debug, Subcommand)]
pub enum CertificateCommand {
    /// Make an authority and a certificate of the node, or one of a client
    Create(CertificateCreateArguments),
    /// Extend the certificate of the node, or the authority
    Renew(CertificateRenewArguments),
    /// Show what stands in certificates and revocation lists
    Show(CertificateShowArguments),
    /// Withdraw a client's certificate
    Revoke(CertificateRevokeArguments),
}

/// Where the certificates are.
#[derive(Clone, Debug, Default, Args)]
pub struct DataArguments {
    /// Data directory of the node
    #[arg(long, value_name = "DIR", env = "SELVEDGE_DATA")]
    pub data: Option<PathBuf>,
}

/// Flags of `cert create`.
#[derive(Clone, Debug, Args)]
pub struct CertificateCreateArguments {
    /// Where.
    #[command(flatten)]
    pub data: DataArguments,
    /// A further host name or address of the box; repeat for more
    #[arg(long = "name", value_name = "NAME", conflicts_with = "client")]
    pub names: Vec<String>,
    /// Make a certificate for the client that logs in under this name
    #[arg(long, value_name = "NAME")]
    pub client: Option<String>,
    /// Where to put the client's files [default: tls/clients in the data directory]
    #[arg(long, value_name = "DIR", requires = "client")]
    pub out: Option<PathBuf>,
    /// Make new ones although there are some (without --client: also a new authority, which all clients then need)
    #[arg(long)]
    pub force: bool,
}

/// Flags of `cert renew`.
#[derive(Clone, Debug, Args)]
pub struct CertificateRenewArguments {
    /// Where.
    #[command(flatten)]
    pub data: DataArguments,
    /// A further host name or address of the box; repeat for more
    #[arg(long = "name", value_name = "NAME")]
    pub names: Vec<String>,
    /// Extend the authority, too
    #[arg(long)]
    pub ca: bool,
}

/// Flags of `cert show`.
#[derive(Clone, Debug, Args)]
pub struct CertificateShowArguments {
    /// Where.
    #[command(flatten)]
    pub data: DataArguments,
    /// PEM files [default: those of the node]
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `cert revoke`.
#[derive(Clone, Debug, Args)]
pub struct CertificateRevokeArguments {
    /// Where.
    #[command(flatten)]
    pub data: DataArguments,
    /// Name of the client, or serial number of the certificate
    #[arg(value_name = "NAME|SERIAL")]
    pub wanted: String,
}
