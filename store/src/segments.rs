//! What is known of each segment without reading it: how large it is, what kinds of things are in it, and how much of
//! that is still wanted. Decides nothing.

use std::collections::VecDeque;

use crate::journal::moved::MOVED_OVERHEAD_BYTES;
use crate::journal::segment_header::SEGMENT_HEADER_BYTES;

/// One segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) first_sequence: u64,
    pub(crate) last_sequence: u64,
    /// Length of the file when all that was taken for it is written.
    pub(crate) bytes: u64,
    /// Sequence number of the last batch with records of the owner; 0 if there is none.
    pub(crate) records_last: u64,
    /// Bytes of those records without the messages in them.
    pub(crate) records_bytes: u64,
    /// Sequence number of the last batch with state operations; 0 if there is none.
    pub(crate) state_last: u64,
    /// State operations that put something.
    pub(crate) puts: u64,
    /// Messages, also the dead ones.
    pub(crate) messages: u64,
    /// Bytes of those messages, as if they were moved.
    pub(crate) message_bytes: u64,
    /// Messages that are still held and found here.
    pub(crate) messages_live: u64,
}

/// What one batch adds to its segment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Addition {
    pub(crate) sequence: u64,
    /// Bytes of the batch.
    pub(crate) bytes: u64,
    /// Bytes of the owner's records, with the messages in them.
    pub(crate) records_bytes: u64,
    pub(crate) operations: u64,
    pub(crate) puts: u64,
    pub(crate) messages: u64,
    /// Bytes of the messages alone.
    pub(crate) message_bytes: u64,
}

impl Segment {
    pub(crate) fn new(number: u64, first_sequence: u64) -> Self {
        Self { number, first_sequence, bytes: SEGMENT_HEADER_BYTES, ..Self::default() }
    }

    pub(crate) fn add(&mut self, addition: &Addition) {
        self.last_sequence = addition.sequence;
        self.bytes += addition.bytes;
        if addition.records_bytes > 0 {
            self.records_last = addition.sequence;
            self.records_bytes += addition.records_bytes.saturating_sub(addition.message_bytes);
        }
        if addition.operations > 0 {
            self.state_last = addition.sequence;
            self.puts += addition.puts;
        }
        self.add_messages(addition.messages, addition.message_bytes);
    }

    pub(crate) fn add_messages(&mut self, messages: u64, bytes: u64) {
        self.messages += messages;
        self.message_bytes += bytes + messages * MOVED_OVERHEAD_BYTES as u64;
        self.messages_live += messages;
    }

    /// About how many bytes its live messages have.
    fn live_bytes(&self) -> u64 {
        let share = u128::from(self.message_bytes) * u128::from(self.messages_live);
        share.checked_div(u128::from(self.messages)).map_or(0, |bytes| bytes as u64)
    }
}

/// All segments, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    list: VecDeque<Segment>,
    /// Bytes of all of them.
    bytes: u64,
}

impl Segments {
    pub(crate) fn push(&mut self, segment: Segment) {
        self.bytes += segment.bytes;
        self.list.push_back(segment);
    }

    /// Adds a batch to the newest.
    pub(crate) fn add_to_newest(&mut self, addition: &Addition) {
        if let Some(newest) = self.list.back_mut() {
            self.bytes += addition.bytes;
            newest.add(addition);
        }
    }

    pub(crate) fn oldest(&self) -> Option<&Segment> {
        self.list.front()
    }

    pub(crate) fn newest(&self) -> Option<&Segment> {
        self.list.back()
    }

    pub(crate) fn remove_oldest(&mut self) -> Option<Segment> {
        let removed = self.list.pop_front()?;
        self.bytes -= removed.bytes;
        Some(removed)
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Segment> {
        let at = self.list.binary_search_by_key(&number, |segment| segment.number).ok()?;
        self.list.get_mut(at)
    }

    /// The number of the last segment before the first that has something of the owner's.
    pub(crate) fn last_before_records(&self) -> Option<u64> {
        let of_state = |segment: &&Segment| segment.records_last == 0 && segment.messages == 0;
        self.list.iter().take_while(of_state).last().map(|segment| segment.number)
    }

    /// The number of the first segment that has a batch after `sequence`.
    pub(crate) fn first_after(&self, sequence: u64) -> Option<u64> {
        self.list.iter().find(|segment| segment.last_sequence > sequence).map(|segment| segment.number)
    }

    /// A message that was found in `segment` is not any more.
    pub(crate) fn message_gone(&mut self, segment: u32) {
        if let Some(segment) = self.get_mut(u64::from(segment)) {
            segment.messages_live = segment.messages_live.saturating_sub(1);
        }
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// About how many bytes all live messages have.
    pub(crate) fn message_bytes_live(&self) -> u64 {
        self.list.iter().map(Segment::live_bytes).sum()
    }

    /// About how many bytes of owner's records, without messages, stand from batch `sequence` on.
    pub(crate) fn records_bytes_from(&self, sequence: u64) -> u64 {
        let part = |segment: &Segment| {
            let batches = segment.last_sequence.saturating_sub(segment.first_sequence) + 1;
            let before = sequence.saturating_sub(segment.first_sequence).min(batches);
            let bytes = u128::from(segment.records_bytes) * u128::from(batches - before) / u128::from(batches);
            bytes as u64
        };
        self.list.iter().map(part).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_bytes_follow_the_messages_that_are_left() {
        let mut segments = Segments::default();
        let mut segment = Segment::new(3, 1);
        let addition = Addition {
            sequence: 1,
            bytes: 1_000,
            records_bytes: 900,
            messages: 4,
            message_bytes: 800,
            ..Addition::default()
        };
        segment.add(&addition);
        segments.push(segment);
        let each = 200 + MOVED_OVERHEAD_BYTES as u64;
        assert_eq!((segments.message_bytes_live(), segments.records_bytes_from(1)), (4 * each, 100));
        segments.message_gone(3);
        assert_eq!(segments.message_bytes_live(), 3 * each);
        (0..5).for_each(|_| segments.message_gone(3));
        assert_eq!((segments.message_bytes_live(), segments.bytes()), (0, 1_000 + SEGMENT_HEADER_BYTES));
    }

    #[test]
    fn records_from_a_batch_on_are_estimated_by_its_place_in_the_segment() {
        let mut segments = Segments::default();
        for number in 1..=2_u64 {
            let mut segment = Segment::new(number, number * 10);
            for sequence in number * 10..number * 10 + 10 {
                segment.add(&Addition { sequence, bytes: 140, records_bytes: 100, ..Addition::default() });
            }
            segments.push(segment);
        }
        assert_eq!(
            [0, 10, 15, 20, 29, 30].map(|from| segments.records_bytes_from(from)),
            [2000, 2000, 1500, 1000, 100, 0]
        );
    }
}
