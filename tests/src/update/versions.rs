//! Programs that are published as versions of the node.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, ensure};

use crate::installed;

/// A version that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// Ends at once with exit code 3.
    Crashes,
    /// Runs and never gets ready.
    NeverReady,
    /// Says that it is ready, and falls silent.
    FallsSilent,
    /// Says that it is ready, and ends.
    ReadyThenDies,
    /// Fails before it is tried.
    FailsPreflight,
}

/// The program as a package would have it: the binary that was built, without what debuggers need, where `strip` is installed.
///
/// # Errors
/// The binary is missing.
pub fn package() -> anyhow::Result<PathBuf> {
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let built = installed::selvedge()?;
    let Ok(strip) = installed::program("strip") else { return Ok(built) };
    if installed::is_emulated()? {
        // Programs of other processors are not this machine's to strip.
        return Ok(built);
    }
    let stripped = built.with_extension("stripped");
    let modified = |path: &Path| fs::metadata(path).and_then(|about| about.modified()).ok();
    if modified(&stripped).is_some_and(|stripped| modified(&built).is_some_and(|built| built < stripped)) {
        return Ok(stripped);
    }
    // Another process of tests may be making it, too.
    let unfinished = built.with_extension(format!("stripped.{}", std::process::id()));
    let status = Command::new(strip).arg("-o").arg(&unfinished).arg(&built).status().context("run strip")?;
    ensure!(status.success(), "strip ended with {status}");
    fs::rename(&unfinished, &stripped).with_context(|| format!("make {}", stripped.display()))?;
    Ok(stripped)
}

/// A version as good as the package, with other bytes: `mark` is behind its end.
///
/// # Errors
/// The disk.
pub fn good(folder: &Path, mark: &str) -> anyhow::Result<PathBuf> {
    marked(&package()?, folder, mark)
}

/// As [`good`], of another program.
///
/// # Errors
/// The disk.
pub fn marked(program: &Path, folder: &Path, mark: &str) -> anyhow::Result<PathBuf> {
    let path = folder.join(format!("selvedge-{mark}"));
    fs::copy(program, &path).with_context(|| format!("make {}", path.display()))?;
    let mut file = fs::OpenOptions::new().append(true).open(&path)?;
    file.write_all(mark.as_bytes())?;
    Ok(path)
}

/// A version that does not hold. It stops at nothing but a signal where it does not end by itself.
///
/// # Errors
/// The disk, or there is no Python.
pub fn broken(folder: &Path, how: Broken) -> anyhow::Result<PathBuf> {
    let python = installed::program("python3")?;
    let (preflight, then) = match how {
        Broken::Crashes => ("sys.exit(0)", "sys.exit(3)"),
        Broken::NeverReady => ("sys.exit(0)", "time.sleep(600)"),
        Broken::FallsSilent => ("sys.exit(0)", "say('READY=1'); time.sleep(600)"),
        Broken::ReadyThenDies => ("sys.exit(0)", "say('READY=1'); say('WATCHDOG=1'); sys.exit(4)"),
        Broken::FailsPreflight => ("sys.exit('this version does not take the configuration')", "sys.exit(5)"),
    };
    let text = format!(
        "#!{python}\n\
         import os, socket, sys, time\n\
         def say(text):\n    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(text.encode(), os.environ['NOTIFY_SOCKET'])\n\
         if 'internal-preflight' in sys.argv: {preflight}\n\
         {then}\n",
        python = python.display()
    );
    let path = folder.join(format!("{how:?}"));
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}
