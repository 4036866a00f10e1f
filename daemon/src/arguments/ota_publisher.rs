//! `ota`: the publisher's half, for a machine that makes and signs updates. A gateway needs none of it.

mod examples;

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use selvedge_ota::metadata::Architecture;
use selvedge_ota::publisher::Days;

/// Making updates.
#[derive(Debug, Subcommand)]
pub enum OtaPublisherCommand {
    /// Publisher: make a repository and its keys
    #[command(after_help = examples::INIT)]
    Init(OtaInitArguments),
    /// Publisher: make and list keys
    #[command(subcommand, after_help = examples::KEY)]
    Key(OtaKeyCommand),
    /// Publisher: add a program, function or file, or a new version of one
    #[command(after_help = examples::ADD)]
    Add(OtaAddArguments),
    /// Publisher: take something out of the repository
    #[command(after_help = examples::REMOVE)]
    Remove(OtaRemoveArguments),
    /// Publisher: offer something to a part of the nodes, or to nobody for now
    #[command(after_help = examples::STAGE)]
    Stage(OtaStageArguments),
    /// Publisher: let other keys sign some paths
    #[command(after_help = examples::DELEGATE)]
    Delegate(OtaDelegateArguments),
    /// Publisher: sign what waits, so that nodes see it
    #[command(after_help = examples::PUBLISH)]
    Publish(OtaPublishArguments),
    /// Publisher: change the keys of root, targets, snapshot or timestamp
    #[command(after_help = examples::ROTATE)]
    Rotate(OtaRotateArguments),
    /// Publisher: add signatures to a new root or another metadata file
    #[command(after_help = examples::SIGN)]
    Sign(OtaSignArguments),
    /// Publisher: write one file with what gateways need
    #[command(after_help = examples::BUNDLE)]
    Bundle(OtaBundleArguments),
    /// Publisher: show what a repository says and what waits
    #[command(after_help = examples::LIST)]
    List(OtaListArguments),
}

/// A folder with keys.
#[derive(Clone, Debug, Args)]
pub struct OtaKeysFolder {
    /// Folder with the keys
    #[arg(long, value_name = "DIR")]
    pub keys: PathBuf,
}

/// How long signatures count.
#[derive(Clone, Copy, Debug, Args)]
pub struct OtaDays {
    /// A new root counts for so many days
    #[arg(long, value_name = "DAYS", default_value_t = Days::default().root, value_parser = days())]
    pub days_root: u32,
    /// Targets count for so many days
    #[arg(long, value_name = "DAYS", default_value_t = Days::default().targets, value_parser = days())]
    pub days_targets: u32,
    /// The snapshot counts for so many days
    #[arg(long, value_name = "DAYS", default_value_t = Days::default().snapshot, value_parser = days())]
    pub days_snapshot: u32,
    /// The timestamp counts for so many days: how long a node can be kept from what is new without noticing
    #[arg(long, value_name = "DAYS", default_value_t = Days::default().timestamp, value_parser = days())]
    pub days_timestamp: u32,
}

fn days() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=36_500)
}

impl From<OtaDays> for Days {
    fn from(days: OtaDays) -> Self {
        Self {
            root: days.days_root,
            targets: days.days_targets,
            snapshot: days.days_snapshot,
            timestamp: days.days_timestamp,
        }
    }
}

/// Arguments of `ota init`.
#[derive(Clone, Debug, Args)]
pub struct OtaInitArguments {
    /// Folder of the new repository
    pub repository: PathBuf,
    /// Where the new keys go.
    #[command(flatten)]
    pub keys: OtaKeysFolder,
    /// How long signatures count.
    #[command(flatten)]
    pub days: OtaDays,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Keys.
#[derive(Clone, Debug, Subcommand)]
pub enum OtaKeyCommand {
    /// Make a key
    #[command(after_help = examples::KEY)]
    New(OtaKeyNewArguments),
    /// List the keys of a folder
    #[command(after_help = examples::KEY)]
    List(OtaKeyListArguments),
}

/// Arguments of `ota key new`.
#[derive(Clone, Debug, Args)]
pub struct OtaKeyNewArguments {
    /// Name of the key, and of its two files
    pub name: String,
    /// Where it goes.
    #[command(flatten)]
    pub keys: OtaKeysFolder,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `ota key list`.
#[derive(Clone, Debug, Args)]
pub struct OtaKeyListArguments {
    /// Where they are.
    #[command(flatten)]
    pub keys: OtaKeysFolder,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What a program runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OtaArchitecture {
    /// 64-bit ARM
    Aarch64,
    /// 64-bit x86
    #[value(name = "x86_64")]
    X86_64,
}

impl From<OtaArchitecture> for Architecture {
    fn from(architecture: OtaArchitecture) -> Self {
        match architecture {
            OtaArchitecture::Aarch64 => Self::Aarch64,
            OtaArchitecture::X86_64 => Self::X86_64,
        }
    }
}

/// Arguments of `ota add`.
#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["daemon", "function", "file"]))]
pub struct OtaAddArguments {
    /// Folder of the repository
    pub repository: PathBuf,
    /// What to add: a file; with --function, a directory with function.toml and its component
    pub content: PathBuf,
    /// It is the daemon, for this architecture
    #[arg(long, value_name = "ARCHITECTURE", requires = "version")]
    pub daemon: Option<OtaArchitecture>,
    /// It is a function
    #[arg(long)]
    pub function: bool,
    /// It is a file that the configuration of nodes knows by this name
    #[arg(long, value_name = "NAME", requires = "version")]
    pub file: Option<String>,
    /// Its version; of a function [default: the one in function.toml]
    #[arg(long)]
    pub version: Option<String>,
    /// With --daemon: newest format of stored data that it writes and reads
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with_all = ["function", "file"])]
    pub data_format: u32,
    /// With --daemon: once it holds, nodes run no daemon with a lower number again
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with_all = ["function", "file"])]
    pub security_floor: u64,
    /// Path in the repository [default: daemon/ARCHITECTURE/selvedge, functions/NAME.wasm or files/NAME]
    #[arg(long)]
    pub path: Option<String>,
    /// Role that signs it
    #[arg(long, default_value = "targets")]
    pub role: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `ota remove`.
