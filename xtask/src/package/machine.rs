//! `cargo xtask package-test`: what the package does to a machine. `lintian`, then a Debian of its own made by mmdebstrap, where the
//! package is installed, upgraded, removed and purged: once as in a chroot in which an image is made, once booted with systemd
//! (systemd-nspawn, without a network). What is looked at stands in `package/test/steps.sh`.
//!
//! Invariant: nothing of the machine that runs it is changed outside of the target folder, and no process is left behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::elf::Architecture;
use super::{Ingredients, make};
use crate::{process, repository};

/// What a gateway has anyway, and what the steps look with.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,procps,libgcc-s1";
/// What this machine has to have; all are Debian packages of the same or the given name.
const TOOLS: &[(&str, &str)] = &[
    ("mmdebstrap", "mmdebstrap"),
    ("systemd-nspawn", "systemd-container"),
    ("lintian", "lintian"),
    ("dpkg-deb", "dpkg"),
    ("nsenter", "util-linux"),
];
/// Until the container's systemd answers.
const BOOT_MAX: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A version above that of the workspace, whatever that is.
const NEWER: &str = "999.0.0";

/// Arguments of `cargo xtask package-test`.
#[derive(clap::Args)]
pub struct Options {
    /// The node [default: target/release/selvedge]
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// The launcher [default: target/release/selvedge-launch]
    #[arg(long, value_name = "FILE")]
    launcher: Option<PathBuf>,
    /// Debian release of the machine; the oldest that the package is for is bookworm
    #[arg(long, value_name = "NAME", default_value = "bookworm")]
    release: String,
}

/// Runs it, or says why it cannot.
pub fn run(options: &Options) -> anyhow::Result<()> {
    if let Some(reason) = obstacle() {
        println!("SKIPPED package-test: {reason}");
        return Ok(());
    }
    let folder = repository::target_folder().join("package-test");
    let given = folder.join("given");
    fs::create_dir_all(&given).with_context(|| format!("create {}", given.display()))?;
    let old = lay_out(options, &given)?;
    lint(&old)?;

    let base = folder.join(format!("{}.tar", options.release));
    if !base.is_file() {
        let text = base.to_string_lossy();
        let include = format!("--include={PACKAGES}");
        process::run("mmdebstrap", &["--variant=minbase", "--quiet", &include, &options.release, &text])?;
    }
    let root = folder.join("root");
    unpack(&base, &root)?;
    println!("in a chroot, as where an image is made:");
    let steps = repository::root().join("package/test/steps.sh");
    let inside = root.join("given");
    copy_folder(&given, &inside)?;
    fs::copy(&steps, inside.join("steps.sh")).with_context(|| format!("copy {}", steps.display()))?;
    process::run("chroot", &[&root.to_string_lossy(), "sh", "/given/steps.sh", "chroot", "/given"])?;

    println!("booted:");
    let container = Container::boot(&root, &folder.join("console"))?;
    container.run(&["sh", "/given/steps.sh", "booted", "/given"])?;
    drop(container);
    fs::remove_dir_all(&root).with_context(|| format!("remove {}", root.display()))
}

fn obstacle() -> Option<String> {
    if process::output("id", &["-u"]).as_deref() != Some("0") {
        return Some("it makes and boots a Debian of its own, for which it has to be root".to_owned());
    }
    let missing = TOOLS.iter().filter(|(tool, _)| process::find(&[tool]).is_none());
    let missing: Vec<&str> = missing.map(|(_, package)| *package).collect();
    (!missing.is_empty()).then(|| format!("apt-get install {}", missing.join(" ")))
}

/// Two packages of the same programs, and a function to deploy; the path of the older package.
fn lay_out(options: &Options, given: &Path) -> anyhow::Result<PathBuf> {
    let release = repository::target_folder().join("release");
    let mut ingredients = Ingredients {
        architecture: Architecture::of_this_machine()?,
        version: super::workspace_version()?,
        node: options.binary.clone().unwrap_or_else(|| release.join("selvedge")),
        launcher: options.launcher.clone().unwrap_or_else(|| release.join("selvedge-launch")),
        made_unix_s: super::made_unix_s()?,
    };
    println!("{}", super::size::check(&ingredients.node, ingredients.architecture)?);
    let made = given.with_file_name("made");
    let [old, _] = make(&ingredients, &made)?;
    NEWER.clone_into(&mut ingredients.version);
    let [new, _] = make(&ingredients, &made)?;
    for (package, name) in [(&old, "old.deb"), (&new, "new.deb")] {
        fs::copy(package, given.join(name)).with_context(|| format!("copy {}", package.display()))?;
    }
    copy_folder(&repository::root().join("examples/unit-alarm"), &given.join("unit-alarm"))?;
    Ok(old)
}

