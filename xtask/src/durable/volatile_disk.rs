//! A file system of the tests on which an fsync takes as long as on a slow disk, mounted for one bench.
//!
//! Invariant: what was mounted is unmounted when its value goes away.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::{process, repository};

/// How long mounting may take.
const MOUNT_MAX: Duration = Duration::from_secs(10);

/// A mounted file system.
pub struct VolatileDisk {
    child: Child,
    folder: PathBuf,
}

impl VolatileDisk {
    /// Mounts it at `folder`, which is made; counts go to `stats`.
    pub fn mount(program: Option<&Path>, folder: &Path, fsync_delay: &str, stats: &Path) -> anyhow::Result<Self> {
        let release = repository::target_folder().join("release/volatile-disk");
        let program = program.unwrap_or(&release);
        std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        let child = Command::new(program)
            .arg("mount")
            .arg(folder)
            .args(["--fsync-delay", fsync_delay, "--stats"])
            .arg(stats)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("start {} (name it with --volatile-disk)", program.display()))?;
        let mut disk = Self { child, folder: folder.to_path_buf() };
        let started = Instant::now();
        while !is_mounted(&std::fs::read_to_string("/proc/mounts").unwrap_or_default(), folder) {
            if let Some(status) = disk.child.try_wait().context("look after the file system")? {
                bail!("{} ended with {status} instead of mounting {}", program.display(), folder.display());
            }
            if started.elapsed() > MOUNT_MAX {
                bail!("{} did not mount {} within {MOUNT_MAX:?}", program.display(), folder.display());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(disk)
    }
}

impl Drop for VolatileDisk {
    fn drop(&mut self) {
        // Lazily, so that a broker that is still being killed does not hold it.
        process::succeeds("umount", &["--lazy", &self.folder.to_string_lossy()]);
        // Fails only if it has ended, as it should when it is unmounted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_mounted(mounts: &str, folder: &Path) -> bool {
    mounts.lines().any(|line| line.split(' ').nth(1).is_some_and(|place| Path::new(place) == folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_found_by_its_whole_place() {
        let mounts = "proc /proc proc rw 0 0\nvolatile /a/b fuse rw 0 0\n";
        assert!(is_mounted(mounts, Path::new("/a/b")) && is_mounted(mounts, Path::new("/proc")));
        assert!(!is_mounted(mounts, Path::new("/a")) && !is_mounted("", Path::new("/a")));
    }

    #[test]
    fn a_program_that_mounts_nothing_is_told() {
        let folder = super::super::folder::Folder::create(None, "no-mount").expect("a folder");
        let error = VolatileDisk::mount(Some(Path::new("/bin/false")), folder.path(), "5ms", Path::new("/dev/null"));
        let error = error.err().expect("it mounts nothing");
        assert!(error.to_string().contains("instead of mounting"), "{error:#}");
    }
}
