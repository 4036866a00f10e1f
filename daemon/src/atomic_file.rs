//! Replacing a small file so that a reader, and whoever comes after a power cut, finds the old or the new one, whole.
//! Invariant: the bytes are on the disk before the name points to them, and the name is before anybody is told.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// For the owner only.
pub const PRIVATE: u32 = 0o600;
/// For everybody to read.
pub const PUBLIC: u32 = 0o644;

/// Why a file was not written.
#[derive(Debug, Error)]
#[error("write {path}", path = path.display())]
pub struct WriteError {
    /// The file.
    path: PathBuf,
    /// Cause.
    source: io::Error,
}

/// Puts `bytes` in the place of whatever is at `path`, with permission bits `mode`. Root gives it to the owner of the folder, so
/// that a node that runs as that user can read it.
///
/// # Errors
/// The system refused; what was there is there still.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), WriteError> {
    let failed = |source| WriteError { path: path.to_owned(), source };
    let folder = folder_of(path);
    let temporary =
        folder.join(format!(".{}.{}.new", path.file_name().unwrap_or_default().to_string_lossy(), std::process::id()));
    let written = write_new(&temporary, folder, bytes, mode).and_then(|()| std::fs::rename(&temporary, path));
    if let Err(source) = written {
        // Leaves nothing behind, if it can.
        let _ = std::fs::remove_file(&temporary);
        return Err(failed(source));
    }
    sync_folder(folder).map_err(failed)
}

/// Makes `folder` and those above it that are missing, for their owner only.
///
/// # Errors
/// The system refused.
pub fn make_folder(folder: &Path) -> Result<(), WriteError> {
    let failed = |source| WriteError { path: folder.to_owned(), source };
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder_of(folder);
    make_folder(parent)?;
    DirBuilder::new().mode(0o700).create(folder).map_err(failed)?;
    File::open(folder).and_then(|made| as_parent(&made, parent)).map_err(failed)?;
    sync_folder(parent).map_err(failed)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn write_new(path: &Path, folder: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    // One of an earlier process with this number, which died.
    let _ = std::fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    as_parent(&file, folder)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    sync_folder(folder)
}

fn as_parent(file: &File, folder: &Path) -> io::Result<()> {
    if rustix::process::geteuid().is_root() {
        let owner = std::fs::metadata(folder)?;
        fchown(file, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(())
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_with_its_mode_and_nothing_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/key");
        make_folder(path.parent().unwrap()).unwrap();
        for (bytes, mode) in [(&b"one"[..], PUBLIC), (b"two", PRIVATE)] {
            replace(&path, bytes, mode).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
            assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, mode);
        }
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        assert_eq!(std::fs::metadata(folder.path().join("a")).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named_and_the_old_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let error = replace(&folder.path().join("missing/key"), b"x", PRIVATE).unwrap_err();
        assert!(error.to_string().contains("missing/key"), "{error}");
        let taken = folder.path().join("taken");
        std::fs::create_dir(&taken).unwrap();
        assert!(replace(&taken, b"x", PRIVATE).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
