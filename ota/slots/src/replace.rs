//! Replacing a small file or a link so that whoever comes after a power cut finds the old or the new one, whole.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::disk::Disk;

/// Puts `bytes` in the place of what is at `path`, for its owner only. All four are needed: the file and its name are made durable, then
/// the name is turned, then that is made durable.
///
/// # Errors
/// The system refused. Then the old content is there still, or, when the very last step failed, either of the two.
pub fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    let temporary = temporary(path);
    let mut file = disk.create(&temporary, 0o600)?;
    file.write_all(bytes)?;
    file.sync()?;
    drop(file);
    disk.sync_directory(folder)?;
    disk.rename(&temporary, path)?;
    disk.sync_directory(folder)
}

/// The same for a symbolic link.
pub(crate) fn replace_link(disk: &dyn Disk, target: &Path, link: &Path) -> io::Result<()> {
    let folder = folder_of(link);
    let temporary = temporary(link);
    disk.remove(&temporary)?;
    disk.link(target, &temporary)?;
    disk.sync_directory(folder)?;
    disk.rename(&temporary, link)?;
    disk.sync_directory(folder)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}
