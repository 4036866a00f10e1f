//! The part of a durable session's queue that is on disk only: sixteen bytes for each message.
//!
//! Invariant: entries are numbered without gaps; one that is gone from the middle stands there as dead until it is at the front.

use std::collections::{BTreeMap, VecDeque};

use selvedge_codec::QoS;

use super::{super::in_flight::Identifiers, Dropped};
use crate::{durability::Priority, handle::audit::agree};

const QOS: u16 = 0x03;
const RETAIN: u16 = 0x04;
const DEAD: u16 = 0x08;
const PRIORITY_SHIFT: u16 = 4;
const PRIORITIES: [Priority; 3] = [Priority::Low, Priority::Normal, Priority::High];

/// One message, packed: its number in 48 bits.
#[derive(Clone, Copy, Debug)]
struct Packed {
    low: u32,
    high: u16,
    flags: u16,
    cost: u32,
    /// Seconds since 1970, rounded up; 0 is never.
    expires_s: u32,
}

impl Packed {
    const NOTHING: Self = Self { low: 0, high: 0, flags: DEAD, cost: 0, expires_s: 0 };

    fn message(self) -> u64 {
        u64::from(self.high) << 32 | u64::from(self.low)
    }

    fn is_dead(self) -> bool {
        self.flags & DEAD != 0
    }

    fn priority(self) -> Priority {
        PRIORITIES[usize::from(self.flags >> PRIORITY_SHIFT & 3).min(PRIORITIES.len() - 1)]
    }
}

/// A delivery whose message is on disk.
#[derive(Debug)]
pub(crate) struct StoredEntry {
    pub(crate) entry: u64,
    /// Number of the message.
    pub(crate) message: u64,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// What it counts, bytes.
    pub(crate) cost: u32,
    pub(crate) priority: Priority,
    /// Milliseconds since 1970; kept to the second above.
    pub(crate) expires_at_ms: Option<u64>,
    pub(crate) identifiers: Identifiers,
}

impl StoredEntry {
    /// As something that is gone.
    pub(crate) fn dropped(&self) -> Dropped {
        Dropped { entry: self.entry, message: self.message, cost: self.cost as usize }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    entries: VecDeque<Packed>,
    /// Number of the first entry.
    first: u64,
    live: usize,
    bytes: usize,
    /// Live entries of each priority.
    by_priority: [u32; PRIORITIES.len()],
    /// Live entries that expire.
    expiring: usize,
    identifiers: BTreeMap<u64, Box<[u32]>>,
    /// The front was asked for and has not come.
    pub(crate) is_fetching: bool,
    /// They were not judged by the present access rules.
    unjudged: bool,
}

impl Stored {
    pub(crate) fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Messages.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// Their bytes, on disk.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What it takes in memory, bytes.
    pub(crate) fn footprint(&self) -> usize {
        const IDENTIFIERS_BYTES: usize = 96;
        // With the room that a table keeps to grow.
        self.entries.len() * size_of::<Packed>() * 3 / 2 + self.identifiers.len() * IDENTIFIERS_BYTES
    }

    pub(crate) fn question_all(&mut self) {
        self.unjudged = true;
    }

    /// Whether what is fetched must be judged by the access rules.
    pub(crate) fn is_unjudged(&self) -> bool {
        self.unjudged
    }

    /// Puts an entry at the end; numbers go up.
    pub(crate) fn push(&mut self, entry: StoredEntry) {
        if self.entries.is_empty() {
            self.first = entry.entry;
        }
        while self.first + (self.entries.len() as u64) < entry.entry {
            self.entries.push_back(Packed::NOTHING);
        }
        let packed = self.pack(entry);
        self.entries.push_back(packed);
    }

    /// Whether an entry of this number can be put at the front.
    pub(crate) fn may_precede(&self, entry: u64) -> bool {
        // Not behind what was asked for already, and not with a gap worth mentioning.
        const GAP_MAX: u64 = 1024;
        !self.is_fetching && (self.entries.is_empty() || (entry < self.first && self.first - entry <= GAP_MAX))
    }

