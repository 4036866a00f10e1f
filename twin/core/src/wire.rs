//! Bytes between nodes and in signatures: a compact binary form, the same wherever it is made. Numbers are LEB128 without
//! superfluous bytes, times eight bytes little-endian, texts have their length before them.
//!
//! ```text
//! vector  = count (origin seq)...            origin = node:u64le incarnation      dot = origin seq
//! key     = thing section:u8 path part       part   = 0 | 1 element | 2 element | 3 origin
//! event   = dot time:u64le policy vector body
//! body    = 0 json | 1 | 2 | 3 total base | 4 base       base = at total         total = zigzag
//! ```
//!
//! Not here: what may be believed. Invariant: reading never panics, allocates no more than a multiple of the bytes that
//! it is given, and takes nothing that writing would not have written.

mod reader;
mod writer;

use thiserror::Error;

pub use self::reader::Reader;
pub use self::writer::{
    put_body, put_bytes, put_cell_key, put_dot, put_event, put_number, put_origin, put_part, put_signed, put_time,
    put_vector,
};

/// Longest text of one value, in bytes: what a section may hold.
pub const VALUE_BYTES_MAX: usize = 40 * 1024;

/// Most origins in a vector.
pub const ORIGINS_MAX: usize = 1_024;

/// Why bytes are not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// They end too early.
    #[error("the bytes end in the middle")]
    Short,
    /// Something comes after the end.
    #[error("there are bytes after the end")]
    Long,
    /// A number, tag or order that cannot be.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// Something is larger than allowed.
    #[error("{0} is larger than allowed")]
    TooLarge(&'static str),
}

#[cfg(test)]
pub(crate) mod tests;
