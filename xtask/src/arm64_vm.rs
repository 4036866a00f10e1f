//! `cargo xtask arm64-vm`: programs on an arm64 kernel, on a machine that has none.
//!
//! Everything comes from Debian into a cache folder and is unpacked there, not installed. The machine is emulated: what it shows is
//! whether something works, never how fast it is. Its files are folders of this machine, read only; what a program writes
//! is gone with the machine.

mod cross;
pub mod emulator;
mod initramfs;
mod job;
mod machine;
mod packages;
mod progress;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};

use crate::repository;
use cross::{Cross, Wanted};
use emulator::Emulator;
use machine::{Outcome, Size};
use packages::{Fetch, Packages};
use progress::{Progress, seconds};

/// Where packages and builds are kept, in the repository.
const FOLDER: &str = "target/arm64";
/// Archive of Debian packages.
pub const MIRROR: &str = "http://deb.debian.org";
/// The round trip of the whole daemon.
const NODE_SCRIPT: &str = "cross/arm64-vm/node.sh";
/// Machine number of AArch64 in the header of a program (ELF, `e_machine`).
const ELF_AARCH64: u16 = 183;

/// Arguments of `cargo xtask arm64-vm`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask arm64-vm test selvedge-store              every test of a crate, on arm64\n  \
    cargo xtask arm64-vm test selvedge-store lib -- --nocapture\n  \
    cargo xtask arm64-vm node                            the whole daemon: ready, one message, memory\n  \
    cargo xtask arm64-vm build selvedge --profile release\n  \
    cargo xtask arm64-vm run target/arm64/build/aarch64-unknown-linux-gnu/debug/selvedge --version\n  \
    cargo xtask arm64-vm run uname -a                    a program of the machine itself\n  \
    cargo xtask arm64-vm run sh -c 'modprobe veth; ip link'")]
pub struct Options {
    #[command(subcommand)]
    action: Action,
    /// Where packages and builds are kept
    #[arg(long, global = true, value_name = "FOLDER", default_value = FOLDER)]
    folder: PathBuf,
    /// Archive of Debian packages
    #[arg(long, global = true, value_name = "URL", default_value = MIRROR)]
    mirror: String,
    /// Time limit of the machine, with its boot
    #[arg(long, global = true, default_value_t = 600)]
    seconds: u64,
    /// Memory of the machine
    #[arg(long, global = true, value_name = "MIB", default_value_t = 512, value_parser = clap::value_parser!(u32).range(192..=16_384))]
    memory: u32,
    /// Processors of the machine
    #[arg(long, global = true, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=8))]
    processors: u32,
    /// Load this kernel module first; those of file systems, links and tc load by themselves
    #[arg(long, global = true, value_name = "NAME")]
    module: Vec<String>,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Fetch kernel, compiler and emulator; the other actions do so where something is missing
    Fetch {
        /// Fetch also what is there: the newest kernel and compiler of the release
        #[arg(long)]
        again: bool,
    },
    /// Build the programs of a package for aarch64
    Build {
        package: String,
        /// As `cargo build --profile`
        #[arg(long, default_value = "dev")]
        profile: String,
    },
    /// Run a program: a path is a file of this machine, a bare name a program of the emulated one
    Run {
        program: String,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Build and run the tests of a package
    Test {
        package: String,
        /// One of its `tests/`, or `lib`
        test: Option<String>,
        /// For the test programs
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Build the daemon, start it, send a message through it, and show its memory
    Node {
        /// As `cargo build --profile`
        #[arg(long, default_value = "dev")]
        profile: String,
    },
}

/// What all actions work with.
struct Workshop<'a> {
    options: &'a Options,
    folder: PathBuf,
    packages: Packages,
    progress: Progress,
}

/// Does what was asked. A program's exit code becomes that of the task.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let progress = Progress::new();
    let fetch = if matches!(options.action, Action::Fetch { again: true }) { Fetch::Anew } else { Fetch::IfMissing };
    let folder = repository::root().join(&options.folder);
    let packages = match packages::prepare(&folder, options.mirror.trim_end_matches('/'), fetch, &progress) {
        Ok(packages) => packages,
        Err(reason) if matches!(options.action, Action::Test { .. } | Action::Node { .. }) => {
            println!("SKIPPED arm64-vm: {reason:#}");
            return Ok(());
        }
        Err(reason) => return Err(reason),
    };
    let workshop = Workshop { options, folder: folder.canonicalize()?, packages, progress };
    match &options.action {
        Action::Fetch { .. } => {
            workshop.progress.step(&format!("kernel {} is in {}", workshop.packages.kernel, workshop.folder.display()));
            Ok(())
        }
        Action::Build { package, profile } => {
            for built in workshop.build(package, &Wanted::Programs { profile })? {
                println!("{}", built.program.display());
            }
            Ok(())
        }
        Action::Run { program, arguments } => workshop.run(program, arguments),
        Action::Test { package, test, arguments } => workshop.test(package, test.as_deref(), arguments),
        Action::Node { profile } => workshop.node(profile),
    }
}

