//! What a big file has to be, and whether it is.

use std::fmt;
use std::io;

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::disk::ReadAt;

/// Bytes read at once.
const CHUNK_BYTES: usize = 64 << 10;

/// Length and SHA-256 of a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest {
    /// Bytes.
    pub length: u64,
    /// SHA-256 of them.
    pub sha256: [u8; 32],
}

impl Digest {
    /// That of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self { length: bytes.len() as u64, sha256: Sha256::digest(bytes).into() }
    }

    /// The hash in 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        self.sha256.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Reads 64 hexadecimal digits, lower case.
    pub fn from_hex(length: u64, hex: &str) -> Option<Self> {
        let digits = hex.as_bytes();
        if digits.len() != 64 || !digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        let mut sha256 = [0; 32];
        for (byte, pair) in sha256.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self { length, sha256 })
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes, sha256 {}", self.length, self.hex())
    }
}

/// Why a file is not what it has to be.
#[derive(Debug, Error)]
pub enum HashError {
    /// The disk.
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    /// Cut short or grown.
    #[error("it has {found} bytes instead of {wanted}")]
    Length {
        /// Bytes there are.
        found: u64,
        /// Bytes there have to be.
        wanted: u64,
    },
    /// Changed.
    #[error("its sha256 is {found} instead of {wanted}")]
    Content {
        /// The hash of what is there.
        found: String,
        /// The hash that it has to have.
        wanted: String,
    },
}

/// Length and hash of a whole file, in bounded memory.
///
/// # Errors
/// It cannot be read.
pub fn digest_of(file: &dyn ReadAt) -> io::Result<Digest> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut length = 0_u64;
    loop {
        let read = file.read_at(&mut buffer, length)?;
        hash.update(buffer.get(..read).unwrap_or_default());
        length += read as u64;
        if read < buffer.len() {
            return Ok(Digest { length, sha256: hash.finalize().into() });
        }
    }
}

/// Whether `file` is what it has to be. Nothing is hashed when the length says no.
pub(crate) fn expect(file: &dyn ReadAt, wanted: Digest) -> Result<(), HashError> {
    let found = file.length().map_err(HashError::Read)?;
    if found != wanted.length {
        return Err(HashError::Length { found, wanted: wanted.length });
    }
    let found = digest_of(file).map_err(HashError::Read)?;
    if found != wanted {
        return Err(HashError::Content { found: found.hex(), wanted: wanted.hex() });
    }
    Ok(())
}