fn lint(package: &Path) -> anyhow::Result<()> {
    let text = package.to_string_lossy();
    process::run("lintian", &["--allow-root", "--fail-on=error,warning", &text])
}

fn unpack(base: &Path, root: &Path) -> anyhow::Result<()> {
    if root.exists() {
        fs::remove_dir_all(root).with_context(|| format!("remove {}", root.display()))?;
    }
    fs::create_dir(root).with_context(|| format!("create {}", root.display()))?;
    let [base, root] = [base.to_string_lossy(), root.to_string_lossy()];
    // Devices come from the container.
    process::run("tar", &["-xpf", &base, "-C", &root, "--exclude=./dev/*"])
}

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    if to.exists() {
        fs::remove_dir_all(to).with_context(|| format!("remove {}", to.display()))?;
    }
    process::run("cp", &["-r", "--", &from.to_string_lossy(), &to.to_string_lossy()])
}

/// A booted Debian; ended when this is dropped.
struct Container {
    nspawn: Child,
    /// Its first process, as this machine sees it.
    leader: String,
}

impl Container {
    fn boot(root: &Path, console: &Path) -> anyhow::Result<Self> {
        let console_file = fs::File::create(console).with_context(|| format!("create {}", console.display()))?;
        let started = Instant::now();
        let nspawn = Command::new("systemd-nspawn")
            .arg("--directory")
            .arg(root)
            // No registration: where systemd does not run, nobody keeps a register.
            .args(["--boot", "--register=no", "--keep-unit", "--private-network", "--console=pipe"])
            .args(["--capability=CAP_BPF,CAP_NET_ADMIN", "--system-call-filter=bpf", "--quiet"])
            .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1")
            .stdin(Stdio::null())
            .stdout(console_file.try_clone().context("open the console twice")?)
            .stderr(console_file)
            .spawn()
            .context("start systemd-nspawn")?;
        let mut container = Self { nspawn, leader: String::new() };
        while started.elapsed() < BOOT_MAX {
            let nspawn = container.nspawn.id();
            let children = fs::read_to_string(format!("/proc/{nspawn}/task/{nspawn}/children")).unwrap_or_default();
            if let Some(leader) = children.split_whitespace().next() {
                leader.clone_into(&mut container.leader);
                // "degraded": a unit that has nothing to do with ours could not start in a container.
                let state = container.output(&["systemctl", "is-system-running"]);
                if ["running", "degraded"].contains(&state.as_str()) {
                    println!("  systemd is {state} after {:.1} s", started.elapsed().as_secs_f64());
                    return Ok(container);
                }
            }
            std::thread::sleep(LOOK_EVERY);
        }
        bail!("the container did not boot within {BOOT_MAX:?}; what it said is in {}", console.display())
    }

    fn enter(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.leader, "--all", "--", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]);
        command.args(words).stdin(Stdio::null());
        command
    }

    /// What a command prints, whether it succeeds or not.
    fn output(&self, words: &[&str]) -> String {
        let output = self.enter(words).stderr(Stdio::null()).output();
        output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn run(&self, words: &[&str]) -> anyhow::Result<()> {
        let status = self.enter(words).status().context("start nsenter")?;
        if !status.success() {
            println!("{}", self.output(&["journalctl", "--no-pager", "-n", "60", "-u", "selvedge"]));
            bail!("`{}` ended with {status} in the container", words.join(" "));
        }
        Ok(())
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // The first process of the container takes all others with it.
        if !self.leader.is_empty() {
            let _ = Command::new("kill").args(["-KILL", &self.leader]).status();
        } else {
            let _ = self.nspawn.kill();
        }
        let _ = self.nspawn.wait();
    }
}
