//! A disk in memory with a volatile cache, for tests: only an fsync makes bytes durable, only an fsync of the directory makes names
//! durable. It can be stopped, fail or be cut off at each operation that changes something.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, ReadAt, WriteFile};
use crate::image::Image;
use crate::slot::Slot;
use crate::slots::{ChangeError, Slots};
use crate::stream_hash::Digest;

/// What a cut of the power leaves of that which was not made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing.
    Drop,
    /// Each name and each tail of a file as chance wants it; the seed.
    Mix(u64),
}

/// The disk. Clones are the same disk.
#[derive(Clone, Default)]
pub struct SimulatedDisk(Arc<Mutex<Content>>);

#[derive(Clone, Default)]
struct Content {
    files: BTreeMap<u64, FileContent>,
    names: BTreeMap<PathBuf, Entry>,
    durable_names: BTreeMap<PathBuf, Entry>,
    next_file: u64,
    operations: u64,
    stop_after: Option<u64>,
    fault: Option<(u64, io::ErrorKind)>,
    trace: Vec<String>,
}

#[derive(Clone, Default)]
struct FileContent {
    cached: Vec<u8>,
    durable: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    File(u64),
    Link(PathBuf),
    Directory,
}

impl SimulatedDisk {
    /// An empty disk with the directory `root`, which is durable.
    pub fn new(root: &Path) -> Self {
        let disk = Self::default();
        let mut content = disk.content();
        for folder in root.ancestors() {
            content.names.insert(folder.to_owned(), Entry::Directory);
        }
        content.durable_names = content.names.clone();
        drop(content);
        disk
    }

    /// A disk of its own with the same content.
    pub fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.content().clone())))
    }

    /// Operations so far that changed something or tried to.
    pub fn operations(&self) -> u64 {
        self.content().operations
    }

    /// What those operations were, for people.
    pub fn trace(&self) -> Vec<String> {
        self.content().trace.clone()
    }

    /// Lets every operation after so many more fail, as for a process that was killed; `None`: none.
    pub fn stop_after(&self, operations: Option<u64>) {
        let mut content = self.content();
        content.stop_after = operations.map(|operations| content.operations + operations);
    }

    /// Lets one operation fail, that many from now, counted from 0; `None`: none.
    pub fn fail(&self, fault: Option<(u64, io::ErrorKind)>) {
        let mut content = self.content();
        content.fault = fault.map(|(operation, kind)| (content.operations + operation, kind));
    }

    /// Takes the power away and gives it back.
    pub fn cut(&self, cut: Cut) {
        let mut content = self.content();
        let content = &mut *content;
        let mut random = match cut {
            Cut::Drop => None,
            Cut::Mix(seed) => Some(seed | 1),
        };
        let mut keeps = move || {
            let Some(state) = &mut random else { return false };
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            *state & 1 == 1
        };
        for file in content.files.values_mut() {
            if keeps() {
                // The new length with some of the new bytes: what is not there yet reads as zeros.
                let whole = keeps();
                let mut kept = file.cached.clone();
                let sure = file.durable.len().min(kept.len());
                if !whole {
                    kept.iter_mut().skip(sure).for_each(|byte| *byte = 0);
                }
                file.durable = kept;
            }
            file.cached = file.durable.clone();
        }
        let changed: BTreeSet<PathBuf> =
            content.names.iter().chain(&content.durable_names).map(|(name, _)| name.clone()).collect();
        for name in changed {
            if content.names.get(&name) != content.durable_names.get(&name) && keeps() {
                match content.names.get(&name).cloned() {
                    Some(entry) => content.durable_names.insert(name, entry),
                    None => content.durable_names.remove(&name),
                };
            }
        }
        // What is in a directory that is gone is gone too.
        let names = content.durable_names.clone();
        content.durable_names.retain(|name, _| name.parent().is_none_or(|parent| names.contains_key(parent)));
        content.names = content.durable_names.clone();
        content.stop_after = None;
        content.fault = None;
    }

    /// Changes one byte of a file that is there, durably.
    pub fn flip(&self, path: &Path, place: usize) {
        let mut content = self.content();
        let Some(Entry::File(number)) = content.names.get(path).cloned() else { return };
        if let Some(file) = content.files.get_mut(&number) {
            for bytes in [&mut file.cached, &mut file.durable] {
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= 1;
                }
            }
        }
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, what: &str, path: &Path) -> io::Result<MutexGuard<'_, Content>> {
        let mut content = self.content();
        let operation = content.operations;
        if content.stop_after.is_some_and(|stop| operation >= stop) {
            return Err(io::Error::other("stopped"));
        }
        content.operations += 1;
        content.trace.push(format!("{what} {}", path.display()));
        match content.fault {
            Some((fault, kind)) if fault == operation => Err(kind.into()),
            _ => Ok(content),
        }
    }
}