/// Builds packages for aarch64 as they are delivered; the program of each, which has its name.
///
/// # Errors
/// This machine cannot have what that needs, or cargo fails.
pub fn delivered<const N: usize>(packages: [&str; N]) -> anyhow::Result<[PathBuf; N]> {
    let progress = Progress::new();
    let folder = repository::root().join(FOLDER);
    let unpacked = packages::prepare(&folder, MIRROR, Fetch::IfMissing, &progress)?;
    let cross = Cross::new(&unpacked, &folder.canonicalize()?)?;
    let mut programs = [const { PathBuf::new() }; N];
    for (package, program) in packages.iter().zip(&mut programs) {
        progress.step(&format!("builds {package} for aarch64"));
        let built = cross.build(package, &Wanted::Programs { profile: "release" })?;
        let built = built.into_iter().find(|built| built.name == *package);
        *program = built.with_context(|| format!("{package} has no program of its name"))?.program;
    }
    progress.step("built");
    Ok(programs)
}

/// The emulator of whole boards.
///
/// # Errors
/// This machine cannot have it.
pub fn emulator(mirror: &str) -> anyhow::Result<Emulator> {
    let folder = repository::root().join(FOLDER);
    let packages = packages::prepare(&folder, mirror.trim_end_matches('/'), Fetch::IfMissing, &Progress::new())?;
    Ok(Emulator::of(&packages))
}

/// The folder with the C library of arm64 programs, as an emulator of programs wants to be told of it.
///
/// # Errors
/// This machine cannot have it.
pub fn libraries_of_programs(mirror: &str) -> anyhow::Result<PathBuf> {
    let folder = repository::root().join(FOLDER);
    let packages = packages::prepare(&folder, mirror.trim_end_matches('/'), Fetch::IfMissing, &Progress::new())?;
    Ok(packages.host.canonicalize()?.join("usr/aarch64-linux-gnu"))
}

