//! Where the built binary and the installed third-party clients are; each missing one names the command that helps.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};

/// What an emulated node may take, as a multiple.
const EMULATED_TIMES: u64 = 20;

/// The daemon's binary: `SELVEDGE_BIN`, else beside the running test.
///
/// # Errors
/// It is not there; the text says how to build it.
pub fn selvedge() -> anyhow::Result<PathBuf> {
    let path = match std::env::var_os("SELVEDGE_BIN") {
        Some(path) => PathBuf::from(path),
        None => profile_folder()?.join("selvedge"),
    };
    ensure!(path.is_file(), "{} is missing; run `cargo build -p selvedge`", path.display());
    Ok(path)
}

/// What the updater calls the processor that the daemon's binary is for, which may be emulated.
///
/// # Errors
/// It is missing, or for a processor that nothing here knows.
pub fn architecture() -> anyhow::Result<&'static str> {
    let path = selvedge()?;
    let mut header = [0; 20];
    let read = std::fs::File::open(&path).and_then(|mut file| file.read_exact(&mut header));
    read.with_context(|| format!("read {}", path.display()))?;
    // `e_machine` of an ELF header.
    match u16::from_le_bytes([header[18], header[19]]) {
        62 => Ok("x86_64"),
        183 => Ok("aarch64"),
        other => bail!("{} is for a processor with the number {other}", path.display()),
    }
}

/// Whether the daemon's binary is for another processor than the tests, so that everything it does takes ten times as long.
///
/// # Errors
/// As for [`architecture`].
pub fn is_emulated() -> anyhow::Result<bool> {
    Ok(architecture()? != std::env::consts::ARCH)
}

/// The manifest of a function of the repository, by the path of its folder from the root. For an emulated node its runs have
/// twenty times the time: they are looked at for what they do.
///
/// # Errors
/// It cannot be read, or sets no time.
pub fn function_manifest(folder: &str) -> anyhow::Result<String> {
    let path = repository_file(folder).join("function.toml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    if is_emulated()? { with_more_time(&text) } else { Ok(text) }
}

fn with_more_time(manifest: &str) -> anyhow::Result<String> {
    const KEY: &str = "timeout_ms = ";
    let (before, rest) = manifest.split_once(KEY).context("the manifest sets a time")?;
    let (value, after) = rest.split_once('\n').context("a line ends")?;
    let timeout_ms: u64 = value.parse().with_context(|| format!("read the time {value:?}"))?;
    Ok(format!("{before}{KEY}{}\n{after}", timeout_ms * EMULATED_TIMES))
}

/// The Python interpreter that has the clients of `requirements.txt`.
///
/// # Errors
/// Setup has not installed it.
pub fn python() -> anyhow::Result<PathBuf> {
    from_setup("python/bin/python")
}

/// The folder with the packages of `package.json`.
///
/// # Errors
/// Setup has not installed them.
pub fn node_packages() -> anyhow::Result<PathBuf> {
    from_setup("node/installed-for")?.parent().map(Path::to_path_buf).context("find the folder of the packages")
}

/// A program of the distribution, on `PATH` or in `/usr/sbin`.
///
/// # Errors
/// It is not installed.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .with_context(|| format!("{name} is not installed; run `cargo xtask setup`"))
}

/// A script of `tests/integration/clients`.
pub fn client_script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("integration/clients").join(name)
}

/// A file of the repository, by its path from the root.
pub fn repository_file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn from_setup(path: &str) -> anyhow::Result<PathBuf> {
    let target = profile_folder()?.parent().map(Path::to_path_buf).context("find the build folder")?;
    let path = target.join("test-clients").join(path);
    ensure!(path.exists(), "{} is missing; run `cargo xtask setup`", path.display());
    Ok(path)
}

/// `target/debug`: the test runs in its `deps` folder.
fn profile_folder() -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe().context("find the running test")?;
    test.ancestors().nth(2).map(Path::to_path_buf).context("find the build folder of the running test")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_time_is_all_that_a_manifest_for_an_emulated_node_has_more() -> anyhow::Result<()> {
        let manifest = "name = \"a\"\n[limits]\ntimeout_ms = 100\n[grants]\n";
        ensure!(with_more_time(manifest)? == "name = \"a\"\n[limits]\ntimeout_ms = 2000\n[grants]\n");
        let error = with_more_time("[limits]\ntimeout_ms = soon\n").err().context("no number")?;
        ensure!(error.to_string() == "read the time \"soon\"", "{error}");
        ensure!(with_more_time("name = \"a\"\n").is_err(), "no time");
        Ok(())
    }
}
