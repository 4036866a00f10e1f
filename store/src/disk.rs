//! The disk operations that this crate does itself, behind two traits, so that a test can let each of them
//! fail or simulate a power cut. Not a file system abstraction: sled does its own reading and writing.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

/// What the store asks of a disk beside sled's own I/O. [`LocalDisk`] is the real one.
pub trait Disk: Send + Sync + 'static {
    /// Makes an empty file for writing and reading, in place of what has that name. The name is durable after
    /// [`Disk::sync_directory`].
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file that is there, for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Makes the directory unless it is there.
    fn create_directory(&self, path: &Path) -> io::Result<()>;
    /// Names of the files in a directory, in any order. Names that are no UTF-8 are left out.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Renames within one file system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in the directory `path` durable.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
    /// Makes everything written to a file that this crate does not write through [`DiskFile`] durable (fsync).
    fn sync_file(&self, file: &File) -> io::Result<()>;
    /// Reserves `bytes` of real space for `file`.
    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()>;
    /// Bytes that an unprivileged process may still write on the file system of `path`.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
}

/// An open file. Offsets and lengths are bytes; nothing here moves a position.
pub trait DiskFile: Send + Sync {
    /// Its length.
    fn length(&self) -> io::Result<u64>;
    /// Reads at `offset`; fewer bytes than asked for only at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes` at `offset`; after an error any part of it may be there.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes content and length durable (fdatasync).
    fn sync(&self) -> io::Result<()>;
    /// Cuts or extends.
    fn set_len(&self, bytes: u64) -> io::Result<()>;
}

/// The operating system's file systems.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalDisk;

impl Disk for LocalDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(Arc::new(LocalFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(LocalFile(OpenOptions::new().read(true).write(true).open(path)?)))
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn sync_file(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()> {
        match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => write_noise(file, bytes),
            result => Ok(result?),
        }
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

struct LocalFile(File);

impl DiskFile for LocalFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.0.read_at(&mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }
}

/// Whether an error means that there is no room, which may pass.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Reads all of `file`, replacing what is in `buffer`.
pub(crate) fn read_whole(file: &dyn DiskFile, buffer: &mut Vec<u8>) -> io::Result<()> {
    let length = usize::try_from(file.length()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
    buffer.clear();
    buffer.resize(length, 0);
    let read = file.read_at(buffer, 0)?;
    buffer.truncate(read);
    Ok(())
}

/// Fills `file` with bytes that a compressing file system cannot shrink.
fn write_noise(mut file: &File, bytes: u64) -> io::Result<()> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut block = [0_u8; 4096];
    let mut left = bytes;
    while left > 0 {
        for word in block.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        let length = left.min(block.len() as u64);
        file.write_all(&block[..length as usize])?;
        left -= length;
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
