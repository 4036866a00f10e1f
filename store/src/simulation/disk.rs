//! A disk in memory with a volatile cache: only an fsync makes bytes durable, only an fsync of the directory makes names
//! durable. When the power is cut, everything else is lost, or kept page by page and name by name as chance wants it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::io::Errno;

use super::random::Random;
use crate::disk::{Disk, DiskFile};

const PAGE: usize = 4096;
const SECTOR: usize = 512;

/// A disk that lies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Lie {
    #[default]
    None,
    /// Says that a file is durable, and does nothing.
    FileSync,
    /// Says that names are durable, and does nothing.
    DirectorySync,
}

/// One operation that fails, by its place in the order of all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fault {
    pub(super) operation: u64,
    pub(super) errno: Errno,
}

#[derive(Clone, Default)]
pub(super) struct SimulatedDisk(Arc<Mutex<Content>>);

#[derive(Default)]
struct Content {
    files: BTreeMap<u64, FileContent>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    next_file: u64,
    operations: u64,
    /// The power goes after so many operations.
    cut_after: Option<u64>,
    fault: Option<Fault>,
    /// Bytes that fit on the disk.
    capacity: Option<u64>,
    lie: Lie,
}

#[derive(Default, Clone)]
struct FileContent {
    cached: Vec<u8>,
    durable: Vec<u8>,
    /// Pages that differ, or may.
    dirty: BTreeSet<usize>,
}

impl SimulatedDisk {
    pub(super) fn new(lie: Lie) -> Self {
        let disk = Self::default();
        disk.0.lock().lie = lie;
        disk
    }

    /// Operations so far.
    pub(super) fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    pub(super) fn cut_after(&self, operations: Option<u64>) {
        self.0.lock().cut_after = operations;
    }

    pub(super) fn set_fault(&self, fault: Option<Fault>) {
        self.0.lock().fault = fault;
    }

    /// Leaves room for `bytes` more, or as many as anyone wants.
    pub(super) fn leave_room_for(&self, bytes: Option<u64>) {
        let mut content = self.0.lock();
        let used = content.used();
        content.capacity = bytes.map(|bytes| used + bytes);
    }

    pub(super) fn is_off(&self) -> bool {
        let content = self.0.lock();
        content.cut_after.is_some_and(|cut| content.operations >= cut)
    }

    /// What is on the disk when the power comes back.
    pub(super) fn lose_power(&self, random: &mut Random) {
        let mut content = self.0.lock();
        let content = &mut *content;
        let keep_percent = [0, 50, 90, 100][random.below(4) as usize];
        for file in content.files.values_mut() {
            file.lose_power(random, keep_percent);
        }
        let changed: BTreeSet<PathBuf> =
            content.names.iter().chain(&content.durable_names).map(|(name, _)| name.clone()).collect();
        for name in changed {
            if content.names.get(&name) != content.durable_names.get(&name) && random.chance(keep_percent) {
                match content.names.get(&name) {
                    Some(file) => content.durable_names.insert(name, *file),
                    None => content.durable_names.remove(&name),
                };
            }
        }
        content.names.clone_from(&content.durable_names);
        let named: BTreeSet<u64> = content.names.values().copied().collect();
        content.files.retain(|file, _| named.contains(file));
        content.cut_after = None;
    }

    /// A disk of its own with the same files on it, all of it durable.
    pub(super) fn copy(&self) -> Self {
        let content = self.0.lock();
        let copy = Self::default();
        {
            let mut to = copy.0.lock();
            to.next_file = content.next_file;
            to.names.clone_from(&content.names);
            to.durable_names.clone_from(&content.names);
            to.files.clone_from(&content.files);
            to.files.values_mut().for_each(FileContent::sync);
        }
        copy
    }

    /// Names of all files with their lengths.
    pub(super) fn files(&self) -> Vec<(PathBuf, usize)> {
        let content = self.0.lock();
        content.names.iter().map(|(name, file)| (name.clone(), content.files[file].cached.len())).collect()
    }

    /// Turns one bit of a file over.
    pub(super) fn flip(&self, path: &Path, bit: usize) {
        let mut content = self.0.lock();
        let file = content.names.get(path).copied();
        if let Some(file) = file.and_then(|file| content.files.get_mut(&file)) {
            file.cached[bit / 8] ^= 1 << (bit % 8);
            file.sync();
        }
    }

    /// Everything that can be read, for comparing two runs.
    pub(super) fn digest(&self) -> u32 {
        let content = self.0.lock();
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&content.operations.to_le_bytes());
        for (name, file) in &content.names {
            hasher.update(name.as_os_str().as_encoded_bytes());
            hasher.update(&content.files[file].cached);
        }
        hasher.finalize()
    }
}

impl FileContent {
    fn touch(&mut self, from: usize, to: usize) {
        self.dirty.extend(from / PAGE..to.div_ceil(PAGE).max(from / PAGE + 1));
    }

    fn sync(&mut self) {
        self.durable.clone_from(&self.cached);
        self.dirty.clear();
    }

