//! What updates ask of a disk, behind traits, so that a test can stop, fill or cut off each single operation.
//! Not a file system abstraction: small whole files, one big file at a time, names, links and what makes them durable.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// The disk. [`LocalDisk`] is the real one.
pub trait Disk: Send + Sync {
    /// Reads a small file whole.
    ///
    /// # Errors
    /// It is not there, cannot be read, or has more than `bytes_max` bytes ([`io::ErrorKind::FileTooLarge`]).
    fn read(&self, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>>;
    /// Opens a file for reading at any place.
    ///
    /// # Errors
    /// It is not there or cannot be read.
    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadAt>>;
    /// Makes an empty file with permission bits `mode`, in place of what has that name.
    ///
    /// # Errors
    /// The system refused.
    fn create(&self, path: &Path, mode: u32) -> io::Result<Box<dyn WriteFile>>;
    /// Opens a file to write behind its end, making it with permission bits `mode` if it is not there.
    ///
    /// # Errors
    /// The system refused.
    fn append(&self, path: &Path, mode: u32) -> io::Result<Box<dyn WriteFile>>;
    /// Makes a directory for its owner unless it is there; the one above it must be.
    ///
    /// # Errors
    /// The system refused.
    fn create_directory(&self, path: &Path) -> io::Result<()>;
    /// Names in a directory, in any order. Names that are no UTF-8 are left out.
    ///
    /// # Errors
    /// It is not there or cannot be read.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Removes a file or link; one that is not there is removed already.
    ///
    /// # Errors
    /// The system refused.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Gives `from` the name `to`, in place of what has it.
    ///
    /// # Errors
    /// The system refused.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes a symbolic link.
    ///
    /// # Errors
    /// The system refused, or something has that name.
    fn link(&self, target: &Path, link: &Path) -> io::Result<()>;
    /// Where a symbolic link points, as it is written.
    ///
    /// # Errors
    /// It is not there or no link.
    fn read_link(&self, link: &Path) -> io::Result<PathBuf>;
    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// The system refused: what is durable is not known.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
    /// Bytes that may still be written on the file system of `path`.
    ///
    /// # Errors
    /// The system refused.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
}

/// A file that is read at places of the reader's choice.
pub trait ReadAt: Send {
    /// Its length. Bytes.
    ///
    /// # Errors
    /// The system refused.
    fn length(&self) -> io::Result<u64>;
    /// Reads at `offset`; fewer bytes than asked for only at the end.
    ///
    /// # Errors
    /// The system refused.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

/// A file that is being written from its end on.
pub trait WriteFile: Write + Send {
    /// Makes content and length durable (fsync).
    ///
    /// # Errors
    /// The system refused: what is durable is not known.
    fn sync(&mut self) -> io::Result<()>;
}

/// The operating system's file systems.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalDisk;

impl Disk for LocalDisk {
    fn read(&self, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > bytes_max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(bytes)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadAt>> {
        Ok(Box::new(File::open(path)?))
    }

    fn create(&self, path: &Path, mode: u32) -> io::Result<Box<dyn WriteFile>> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
        // The process' umask and a file that was there do not decide.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        Ok(Box::new(file))
    }

    fn append(&self, path: &Path, mode: u32) -> io::Result<Box<dyn WriteFile>> {
        Ok(Box::new(OpenOptions::new().append(true).create(true).mode(mode).open(path)?))
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            result => result,
        }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, target: &Path, link: &Path) -> io::Result<()> {
        symlink(target, link)
    }

    fn read_link(&self, link: &Path) -> io::Result<PathBuf> {
        fs::read_link(link)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

impl ReadAt for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match FileExt::read_at(self, rest, offset.saturating_add(done as u64)) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }
}

impl WriteFile for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}
