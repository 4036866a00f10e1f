//! A file system of the tests on which an fsync takes as long as on a slow disk, mounted for one bench.
//!
//! Invariant: what was mounted is unmounted when its value goes away.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};

use crate::{process, repository};

/// What the program prints when the folder can be used.
const MOUNTED: &str = "mounted";

/// A mounted file system.
pub struct VolatileDisk {
    child: Child,
}

impl VolatileDisk {
    /// Mounts it at `folder`, which is made; counts go to `stats`. Without a program, the one of the tests is built.
    pub fn mount(program: Option<&Path>, folder: &Path, fsync_delay: &str, stats: &Path) -> anyhow::Result<Self> {
        let program = match program {
            Some(program) => program.to_path_buf(),
            None => build()?,
        };
        std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        let mut child = Command::new(&program)
            .arg("mount")
            .arg(folder)
            .args(["--fsync-delay", fsync_delay, "--stats"])
            .arg(stats)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {} (name it with --volatile-disk)", program.display()))?;
        let stdout = child.stdout.take();
        let disk = Self { child };
        let mut line = String::new();
        BufReader::new(stdout.context("read what the file system prints")?)
            .read_line(&mut line)
            .with_context(|| format!("wait for {}", program.display()))?;
        ensure!(line.trim() == MOUNTED, "{} did not mount {}", program.display(), folder.display());
        Ok(disk)
    }
}

fn build() -> anyhow::Result<PathBuf> {
    process::run(
        "cargo",
        &["build", "--locked", "--release", "--package", "selvedge-tests", "--bin", "volatile-disk"],
    )?;
    Ok(repository::target_folder().join("release/volatile-disk"))
}

impl Drop for VolatileDisk {
    fn drop(&mut self) {
        // It unmounts when it is asked to end; asking fails only if it has ended.
        process::succeeds("kill", &["-TERM", &self.child.id().to_string()]);
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_mounts_nothing_is_told() {
        let folder = super::super::folder::Folder::create(None, "no-mount").expect("a folder");
        let error = VolatileDisk::mount(Some(Path::new("/bin/false")), folder.path(), "5ms", Path::new("/dev/null"));
        let error = error.err().expect("it mounts nothing");
        assert!(error.to_string().contains("/bin/false did not mount"), "{error:#}");
    }
}
