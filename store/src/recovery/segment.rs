//! The batches of one segment, one after the other, as long as they are what was written.

use std::path::{Path, PathBuf};

use crate::journal::batch_header::{BATCH_HEADER_BYTES, BatchHeader, Broken};
use crate::journal::body::{self, Body, NoBody};
use crate::journal::segment_header::{Read, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::open::OpenError;

/// Where the readable part of a segment ends before its bytes do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Break {
    /// 0: nothing of it can be read.
    pub(super) offset: u64,
    pub(super) cause: &'static str,
}

/// A batch that is what was written.
pub(super) struct Whole<'a> {
    pub(super) header: BatchHeader,
    pub(super) body: Body<'a>,
    /// Where it begins in the segment.
    pub(super) offset: u64,
    /// Bytes of all of it.
    pub(super) bytes: u64,
}

pub(super) struct SegmentReader<'a> {
    segment: u64,
    bytes: &'a [u8],
    path: PathBuf,
    header: Option<SegmentHeader>,
    /// The sequence number of the next batch, if that is known.
    expected: Option<u64>,
    offset: u64,
    broken: Option<Break>,
}

impl<'a> SegmentReader<'a> {
    /// `expected` is the sequence number after the segment before it, if there is one. `Err`: a newer program wrote it.
    pub(super) fn new(segment: u64, bytes: &'a [u8], expected: Option<u64>, path: &Path) -> Result<Self, OpenError> {
        let mut reader = Self {
            segment,
            bytes,
            path: path.to_path_buf(),
            header: None,
            expected,
            offset: SEGMENT_HEADER_BYTES,
            broken: None,
        };
        match SegmentHeader::decode(segment, bytes) {
            Read::Newer(found) => return Err(OpenError::JournalNewer { path: path.to_path_buf(), found }),
            Read::Header(header) => {
                if expected.is_some_and(|expected| expected != header.first_sequence) {
                    reader.broken = Some(Break { offset: 0, cause: "a segment does not follow the one before it" });
                }
                reader.expected = Some(header.first_sequence).filter(|_| expected.is_none()).or(expected);
                reader.header = Some(header);
            }
            Read::Broken => {
                // The batches say everything that the header does.
                match reader.decode() {
                    Ok((batch, _)) if expected.is_none_or(|expected| expected == batch.sequence) => {
                        reader.expected = Some(batch.sequence);
                    }
                    _ => reader.broken = Some(Break { offset: 0, cause: "a segment without a header" }),
                }
            }
        }
        Ok(reader)
    }

    /// The next batch. `None`: the end, or the break. `first_message` is the lowest number that it may name as its first.
    pub(super) fn next(&mut self, first_message: u64) -> Result<Option<Whole<'a>>, OpenError> {
        if self.broken.is_some() {
            return Ok(None);
        }
        if self.offset >= self.bytes.len() as u64 {
            if self.offset <= SEGMENT_HEADER_BYTES {
                self.broken = Some(Break { offset: 0, cause: "a segment without a batch" });
            }
            return Ok(None);
        }
        let (header, body_bytes) = match self.decode() {
            Ok(decoded) => decoded,
            Err(broken) => return Ok(self.break_off(words(broken))),
        };
        if self.expected.is_some_and(|expected| expected != header.sequence) {
            return Ok(self.break_off("a batch does not follow the one before it"));
        }
        let body = match body::decode(body_bytes) {
            Ok(body) if header.first_message >= first_message => body,
            Err(NoBody::UnknownSection(tag)) => {
                return Err(OpenError::JournalUnknown { path: self.path.clone(), offset: self.offset, tag });
            }
            Ok(_) => return Ok(self.break_off("a batch gives message numbers twice")),
            Err(NoBody::Malformed) => return Ok(self.break_off("a batch that makes no sense")),
        };
        let bytes = BATCH_HEADER_BYTES + body_bytes.len() as u64;
        let whole = Whole { header, body, offset: self.offset, bytes };
        self.offset += bytes;
        self.expected = Some(header.sequence + 1);
        Ok(Some(whole))
    }

    /// The sequence number after the last batch.
    pub(super) fn expected(&self) -> u64 {
        self.expected.unwrap_or(1)
    }

    /// The last batch before the segment that had state operations, as far as can be told.
    pub(super) fn state_sequence(&self) -> u64 {
        self.header.map_or(self.expected().saturating_sub(1), |header| header.state_sequence)
    }

    pub(super) fn header_is_damaged(&self) -> bool {
        self.header.is_none()
    }

    pub(super) fn broken(&self) -> Option<Break> {
        self.broken
    }

    fn decode(&self) -> Result<(BatchHeader, &'a [u8]), Broken> {
        let bytes: &'a [u8] = self.bytes;
        BatchHeader::decode(self.segment, bytes.get(self.offset as usize..).ok_or(Broken::Short)?)
    }

    fn break_off<T>(&mut self, cause: &'static str) -> Option<T> {
        self.broken = Some(Break { offset: self.offset, cause });
        None
    }
}

fn words(broken: Broken) -> &'static str {
    match broken {
        Broken::Short => "a batch that ends too early",
        Broken::Length => "a batch with an impossible length",
        Broken::Checksum => "a batch with a wrong checksum",
    }
}