    /// Puts an entry at the front, see [`Self::may_precede`].
    pub(crate) fn push_front(&mut self, entry: StoredEntry) {
        if self.entries.is_empty() {
            self.first = entry.entry + 1;
        }
        while self.first > entry.entry + 1 {
            self.entries.push_front(Packed::NOTHING);
            self.first -= 1;
        }
        self.first = entry.entry;
        let packed = self.pack(entry);
        self.entries.push_front(packed);
    }

    fn pack(&mut self, entry: StoredEntry) -> Packed {
        self.live += 1;
        self.bytes += entry.cost as usize;
        self.by_priority[entry.priority as usize] += 1;
        let expires_s = entry.expires_at_ms.map_or(0, |ms| u32::try_from(ms.div_ceil(1000)).unwrap_or(0));
        self.expiring += usize::from(expires_s != 0);
        if let Some(identifiers) = entry.identifiers {
            self.identifiers.insert(entry.entry, identifiers);
        }
        let retain = if entry.retain { RETAIN } else { 0 };
        Packed {
            low: entry.message as u32,
            high: (entry.message >> 32) as u16,
            flags: entry.qos as u16 | retain | (entry.priority as u16) << PRIORITY_SHIFT,
            cost: entry.cost,
            expires_s,
        }
    }

    /// Takes one that has left out of the counts.
    fn uncount(&mut self, packed: Packed) {
        self.live -= 1;
        self.bytes -= packed.cost as usize;
        self.by_priority[packed.priority() as usize] -= 1;
        self.expiring -= usize::from(packed.expires_s != 0);
    }

    /// Whether anything here expires.
    pub(crate) fn may_expire(&self) -> bool {
        self.expiring > 0
    }

    /// Looks at `count` entries from the number `from` on, and forgets those that are over at `now_ms`, milliseconds since
    /// 1970. Gives where to go on, if there is more.
    pub(crate) fn expire(
        &mut self,
        from: u64,
        count: usize,
        now_ms: u64,
        gone: &mut dyn FnMut(Dropped),
    ) -> Option<u64> {
        let now_s = now_ms / 1000;
        let start = usize::try_from(from.max(self.first) - self.first).unwrap_or(usize::MAX);
        self.forget_where(start, count, usize::MAX, gone, |packed| {
            packed.expires_s != 0 && u64::from(packed.expires_s) <= now_s
        })
    }

    /// Forgets the oldest entries of one priority until `bytes` are gone; gives how many bytes went.
    pub(crate) fn give_up(&mut self, priority: Priority, bytes: usize, gone: &mut dyn FnMut(Dropped)) -> usize {
        if self.by_priority[priority as usize] == 0 {
            return 0;
        }
        let before = self.bytes;
        self.forget_where(0, usize::MAX, bytes, gone, |packed| packed.priority() == priority);
        before - self.bytes
    }

    fn forget_where(
        &mut self,
        start: usize,
        count: usize,
        bytes_max: usize,
        gone: &mut dyn FnMut(Dropped),
        is_it: impl Fn(Packed) -> bool,
    ) -> Option<u64> {
        let end = start.saturating_add(count).min(self.entries.len());
        let goal = self.bytes.saturating_sub(bytes_max);
        for index in start..end {
            let packed = self.entries[index];
            if packed.is_dead() || !is_it(packed) {
                continue;
            }
            let entry = self.first + index as u64;
            self.entries[index] = Packed::NOTHING;
            self.uncount(packed);
            self.identifiers.remove(&entry);
            gone(Dropped { entry, message: packed.message(), cost: packed.cost as usize });
            if self.bytes <= goal {
                break;
            }
        }
        let next = self.first + end as u64;
        let more = end < self.entries.len();
        self.skip_dead();
        more.then_some(next)
    }

