//! A folder for the data of measured brokers, and what lies on the disk in it.
//!
//! Invariant: the folder is gone with its value.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// The folder.
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes one below `parent`, or below cargo's build folder.
    pub fn create(parent: Option<&Path>, name: &str) -> anyhow::Result<Self> {
        let parent = parent.map_or_else(crate::repository::target_folder, Path::to_path_buf);
        let path = std::path::absolute(parent)?.join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays behind lies where the caller wanted data and harms nobody.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Bytes that the files below a folder take on the disk. Files that go away meanwhile count for nothing.
pub fn disk_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    });
    sizes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_files_in_folders_are_summed_and_the_folder_goes_away() {
        let folder = Folder::create(None, "folder-test").expect("a folder");
        let path = folder.path().to_path_buf();
        assert_eq!(disk_bytes(&path), 0);
        std::fs::create_dir(path.join("a")).expect("a folder");
        std::fs::write(path.join("a/b"), vec![1; 100_000]).expect("a file");
        assert!((100_000..200_000).contains(&disk_bytes(&path)), "{}", disk_bytes(&path));
        drop(folder);
        assert!(!path.exists());
    }
}
