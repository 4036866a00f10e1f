//! Where metadata and payloads are read from: a folder, a bundle (one file), or a web server. All three have the layout of a TUF
//! repository: `metadata/N.root.json`, `metadata/timestamp.json`, `targets/SHA256.NAME`.
//!
//! A source is not believed: what it gives is bounded here and judged by whoever asked for it.

pub mod bundle;
pub mod folder;
mod pace;
pub mod web;

use std::io::{self, Read};

use thiserror::Error;

pub use pace::PaceError;

/// Something that has the files of a repository.
pub trait Source {
    /// Opens the file at `path`, relative to the repository, from byte `from` on if it can, with room for `bytes_max` bytes in all.
    /// `None`: there is no such file.
    ///
    /// # Errors
    /// The source cannot be reached or read.
    fn open(&mut self, path: &str, from: u64, bytes_max: u64) -> Result<Option<Opened<'_>>, FetchError>;
    /// What people call it.
    fn name(&self) -> String;
}

/// A file of a source.
pub struct Opened<'s> {
    /// Its bytes from `starts_at` on.
    pub reader: Box<dyn Read + 's>,
    /// Where that is: what was asked for, or 0 where the source cannot start in the middle.
    pub starts_at: u64,
}

/// Why a file did not come.
#[derive(Debug, Error)]
pub enum FetchError {
    /// Reading it failed.
    #[error("read {path} of {source_name}")]
    Read {
        /// The source.
        source_name: String,
        /// The file.
        path: String,
        /// Cause.
        source: io::Error,
    },
    /// The web server.
    #[error("fetch {url}")]
    Web {
        /// The address.
        url: String,
        /// Cause.
        source: Box<ureq::Error>,
    },
    /// It has more bytes than it may have.
    #[error("{path} of {source_name} has more than the {bytes_max} bytes that it may have")]
    TooBig {
        /// The source.
        source_name: String,
        /// The file.
        path: String,
        /// What it may have.
        bytes_max: u64,
    },
    /// It is not there, and has to be.
    #[error("{path} is not in {source_name}")]
    Missing {
        /// The source.
        source_name: String,
        /// The file.
        path: String,
    },
}

/// Reads a small file whole; `None`: there is no such file.
///
/// # Errors
/// It has more than `bytes_max` bytes, or did not come.
pub fn fetch_small(source: &mut dyn Source, path: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, FetchError> {
    let source_name = source.name();
    let Some(opened) = source.open(path, 0, bytes_max)? else { return Ok(None) };
    let mut bytes = Vec::new();
    let read = opened.reader.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes);
    let path = path.to_owned();
    match read {
        Err(source) => Err(FetchError::Read { source_name, path, source }),
        Ok(_) if bytes.len() as u64 > bytes_max => Err(FetchError::TooBig { source_name, path, bytes_max }),
        Ok(_) => Ok(Some(bytes)),
    }
}