    /// Takes the oldest.
    pub(crate) fn pop(&mut self) -> Option<StoredEntry> {
        self.skip_dead();
        let packed = self.entries.pop_front()?;
        let entry = self.first;
        self.first += 1;
        self.uncount(packed);
        let identifiers = self.identifiers.remove(&entry);
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
            self.unjudged = false;
        } else if self.entries.len() * 4 < self.entries.capacity() && self.entries.capacity() > 1024 {
            self.entries.shrink_to(self.entries.len() * 2);
        }
        Some(unpack(packed, entry, identifiers))
    }

    /// Takes the oldest if it is this message.
    pub(crate) fn pop_if(&mut self, message: u64) -> Option<StoredEntry> {
        self.skip_dead();
        if self.entries.front()?.message() == message { self.pop() } else { None }
    }

    /// Numbers of the messages at the front, so many and of so many bytes at most, but one at least.
    pub(crate) fn front(&self, count_max: usize, bytes_max: usize) -> Vec<u64> {
        let mut bytes = 0;
        let live = self.entries.iter().filter(|packed| !packed.is_dead()).take(count_max);
        let fitting = live.take_while(|packed| {
            let first = bytes == 0;
            bytes += packed.cost as usize;
            first || bytes <= bytes_max
        });
        fitting.map(|packed| packed.message()).collect()
    }

    /// Calls `found` with every entry, oldest first, without identifiers.
    pub(crate) fn each(&self, found: &mut dyn FnMut(StoredEntry)) {
        for (packed, entry) in self.entries.iter().zip(self.first..) {
            if !packed.is_dead() {
                found(unpack(*packed, entry, None));
            }
        }
    }

    /// The subscription identifiers of an entry.
    pub(crate) fn identifiers(&self, entry: u64) -> &[u32] {
        self.identifiers.get(&entry).map_or(&[], |identifiers| identifiers)
    }

    /// Forgets one entry, wherever it stands. Gives it if it was there.
    pub(crate) fn remove(&mut self, entry: u64) -> Option<StoredEntry> {
        let index = usize::try_from(entry.checked_sub(self.first)?).ok()?;
        let packed = self.entries.get_mut(index).filter(|packed| !packed.is_dead())?;
        let removed = *packed;
        *packed = Packed::NOTHING;
        self.uncount(removed);
        let identifiers = self.identifiers.remove(&entry);
        self.skip_dead();
        Some(unpack(removed, entry, identifiers))
    }

    fn skip_dead(&mut self) {
        while self.entries.front().is_some_and(|packed| packed.is_dead()) {
            self.entries.pop_front();
            self.first += 1;
        }
    }

    /// Counts anew; an error says what was miscounted.
    pub(crate) fn audit(&self) -> Result<(), String> {
        let live = self.entries.iter().filter(|packed| !packed.is_dead());
        agree("stored messages of a session", self.live, live.clone().count())?;
        let expiring = live.clone().filter(|packed| packed.expires_s != 0).count();
        agree("stored messages of a session that expire", self.expiring, expiring)?;
        for priority in PRIORITIES {
            let count = live.clone().filter(|packed| packed.priority() == priority).count();
            agree("stored messages of a priority", self.by_priority[priority as usize] as usize, count)?;
        }
        agree("stored bytes of a session", self.bytes, live.map(|packed| packed.cost as usize).sum())
    }
}

