//! The ballast file: reserved bytes, given back when the disk is so full that sled cannot be opened.
//! It is put back at a later open that finds room for it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::disk::Disk;

const FILE: &str = "ballast";

/// What became of the ballast file while opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ballast {
    /// It is there, with its full size.
    Present,
    /// It was given up, because the disk was full.
    Released,
    /// There was no room to make one.
    Missing,
    /// The configuration asks for none.
    Off,
}

fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

/// Whether there is something to give up.
pub(crate) fn exists(dir: &Path) -> bool {
    path(dir).exists()
}

/// Gives the space back and makes that durable.
pub(crate) fn release(dir: &Path, disk: &dyn Disk) -> io::Result<()> {
    fs::remove_file(path(dir))?;
    disk.sync_directory(dir)
}

/// Makes the file of `bytes` bytes unless it is there. Having no room is not an error.
pub(crate) fn keep(dir: &Path, bytes: u64, disk: &dyn Disk) -> Ballast {
    if bytes == 0 {
        let _ = fs::remove_file(path(dir));
        return Ballast::Off;
    }
    if fs::metadata(path(dir)).is_ok_and(|metadata| metadata.len() == bytes) {
        return Ballast::Present;
    }
    match create(dir, bytes, disk) {
        Ok(()) => Ballast::Present,
        Err(error) => {
            tracing::warn!(dir = %dir.display(), bytes, %error, "no room for the ballast file");
            let _ = fs::remove_file(path(dir));
            Ballast::Missing
        }
    }
}

/// Not fsynced: the space is taken at once, and a file that a power cut takes is made again.
fn create(dir: &Path, bytes: u64, disk: &dyn Disk) -> io::Result<()> {
    disk.allocate(&File::create(path(dir))?, bytes)
}
