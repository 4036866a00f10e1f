//! Where each message is and how many hold it, by number. In memory only: it is made again from the journal.
//!
//! Numbers ascend and live mostly side by side, so they are kept in pages of 256: a page with many of them costs
//! 8 bytes for each, one with few 16. Invariant: a number is in here exactly as long as someone holds it, or as
//! nobody has said yet who does.

mod page;

use std::collections::BTreeMap;

use page::{PAGE, Page, Slot};

/// Holders of a message that was read back and that the owner has not spoken about yet.
const UNADOPTED: u32 = u32::MAX;

/// Where a message's locator stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
}

/// What a change of holders came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holders {
    /// Nothing is known of the number: it is dead or never was.
    Unknown,
    /// The owner has not spoken yet, so it makes no difference.
    Unadopted,
    /// So many now.
    Now(u32),
}

#[derive(Debug, Default)]
pub(crate) struct Index {
    pages: BTreeMap<u64, Page>,
    live: usize,
}

impl Index {
    /// Messages in it.
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    /// Adds a message that nobody holds yet.
    pub(crate) fn add(&mut self, number: u64, position: Position) {
        self.put(number, position, 0);
    }

    /// Adds a message of which only its owner can say who holds it, or says that it is somewhere else by now: then
    /// gives where it was.
    pub(crate) fn recover(&mut self, number: u64, position: Position) -> Option<Position> {
        self.put(number, position, UNADOPTED)
    }

    pub(crate) fn position(&self, number: u64) -> Option<Position> {
        self.pages.get(&(number / PAGE))?.get(within(number)).map(|slot| slot.position)
    }

    /// All numbers in it, ascending.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        let of_page = |(page, slots): (&u64, &Page)| {
            let first = page * PAGE;
            slots.places().map(move |at| first + u64::from(at)).collect::<Vec<_>>()
        };
        self.pages.iter().flat_map(of_page).collect()
    }

    /// Changes the holders by `difference`.
    pub(crate) fn hold(&mut self, number: u64, difference: i32) -> Holders {
        let page = self.pages.get_mut(&(number / PAGE));
        let Some(holders) = page.and_then(|page| page.holders_mut(within(number))) else { return Holders::Unknown };
        if *holders == UNADOPTED {
            return Holders::Unadopted;
        }
        *holders = holders.saturating_add_signed(difference).min(UNADOPTED - 1);
        Holders::Now(*holders)
    }

    /// Takes a message out, if nobody holds it, and gives where it was.
    pub(crate) fn remove_unheld(&mut self, number: u64) -> Option<Position> {
        let slot = self.pages.get(&(number / PAGE))?.get(within(number))?;
        (slot.holders == 0).then(|| self.remove(number))?
    }

    /// Takes a message out and gives where it was.
    pub(crate) fn remove(&mut self, number: u64) -> Option<Position> {
        let page = self.pages.get_mut(&(number / PAGE))?;
        let slot = page.remove(within(number))?;
        if page.is_empty() {
            self.pages.remove(&(number / PAGE));
        }
        self.live -= 1;
        Some(slot.position)
    }

    /// Says that a message is at `to`, unless it is not at `from` any more.
    pub(crate) fn relocate(&mut self, number: u64, from: Position, to: Position) -> bool {
        let Some(page) = self.pages.get_mut(&(number / PAGE)) else { return false };
        let Some(slot) = page.get(within(number)).filter(|slot| slot.position == from) else { return false };
        page.put(within(number), Slot { position: to, ..slot });
        true
    }

    /// Takes over who holds what was recovered. What nobody holds is taken out; `on_dead` is told where it was.
    pub(crate) fn adopt(&mut self, holds: &mut dyn Iterator<Item = (u64, u32)>, on_dead: &mut dyn FnMut(Position)) {
        for (number, count) in holds {
            let page = self.pages.get_mut(&(number / PAGE));
            if let Some(holders) = page.and_then(|page| page.holders_mut(within(number)))
                && *holders == UNADOPTED
                && count > 0
            {
                *holders = count.min(UNADOPTED - 1);
            }
        }
        let mut live = 0;
        self.pages.retain(|_, page| {
            page.retain(|slot| {
                let keep = slot.holders != UNADOPTED;
                if !keep {
                    on_dead(slot.position);
                }
                keep
            });
            live += page.len();
            !page.is_empty()
        });
        self.live = live;
    }

    fn put(&mut self, number: u64, position: Position, holders: u32) -> Option<Position> {
        let page = self.pages.entry(number / PAGE).or_default();
        let old = page.put(within(number), Slot { position, holders });
        self.live += usize::from(old.is_none());
        old.map(|slot| slot.position)
    }

    /// Bytes of memory, about.
    #[cfg(test)]
    fn memory(&self) -> usize {
        self.pages.values().map(|page| page.memory() + size_of::<(u64, Page)>() * 3 / 2).sum()
    }
}

fn within(number: u64) -> u8 {
    (number % PAGE) as u8
}

#[cfg(test)]
mod tests;