fn unpack(packed: Packed, entry: u64, identifiers: Identifiers) -> StoredEntry {
    let qos = match packed.flags & QOS {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    };
    let retain = packed.flags & RETAIN != 0;
    let expires_at_ms = (packed.expires_s != 0).then(|| u64::from(packed.expires_s) * 1000);
    let (message, cost, priority) = (packed.message(), packed.cost, packed.priority());
    StoredEntry { entry, message, qos, retain, cost, priority, expires_at_ms, identifiers }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u64) -> StoredEntry {
        StoredEntry {
            entry: number,
            message: number * 1_000_000_007,
            qos: QoS::ExactlyOnce,
            retain: number.is_multiple_of(2),
            cost: number as u32,
            priority: PRIORITIES[number as usize % 3],
            expires_at_ms: (number.is_multiple_of(2)).then_some(number * 1000),
            identifiers: (number.is_multiple_of(3)).then(|| Box::from([number as u32])),
        }
    }

    #[test]
    fn entries_come_out_as_they_went_in_and_gaps_are_passed_over() {
        let mut stored = Stored::default();
        for number in [5, 6, 9, 12] {
            stored.push(entry(number));
        }
        stored.push_front(entry(3));
        assert_eq!((stored.len(), stored.bytes()), (5, 35));
        assert!(stored.remove(9).is_some() && stored.remove(9).is_none() && stored.remove(7).is_none());
        assert!(stored.pop_if(1).is_none());
        let mut out = Vec::new();
        while let Some(entry) = stored.pop() {
            assert_eq!(entry.message, entry.entry * 1_000_000_007);
            assert_eq!((entry.qos, entry.retain), (QoS::ExactlyOnce, entry.entry.is_multiple_of(2)));
            assert_eq!(entry.identifiers.is_some(), entry.entry.is_multiple_of(3));
            assert_eq!(entry.priority, PRIORITIES[entry.entry as usize % 3]);
            assert_eq!(entry.expires_at_ms, entry.entry.is_multiple_of(2).then_some(entry.entry * 1000));
            out.push(entry.entry);
        }
        assert_eq!(out, [3, 5, 6, 12]);
        assert_eq!((stored.len(), stored.bytes(), stored.identifiers.len()), (0, 0, 0));
        assert_eq!(stored.audit(), Ok(()));
    }

    #[test]
    fn what_is_fetched_is_bounded_in_number_and_bytes_but_is_one_at_least() {
        let mut stored = Stored::default();
        (10..20).for_each(|number| stored.push(entry(number)));
        assert_eq!(stored.front(3, 1000).len(), 3);
        assert_eq!(stored.front(10, 21).len(), 2);
        assert_eq!(stored.front(10, 1), [10_000_000_070]);
    }

    #[test]
    fn an_entry_takes_sixteen_bytes() {
        assert_eq!(size_of::<Packed>(), 16);
    }

    #[test]
    fn nothing_is_over_before_its_time_although_times_are_kept_to_the_second() {
        let mut stored = Stored::default();
        stored.push(StoredEntry { expires_at_ms: Some(999), ..entry(1) });
        stored.push(StoredEntry { expires_at_ms: Some(1001), ..entry(2) });
        stored.push(StoredEntry { expires_at_ms: None, ..entry(3) });
        let mut gone_at = |now_ms| {
            let mut gone = Vec::new();
            stored.expire(0, 10, now_ms, &mut |dropped| gone.push(dropped.entry));
            gone
        };
        assert_eq!(gone_at(998), []);
        assert_eq!(gone_at(1000), [1]);
        assert_eq!(gone_at(1999), []);
        assert_eq!(gone_at(2000), [2]);
        assert_eq!(gone_at(u64::MAX), []);
    }

    #[test]
    fn what_is_over_goes_in_steps_and_what_is_low_goes_oldest_first() {
        let mut stored = Stored::default();
        (10..40).for_each(|number| stored.push(entry(number)));
        let (mut gone, mut from) = (Vec::new(), Some(0));
        while let Some(start) = from {
            from = stored.expire(start, 7, 20_999, &mut |dropped| gone.push(dropped.entry));
        }
        assert_eq!(gone, [10, 12, 14, 16, 18, 20]);
        gone.clear();
        let bytes = stored.give_up(Priority::Low, 30, &mut |dropped| gone.push(dropped.entry));
        assert_eq!((gone, bytes), (vec![15, 21], 36));
        assert_eq!(stored.give_up(Priority::Low, usize::MAX, &mut |_| {}), 24 + 27 + 30 + 33 + 36 + 39);
        assert_eq!(stored.give_up(Priority::Low, usize::MAX, &mut |_| panic!("none is left")), 0);
        assert_eq!(stored.audit(), Ok(()));
    }
}
