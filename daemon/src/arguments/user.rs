//! `user` and `access`: who may log in, and do what.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::node::SocketArguments;

pub(super) const EXAMPLES: &str = "\
Examples:
  selvedge user add alice                      asks for a password
  selvedge user add pump-1 --generate          prints a random one, once
  selvedge user passwd alice --password-file secret.txt
  selvedge user list
  selvedge user remove pump-1                  also ends its connections

The first user brings the file of rules, access/rules.toml in the data directory, which lets users do everything that a client
may; narrow it there. A running node is told; passwords never stand on the command line.";

pub(super) const ACCESS_EXAMPLES: &str = "\
Examples:
  selvedge access check --user pump-1 --client c7 publish sensors/pump-1/t
  selvedge access check --user dashboard subscribe 'sensors/#'
  selvedge access check subscribe 'demo/#'     for a client without a user";

pub(super) const RELOAD_EXAMPLES: &str = "\
Examples:
  selvedge reload
  selvedge reload --data /var/lib/selvedge --json

SIGHUP does the same; without either, the node notices changed files within seconds.";

/// What to do with users.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user
    Add(UserAddArguments),
    /// Set another password
    Passwd(UserPasswordArguments),
    /// Refuse every login of a user, and end its connections
    Disable(UserNameArguments),
    /// Let a user in again
    Enable(UserNameArguments),
    /// Remove a user, and end its connections
    Remove(UserNameArguments),
    /// List the users
    List(UserListArguments),
}

/// What to ask of the rules.
#[derive(Debug, Subcommand)]
pub enum AccessCommand {
    /// Say whether somebody may do something, by the files as they are now
    Check(AccessCheckArguments),
}

/// Which node's files.
#[derive(Clone, Debug, Args)]
pub struct FilesArguments {
    /// How to find the node.
    #[command(flatten)]
    pub socket: SocketArguments,
    /// Configuration of the node, if it names the files [default: as the running node says, else the data directory]
    #[arg(long, value_name = "FILE", env = "SELVEDGE_CONFIG")]
    pub config: Option<PathBuf>,
}

/// Where the password comes from.
#[derive(Clone, Debug, Default, Args)]
#[group(multiple = false)]
pub struct PasswordArguments {
    /// Read it from this file (one line)
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Read it from standard input (one line)
    #[arg(long)]
    pub stdin: bool,
    /// Make a random one and print it, once
    #[arg(long)]
    pub generate: bool,
}

/// Flags of `user add`.
#[derive(Clone, Debug, Args)]
pub struct UserAddArguments {
    /// Name of the user
    pub name: String,
    /// Which node.
    #[command(flatten)]
    pub files: FilesArguments,
    /// Its password.
    #[command(flatten)]
    pub password: PasswordArguments,
    /// Keep what SCRAM-SHA-256 needs, too (MQTT 5, enhanced authentication)
    #[arg(long)]
    pub scram: bool,
    /// No password: this user logs in with a certificate or a token
    #[arg(long, conflicts_with_all = ["password_file", "stdin", "generate", "scram"])]
    pub no_password: bool,
    /// A note for people
    #[arg(long)]
    pub comment: Option<String>,
}

/// Flags of `user passwd`.
#[derive(Clone, Debug, Args)]
pub struct UserPasswordArguments {
    /// Name of the user
    pub name: String,
    /// Which node.
    #[command(flatten)]
    pub files: FilesArguments,
    /// Its password.
    #[command(flatten)]
    pub password: PasswordArguments,
    /// Keep what SCRAM-SHA-256 needs, too [default: as before]
    #[arg(long)]
    pub scram: bool,
}

/// Flags of commands that take a name and nothing else.
#[derive(Clone, Debug, Args)]
pub struct UserNameArguments {
    /// Name of the user
    pub name: String,
    /// Which node.
    #[command(flatten)]
    pub files: FilesArguments,
}

/// Flags of `user list`.
#[derive(Clone, Debug, Args)]
pub struct UserListArguments {
    /// Which node.
    #[command(flatten)]
    pub files: FilesArguments,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WantedName {
    /// Publish to a topic.
    Publish,
    /// Publish a retained message to a topic.
    Retain,
    /// Leave a will for a topic.
    Will,
    /// Subscribe to a filter.
    Subscribe,
}

/// Flags of `access check`.
#[derive(Clone, Debug, Args)]
pub struct AccessCheckArguments {
    /// What is wanted
    #[arg(value_enum)]
    pub wanted: WantedName,
    /// Topic, or filter of a subscription
    pub topic: String,
    /// User [default: none]
    #[arg(long)]
    pub user: Option<String>,
    /// Client identifier
    #[arg(long, default_value = "")]
    pub client: String,
    /// Which node.
    #[command(flatten)]
    pub files: FilesArguments,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `reload`.
#[derive(Clone, Debug, Args)]
pub struct ReloadArguments {
    /// How to find the node.
    #[command(flatten)]
    pub socket: SocketArguments,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
