//! Where the built binary and the installed third-party clients are; each missing one names the command that helps.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

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
