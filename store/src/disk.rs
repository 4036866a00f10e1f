//! The disk operations that this crate does itself, behind one trait, so that a test can let each of them
//! fail. Not a file system abstraction: sled does its own reading and writing.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

/// What the store asks of a disk beside sled's own I/O. [`LocalDisk`] is the real one.
pub trait Disk: Send + Sync + 'static {
    /// Makes everything written to `file` durable (fsync).
    fn sync_file(&self, file: &File) -> io::Result<()>;
    /// Makes creations, renames and removals in the directory `path` durable.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
    /// Renames within one file system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Reserves `bytes` of real space for `file`.
    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()>;
    /// Bytes that an unprivileged process may still write on the file system of `path`.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
}

/// The operating system's file systems.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalDisk;

impl Disk for LocalDisk {
    fn sync_file(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
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
pub(crate) mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use parking_lot::Mutex;

    use super::*;

    /// A disk whose operations fail when told to.
    #[derive(Default)]
    pub(crate) struct FaultyDisk {
        /// The operation that fails, by the name of its method.
        pub(crate) failing: Mutex<Option<&'static str>>,
        /// Free space to report instead of the real one; 0 for the real one.
        pub(crate) free_bytes: AtomicU64,
    }

    impl FaultyDisk {
        pub(crate) fn fail(&self, operation: &'static str) {
            *self.failing.lock() = Some(operation);
        }

        fn check(&self, operation: &'static str) -> io::Result<()> {
            if *self.failing.lock() == Some(operation) { Err(Errno::IO.into()) } else { Ok(()) }
        }
    }

    impl Disk for FaultyDisk {
        fn sync_file(&self, file: &File) -> io::Result<()> {
            self.check("sync_file").and_then(|()| LocalDisk.sync_file(file))
        }

        fn sync_directory(&self, path: &Path) -> io::Result<()> {
            self.check("sync_directory").and_then(|()| LocalDisk.sync_directory(path))
        }

        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.check("rename").and_then(|()| LocalDisk.rename(from, to))
        }

        fn allocate(&self, file: &File, bytes: u64) -> io::Result<()> {
            self.check("allocate").and_then(|()| LocalDisk.allocate(file, bytes))
        }

        fn free_bytes(&self, path: &Path) -> io::Result<u64> {
            match self.free_bytes.load(Ordering::Relaxed) {
                0 => LocalDisk.free_bytes(path),
                bytes => Ok(bytes),
            }
        }
    }

    #[test]
    fn noise_fills_a_file_to_the_byte_where_space_cannot_be_reserved() {
        let file = tempfile::NamedTempFile::new().unwrap();
        write_noise(file.as_file(), 10_001).unwrap();
        assert_eq!(file.as_file().metadata().unwrap().len(), 10_001);
    }
}
