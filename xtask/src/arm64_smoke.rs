//! `cargo xtask arm64-smoke`: the node's program for arm64 under the whole-process tests of this machine, whose kernel runs it through
//! qemu's emulation of programs (binfmt_misc).
//!
//! Not a test of an arm64 kernel (`arm64-vm`, `test-vm`), nor of speed: what is left out stands in [`NOT_EMULATED`], and is said. The
//! tests themselves, their clients and the launcher's supervisor are programs of this machine. Invariant: nothing of the machine is
//! changed; where the program finds its libraries is arranged in a mount namespace of the tests.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::arm64_vm::{self, MIRROR};
use crate::package::{self, Programs, elf::Architecture};
use crate::{image, process, repository, setup};

/// What is run: start and stop, both versions of MQTT over all transports, functions, twins, the store, signed updates.
const TESTS: &[&str] = &[
    "node_life::",
    "client_matrix::",
    "functions::the_example_in_rust",
    "functions::a_function_and_what_it_remembers",
    "functions::an_invocation_that_misbehaves",
    "function_versions::a_new_version",
    "twins::an_",
    "twins::what_",
    "twins::the_",
    "twins::counters_and_sets",
    "store::",
    "tls::",
    "ota::versions::a_good_version",
    "ota::delivery::a_signed_program_of_other_bytes",
    "ota::broken::",
    "ota_publisher::",
];
/// Of those not: a browser takes this machine's processors from the emulated node, and speaks WebSocket as other clients do.
const LEFT_OUT: &str = "client_matrix::chromium";
/// What is not, and why.
const NOT_EMULATED: &[(&str, &str)] = &[
    ("counters in the kernel", "the emulator of programs knows no bpf(2); `cargo xtask test-vm` looks at them"),
    ("memory, time to ready", "they would be those of the emulator"),
    ("clients in a browser", "they are slow beside an emulated node; other clients go over WebSocket, too"),
];
/// Where qemu looks for libraries of arm64 programs, below `/etc`, unless it is told otherwise.
const LIBRARIES: &str = "qemu-binfmt/aarch64";
/// Lays the libraries into a copy of `/etc` that only this process and its children see; then the rest of the words.
const ENTER: &str = "mount -t overlay -o \"lowerdir=$0:/etc\" overlay /etc && exec \"$@\"";

/// Arguments of `cargo xtask arm64-smoke`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask arm64-smoke                               builds the package for arm64, then runs what it is for\n  \
    cargo xtask arm64-smoke --package target/package/selvedge_0.1.0_arm64.deb\n  \
    cargo xtask arm64-smoke twins:: access::              these tests of tests/integration instead")]
pub struct Options {
    /// The node's package for arm64; without it, one is built
    #[arg(long, value_name = "FILE")]
    package: Option<PathBuf>,
    /// Parts of names of tests
    #[arg(value_name = "TEST")]
    tests: Vec<String>,
}

/// Runs the tests, or says why it cannot.
pub fn run(options: &Options) -> anyhow::Result<()> {
    if let Some(reason) = obstacle() {
        println!("SKIPPED arm64-smoke: {reason}");
        return Ok(());
    }
    setup::install()?;
    let target = repository::target_folder();
    let package = match &options.package {
        Some(package) => package.clone(),
        None => package::for_processor(Architecture::Aarch64, &target.join("package"))?,
    };
    let folder = target.join("arm64-smoke");
    let programs = Programs::of_package(&package, &folder)?;
    let etc = etc(&folder, &arm64_vm::libraries_of_programs(MIRROR)?)?;

    process::run("cargo", &["build", "--locked", "--package", "selvedge-tests", "--tests"])?;
    for (what, reason) in NOT_EMULATED {
        println!("SKIPPED {what}: {reason}");
    }
    let etc = etc.to_string_lossy();
    let mut words = vec!["--mount", "sh", "-c", ENTER, &etc];
    if process::output("id", &["-u"]).as_deref() != Some("0") {
        words.insert(0, "--map-root-user");
    }
    words.extend(["cargo", "test", "--locked", "--package", "selvedge-tests", "--test", "integration", "--"]);
    if options.tests.is_empty() {
        words.extend(TESTS);
        words.extend(["--skip", LEFT_OUT]);
    } else {
        words.extend(options.tests.iter().map(String::as_str));
    }
    let (node, launcher) = (programs.node.to_string_lossy(), programs.launcher.to_string_lossy());
    process::run_with("unshare", &words, &[("SELVEDGE_BIN", &node), ("SELVEDGE_LAUNCH_BIN", &launcher)])
}

fn obstacle() -> Option<String> {
    if std::env::consts::ARCH == "aarch64" {
        return Some("this machine is arm64 itself; `cargo xtask test` runs everything".to_owned());
    }
    if !Path::new(image::FOREIGN_PROGRAMS).exists() {
        return Some(image::NO_FOREIGN_PROGRAMS.to_owned());
    }
    process::find(&["unshare"]).is_none().then(|| "apt-get install util-linux".to_owned())
}

/// A folder that is laid over `/etc`.
fn etc(folder: &Path, libraries: &Path) -> anyhow::Result<PathBuf> {
    let etc = folder.join("etc");
    let link = etc.join(LIBRARIES);
    fs::create_dir_all(link.parent().context("a link lies in a folder")?)?;
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink(libraries, &link).with_context(|| format!("link {}", link.display()))?;
    Ok(etc)
}
