//! The journal of a test: a list, of which a crash leaves the beginning.

use std::collections::BTreeMap;

use selvedge_core::{Kept, Restored, Restorer};

#[derive(Default)]
pub struct MemoryJournal {
    entries: Vec<Kept>,
    /// So many entries are durable.
    durable: usize,
    /// Where the image began that is being written, and where the last whole one did: nothing before that is replayed.
    image_begins: usize,
    cut: usize,
    messages: BTreeMap<u64, Vec<u8>>,
    holds: BTreeMap<u64, i64>,
    /// A fault to be noticed: some of what was said to be durable is not.
    pub forgets: bool,
}

impl MemoryJournal {
    /// Takes an entry; gives how many there are now.
    pub fn append(&mut self, kept: Kept) -> usize {
        if kept.image.begins {
            self.image_begins = self.entries.len();
        }
        self.note(&kept);
        self.entries.push(kept);
        self.entries.len()
    }

    fn note(&mut self, kept: &Kept) {
        for (range, number) in kept.messages.iter().zip(kept.first_message..) {
            let body = kept.records[range.start as usize..range.end as usize].to_vec();
            assert!(self.messages.insert(number, body).is_none(), "message {number} was kept twice");
        }
        for (number, difference) in &kept.holds {
            *self.holds.entry(*number).or_default() += i64::from(*difference);
        }
        self.holds.retain(|number, holders| {
            assert!(*holders >= 0, "message {number} was let go more often than it was held");
            *holders > 0
        });
    }

    /// Everything so far, or only the next `count`, becomes durable. Gives how many are.
    pub fn sync(&mut self, count: usize) -> usize {
        self.durable = (self.durable + count).min(self.entries.len());
        if self.image_begins < self.durable
            && self.entries[..self.durable]
                .iter()
                .rposition(|kept| kept.image.ends)
                .is_some_and(|end| end >= self.image_begins)
        {
            self.cut = self.image_begins;
        }
        self.durable
    }

    pub fn unsynced(&self) -> usize {
        self.entries.len() - self.durable
    }

    /// Messages that somebody holds.
    pub fn held(&self) -> usize {
        self.holds.len()
    }

    /// The body of a message, if anybody holds it.
    pub fn fetch(&self, number: u64) -> Option<Vec<u8>> {
        self.holds.get(&number)?;
        self.messages.get(&number).cloned()
    }

    /// What is left after a crash that kept `lucky` entries more than were durable.
    pub fn crash(&mut self, lucky: usize) -> (Restored, u64) {
        let mut left = (self.durable + lucky).min(self.entries.len());
        if self.forgets {
            left = left.saturating_sub(3).max(self.cut.min(left));
        }
        let survivors: Vec<Kept> = self.entries.drain(..).take(left).collect();
        self.messages.clear();
        self.holds.clear();
        let mut restorer = Restorer::new();
        let mut next_message = 1;
        for kept in &survivors {
            self.note(kept);
            next_message = next_message.max(kept.first_message + kept.messages.len() as u64);
        }
        for kept in survivors.iter().skip(self.cut) {
            restorer.apply(&kept.records).expect("what was written can be read");
        }
        self.entries = survivors;
        self.durable = self.entries.len();
        let restored = restorer.finish();
        let mut holds: BTreeMap<u64, i64> = BTreeMap::new();
        restored.holds(&mut |number| *holds.entry(number).or_default() += 1);
        assert_eq!(holds, self.holds, "who holds which message");
        // What an image comes to must do as well.
        let restored = if self.durable.is_multiple_of(2) { restored } else { of_image(&restored) };
        (restored, next_message)
    }
}

fn of_image(restored: &Restored) -> Restored {
    let mut restorer = Restorer::new();
    restored.image().iter().for_each(|piece| restorer.apply(piece).expect("an image can be read"));
    let again = restorer.finish();
    assert_eq!(again.image(), restored.image());
    again
}
