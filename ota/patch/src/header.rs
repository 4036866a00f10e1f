//! The head of a payload, of fixed size and version 1. All numbers are little endian.
//!
//! ```text
//! payload  = header stream
//! header   = magic version:u16 kind:u8 window_log:u8 base:digest result:digest stream_bytes:u64 checksum      108 bytes
//! magic    = "SELVPAY" 0x0a                       8 bytes
//! kind     = 0 full | 1 patch
//! digest   = length:u64 sha256:32                 all zero for the base of a full payload
//! checksum = the first 8 bytes of the SHA-256 of all before it
//! stream   = one zstd frame, that inflates to stream_bytes and needs a window of at most 2^window_log bytes
//! ```
//! The checksum finds damage early and has no part in security: every field that decides what is written is compared with
//! signed metadata too. Changing any of this needs a new version, which older programs refuse by name.
//!
//! Invariant: a [`Header`] that was read has a stream length that a stream for its result can have.

pub(crate) mod expected;

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::digest::Digest;
use crate::instruction::INSTRUCTION_BYTES;

/// Bytes of a header.
pub const HEADER_BYTES: usize = 108;

/// Largest window of the stream that is read or made, as log2 of bytes: 8 MiB.
pub const WINDOW_LOG_MAX: u8 = 23;

/// Smallest window that zstd has, as log2 of bytes.
pub const WINDOW_LOG_MIN: u8 = 10;

const MAGIC: [u8; 8] = *b"SELVPAY\n";
const VERSION: u16 = 1;

/// What the stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The new image itself.
    Full,
    /// Instructions that make the new image from a base.
    Patch,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Self::Full => 0,
            Self::Patch => 1,
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Full => "full",
            Self::Patch => "patch",
        })
    }
}

/// What a payload says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the stream is.
    pub kind: Kind,
    /// log2 of the window that the stream needs, in bytes.
    pub window_log: u8,
    /// What a patch is applied to; `None` exactly for [`Kind::Full`].
    pub base: Option<Digest>,
    /// What comes out.
    pub result: Digest,
    /// Length of the inflated stream, in bytes.
    pub stream_bytes: u64,
}

/// Why a header is refused by itself.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum HeaderError {
    /// Other bytes at the start.
    #[error("this is no Selvedge payload: it starts with other bytes")]
    Magic,
    /// A later format.
    #[error(
        "the payload has format {0} and this program reads format {VERSION}; update in steps, or deliver the full image"
    )]
    Version(u16),
    /// The header is damaged.
    #[error("the checksum of the payload's header is wrong; download it again")]
    Checksum,
    /// A kind that version 1 does not have.
    #[error("the payload's kind {0} is neither full (0) nor patch (1)")]
    Kind(u8),
    /// A window that the decoder does not make.
    #[error("the payload's window 2^{0} is outside of 2^{WINDOW_LOG_MIN} to 2^{WINDOW_LOG_MAX} bytes")]
    Window(u8),
    /// A full payload with a base, or a patch without.
    #[error("a full payload has no base and a patch has one; the payload's header says otherwise")]
    Base,
    /// No stream of that length makes the result.
    #[error("a stream of {stream_bytes} bytes cannot make {result_bytes} bytes")]
    StreamLength {
        /// Declared length of the stream.
        stream_bytes: u64,
        /// Declared length of the result.
        result_bytes: u64,
    },
}

impl Header {
    /// The bytes that [`Self::decode`] reads. Does not check what it is given.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let base = self.base.unwrap_or(Digest::ABSENT);
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[self.kind.code(), self.window_log]);
        for digest in [base, self.result] {
            bytes.extend_from_slice(&digest.length.to_le_bytes());
            bytes.extend_from_slice(&digest.sha256);
        }
        bytes.extend_from_slice(&self.stream_bytes.to_le_bytes());
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum);
        let mut header = [0; HEADER_BYTES];
        header.copy_from_slice(&bytes);
        header
    }

    /// Reads a header.
    ///
    /// # Errors
    /// The first of: magic, version, checksum, and then each field, that is not as the format says.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, HeaderError> {
        let mut fields = Fields(bytes);
        if fields.take() != MAGIC {
            return Err(HeaderError::Magic);
        }
        let version = u16::from_le_bytes(fields.take());
        if version != VERSION {
            return Err(HeaderError::Version(version));
        }
        let [kind, window_log] = fields.take();
        let (base, result) = (fields.digest(), fields.digest());
        let stream_bytes = u64::from_le_bytes(fields.take());
        if fields.take() != checksum(&bytes[..HEADER_BYTES - CHECKSUM_BYTES]) {
            return Err(HeaderError::Checksum);
        }
        let (kind, base) = match (kind, base == Digest::ABSENT) {
            (0, true) => (Kind::Full, None),
            (1, false) => (Kind::Patch, Some(base)),
            (0 | 1, _) => return Err(HeaderError::Base),
            (kind, _) => return Err(HeaderError::Kind(kind)),
        };
        if !(WINDOW_LOG_MIN..=WINDOW_LOG_MAX).contains(&window_log) {
            return Err(HeaderError::Window(window_log));
        }
        if !stream_bytes_of(kind, result.length).contains(&u128::from(stream_bytes)) {
            return Err(HeaderError::StreamLength { stream_bytes, result_bytes: result.length });
        }
        Ok(Self { kind, window_log, base, result, stream_bytes })
    }
}

const CHECKSUM_BYTES: usize = 8;

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let whole: [u8; 32] = Sha256::digest(bytes).into();
    Fields(&whole).take()
}

/// Lengths that a stream can have. One instruction may write nothing, every other writes at least a byte.
fn stream_bytes_of(kind: Kind, result_bytes: u64) -> std::ops::RangeInclusive<u128> {
    let result = u128::from(result_bytes);
    let instruction = INSTRUCTION_BYTES as u128;
    match kind {
        Kind::Full => result..=result,
        Kind::Patch => result + instruction * result.min(1)..=result + instruction * (result + 1),
    }
}

/// Fields taken one after the other; zeros past the end, which the constant sizes above never reach.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let Some((field, rest)) = self.0.split_first_chunk::<N>() else { return [0; N] };
        self.0 = rest;
        *field
    }

    fn digest(&mut self) -> Digest {
        Digest { length: u64::from_le_bytes(self.take()), sha256: self.take() }
    }
}

#[cfg(test)]
mod tests;
