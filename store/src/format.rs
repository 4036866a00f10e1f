//! The format version of a store's directory. A newer one is refused in words rather than misread; one that
//! cannot be read at all is taken for the current one and written again, because records carry versions of
//! their own and a node should not stay down for eleven damaged bytes.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use crate::disk::Disk;

/// The version that this program reads and writes.
pub const FORMAT_VERSION: u32 = 2;

const FILE: &str = "format";
const FILE_NEW: &str = "format.new";
const MAGIC: &str = "selvedge-store ";
const CONTENT_BYTES_MAX: u64 = 64;

/// What was found in the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing: a new directory.
    Nothing,
    /// A readable version.
    Version(u32),
    /// A file that is not ours or damaged.
    Damaged,
}

pub(crate) fn read(dir: &Path) -> io::Result<Found> {
    let file = match File::open(dir.join(FILE)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(error),
    };
    let mut content = Vec::new();
    file.take(CONTENT_BYTES_MAX).read_to_end(&mut content)?;
    Ok(parse(&content).map_or(Found::Damaged, Found::Version))
}

/// Writes the current version so that a power cut leaves either no file or a whole one.
pub(crate) fn write(dir: &Path, disk: &dyn Disk) -> io::Result<()> {
    let new = dir.join(FILE_NEW);
    let mut file = File::create(&new)?;
    writeln!(file, "{MAGIC}{FORMAT_VERSION}")?;
    disk.sync_file(&file)?;
    drop(file);
    disk.rename(&new, &dir.join(FILE))?;
    disk.sync_directory(dir)
}

/// Removes what an interrupted [`write()`] left behind.
pub(crate) fn remove_leftover(dir: &Path) {
    let _ = fs::remove_file(dir.join(FILE_NEW));
}

fn parse(content: &[u8]) -> Option<u32> {
    std::str::from_utf8(content).ok()?.strip_prefix(MAGIC)?.strip_suffix('\n')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::LocalDisk;

    #[test]
    fn what_is_written_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), Found::Nothing);
        write(dir.path(), &LocalDisk).unwrap();
        assert_eq!(read(dir.path()).unwrap(), Found::Version(FORMAT_VERSION));
    }

    #[test]
    fn damaged_truncated_and_foreign_files_are_told_from_versions() {
        for content in [&b""[..], b"selvedge-store 1", b"selvedge-store x\n", b"hello\n", &[0xff; 100]] {
            assert_eq!(parse(content), None, "{content:?}");
        }
        assert_eq!(parse(b"selvedge-store 7\n"), Some(7));
    }
}