impl Content {
    fn file(&self, path: &Path) -> io::Result<&FileContent> {
        match self.names.get(path) {
            Some(Entry::File(number)) => self.files.get(number).ok_or_else(not_found),
            Some(_) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(not_found()),
        }
    }

    fn require_parent(&self, path: &Path) -> io::Result<()> {
        let parent = path.parent().unwrap_or(path);
        if self.names.get(parent) == Some(&Entry::Directory) { Ok(()) } else { Err(not_found()) }
    }
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk for SimulatedDisk {
    fn read(&self, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
        let bytes = self.content().file(path)?.cached.clone();
        if bytes.len() as u64 > bytes_max { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadAt>> {
        Ok(Box::new(self.content().file(path)?.cached.clone()))
    }

    fn create(&self, path: &Path, _mode: u32) -> io::Result<Box<dyn WriteFile>> {
        let mut content = self.change("create", path)?;
        content.require_parent(path)?;
        let number = content.next_file;
        content.next_file += 1;
        content.files.insert(number, FileContent::default());
        content.names.insert(path.to_owned(), Entry::File(number));
        Ok(Box::new(OpenFile { disk: self.clone(), number, path: path.to_owned() }))
    }

    fn append(&self, path: &Path, mode: u32) -> io::Result<Box<dyn WriteFile>> {
        let found = self.content().names.get(path).cloned();
        match found {
            Some(Entry::File(number)) => Ok(Box::new(OpenFile { disk: self.clone(), number, path: path.to_owned() })),
            _ => self.create(path, mode),
        }
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        if self.content().names.get(path) == Some(&Entry::Directory) {
            return Ok(());
        }
        let mut content = self.change("make folder", path)?;
        content.require_parent(path)?;
        content.names.insert(path.to_owned(), Entry::Directory);
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let content = self.content();
        let below = content.names.keys().filter(|name| name.parent() == Some(path));
        Ok(below.filter_map(|name| Some(name.file_name()?.to_str()?.to_owned())).collect())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if !self.content().names.contains_key(path) {
            return Ok(());
        }
        self.change("remove", path)?.names.remove(path);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut content = self.change("rename to", to)?;
        content.require_parent(to)?;
        let entry = content.names.remove(from).ok_or_else(not_found)?;
        content.names.insert(to.to_owned(), entry);
        Ok(())
    }

    fn link(&self, target: &Path, link: &Path) -> io::Result<()> {
        let mut content = self.change("link", link)?;
        if content.names.contains_key(link) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        content.names.insert(link.to_owned(), Entry::Link(target.to_owned()));
        Ok(())
    }

    fn read_link(&self, link: &Path) -> io::Result<PathBuf> {
        match self.content().names.get(link) {
            Some(Entry::Link(target)) => Ok(target.clone()),
            Some(_) => Err(io::ErrorKind::InvalidInput.into()),
            None => Err(not_found()),
        }
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let mut content = self.change("sync folder", path)?;
        let content = &mut *content;
        content.durable_names.retain(|name, _| name.parent() != Some(path) || content.names.contains_key(name));
        let below: Vec<_> = content.names.iter().filter(|(name, _)| name.parent() == Some(path)).collect();
        content.durable_names.extend(below.into_iter().map(|(name, entry)| (name.clone(), entry.clone())));
        Ok(())
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        Ok(1 << 40)
    }
}

struct OpenFile {
    disk: SimulatedDisk,
    number: u64,
    path: PathBuf,
}

impl Write for OpenFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut content = self.disk.change("write", &self.path)?;
        content.files.entry(self.number).or_default().cached.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl WriteFile for OpenFile {
    fn sync(&mut self) -> io::Result<()> {
        let mut content = self.disk.change("sync", &self.path)?;
        let file = content.files.entry(self.number).or_default();
        file.durable = file.cached.clone();
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn length(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        let rest = self.get(start..).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..length), rest.get(..length)) {
            to.copy_from_slice(from);
        }
        Ok(length)
    }
}

impl Slots {
    /// Writes `bytes` as the program of the free slot and seals it.
    ///
    /// # Errors
    /// As of the steps.
    pub fn fill(&self, bytes: &[u8], version: &str, data_format: u32) -> Result<Slot, ChangeError> {
        let slot = self.clear()?;
        let path = self.program(slot);
        let failed = |source| ChangeError::Disk { action: "write", path: path.clone(), source };
        let mut file = self.create_program(slot)?;
        for chunk in bytes.chunks(4) {
            file.write_all(chunk).map_err(failed)?;
        }
        file.sync().map_err(failed)?;
        let digest = Digest::of(bytes);
        self.seal(slot, &Image { version: version.to_owned(), digest, data_format, security_floor: 0 })?;
        Ok(slot)
    }
}
