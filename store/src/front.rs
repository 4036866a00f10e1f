//! What callers change under one short lock: every entry gets its number and its place in the journal at once, so that
//! a message can be found before it is written. No disk, no clock, no thread in here.
//!
//! Invariant: entries are written exactly where and in the order they were placed here.

mod pending;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

pub(crate) use pending::{Moved, Origin, Pending, Place, Records, unwatched};

use crate::batch::Batch;
use crate::entry::{Entry, OnDurable, Urgency};
use crate::health::CommitError;
use crate::index::{Holders, Index, Position};
use crate::journal::batch_header::BATCH_HEADER_BYTES;
use crate::journal::body::Sizes;
use crate::journal::moved::MOVED_OVERHEAD_BYTES;
use crate::journal::segment_header::{SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::segments::{Addition, Segment, Segments};

/// Counted for each entry, so that empty ones are bounded too.
const ENTRY_OVERHEAD_BYTES: usize = 128;

/// Where the journal stands: what recovery hands over.
#[derive(Default)]
pub(crate) struct Front {
    pub(crate) index: Index,
    pub(crate) segments: Segments,
    /// The number of the segment that is begun next.
    pub(crate) next_segment: u64,
    pub(crate) next_sequence: u64,
    pub(crate) next_message: u64,
    pub(crate) last_wall_ms: u64,
    /// Sequence number of the last batch with state operations.
    pub(crate) state_sequence: u64,
    /// A segment that reaches this many bytes is followed by the next.
    pub(crate) segment_bytes: u64,
    /// Whether the newest segment may be appended to: not what an earlier process left.
    pub(crate) head_open: bool,
    /// Whether the owner has said which of the recovered messages are held.
    pub(crate) adopted: bool,
    pub(crate) image: Image,
    /// Segments up to this one are cleaned, however little is dead in them.
    pub(crate) clean_until: u64,
    /// The oldest segment cannot be cleaned: it is damaged or could not be removed.
    pub(crate) cleaning_stopped: bool,
    /// Bytes of batches that were appended, but not by cleaning.
    pub(crate) bytes_appended: u64,
    durable_sequence: u64,
    waiting: Vec<Pending>,
    waiting_bytes: usize,
    unwritten: VecDeque<Arc<Records>>,
    unheld: Vec<u64>,
}

/// What is known of the images that the owner writes of its state.
#[derive(Debug, Default)]
pub(crate) struct Image {
    /// The owner's records in batches before this one are superseded.
    pub(crate) superseded_before: u64,
    /// About how many bytes the last image had.
    pub(crate) bytes: u64,
    /// The owner was asked for one that is not complete yet.
    pub(crate) asked: bool,
    /// An image that takes effect when the second batch is durable: first batch and second.
    completing: Option<(u64, u64)>,
}

/// Where the bytes of a message are.
pub(crate) enum Found {
    /// Not written yet.
    Memory(Arc<Records>, Range<usize>),
    Disk(Position),
    Nowhere,
}

impl Front {
    /// An empty journal, whose first segment gets the number `next_segment`.
    pub(crate) fn new(segment_bytes: u64, next_segment: u64) -> Self {
        Self { segment_bytes, next_segment, next_sequence: 1, next_message: 1, ..Self::default() }
    }

    /// Takes an entry and gives its sequence number; for one that writes nothing, that of the last before it.
    pub(crate) fn append(&mut self, entry: Entry, wall_ms: u64, on_durable: OnDurable) -> u64 {
        let Entry { records, messages, first_message, holds, state, urgency } = entry;
        let refusal = self.refusal(&records, &messages, first_message);
        let first_message = if messages.is_empty() { self.next_message } else { first_message };
        let sizes = Sizes {
            operations: state.iter().map(|commit| commit.batch.encoded_bytes()).sum(),
            messages: messages.len(),
            moved: 0,
            records: records.len(),
        };
        let refusal = refusal.or_else(|| sizes.body().is_none().then_some("it is too large"));
        let mut pending = Pending::new(wall_ms, urgency, state, on_durable);
        if let Some(what) = refusal {
            pending.refused = Some(CommitError::Invalid { what });
        } else {
            let records = Records { sequence: self.next_sequence, first_message, messages, bytes: records };
            self.place(&mut pending, records, sizes);
            self.change_holders(&holds);
        }
        self.push(pending);
        self.last_sequence()
    }

    /// Takes what cleaning has to write again: live messages, and puts that are still what the state says.
    pub(crate) fn append_cleaned(&mut self, state: Batch, moved: Vec<Moved>, urgency: Urgency) -> u64 {
        let sizes = Sizes {
            operations: state.encoded_bytes(),
            moved: moved.iter().map(|moved| MOVED_OVERHEAD_BYTES + moved.message.len()).sum(),
            ..Sizes::default()
        };
        let commits = if state.is_empty() { Vec::new() } else { vec![pending::unwatched(state)] };
        let mut pending = Pending::new(self.last_wall_ms, urgency, commits, Box::new(|_| {}));
        pending.origin = Origin::Cleaning;
        let first_message = self.next_message;
        let records = Records { sequence: self.next_sequence, first_message, ..Records::default() };
        self.place(&mut pending, records, sizes);
        pending.moved = moved;
        self.push(pending);
        self.last_sequence()
    }

    pub(crate) fn last_sequence(&self) -> u64 {
        self.next_sequence - 1
    }

    /// What waits for the writer thread.
    pub(crate) fn waiting(&self) -> &[Pending] {
        &self.waiting
    }

    /// Bytes of what waits, as counted against the bound.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Hands all that waits to the writer thread, in exchange for an empty list that has grown already.
    pub(crate) fn take(&mut self, empty: &mut Vec<Pending>) {
        self.waiting_bytes = 0;
        std::mem::swap(&mut self.waiting, empty);
    }

    /// Bytes that an entry with so many counts for.
    pub(crate) fn counted_bytes(bytes: usize) -> usize {
        bytes + ENTRY_OVERHEAD_BYTES
    }

    /// Batches up to `sequence` are written: their messages are found on the disk from now on.
    pub(crate) fn written(&mut self, sequence: u64) {
        while self.unwritten.front().is_some_and(|records| records.sequence <= sequence) {
            self.unwritten.pop_front();
        }
    }

    /// Batches up to `sequence` are durable.
    pub(crate) fn durable(&mut self, sequence: u64) {
        self.durable_sequence = sequence;
        if let Some((began, _)) = self.image.completing.filter(|(_, complete)| *complete <= sequence) {
            self.image.superseded_before = began;
            self.image.completing = None;
        }
    }

    /// A message is found at another place from now on.
    pub(crate) fn relocate(&mut self, number: u64, bytes: u64, from: Position, to: Position) {
        if self.index.relocate(number, from, to) {
            self.segments.message_gone(from.segment);
            if let Some(segment) = self.segments.get_mut(u64::from(to.segment)) {
                segment.add_messages(1, bytes);
            }
        }
    }

    /// A message turned out to be damaged: nobody will find it again.
    pub(crate) fn message_lost(&mut self, number: u64) {
        if let Some(position) = self.index.remove(number) {
            self.segments.message_gone(position.segment);
        }
    }

    /// A segment turned out to be damaged: it is to be cleaned before the next start finds it so, which would read
    /// nothing behind the damage.
    pub(crate) fn segment_damaged(&mut self, segment: u32) {
        let segment = u64::from(segment);
        self.clean_until = self.clean_until.max(segment);
        if self.segments.newest().is_some_and(|newest| newest.number == segment) {
            self.head_open = false;
        }
    }

    pub(crate) fn find(&self, number: u64) -> Found {
        let Some(position) = self.index.position(number) else { return Found::Nowhere };
        if self.unwritten.front().is_none_or(|first| number < first.first_message) {
            return Found::Disk(position);
        }
        let after = self.unwritten.partition_point(|records| records.first_message <= number);
        let Some(records) = after.checked_sub(1).and_then(|at| self.unwritten.get(at)) else {
            return Found::Disk(position);
        };
        match records.range_of(number) {
            Some(range) => Found::Memory(records.clone(), range),
            None => Found::Disk(position),
        }
    }

    pub(crate) fn adopt(&mut self, holds: &mut dyn Iterator<Item = (u64, u32)>) {
        let segments = &mut self.segments;
        self.index.adopt(holds, &mut |position| segments.message_gone(position.segment));
        self.adopted = true;
    }

    /// Has everything that stands in the journal now gone through and what is wanted of it written again.
    pub(crate) fn compact(&mut self) {
        self.clean_until = self.segments.newest().map_or(0, |newest| newest.number);
        self.head_open = false;
    }

    /// [`Front::compact`] of the segments before the first with something of the owner's.
    pub(crate) fn compact_state(&mut self) {
        self.clean_until = self.segments.last_before_records().unwrap_or(0);
        self.head_open = false;
    }

    pub(crate) fn image_complete(&mut self, began: u64) {
        self.image.bytes = self.segments.records_bytes_from(began);
        self.image.completing = Some((began, self.last_sequence()));
        self.image.asked = false;
        self.durable(self.durable_sequence);
    }

    /// Why an entry cannot be taken.
    fn refusal(&self, records: &[u8], messages: &[Range<u32>], first_message: u64) -> Option<&'static str> {
        if messages.is_empty() {
            return None;
        }
        let mut end = 0;
        let ascending = messages.iter().all(|range| {
            let fits = range.start >= end && range.end >= range.start;
            end = range.end;
            fits
        });
        if first_message < self.next_message || first_message.checked_add(messages.len() as u64).is_none() {
            Some("a message has a number that was given before")
        } else if !ascending || end as usize > records.len() {
            Some("its messages are not in turn within its records")
        } else {
            None
        }
    }

    /// Gives a place in the journal, unless there is nothing to write.
    fn place(&mut self, pending: &mut Pending, records: Records, sizes: Sizes) {
        let Some(body) = sizes.body().filter(|bytes| *bytes > 0) else { return };
        self.last_wall_ms = pending.wall_ms;
        let bytes = BATCH_HEADER_BYTES + body as u64;
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let full =
            |segment: &Segment| segment.bytes + bytes > self.segment_bytes && segment.bytes > SEGMENT_HEADER_BYTES;
        let mut opens = None;
        if !self.head_open || self.segments.newest().is_none_or(full) {
            let segment = self.next_segment;
            opens = Some(SegmentHeader { segment, first_sequence: sequence, state_sequence: self.state_sequence });
            self.segments.push(Segment::new(segment, sequence));
            self.next_segment += 1;
            self.head_open = true;
        }
        let operations: u64 = pending.state.iter().map(|commit| commit.batch.len() as u64).sum();
        let message_bytes = records.messages.iter().map(|range| u64::from(range.end - range.start)).sum();
        if operations > 0 {
            self.state_sequence = sequence;
        }
        if pending.origin == Origin::Caller {
            self.bytes_appended += bytes;
        }
        let Some(newest) = self.segments.newest() else { return };
        let place = Place { sequence, segment: newest.number, offset: newest.bytes, bytes, sizes, opens };
        self.segments.add_to_newest(&Addition {
            sequence,
            bytes,
            records_bytes: records.bytes.len() as u64,
            operations,
            puts: pending.state.iter().map(|commit| commit.batch.puts() as u64).sum(),
            messages: records.messages.len() as u64,
            message_bytes,
        });
        pending.place = Some(place);
        pending.records = Arc::new(records);
        self.add_messages(&place, &pending.records);
    }

    fn add_messages(&mut self, place: &Place, records: &Arc<Records>) {
        if records.messages.is_empty() {
            return;
        }
        let count = records.messages.len() as u64;
        self.next_message = records.first_message + count;
        for index in 0..count {
            self.index.add(records.first_message + index, place.locator(index));
        }
        self.unwritten.push_back(records.clone());
        self.unheld.extend(records.first_message..self.next_message);
    }

    /// Changes holders and takes out what nobody holds then.
    fn change_holders(&mut self, holds: &[(u64, i32)]) {
        for (number, difference) in holds {
            if self.index.hold(*number, *difference) == Holders::Now(0) {
                self.unheld.push(*number);
            }
        }
        for number in self.unheld.drain(..) {
            if let Some(position) = self.index.remove_unheld(number) {
                self.segments.message_gone(position.segment);
            }
        }
    }

    fn push(&mut self, pending: Pending) {
        self.waiting_bytes += Self::counted_bytes(pending.counted_bytes());
        self.waiting.push(pending);
    }
}

#[cfg(test)]
mod tests;
