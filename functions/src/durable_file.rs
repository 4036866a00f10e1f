//! Replaces files so that a power cut leaves the old or the new one, never a mixture: fsync file, fsync its directory,
//! rename, fsync the directory again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Writes `bytes` to `path`; `mode` are the permission bits of a new file. Temporary files begin with `.tmp-`.
pub(crate) fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let directory = parent(path)?;
    let temporary = directory.join(format!(".tmp-{}", name(path)?));
    remove_if_there(&temporary)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    sync_directory(directory)?;
    fs::rename(&temporary, path)?;
    sync_directory(directory)
}

/// Moves a file that someone else wrote into place, durably. Both must be in the same directory.
pub(crate) fn move_into_place(from: &Path, to: &Path) -> io::Result<()> {
    let directory = parent(to)?;
    File::open(from)?.sync_all()?;
    sync_directory(directory)?;
    fs::rename(from, to)?;
    sync_directory(directory)
}

/// Removes a file, durably; it may be gone already.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    remove_if_there(path)?;
    sync_directory(parent(path)?)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// Makes a directory for the node's own user, durably, unless it is there.
pub(crate) fn make_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    sync_directory(parent(directory)?)
}

/// Makes entries of a directory durable.
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn parent(path: &Path) -> io::Result<&Path> {
    path.parent().ok_or_else(|| io::Error::other("path has no parent"))
}

fn name(path: &Path) -> io::Result<String> {
    let name = path.file_name().ok_or_else(|| io::Error::other("path has no file name"))?;
    Ok(name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_replaced_whole_with_its_mode_and_nothing_is_left_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        fs::write(directory.path().join(".tmp-x"), "left by a crash").unwrap();
        write(&path, b"one", 0o600).unwrap();
        write(&path, b"two", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn removing_twice_is_no_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        write(&path, b"one", 0o600).unwrap();
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(!path.exists());
    }
}
