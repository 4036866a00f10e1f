//! What the node holds for its clients, in bytes, against the memory budget (`docs/decisions/memory-budget.md`).
//!
//! Messages count once, however many queues they stand in, for as long as anybody holds them. Sessions and connections
//! count by their footprint, which is taken anew whenever they changed. Invariant: what goes takes exactly that out of
//! the account which it put in, so that nothing drifts; and whoever makes the node hold more asks here before.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

/// What a session may hold at least while memory is short, bytes.
const SHARE_BYTES_MIN: usize = 4096;

/// The sum of all messages that somebody holds. Shared, because the last to hold one may be another thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(Arc<AtomicUsize>);

/// The place of a message in the ledger; leaves it with the message.
#[derive(Debug)]
struct Charge {
    ledger: Ledger,
    bytes: usize,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.ledger.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Whether a message stands in the ledger. Says nothing about the message: any two are equal.
#[derive(Debug, Default)]
pub(crate) struct ChargeSlot(OnceLock<Charge>);

impl ChargeSlot {
    /// Counts the message, unless it counts already.
    pub(crate) fn charge(&self, ledger: &Ledger, bytes: usize) {
        self.0.get_or_init(|| {
            ledger.0.fetch_add(bytes, Ordering::Relaxed);
            Charge { ledger: ledger.clone(), bytes }
        });
    }
}

impl PartialEq for ChargeSlot {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for ChargeSlot {}

/// See the module.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) messages: Ledger,
    /// Sum of the footprints of sessions and connections.
    footprints: usize,
    /// Levels of the tree of retained messages.
    pub(crate) retained_levels: usize,
    /// The tree of topic filters.
    pub(crate) tree: usize,
    /// What ended sessions subscribed to, as far as it is still in that tree.
    pub(crate) departed: usize,
    /// The cache of matches.
    pub(crate) cached: usize,
    /// What the shell says it holds.
    pub(crate) outside: usize,
    /// Between how many the last quarter is divided.
    pub(crate) sessions: usize,
    budget: usize,
    soft: usize,
}

impl Account {
    pub(crate) fn new(budget: usize) -> Self {
        Self {
            messages: Ledger::default(),
            footprints: 0,
            retained_levels: 0,
            tree: 0,
            departed: 0,
            cached: 0,
            outside: 0,
            sessions: 0,
            budget,
            soft: budget / 4 * 3,
        }
    }

    /// What sessions and connections count for.
    pub(crate) fn footprints(&self) -> usize {
        self.footprints
    }

    /// All that is held.
    pub(crate) fn total(&self) -> usize {
        self.messages.0.load(Ordering::Relaxed)
            + self.footprints
            + self.retained_levels
            + self.tree
            + self.departed
            + self.cached
            + self.outside
    }

    /// Whether `bytes` more are within the budget.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.total().saturating_add(bytes) <= self.budget
    }

    /// Whether three quarters of the budget are used up.
    pub(crate) fn is_strained(&self) -> bool {
        self.total() > self.soft
    }

    /// What one session may hold while memory is short: its part of the last quarter.
    pub(crate) fn share_bytes(&self) -> usize {
        ((self.budget - self.soft) / self.sessions.max(1)).max(SHARE_BYTES_MIN)
    }

    /// Takes the present footprint of something into the account; `counted` is where it notes what it counts for.
    #[inline]
    pub(crate) fn settle(&mut self, counted: &mut usize, footprint: usize) {
        self.footprints = self.footprints - *counted + footprint;
        *counted = footprint;
    }

    /// Something is gone that counted for so many bytes.
    pub(crate) fn forget(&mut self, counted: usize) {
        self.footprints -= counted;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_counts_once_and_only_while_it_lives() {
        let account = Account::new(1000);
        let slot = ChargeSlot::default();
        slot.charge(&account.messages, 600);
        slot.charge(&account.messages, 600);
        assert_eq!(account.total(), 600);
        assert!(account.has_room(400) && !account.has_room(401));
        drop(slot);
        assert_eq!(account.total(), 0);
    }

    #[test]
    fn the_last_quarter_is_divided_but_not_into_crumbs() {
        let mut account = Account::new(400_000);
        account.outside = 300_000;
        assert!(!account.is_strained());
        account.outside += 1;
        assert!(account.is_strained());
        account.sessions = 10;
        assert_eq!(account.share_bytes(), 10_000);
        account.sessions = 1000;
        assert_eq!(account.share_bytes(), SHARE_BYTES_MIN);
    }
}
