//! Packets for one client that wait for the journal.
//!
//! Invariant: what waits leaves in the order in which it came. A message that comes while others wait as a barrier joins them; one
//! that comes while only acknowledgements wait passes them by.

use std::collections::VecDeque;

use selvedge_core::{Hold, PacketIdPatch};

/// Packets in a row that wait for the same entry.
#[derive(Debug)]
struct Run {
    /// Entry of the journal that must be durable.
    entry: u64,
    bytes: usize,
    /// Messages must not pass it.
    is_barrier: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Held {
    bytes: VecDeque<u8>,
    runs: VecDeque<Run>,
    barriers: usize,
}

impl Held {
    /// Whether something that is sent with `hold` has to wait here.
    pub(crate) fn takes(&self, hold: Hold) -> bool {
        match hold {
            Hold::Nothing => self.barriers > 0,
            Hold::Turn => !self.runs.is_empty(),
            Hold::Durable | Hold::Barrier => true,
        }
    }

    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Adds a packet that [`Self::takes`]. `entry` is the one that gathers now. Gives the entry that it waits for.
    pub(crate) fn push(&mut self, parts: [&[u8]; 2], patch: Option<PacketIdPatch>, hold: Hold, entry: u64) -> u64 {
        let start = self.bytes.len();
        parts.iter().for_each(|part| self.bytes.extend(*part));
        if let Some(patch) = patch {
            let [high, low] = patch.packet_id.get().to_be_bytes();
            let at = start + patch.offset as usize;
            self.bytes[at] = high;
            self.bytes[at + 1] = low;
        }
        // What only keeps its place leaves with what it stands behind.
        let own = matches!(hold, Hold::Durable | Hold::Barrier);
        let entry = if own { entry } else { self.runs.back().map_or(entry, |last| last.entry) };
        let is_barrier = matches!(hold, Hold::Barrier | Hold::Nothing);
        let bytes = self.bytes.len() - start;
        match self.runs.back_mut() {
            Some(last) if last.entry == entry && last.is_barrier == is_barrier => last.bytes += bytes,
            _ => {
                self.barriers += usize::from(is_barrier);
                self.runs.push_back(Run { entry, bytes, is_barrier });
            }
        }
        entry
    }

    /// Takes what waits for an entry up to `durable`.
    pub(crate) fn release(&mut self, durable: u64) -> Vec<u8> {
        let mut count = 0;
        while let Some(run) = self.runs.pop_front_if(|run| run.entry <= durable) {
            count += run.bytes;
            self.barriers -= usize::from(run.is_barrier);
        }
        let rest = self.bytes.split_off(count);
        Vec::from(std::mem::replace(&mut self.bytes, rest))
    }
}

#[cfg(test)]
mod tests {
    use selvedge_codec::PacketId;

    use super::*;

    #[test]
    fn acknowledgements_keep_their_order_and_messages_pass_them() {
        let mut held = Held::default();
        assert!(!held.takes(Hold::Nothing) && !held.takes(Hold::Turn) && held.takes(Hold::Durable));
        assert_eq!(held.push([b"a", b"b"], None, Hold::Durable, 5), 5);
        assert!(held.takes(Hold::Turn) && !held.takes(Hold::Nothing));
        assert_eq!(held.push([b"c", b""], None, Hold::Turn, 6), 5);
        assert_eq!(held.release(4), b"");
        assert_eq!(held.release(5), b"abc");
        assert!(held.is_empty());
        assert_eq!(held.len(), 0, "bytes");
    }

    #[test]
    fn nothing_passes_a_barrier_nor_what_stands_behind_it() {
        let mut held = Held::default();
        held.push([b"1", b""], None, Hold::Durable, 1);
        held.push([b"2", b""], None, Hold::Barrier, 2);
        held.push([b"3", b""], None, Hold::Durable, 3);
        assert!(held.takes(Hold::Nothing));
        assert_eq!(held.push([b"4", b""], None, Hold::Nothing, 9), 3);
        assert_eq!(held.release(2), b"12");
        assert!(held.takes(Hold::Nothing), "4 still waits");
        assert_eq!(held.release(3), b"34");
        assert!(!held.takes(Hold::Nothing));
    }

    #[test]
    fn identifiers_are_written_into_the_copy() {
        let mut held = Held::default();
        held.push([b"xx", b""], None, Hold::Durable, 1);
        let patch = PacketIdPatch { offset: 1, packet_id: PacketId::new(0x4142).unwrap() };
        held.push([b"a..b", b""], Some(patch), Hold::Durable, 1);
        assert_eq!(held.release(1), b"xxaABb");
    }
}
