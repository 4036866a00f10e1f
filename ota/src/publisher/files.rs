//! Files of a repository: readable for web servers, replaced as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::PublishError;

/// Who may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readers {
    /// Everybody.
    All,
    /// The owner.
    Owner,
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, PublishError> {
    fs::read(path).map_err(at("read", path))
}

/// Puts `bytes` in the place of what is at `path`, with the folders above it.
pub(super) fn write(path: &Path, bytes: &[u8], readers: Readers) -> Result<(), PublishError> {
    // The folder above a bare name is written as nothing.
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(at("make the folder", folder))?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = path.with_file_name(name);
    let mode = if readers == Readers::All { 0o644 } else { 0o600 };
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(at("write", path))
}

pub(super) fn remove(path: &Path) -> Result<(), PublishError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(at("remove", path)),
    }
}

pub(super) fn at(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> PublishError {
    let path = path.to_owned();
    move |source| PublishError::File { action, path, source }
}
