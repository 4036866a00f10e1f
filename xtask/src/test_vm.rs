//! `cargo xtask test-vm`: the image of `cargo xtask image`, booted on an emulated board with its own firmware, kernel and systemd,
//! used from outside, updated, and its power cut again and again.
//!
//! What is looked at stands in `tests/src/vm`. It fails when something is wrong or lost, never because of a time. As root, as the
//! image is; the board itself runs as whoever starts it.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::arm64_vm::{self, MIRROR};
use crate::package::{self, Programs, elf::Architecture};
use crate::{image, process, repository};

/// What the test's disk is lengthened to: the data partition has to take the rest.
const DISK_MIB: u64 = 2048;
/// The board is on nobody's network, and everybody may do everything: what is tested is that nothing is lost. Queues that a run
/// cannot fill, because a limit of the configuration is no loss.
const SETTINGS: &str = "[mqtt]\nlisten = \"0.0.0.0:1883\"\nallow_anonymous = true\n\n\
    [limits]\nqueue_messages_max = 100000\nqueue_bytes_max = \"64MiB\"\nsys_interval = \"0s\"\n\n\
    [ota]\nprobation = \"10s\"\nprobation_max = \"200s\"\n\n[net]\ninterval = \"500ms\"\n";

/// Arguments of `cargo xtask test-vm`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    sudo -E cargo xtask test-vm                           builds package and image, looks at everything, cuts 20 times\n  \
    sudo -E cargo xtask test-vm --package target/package/selvedge_0.1.0_arm64.deb --cuts 0")]
pub struct Options {
    /// How often the power is cut
    #[arg(long, default_value_t = 20)]
    cuts: u64,
    /// Decides when
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The node's package for arm64; without it, one is built
    #[arg(long, value_name = "FILE")]
    package: Option<PathBuf>,
    /// A `selvedge` of this machine that publishes the updates; without it, a release build is made
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Print the numbers as JSON
    #[arg(long)]
    json: bool,
    /// Archive of Debian packages
    #[arg(long, value_name = "URL", default_value = MIRROR)]
    mirror: String,
}

/// Makes the image and runs `vm` on it.
pub fn run(options: &Options) -> anyhow::Result<()> {
    if let Err(reason) = image::check_machine() {
        println!("SKIPPED test-vm: {reason:#}");
        return Ok(());
    }
    let folder = repository::target_folder().join("test-vm");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let package = match &options.package {
        Some(package) => package.clone(),
        None => package::for_processor(Architecture::Aarch64, &repository::target_folder().join("package"))?,
    };
    let publishes = match &options.binary {
        Some(binary) => std::path::absolute(binary)?,
        None => {
            process::run("cargo", &["build", "--locked", "--release", "--package", "selvedge"])?;
            repository::target_folder().join("release/selvedge")
        }
    };
    let (settings, key, disk) = (folder.join("selvedge.toml"), folder.join("key"), folder.join("disk.img"));
    fs::write(&settings, SETTINGS).with_context(|| format!("write {}", settings.display()))?;
    process::run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &key.to_string_lossy()])?;
    let wanted = image::Wanted {
        package: &package,
        settings: Some(&settings),
        authorized_keys: Some(&key.with_extension("pub")),
        mirror: &options.mirror,
    };
    image::make(&wanted, &disk)?;
    let file = fs::OpenOptions::new().write(true).open(&disk).context("open the disk")?;
    file.set_len(DISK_MIB * 1024 * 1024).context("make the disk longer")?;
    let program = Programs::of_package(&package, &folder)?.node;

    process::run("cargo", &["build", "--locked", "--package", "selvedge-tests", "--bin", "vm"])?;
    let vm = repository::target_folder().join("debug/vm");
    let emulator = arm64_vm::emulator(&options.mirror)?.words();
    let (cuts, seed) = (options.cuts.to_string(), options.seed.to_string());
    let paths = [&disk, &key, &program].map(|path| path.to_string_lossy().into_owned());
    let mut words =
        vec!["--disk", &paths[0], "--key", &paths[1], "--program", &paths[2], "--cuts", &cuts, "--seed", &seed];
    if options.json {
        words.push("--json");
    }
    words.push("--");
    words.extend(emulator.iter().map(String::as_str));
    process::run_with(&vm.to_string_lossy(), &words, &[("SELVEDGE_BIN", &publishes.to_string_lossy())])
}
