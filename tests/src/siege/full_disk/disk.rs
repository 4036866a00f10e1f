//! A small file system, and a file that takes all of it.
//!
//! Invariant: what was mounted is unmounted when its value goes away.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

/// What kind of file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// In memory.
    Tmpfs,
    /// ext4 in a file.
    Ext4,
}

impl Kind {
    /// In reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tmpfs => "tmpfs",
            Self::Ext4 => "ext4",
        }
    }
}

/// The file system.
#[derive(Debug)]
pub struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Mounts it at `folder`, which is made; gives the reason where that is not possible here. `beside` keeps its image.
    ///
    /// # Errors
    /// The folder or the image cannot be made.
    pub fn mount(kind: Kind, size_mb: u64, beside: &Path, folder: &Path) -> anyhow::Result<Result<Self, String>> {
        std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        let mounted = match kind {
            Kind::Tmpfs => {
                let options = format!("size={size_mb}m,mode=0700");
                run(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder))
            }
            Kind::Ext4 => {
                let image = beside.join("disk.ext4");
                let file = File::create(&image).with_context(|| format!("create {}", image.display()))?;
                file.set_len(size_mb << 20).with_context(|| format!("size {}", image.display()))?;
                run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image))
                    .and_then(|()| run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(folder)))
            }
        };
        Ok(mounted.map(|()| Self { folder: folder.to_path_buf() }))
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Bytes that may still be written.
    ///
    /// # Errors
    /// It is gone.
    pub fn free_bytes(&self) -> anyhow::Result<u64> {
        let state = rustix::fs::statvfs(&self.folder).with_context(|| format!("look at {}", self.folder.display()))?;
        Ok(state.f_bavail * state.f_frsize)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, so that a node that is still being killed does not hold it. Fails when it is gone.
        drop(run(Command::new("umount").arg("--lazy").arg(&self.folder)));
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}: {}", command.get_program().display(), String::from_utf8_lossy(&output.stderr).trim()))
}

/// A file that takes all the space that is left.
#[derive(Debug)]
pub struct Filler {
    path: PathBuf,
}

impl Filler {
    /// Writes until nothing more fits.
    ///
    /// # Errors
    /// For another reason than that.
    pub fn fill(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join("filler");
        let mut file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
        for block_bytes in [1 << 20, 4_096] {
            let block = vec![0; block_bytes];
            loop {
                match file.write_all(&block).and_then(|()| file.sync_data()) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => bail!("fill {}: {error}", path.display()),
                }
            }
        }
        Ok(Self { path })
    }

    /// Makes room again.
    ///
    /// # Errors
    /// It is gone.
    pub fn remove(self) -> anyhow::Result<()> {
        std::fs::remove_file(&self.path).with_context(|| format!("remove {}", self.path.display()))
    }
}
