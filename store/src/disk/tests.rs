use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::*;

/// A disk whose operations fail when told to.
#[derive(Default)]
pub(crate) struct FaultyDisk {
    faults: Arc<Faults>,
    /// Free space to report instead of the real one; 0 for the real one.
    pub(crate) free_bytes: AtomicU64,
}

#[derive(Default)]
struct Faults(Mutex<Option<(&'static str, Errno)>>);

impl Faults {
    fn check(&self, operation: &'static str) -> io::Result<()> {
        match *self.0.lock() {
            Some((failing, errno)) if failing == operation => Err(errno.into()),
            _ => Ok(()),
        }
    }
}

impl FaultyDisk {
    /// From now on `operation`, by the name of its method, fails with EIO, and nothing else.
    pub(crate) fn fail(&self, operation: &'static str) {
        self.fail_with(operation, Errno::IO);
    }

    pub(crate) fn fail_with(&self, operation: &'static str, errno: Errno) {
        *self.faults.0.lock() = Some((operation, errno));
    }

    fn wrap(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(FaultyFile { file, faults: self.faults.clone() })
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.faults.check("create").and_then(|()| LocalDisk.create(path)).map(|file| self.wrap(file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.faults.check("open").and_then(|()| LocalDisk.open(path)).map(|file| self.wrap(file))
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.faults.check("create_directory").and_then(|()| LocalDisk.create_directory(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.faults.check("list").and_then(|()| LocalDisk.list(path))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.faults.check("remove").and_then(|()| LocalDisk.remove(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.faults.check("rename").and_then(|()| LocalDisk.rename(from, to))
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.faults.check("sync_directory").and_then(|()| LocalDisk.sync_directory(path))
    }

    fn sync_file(&self, file: &File) -> io::Result<()> {
        self.faults.check("sync_file").and_then(|()| LocalDisk.sync_file(file))
    }

    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()> {
        self.faults.check("allocate").and_then(|()| LocalDisk.allocate(file, bytes))
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        match self.free_bytes.load(Ordering::Relaxed) {
            0 => LocalDisk.free_bytes(path),
            bytes => Ok(bytes),
        }
    }
}

struct FaultyFile {
    file: Arc<dyn DiskFile>,
    faults: Arc<Faults>,
}

impl DiskFile for FaultyFile {
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.faults.check("read_at").and_then(|()| self.file.read_at(buffer, offset))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        match self.faults.check("write_at") {
            Ok(()) => self.file.write_at(bytes, offset),
            Err(error) => {
                // A failing write leaves half of it behind.
                let _ = self.file.write_at(&bytes[..bytes.len() / 2], offset);
                Err(error)
            }
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.faults.check("sync").and_then(|()| self.file.sync())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.faults.check("set_len").and_then(|()| self.file.set_len(bytes))
    }
}

#[test]
fn noise_fills_a_file_to_the_byte_where_space_cannot_be_reserved() {
    let file = tempfile::NamedTempFile::new().unwrap();
    write_noise(file.as_file(), 10_001).unwrap();
    assert_eq!(file.as_file().metadata().unwrap().len(), 10_001);
}
