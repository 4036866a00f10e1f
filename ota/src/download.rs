//! Fetching a payload to `staging/SHA256`: goes on where it stopped, never beyond what was signed, and good only when length and hash are.
//!
//! What is there already after a stop is hashed again, not believed.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use selvedge_ota_metadata::{Content, TargetPath};
use selvedge_ota_slots::{Disk, ReadAt};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::content::hex;
use crate::host::Event;
use crate::source::{FetchError, Source};

/// Bytes written at once.
const CHUNK_BYTES: usize = 64 << 10;
/// Room that is left to others on the disk, bytes.
const ROOM_LEFT_BYTES: u64 = 4 << 20;

/// Why a payload is not here.
#[derive(Debug, Error)]
pub enum DownloadError {
    /// The source.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The connection.
    #[error("{path} of {source_name} stopped coming after {done} of {total} bytes")]
    Interrupted {
        /// The source.
        source_name: String,
        /// The payload.
        path: String,
        /// Bytes that are here.
        done: u64,
        /// Bytes in all.
        total: u64,
        /// Cause.
        source: io::Error,
    },
    /// The disk.
    #[error("{action} {path}", path = path.display())]
    Disk {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The disk is too small now.
    #[error("{needed} bytes are needed beside {folder} and {free} are free: make room", folder = folder.display())]
    NoRoom {
        /// Where.
        folder: PathBuf,
        /// Bytes.
        needed: u64,
        /// Bytes.
        free: u64,
    },
    /// Something else came.
    #[error("{path} of {source_name} is not what was signed: {cause}")]
    NotSigned {
        /// The source.
        source_name: String,
        /// The payload.
        path: String,
        /// How it differs.
        cause: String,
    },
}

/// The folder of downloads.
pub(crate) struct Staging<'d> {
    pub(crate) disk: &'d dyn Disk,
    pub(crate) folder: PathBuf,
}

impl Staging<'_> {
    pub(crate) fn path(&self, payload: Content) -> PathBuf {
        self.folder.join(hex(&payload.sha256))
    }

    /// Looks for room for `bytes` more.
    pub(crate) fn require_room(&self, bytes: u64) -> Result<(), DownloadError> {
        let free = self.disk.free_bytes(&self.folder).map_err(at("look for room beside", &self.folder))?;
        let needed = bytes.saturating_add(ROOM_LEFT_BYTES);
        if free >= needed { Ok(()) } else { Err(DownloadError::NoRoom { folder: self.folder.clone(), needed, free }) }
    }

    /// Removes what is not `keep`.
    pub(crate) fn sweep(&self, keep: &[PathBuf]) -> io::Result<()> {
        for name in self.disk.list(&self.folder)? {
            let path = self.folder.join(name);
            if !keep.contains(&path) {
                self.disk.remove(&path)?;
            }
        }
        Ok(())
    }

    /// Fetches `payload`, signed as `at` of the repository, and gives where it is.
    pub(crate) fn fetch(
        &self,
        source: &mut dyn Source,
        target: &TargetPath,
        payload: Content,
        events: &mut dyn FnMut(Event),
    ) -> Result<PathBuf, DownloadError> {
        let (hash, done) = self.take_up(&self.path(payload), payload)?;
        match self.fetch_from((hash, done), source, target, payload, events) {
            // What an earlier run left may be no part of it: a power cut takes pages and keeps the length.
            Err(DownloadError::NotSigned { .. }) if done > 0 => {
                self.fetch_from((Sha256::new(), 0), source, target, payload, events)
            }
            fetched => fetched,
        }
    }

    fn fetch_from(
        &self,
        (mut hash, mut done): (Sha256, u64),
        source: &mut dyn Source,
        target: &TargetPath,
        payload: Content,
        events: &mut dyn FnMut(Event),
    ) -> Result<PathBuf, DownloadError> {
        let path = self.path(payload);
        self.require_room(payload.length.saturating_sub(done))?;
        if done < payload.length {
            let remote = format!("targets/{}", target.hashed_path(&payload.sha256));
            let source_name = source.name();
            let opened = source
                .open(&remote, done, payload.length)?
                .ok_or_else(|| FetchError::Missing { source_name: source_name.clone(), path: remote.clone() })?;
            let mut file = if opened.starts_at == done && done > 0 {
                self.disk.append(&path, 0o600)
            } else {
                (hash, done) = (Sha256::new(), 0);
                self.disk.create(&path, 0o600)
            }
            .map_err(at("write", &path))?;
            // One byte more than was signed tells that there is more.
            let mut reader = opened.reader.take(payload.length - done + 1);
            let mut buffer = vec![0; CHUNK_BYTES];
            loop {
                let read = match reader.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(read) => read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(source) => {
                        // What came is kept for the next time.
                        file.sync().map_err(at("make durable", &path))?;
                        let total = payload.length;
                        return Err(DownloadError::Interrupted { source_name, path: remote, done, total, source });
                    }
                };
                let bytes = buffer.get(..read).unwrap_or_default();
                if done + read as u64 > payload.length {
                    drop(file);
                    self.disk.remove(&path).map_err(at("remove", &path))?;
                    let cause = format!("it has more than {} bytes", payload.length);
                    return Err(DownloadError::NotSigned { source_name, path: remote, cause });
                }
                file.write_all(bytes).map_err(at("write", &path))?;
                hash.update(bytes);
                done += read as u64;
                events(Event::Download { path: target.to_string(), done, total: payload.length });
            }
            file.sync().map_err(at("make durable", &path))?;
            if done < payload.length {
                let source = io::ErrorKind::UnexpectedEof.into();
                let total = payload.length;
                return Err(DownloadError::Interrupted { source_name, path: remote, done, total, source });
            }
        }
        let found = Content { length: done, sha256: hash.finalize().into() };
        if found != payload {
            self.disk.remove(&path).map_err(at("remove", &path))?;
            let cause = format!("its sha256 is {} instead of {}", hex(&found.sha256), hex(&payload.sha256));
            let (source_name, path) = (source.name(), target.to_string());
            return Err(DownloadError::NotSigned { source_name, path, cause });
        }
        Ok(path)
    }

    /// What is there from an earlier time: its hash so far and its length.
    fn take_up(&self, path: &Path, payload: Content) -> Result<(Sha256, u64), DownloadError> {
        let fresh = (Sha256::new(), 0);
        let file = match self.disk.open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(fresh),
            Err(source) => return Err(at("read", path)(source)),
        };
        let length = file.length().map_err(at("read", path))?;
        if length > payload.length {
            self.disk.remove(path).map_err(at("remove", path))?;
            return Ok(fresh);
        }
        let hash = hash_of(&*file, length).map_err(at("read", path))?;
        if length == payload.length && hash.clone().finalize().as_slice() != payload.sha256 {
            self.disk.remove(path).map_err(at("remove", path))?;
            return Ok(fresh);
        }
        Ok((hash, length))
    }
}

fn hash_of(file: &dyn ReadAt, length: u64) -> io::Result<Sha256> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut done = 0;
    while done < length {
        let read = file.read_at(&mut buffer, done)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        hash.update(buffer.get(..read).unwrap_or_default());
        done += read as u64;
    }
    Ok(hash)
}

pub(crate) fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DownloadError {
    let path = path.to_owned();
    move |source| DownloadError::Disk { action, path, source }
}
