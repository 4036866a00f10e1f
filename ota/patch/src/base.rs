//! The image that a patch is applied to: read at positions, and checked as a whole before it is used.
//!
//! Invariant: whoever holds a [`CheckedBase`] has read all of the base since it was opened, and its hash was the wanted one.

use std::fs::File;
use std::io::{self, ErrorKind};

use thiserror::Error;

use crate::digest::{Digest, RunningDigest};
use crate::progress::{Progress, Reporter, Stage};

/// Bytes of the base that are read at once.
pub(crate) const BASE_CHUNK_BYTES: usize = 64 * 1024;

/// Something that can be read at any position, such as an open file. Must not change while it is used.
pub trait BaseImage {
    /// Its length, in bytes.
    ///
    /// # Errors
    /// If it cannot be found out.
    fn length(&self) -> io::Result<u64>;

    /// Reads bytes at `offset` into `buffer` and says how many; 0 only at the end or for an empty buffer.
    ///
    /// # Errors
    /// If reading fails.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl BaseImage for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, buffer, offset)
    }
}

impl BaseImage for &[u8] {
    fn length(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)).unwrap_or_default();
        let bytes = rest.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&rest[..bytes]);
        Ok(bytes)
    }
}

/// Why a base is not used.
#[derive(Debug, Error)]
pub enum CheckBaseError {
    /// It could not be read.
    #[error("cannot read the base at byte {offset}")]
    Read {
        /// Where.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// It has another length.
    #[error(
        "this is another base: it has {found} bytes and the patch is for one of {wanted} bytes; deliver the full image"
    )]
    Length {
        /// Its length.
        found: u64,
        /// The length in the metadata.
        wanted: u64,
    },
    /// It has the length, and another hash.
    #[error(
        "this is another base, or it is damaged: it has {found} and the patch is for {wanted}; deliver the full image"
    )]
    Hash {
        /// What it has.
        found: Digest,
        /// What the metadata says.
        wanted: Digest,
    },
}

/// A base of which length and hash were checked.
pub struct CheckedBase<'a> {
    image: &'a dyn BaseImage,
    digest: Digest,
}

impl<'a> CheckedBase<'a> {
    /// Reads all of `image` and compares it with `wanted`, in constant memory. Worth doing before a patch is downloaded.
    ///
    /// # Errors
    /// If it cannot be read or is another one. Another length is found without reading.
    pub fn check(
        image: &'a dyn BaseImage,
        wanted: &Digest,
        report: &mut dyn FnMut(Progress),
    ) -> Result<Self, CheckBaseError> {
        let found = image.length().map_err(|source| CheckBaseError::Read { offset: 0, source })?;
        if found != wanted.length {
            return Err(CheckBaseError::Length { found, wanted: wanted.length });
        }
        let mut reporter = Reporter::start(report, Stage::CheckBase, found);
        let mut buffer = vec![0; BASE_CHUNK_BYTES];
        let mut sum = RunningDigest::default();
        while sum.length() < found {
            let offset = sum.length();
            let rest = found - offset;
            let chunk = usize::try_from(rest).unwrap_or(usize::MAX).min(BASE_CHUNK_BYTES);
            let chunk = &mut buffer[..chunk];
            read_exact_at(image, chunk, offset).map_err(|source| CheckBaseError::Read { offset, source })?;
            sum.add(chunk);
            reporter.add(chunk.len() as u64);
        }
        let found = sum.finish();
        if found != *wanted {
            return Err(CheckBaseError::Hash { found, wanted: *wanted });
        }
        reporter.finish();
        Ok(Self { image, digest: found })
    }

    /// Of bytes whose digest the caller has just made.
    pub(crate) fn of_known(image: &'a dyn BaseImage, digest: Digest) -> Self {
        Self { image, digest }
    }

    /// What was checked.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    pub(crate) fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        read_exact_at(self.image, buffer, offset)
    }
}

fn read_exact_at(image: &dyn BaseImage, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match image.read_at(rest, offset.saturating_add(filled as u64)) {
            Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "the base became shorter while it was read")),
            Ok(bytes) => filled += bytes,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