    fn lose_power(&mut self, random: &mut Random, keep_percent: u64) {
        let mut found = self.durable.clone();
        if random.chance(keep_percent) {
            found.resize(self.cached.len(), 0);
        }
        for page in &self.dirty {
            if !random.chance(keep_percent) {
                continue;
            }
            let torn = random.chance(20);
            for start in (page * PAGE..(page + 1) * PAGE).step_by(SECTOR) {
                let end = (start + SECTOR).min(self.cached.len()).min(found.len());
                if start < end && !(torn && random.chance(50)) {
                    found[start..end].copy_from_slice(&self.cached[start..end]);
                }
            }
        }
        self.cached = found;
        self.sync();
    }
}

impl Content {
    fn used(&self) -> u64 {
        self.names.values().map(|file| self.files[file].cached.len() as u64).sum()
    }

    fn operate(&mut self) -> io::Result<()> {
        if self.cut_after.is_some_and(|cut| self.operations >= cut) {
            return Err(io::Error::other("the power is off"));
        }
        self.operations += 1;
        match self.fault {
            Some(fault) if fault.operation == self.operations => Err(fault.errno.into()),
            _ => Ok(()),
        }
    }

    fn file_at(&self, path: &Path) -> io::Result<u64> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for SimulatedDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut content = self.0.lock();
        content.operate()?;
        if content.capacity.is_some_and(|capacity| content.used() >= capacity) {
            return Err(Errno::NOSPC.into());
        }
        let file = content.next_file;
        content.next_file += 1;
        content.files.insert(file, FileContent::default());
        content.names.insert(path.to_path_buf(), file);
        Ok(Arc::new(SimulatedFile { disk: self.clone(), file }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut content = self.0.lock();
        content.operate()?;
        let file = content.file_at(path)?;
        Ok(Arc::new(SimulatedFile { disk: self.clone(), file }))
    }

    fn create_directory(&self, _path: &Path) -> io::Result<()> {
        self.0.lock().operate()
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut content = self.0.lock();
        content.operate()?;
        let inside = content.names.keys().filter(|name| name.parent() == Some(path));
        Ok(inside.filter_map(|name| Some(name.file_name()?.to_str()?.to_owned())).collect())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut content = self.0.lock();
        content.operate()?;
        content.file_at(path)?;
        content.names.remove(path);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut content = self.0.lock();
        content.operate()?;
        let file = content.file_at(from)?;
        content.names.remove(from);
        content.names.insert(to.to_path_buf(), file);
        Ok(())
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let mut content = self.0.lock();
        content.operate()?;
        if content.lie != Lie::DirectorySync {
            let content = &mut *content;
            let inside = |name: &Path| name.parent() == Some(path);
            content.durable_names.retain(|name, _| !inside(name));
            content
                .durable_names
                .extend(content.names.iter().filter(|(name, _)| inside(name)).map(|(n, f)| (n.clone(), *f)));
        }
        Ok(())
    }

    fn sync_file(&self, _file: &File) -> io::Result<()> {
        Ok(())
    }

    fn allocate(&self, _file: &File, _bytes: u64) -> io::Result<()> {
        Ok(())
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        let content = self.0.lock();
        Ok(content.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(content.used())))
    }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    file: u64,
}

impl SimulatedFile {
    fn with<T>(&self, f: impl FnOnce(&mut FileContent) -> T) -> io::Result<T> {
        let mut content = self.disk.0.lock();
        content.operate()?;
        // A file that was removed while it was open can be used on.
        Ok(f(content.files.entry(self.file).or_default()))
    }
}

impl DiskFile for SimulatedFile {
    fn length(&self) -> io::Result<u64> {
        self.with(|file| file.cached.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|file| {
            let from = (offset as usize).min(file.cached.len());
            let length = buffer.len().min(file.cached.len() - from);
            buffer[..length].copy_from_slice(&file.cached[from..from + length]);
            length
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let room = {
            let content = self.disk.0.lock();
            let length = content.files.get(&self.file).map_or(0, |file| file.cached.len() as u64);
            content.capacity.map(|capacity| length + capacity.saturating_sub(content.used()))
        };
        let fits = room.map_or(bytes.len() as u64, |room| room.saturating_sub(offset).min(bytes.len() as u64)) as usize;
        let write = |file: &mut FileContent, bytes: &[u8]| {
            let (start, end) = (offset as usize, offset as usize + bytes.len());
            if file.cached.len() < end {
                file.cached.resize(end, 0);
            }
            file.cached[start..end].copy_from_slice(bytes);
            file.touch(start, end);
        };
        let result = self.with(|file| write(file, &bytes[..fits]));
        if result.is_err() && !self.disk.is_off() {
            // A failing write leaves some of it behind.
            if let Some(file) = self.disk.0.lock().files.get_mut(&self.file) {
                write(file, &bytes[..fits / 2]);
            }
        }
        result?;
        if fits < bytes.len() { Err(Errno::NOSPC.into()) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        let lie = self.disk.0.lock().lie;
        self.with(|file| {
            if lie != Lie::FileSync {
                file.sync();
            }
        })
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.with(|file| {
            let (old, new) = (file.cached.len(), bytes as usize);
            file.cached.resize(new, 0);
            file.touch(old.min(new), old.max(new));
        })
    }
}