impl Workshop<'_> {
    fn build(&self, package: &str, wanted: &Wanted<'_>) -> anyhow::Result<Vec<cross::Built>> {
        self.progress.step(&format!("builds {package} for aarch64"));
        let built = Cross::new(&self.packages, &self.folder)?.build(package, wanted)?;
        self.progress.step(&format!("{} programs are built", built.len()));
        Ok(built)
    }

    fn run(&self, program: &str, arguments: &[String]) -> anyhow::Result<()> {
        let here = std::env::current_dir().context("find the current folder")?;
        let mut folders = vec![here.clone()];
        let program = if program.contains('/') {
            let path = here.join(program).canonicalize().with_context(|| format!("find {program}"))?;
            check_program(&path)?;
            folders.extend(path.parent().map(Path::to_owned));
            path.to_string_lossy().into_owned()
        } else {
            program.to_owned()
        };
        let command = job::Command { program, arguments: arguments.to_vec(), folder: here, environment: Vec::new() };
        let outcome = self.boot(&folders, &[command])?;
        match outcome.exit_codes.first() {
            Some(0) => Ok(()),
            Some(&code) => {
                eprintln!("arm64-vm: the program ended with exit code {code}");
                std::process::exit(code);
            }
            None => bail!("the program did not end"),
        }
    }

    fn test(&self, package: &str, test: Option<&str>, arguments: &[String]) -> anyhow::Result<()> {
        let built = self.build(package, &Wanted::Tests(test))?;
        let commands: Vec<job::Command> = built
            .iter()
            .map(|built| job::Command {
                program: built.program.to_string_lossy().into_owned(),
                arguments: arguments.to_vec(),
                folder: built.package.clone(),
                environment: vec![("CARGO_MANIFEST_DIR".to_owned(), built.package.to_string_lossy().into_owned())],
            })
            .collect();
        let outcome = self.boot(&[], &commands)?;
        let mut failed = Vec::new();
        for (index, built) in built.iter().enumerate() {
            let (word, is_failure) = match outcome.exit_codes.get(index) {
                Some(0) => ("passed".to_owned(), false),
                Some(code) => (format!("FAILED with exit code {code}"), true),
                None => ("FAILED: did not end".to_owned(), true),
            };
            println!("arm64 {}: {} {word}", self.packages.kernel, built.name);
            if is_failure {
                failed.push(built.name.as_str());
            }
        }
        if !failed.is_empty() {
            bail!("on arm64 with kernel {}: {} failed", self.packages.kernel, failed.join(", "));
        }
        Ok(())
    }

    fn node(&self, profile: &str) -> anyhow::Result<()> {
        let built = self.build("selvedge", &Wanted::Programs { profile })?;
        let daemon =
            built.iter().find(|built| built.name == "selvedge").context("the package has no program selvedge")?;
        let command = job::Command {
            program: "sh".to_owned(),
            arguments: vec![NODE_SCRIPT.to_owned(), daemon.program.to_string_lossy().into_owned()],
            folder: repository::root().to_owned(),
            environment: Vec::new(),
        };
        match self.boot(&[], &[command])?.exit_codes.first() {
            Some(0) => Ok(()),
            code => bail!("the node did not do what it should; {NODE_SCRIPT} ended with {code:?}"),
        }
    }

    fn boot(&self, folders: &[PathBuf], commands: &[job::Command]) -> anyhow::Result<Outcome> {
        let mut shared = vec![repository::root(), self.folder.as_path()];
        shared.extend(folders.iter().map(PathBuf::as_path));
        let shares = job::shares(&shared);
        let now_s = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let script = job::script(&shares, &self.options.module, commands, now_s);
        let size = Size {
            memory_mib: self.options.memory,
            processors: self.options.processors,
            time_limit: Duration::from_secs(self.options.seconds),
        };
        let outcome = machine::run(&self.packages, &self.folder, &shares, &script, &size, &self.progress)?;
        self.progress.step(&format!("the machine has stopped (boot {})", seconds(outcome.boot)));
        Ok(outcome)
    }
}

/// Whether a file can run on arm64, from its first bytes.
fn check_program(path: &Path) -> anyhow::Result<()> {
    let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    if bytes.starts_with(b"#!") {
        return Ok(());
    }
    let machine = bytes.get(18..20).map(|field| u16::from(field[0]) | u16::from(field[1]) << 8);
    if bytes.starts_with(b"\x7fELF") && machine == Some(ELF_AARCH64) {
        return Ok(());
    }
    bail!("{} is no program for aarch64; `cargo xtask arm64-vm build PACKAGE` makes one", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_for_another_processor_is_refused_before_the_boot() {
        let folder = std::env::temp_dir().join(format!("selvedge-xtask-arm64-vm-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("program");
        let mut program = b"\x7fELF\x02\x01\x01".to_vec();
        program.resize(18, 0);
        for (machine, is_accepted) in [(183, true), (62, false)] {
            fs::write(&file, [&program[..], &[machine, 0]].concat()).unwrap();
            assert_eq!(check_program(&file).is_ok(), is_accepted, "machine {machine}");
        }
        fs::write(&file, "#!/bin/sh\n").unwrap();
        assert!(check_program(&file).is_ok());
        fs::write(&file, "\x7fELF").unwrap();
        assert!(check_program(&file).is_err(), "cut short");
        fs::remove_dir_all(&folder).unwrap();
    }
}
