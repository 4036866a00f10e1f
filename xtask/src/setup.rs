//! Installs what the tests need and the product does not: brokers and clients of other people, compilers of functions.
//!
//! Invariants: when all is there nothing is downloaded; versions come from the lock files in
//! `tests/integration/clients/`; two runs at once wait for each other; without the right to
//! install packages the one command that does is printed and the task fails.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::{process, repository};

/// The oldest Node that the clients in the lock file run on (Debian 12 has 18).
const NODE_MAJOR_MIN: u32 = 18;
/// How often a package command is tried: another one may hold the lock of the package manager.
const APT_ATTEMPTS: u32 = 20;
/// Pause between two tries of a package command.
const APT_PAUSE: Duration = Duration::from_secs(6);

/// Arguments of `cargo xtask setup`.
#[derive(clap::Args)]
pub struct SetupArgs {
    /// Only print the command that installs the missing packages
    #[arg(long)]
    print: bool,
}

/// One package and how to see that it is there.
struct Package {
    name: &'static str,
    present: fn() -> bool,
}

const PACKAGES: &[Package] = &[
    Package { name: "mosquitto", present: || process::find(&["mosquitto", "/usr/sbin/mosquitto"]).is_some() },
    Package { name: "mosquitto-clients", present: || process::find(&["mosquitto_sub"]).is_some() },
    Package { name: "chromium", present: || process::find(&["chromium", "/usr/bin/chromium"]).is_some() },
    Package { name: "nodejs", present: node_is_recent },
    Package { name: "npm", present: || process::find(&["npm"]).is_some() },
    Package { name: "python3-venv", present: || process::succeeds("python3", &["-c", "import venv, ensurepip"]) },
    Package { name: "g++", present: || process::find(&["c++"]).is_some() },
    Package { name: "clang", present: || process::find(&["clang"]).is_some() },
    Package { name: "lld", present: || process::find(&["wasm-ld"]).is_some() },
    Package { name: "iproute2", present: || process::find(&["ip", "/usr/sbin/ip", "/sbin/ip"]).is_some() },
];

/// Installs what is missing, or prints how.
pub fn run(arguments: &SetupArgs) -> anyhow::Result<()> {
    if !arguments.print {
        return install();
    }
    match missing_packages().as_slice() {
        [] => println!("nothing is missing"),
        missing => println!("{}", install_line(missing)),
    }
    Ok(())
}

/// Installs packages and clients that are missing.
pub fn install() -> anyhow::Result<()> {
    let folder = folder();
    std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let lock_path = folder.join("setup.lock");
    let lock = File::create(&lock_path).with_context(|| format!("create {}", lock_path.display()))?;
    lock.lock().with_context(|| format!("lock {}", lock_path.display()))?;

    check_toolchain()?;
    install_packages()?;
    install_python_clients(&folder)?;
    install_node_clients(&folder)
}

fn folder() -> PathBuf {
    repository::target_folder().join("test-clients")
}

/// The Python that has the packages of `requirements.txt`, once they are installed.
pub fn python() -> PathBuf {
    folder().join("python/bin/python")
}

/// The minimal profile of rustup lacks two tools that the checks use.
fn check_toolchain() -> anyhow::Result<()> {
    for tool in ["fmt", "clippy"] {
        if !process::succeeds("cargo", &[tool, "--version"]) {
            bail!("the tests need `cargo {tool}`; this installs it:\n  rustup component add rustfmt clippy");
        }
    }
    Ok(())
}

fn missing_packages() -> Vec<&'static str> {
    PACKAGES.iter().filter(|package| !(package.present)()).map(|package| package.name).collect()
}

fn install_packages() -> anyhow::Result<()> {
    let missing = missing_packages();
    if missing.is_empty() {
        return Ok(());
    }
    let is_root = process::output("id", &["-u"]).as_deref() == Some("0");
    if !is_root || process::find(&["apt-get"]).is_none() {
        bail!("the tests need {}; on Debian this installs it:\n  {}", missing.join(", "), install_line(&missing));
    }
    apt(&["update"])?;
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(&missing);
    apt(&arguments)?;
    if missing.contains(&"mosquitto") && Path::new("/run/systemd/system").is_dir() {
        // The package starts a broker on the port that Selvedge wants; tests start their own.
        process::run("systemctl", &["disable", "--now", "mosquitto"])?;
    }
    let still = missing_packages();
    if !still.is_empty() {
        bail!("installed, but still not usable: {}", still.join(", "));
    }
    Ok(())
}

