//! An entry that has its place in the journal and waits to be written there.

use std::ops::Range;
use std::sync::Arc;

use crate::batch::{Batch, Operation};
use crate::entry::{Commit, OnDurable, Urgency};
use crate::health::CommitError;
use crate::index::Position;
use crate::journal::batch_header::{BATCH_HEADER_BYTES, BatchHeader};
use crate::journal::body::{Content, Sizes};
use crate::journal::locator::LOCATOR_BYTES;
use crate::journal::moved::MOVED_OVERHEAD_BYTES;
use crate::journal::segment_header::SegmentHeader;

/// Who appended something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Caller,
    Cleaning,
}

/// Where a batch goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) sequence: u64,
    pub(crate) segment: u64,
    /// Offset of the batch in the segment.
    pub(crate) offset: u64,
    /// Bytes of the whole batch.
    pub(crate) bytes: u64,
    pub(crate) sizes: Sizes,
    /// The batch is the first of a new segment with this header.
    pub(crate) opens: Option<SegmentHeader>,
}

/// The owner's records with the messages in them, shared with whoever loads one before it is written.
#[derive(Debug, Default)]
pub(crate) struct Records {
    pub(crate) sequence: u64,
    pub(crate) first_message: u64,
    pub(crate) messages: Vec<Range<u32>>,
    pub(crate) bytes: Vec<u8>,
}

/// A message that is written again.
pub(crate) struct Moved {
    pub(crate) number: u64,
    pub(crate) from: Position,
    pub(crate) message: Vec<u8>,
}

pub(crate) struct Pending {
    /// `None`: nothing is written, it only waits for what was before it.
    pub(crate) place: Option<Place>,
    pub(crate) refused: Option<CommitError>,
    pub(crate) wall_ms: u64,
    pub(crate) records: Arc<Records>,
    pub(crate) moved: Vec<Moved>,
    pub(crate) state: Vec<Commit>,
    pub(crate) on_durable: OnDurable,
    pub(crate) urgency: Urgency,
    pub(crate) origin: Origin,
}

/// A commit that nobody waits for.
pub(crate) fn unwatched(batch: Batch) -> Commit {
    Commit { batch, on_durable: Box::new(|_| {}) }
}

impl Place {
    /// Where the locator of the message with this place in the records stands.
    pub(crate) fn locator(&self, index: u64) -> Position {
        self.position(self.sizes.locators_at() as u64 + index * LOCATOR_BYTES as u64)
    }

    /// A place in the body. Bodies are at most 1 GiB and begin in the first GiB of a segment; segment numbers do not
    /// reach 32 bits in the life of a disk.
    fn position(&self, in_body: u64) -> Position {
        let offset = self.offset + BATCH_HEADER_BYTES + in_body;
        Position { segment: self.segment as u32, offset: offset as u32 }
    }
}

impl Records {
    /// Where the message is in the bytes, if it is one of these.
    pub(crate) fn range_of(&self, number: u64) -> Option<Range<usize>> {
        let at = usize::try_from(number.checked_sub(self.first_message)?).ok()?;
        self.messages.get(at).map(|range| range.start as usize..range.end as usize)
    }
}

impl Pending {
    pub(crate) fn new(wall_ms: u64, urgency: Urgency, state: Vec<Commit>, on_durable: OnDurable) -> Self {
        Self {
            place: None,
            refused: None,
            wall_ms,
            records: Arc::default(),
            moved: Vec::new(),
            state,
            on_durable,
            urgency,
            origin: Origin::Caller,
        }
    }

    /// Bytes that it holds in memory, about.
    pub(crate) fn counted_bytes(&self) -> usize {
        let state: usize = self.state.iter().map(|commit| commit.batch.bytes()).sum();
        let moved: usize = self.moved.iter().map(|moved| moved.message.len()).sum();
        state + moved + self.records.bytes.len()
    }

    /// Bytes of the owner's records, also when they were let go.
    pub(crate) fn records_bytes(&self) -> usize {
        self.place.as_ref().map_or(0, |place| place.sizes.records)
    }

    pub(crate) fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.state.iter().flat_map(|commit| commit.batch.operations())
    }

    pub(crate) fn has_operations(&self) -> bool {
        self.state.iter().any(|commit| !commit.batch.is_empty())
    }

    /// Appends the batch without its last part, the bytes of the records.
    pub(crate) fn encode(&self, place: &Place, durable: u64, out: &mut Vec<u8>) {
        let header = BatchHeader {
            sequence: place.sequence,
            wall_ms: self.wall_ms,
            first_message: self.records.first_message,
            durable,
        };
        let body_without_records = place.bytes - BATCH_HEADER_BYTES - self.records.bytes.len() as u64;
        let mut front = Vec::with_capacity(body_without_records as usize);
        let content = Content {
            operations: self.operations(),
            first_message: self.records.first_message,
            messages: &self.records.messages,
            moved: self.moved.iter().map(|moved| (moved.number, &moved.message[..])),
            records: &self.records.bytes,
        };
        content.encode(place.sizes, &mut front);
        header.encode(place.segment, &[&front, &self.records.bytes], out);
        out.extend_from_slice(&front);
    }

    /// Where each moved message is found once this is written: number, bytes, old and new position.
    pub(crate) fn relocations<'a>(
        &'a self,
        place: &Place,
    ) -> impl Iterator<Item = (u64, u64, Position, Position)> + 'a {
        let place = *place;
        let mut at = place.sizes.moved_at() as u64;
        self.moved.iter().map(move |moved| {
            let to = place.position(at + (MOVED_OVERHEAD_BYTES - LOCATOR_BYTES) as u64);
            at += (MOVED_OVERHEAD_BYTES + moved.message.len()) as u64;
            (moved.number, moved.message.len() as u64, moved.from, to)
        })
    }
}
