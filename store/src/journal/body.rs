//! The sections of a batch: how large they will be, writing them, and taking them apart.

use std::ops::Range;

use super::BODY_BYTES_MAX;
use super::locator::{self, LOCATOR_BYTES};
use super::moved::{self, MovedAt};
use super::operations::{self, OperationAt};
use crate::batch::Operation;

const SECTION_HEADER_BYTES: usize = 5;

const OPERATIONS: u8 = 1;
const MESSAGES: u8 = 2;
const RECORDS: u8 = 3;
const MOVED: u8 = 4;
/// The order in which sections stand in a body. The records come last, so that they need not be copied.
const ORDER: [u8; 4] = [OPERATIONS, MESSAGES, MOVED, RECORDS];

/// Sizes of the sections, known before anything is written. A section without bytes is left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Bytes of the encoded operations.
    pub(crate) operations: usize,
    /// Number of messages in the records.
    pub(crate) messages: usize,
    /// Bytes of the encoded moved messages.
    pub(crate) moved: usize,
    /// Bytes of the records.
    pub(crate) records: usize,
}

/// What a body is made of. The records are written behind it by the caller.
pub(crate) struct Content<'a, O, M> {
    pub(crate) operations: O,
    pub(crate) first_message: u64,
    pub(crate) messages: &'a [Range<u32>],
    pub(crate) moved: M,
    pub(crate) records: &'a [u8],
}

/// A body taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Body<'a> {
    pub(crate) operations: Vec<OperationAt<'a>>,
    /// Where the messages are in `records`.
    pub(crate) messages: Vec<Range<u32>>,
    /// Offset of the first locator in the body.
    pub(crate) locators_at: usize,
    /// The moved messages; their `locator_at` counts from the beginning of the body.
    pub(crate) moved: Vec<MovedAt<'a>>,
    pub(crate) records: &'a [u8],
}

/// Why bytes under a right checksum are no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoBody {
    /// A section that this program does not know.
    UnknownSection(u8),
    /// Something that no program writes.
    Malformed,
}

impl Sizes {
    fn of(&self, tag: u8) -> usize {
        match tag {
            OPERATIONS => self.operations,
            MESSAGES => self.messages * LOCATOR_BYTES,
            MOVED => self.moved,
            _ => self.records,
        }
    }

    fn with_header(&self, tag: u8) -> usize {
        let bytes = self.of(tag);
        if bytes == 0 { 0 } else { SECTION_HEADER_BYTES + bytes }
    }

    /// Bytes of the whole body, or `None` if it is too large.
    pub(crate) fn body(&self) -> Option<usize> {
        let bytes: usize = ORDER.iter().map(|tag| self.with_header(*tag)).sum();
        (bytes as u64 <= BODY_BYTES_MAX).then_some(bytes)
    }

    /// Offset of the first locator in the body.
    pub(crate) fn locators_at(&self) -> usize {
        self.with_header(OPERATIONS) + SECTION_HEADER_BYTES
    }

    /// Offset of the moved section's content in the body.
    pub(crate) fn moved_at(&self) -> usize {
        self.with_header(OPERATIONS) + self.with_header(MESSAGES) + SECTION_HEADER_BYTES
    }

    /// Bytes between the end of the table of messages and the first byte of the records.
    fn gap(&self) -> u32 {
        (self.with_header(MOVED) + SECTION_HEADER_BYTES) as u32
    }
}

impl<'a, O: Iterator<Item = &'a Operation>, M: Iterator<Item = (u64, &'a [u8])>> Content<'a, O, M> {
    /// Appends everything but the bytes of the records, which are the body's last.
    pub(crate) fn encode(self, sizes: Sizes, out: &mut Vec<u8>) {
        if sizes.operations > 0 {
            section(OPERATIONS, sizes.operations, out);
            self.operations.for_each(|operation| operations::encode(operation, out));
        }
        if sizes.messages > 0 {
            section(MESSAGES, sizes.of(MESSAGES), out);
            locator::encode_table(self.first_message, self.messages, self.records, sizes.gap(), out);
        }
        if sizes.moved > 0 {
            section(MOVED, sizes.moved, out);
            self.moved.for_each(|(number, message)| moved::encode(number, message, out));
        }
        if sizes.records > 0 {
            section(RECORDS, sizes.records, out);
        }
    }
}

fn section(tag: u8, bytes: usize, out: &mut Vec<u8>) {
    out.push(tag);
    out.extend_from_slice(&(bytes as u32).to_le_bytes());
}

/// Takes a body apart.
pub(crate) fn decode(body: &[u8]) -> Result<Body<'_>, NoBody> {
    let mut sections: [(usize, &[u8]); 4] = Default::default();
    let mut next = 0;
    let mut at = 0;
    while at < body.len() {
        let tag = body[at];
        let place = ORDER.iter().position(|known| *known == tag).ok_or(NoBody::UnknownSection(tag))?;
        let length = body.get(at + 1..at + SECTION_HEADER_BYTES).and_then(|bytes| bytes.try_into().ok());
        let length = u32::from_le_bytes(length.ok_or(NoBody::Malformed)?) as usize;
        let start = at + SECTION_HEADER_BYTES;
        let bytes = body.get(start..start.saturating_add(length)).ok_or(NoBody::Malformed)?;
        if place < next || bytes.is_empty() {
            return Err(NoBody::Malformed);
        }
        sections[place] = (start, bytes);
        next = place + 1;
        at = start + length;
    }
    let [(_, operations), (locators_at, table), (moved_at, moved), (_, records)] = sections;
    let sizes = Sizes { moved: moved.len(), ..Sizes::default() };
    let parts = || {
        let mut moved = moved::decode(moved)?;
        moved.iter_mut().for_each(|moved| moved.locator_at += moved_at);
        let messages = locator::decode_table(table, sizes.gap(), records.len() as u64)?;
        Some(Body { operations: operations::decode(operations)?, messages, locators_at, moved, records })
    };
    parts().ok_or(NoBody::Malformed)
}

#[cfg(test)]
mod tests;