fn apt(arguments: &[&str]) -> anyhow::Result<()> {
    for attempt in 1.. {
        match process::run_with("apt-get", arguments, &[("DEBIAN_FRONTEND", "noninteractive")]) {
            Ok(()) => break,
            Err(error) if attempt == APT_ATTEMPTS => return Err(error),
            Err(error) => eprintln!("{error:#}; trying again, attempt {attempt} of {APT_ATTEMPTS}"),
        }
        std::thread::sleep(APT_PAUSE);
    }
    Ok(())
}

fn install_line(missing: &[&str]) -> String {
    format!("sudo apt-get update && sudo apt-get install -y --no-install-recommends {}", missing.join(" "))
}

fn node_is_recent() -> bool {
    process::output("node", &["--version"])
        .and_then(|version| version.trim_start_matches('v').split('.').next()?.parse::<u32>().ok())
        .is_some_and(|major| major >= NODE_MAJOR_MIN)
}

fn install_python_clients(folder: &Path) -> anyhow::Result<()> {
    let environment = folder.join("python");
    let requirements = clients_folder().join("requirements.txt");
    if is_current(&environment, &[&requirements])? {
        return Ok(());
    }
    let environment_text = environment.to_string_lossy();
    process::run("python3", &["-m", "venv", "--clear", &environment_text])?;
    let requirements_text = requirements.to_string_lossy();
    process::run(
        &python().to_string_lossy(),
        &["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", &requirements_text],
    )?;
    mark_current(&environment, &[&requirements])
}

fn install_node_clients(folder: &Path) -> anyhow::Result<()> {
    let environment = folder.join("node");
    let manifest = clients_folder().join("package.json");
    let lock = clients_folder().join("package-lock.json");
    if is_current(&environment, &[&manifest, &lock])? {
        return Ok(());
    }
    std::fs::create_dir_all(&environment).with_context(|| format!("create {}", environment.display()))?;
    for (source, name) in [(&manifest, "package.json"), (&lock, "package-lock.json")] {
        let target = environment.join(name);
        std::fs::copy(source, &target).with_context(|| format!("copy {} to {}", source.display(), target.display()))?;
    }
    let prefix = environment.to_string_lossy();
    process::run(
        "npm",
        &["ci", "--prefix", &prefix, "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
    )?;
    mark_current(&environment, &[&manifest, &lock])
}

fn clients_folder() -> PathBuf {
    repository::root().join("tests/integration/clients")
}

/// Whether `environment` was completed for exactly these lock files.
fn is_current(environment: &Path, locks: &[&Path]) -> anyhow::Result<bool> {
    let wanted = joined(locks)?;
    Ok(std::fs::read_to_string(environment.join("installed-for")).is_ok_and(|found| found == wanted))
}

fn mark_current(environment: &Path, locks: &[&Path]) -> anyhow::Result<()> {
    let mark = environment.join("installed-for");
    std::fs::write(&mark, joined(locks)?).with_context(|| format!("write {}", mark.display()))
}

fn joined(files: &[&Path]) -> anyhow::Result<String> {
    files.iter().map(|file| std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_lock_file_makes_the_environment_stale() {
        let folder = std::env::temp_dir().join(format!("selvedge-xtask-setup-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let lock = folder.join("lock");
        std::fs::write(&lock, "one").unwrap();
        assert!(!is_current(&folder, &[&lock]).unwrap(), "nothing was installed yet");
        mark_current(&folder, &[&lock]).unwrap();
        assert!(is_current(&folder, &[&lock]).unwrap());
        std::fs::write(&lock, "two").unwrap();
        assert!(!is_current(&folder, &[&lock]).unwrap());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_printed_command_names_every_missing_package() {
        let line = install_line(&["chromium", "npm"]);
        assert!(line.ends_with("chromium npm") && line.contains("apt-get install"), "{line}");
    }
}