#[derive(Clone, Debug, Args)]
pub struct OtaRemoveArguments {
    /// Folder of the repository
    pub repository: PathBuf,
    /// Path in the repository
    pub path: String,
    /// Role that signs it
    #[arg(long, default_value = "targets")]
    pub role: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `ota stage`.
#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true).args(["percent", "everybody", "pause", "resume"]))]
pub struct OtaStageArguments {
    /// Folder of the repository
    pub repository: PathBuf,
    /// Path in the repository
    pub path: String,
    /// To so many of a hundred nodes; a larger number includes all of a smaller one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=100), conflicts_with = "everybody")]
    pub percent: Option<u8>,
    /// Another text chooses other nodes [default: the one before, or path and version]
    #[arg(long, value_name = "TEXT", requires = "percent")]
    pub salt: Option<String>,
    /// To all nodes
    #[arg(long)]
    pub everybody: bool,
    /// To nobody for now
    #[arg(long, conflicts_with = "resume")]
    pub pause: bool,
    /// End a pause
    #[arg(long)]
    pub resume: bool,
    /// Role that signs it
    #[arg(long, default_value = "targets")]
    pub role: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `ota delegate`.
#[derive(Clone, Debug, Args)]
pub struct OtaDelegateArguments {
    /// Folder of the repository
    pub repository: PathBuf,
    /// Name of the other role
    pub role: String,
    /// Patterns of the paths that it may sign
    #[arg(long, value_name = "PATTERN", num_args = 1.., required = true)]
    pub paths: Vec<String>,
    /// Public keys of the role
    #[arg(long = "key", value_name = "FILE.pub", num_args = 1.., required = true)]
    pub keys: Vec<PathBuf>,
    /// So many of the keys must sign
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub threshold: u32,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `ota publish`.
#[derive(Clone, Debug, Args)]
pub struct OtaPublishArguments {
    /// Folder of the repository
    pub repository: PathBuf,
    /// Who signs.
    #[command(flatten)]
    pub keys: OtaKeysFolder,
    /// Make patches from so many earlier contents of each path
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub patches_from: usize,
    /// How hard to compress, 1 to 22
    #[arg(long, value_name = "N", default_value_t = 19, value_parser = clap::value_parser!(i32).range(1..=22))]
    pub level: i32,
    /// Make the payloads and show their sizes; sign nothing
    #[arg(long)]
    pub dry_run: bool,
    /// How long signatures count.
    #[command(flatten)]
    pub days: OtaDays,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `ota rotate`.
#[derive(Clone, Debug, Args)]
pub struct OtaRotateArguments {
    /// Folder of the repository
    pub repository: PathBuf,
    /// Whose keys: root, targets, snapshot or timestamp
    pub role: String,
    /// Who signs.
    #[command(flatten)]
    pub keys: OtaKeysFolder,
    /// Public keys to add
    #[arg(long, value_name = "FILE.pub", num_args = 1..)]
    pub add: Vec<PathBuf>,
    /// Beginnings of the ids of keys to remove (`selvedge ota list` shows them)
    #[arg(long, value_name = "KEYID", num_args = 1..)]
    pub remove: Vec<String>,
    /// So many of the role's keys must sign [default: as before]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub threshold: Option<u32>,
    /// How long signatures count.
    #[command(flatten)]
    pub days: OtaDays,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `ota sign`.
#[derive(Clone, Debug, Args)]
pub struct OtaSignArguments {
    /// Folder of the repository, or a metadata file
    #[arg(value_name = "REPOSITORY or FILE")]
    pub place: PathBuf,
    /// Who signs.
    #[command(flatten)]
    pub keys: OtaKeysFolder,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `ota bundle`.
#[derive(Clone, Debug, Args)]
pub struct OtaBundleArguments {
    /// Folder of the repository
    pub repository: PathBuf,
    /// The file to write
    pub output: PathBuf,
    /// Only these paths
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub only: Vec<String>,
    /// The gateways have the content with this SHA-256, or beginning of it: take the patch from it along
    #[arg(long, value_name = "SHA256", num_args = 1..)]
    pub from: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `ota list`.
#[derive(Clone, Debug, Args)]
pub struct OtaListArguments {
    /// Folder of the repository
    pub repository: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
