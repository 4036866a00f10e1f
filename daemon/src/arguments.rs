//! The command line. Not what commands do: that is in `wiring`, `client` and `control`.

pub mod broker_client;
pub mod certificate;
pub mod function;
pub mod function_trial;
pub mod net;
pub mod node;
pub mod ota;
pub mod ota_publisher;
pub mod property;
pub mod store;
pub mod twin;
pub mod twin_group;
pub mod user;

use clap::{Parser, Subcommand};

pub use broker_client::{ConnectionArguments, PublishArguments, SubscribeArguments};
pub use certificate::CertificateCommand;
pub use function::FunctionCommand;
pub use function_trial::ExplainArguments;
pub use net::NetCommand;
pub use node::{CheckArguments, RunArguments, SocketArguments, StatusArguments};
pub use ota::OtaCommand;
pub use store::StoreCommand;
pub use twin::TwinCommand;
pub use user::{AccessCommand, ReloadArguments, UserCommand};

const EXAMPLES: &str = "\
Examples:
  selvedge                                     start a node with safe defaults
  selvedge run --config /etc/selvedge.toml     start a node as a file says
  selvedge sub -t 'demo/#' -v                  show what is published under demo/
  selvedge pub -t demo/hello -m hi             publish one message
  selvedge twin set pump-1 desired.interval 5  tell a device what it should be
  selvedge fn new my-filter                    begin a function
  selvedge user add alice                      let somebody log in
  selvedge cert create                         certificates for TLS
  selvedge store export gateway.selvedge       all that the node keeps, as one file
  selvedge ota apply update.selvedge           update the node; a bad update undoes itself
  selvedge net top                             who sends what, counted in the kernel

Exit codes: 0 done, 1 failed, 2 wrong usage.";

const BENCH_EXAMPLES: &str = "\
Examples:
  selvedge bench pair
  selvedge bench pair --rate 1000 --qos 1 --durable --offline
  selvedge bench backlog --pid \"$(pidof selvedge)\"
  selvedge bench fan-out --help";

/// One daemon that makes a gateway a programmable IoT edge node.
#[derive(Debug, Parser)]
#[command(name = "selvedge", version, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do; without one, `run`.
    #[command(subcommand)]
    pub command: Command,
}

/// Everything the binary does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the node (also what `selvedge` alone does)
    #[command(after_help = node::RUN_EXAMPLES)]
    Run(RunArguments),
    /// Check a configuration file without starting anything
    #[command(after_help = node::CHECK_EXAMPLES)]
    Check(CheckArguments),
    /// Publish messages (flags of mosquitto_pub)
    #[command(disable_help_flag = true, after_help = broker_client::PUBLISH_EXAMPLES)]
    Pub(Box<PublishArguments>),
    /// Subscribe and print what arrives (flags of mosquitto_sub)
    #[command(disable_help_flag = true, after_help = broker_client::SUBSCRIBE_EXAMPLES)]
    Sub(Box<SubscribeArguments>),
    /// Read and change device twins of a running node
    #[command(subcommand, after_help = twin::EXAMPLES)]
    Twin(TwinCommand),
    /// Make, try, deploy and watch functions
    #[command(subcommand, name = "fn", after_help = function::EXAMPLES)]
    Function(FunctionCommand),
    /// Say who sent a message, which versions ran on it and what came of it
    #[command(after_help = function_trial::EXPLAIN_EXAMPLES)]
    Explain(ExplainArguments),
    /// Add, change and remove users
    #[command(subcommand, after_help = user::EXAMPLES)]
    User(UserCommand),
    /// Ask the rules
    #[command(subcommand, after_help = user::ACCESS_EXAMPLES)]
    Access(AccessCommand),
    /// Make a running node read users, rules, keys and certificates again
    #[command(after_help = user::RELOAD_EXAMPLES)]
    Reload(ReloadArguments),
    /// Make, extend, show and withdraw certificates
    #[command(subcommand, name = "cert", after_help = certificate::EXAMPLES)]
    Certificate(CertificateCommand),
    /// Check, export, import and compact what a node keeps
    #[command(subcommand, after_help = store::EXAMPLES)]
    Store(StoreCommand),
    /// Update the node, its functions and files; make and sign updates
    #[command(subcommand, after_help = ota::EXAMPLES)]
    Ota(OtaCommand),
    /// Show what crosses the network, peer by peer; keep peers out
    #[command(subcommand, after_help = net::EXAMPLES)]
    Net(NetCommand),
    /// Show whether the node is well, and what it does
    #[command(after_help = node::STATUS_EXAMPLES)]
    Status(StatusArguments),
    /// Put load on an MQTT broker and measure it
    #[command(after_help = BENCH_EXAMPLES)]
    Bench(selvedge_bench::Options),
    /// Compile one function; a child process of the node
    #[command(hide = true)]
    InternalCompile(InternalCompileArguments),
    /// Show that this program runs here and make its functions ready; started by the version before
    #[command(hide = true)]
    InternalPreflight(CheckedPlace),
}

/// Where a node has its configuration and data.
#[derive(Debug, clap::Args)]
pub struct CheckedPlace {
    /// Configuration file.
    #[arg(long)]
    pub config: Option<std::path::PathBuf>,
    /// Data directory.
    #[arg(long)]
    pub data: std::path::PathBuf,
}

/// What the node passes to its compiler child; the functions read it.
#[derive(Debug, clap::Args)]
pub struct InternalCompileArguments {
    /// Passed through.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub order: Vec<String>,
}

impl Cli {
    /// Parses `arguments` (program name first); without a command they are those of `run`.
    ///
    /// # Errors
    /// Wrong usage, or help or version was asked for; clap's error prints and exits accordingly.
    pub fn from_arguments(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Self, clap::Error> {
        let mut arguments: Vec<_> = arguments.into_iter().collect();
        let is_of_selvedge_itself = |argument: &str| matches!(argument, "-h" | "--help" | "-V" | "--version" | "--");
        let needs_command = match arguments.get(1) {
            Some(first) => first.to_str().is_some_and(|first| first.starts_with('-') && !is_of_selvedge_itself(first)),
            None => true,
        };
        if arguments.is_empty() {
            arguments.push("selvedge".into());
        }
        if needs_command {
            arguments.insert(1, "run".into());
        }
        Self::try_parse_from(arguments)
    }
}

#[cfg(test)]
mod tests;
