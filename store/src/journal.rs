//! The bytes of the journal: what a segment and a batch look like, written and read by pure functions.
//!
//! ```text
//! segment = header batch*                              file NNNNNNNNNNNNNNNN.journal, the number in hexadecimal
//! header  = "SELVJRNL" version:u32 segment:u64 first_sequence:u64 state_sequence:u64 crc32:u32
//! batch   = body_len:u32 crc32:u32 sequence:u64 wall_ms:u64 first_message:u64 durable:u64 body
//! body    = section*                                   each tag at most once, in this order:
//! section = 1 len:u32 operation*                       changes of the state
//!         | 2 len:u32 locator*                         the messages inside the records, from number first_message on
//!         | 4 len:u32 moved*                           messages of segments that are going to be removed
//!         | 3 len:u32 bytes                            the owner's records, opaque
//! operation = key_len:u16 value_len:u32 tree_key value        value_len 0xffffffff: a delete, without value
//! locator   = distance:u32 length:u32 crc32:u32        distance from here to the first byte of the message
//! moved     = number:u64 locator bytes
//! ```
//! Numbers are little endian. A batch's checksum covers the segment's number and everything else of the batch, a
//! message's covers its number, length and bytes, so that one message can be read without its batch. Sequence numbers
//! rise by one from batch to batch, over segments too. `durable` is the last sequence number that was durable when
//! the batch was written: it tells a torn tail (nothing behind it counted on it) from damage. `first_message` of
//! a batch without messages is the next number to give, so that numbers are never given twice.
//! `state_sequence` is the last batch before the segment that had state operations.
//!
//! Invariant: nothing here panics on any bytes, and nothing is returned whose checksum was not right. An unknown tag
//! under a right checksum is a newer program's and is refused, never skipped.

pub(crate) mod batch_header;
pub(crate) mod body;
pub(crate) mod file_name;
pub(crate) mod locator;
pub(crate) mod moved;
pub(crate) mod operations;
pub(crate) mod segment_header;

/// The version in segment headers that this program reads and writes.
pub(crate) const JOURNAL_VERSION: u32 = 1;

/// Most bytes in the body of one batch: 1 GiB, so that every offset in a segment fits into 32 bits.
pub(crate) const BODY_BYTES_MAX: u64 = 1 << 30;
