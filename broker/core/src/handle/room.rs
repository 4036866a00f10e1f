//! Room on the disk: messages that are over go, also those of sessions that stay away, and when there is no room those of
//! lower priority are given up for one of higher.
//!
//! Only what waits for a durable session is ever given up, the oldest first; what is in flight, retained, or of the same
//! priority is not. Invariant: each step and each publication does bounded work.

use std::ops::ControlFlow;

use super::Core;
use crate::{
    durability::Priority, effect::Effects, id::SessionKey, session::queue::Dropped, time::Moment, timers::Timer,
};

/// Between two rounds over everything that waits and may be over.
const ROUND_EVERY_S: u32 = 60;
/// Entries that one step looks at, and sessions.
const ENTRIES_PER_STEP: usize = 16 * 1024;
const SESSIONS_PER_STEP: usize = 256;
/// Given up at once, so that the search for it is worth its while; bytes.
const GIVEN_UP_AT_ONCE: usize = 256 * 1024;

/// How far a round is that looks for what is over.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ExpiryRound {
    /// Sessions before this index are done with.
    session: u32,
    /// So are its entries before this one.
    entry: u64,
}

impl Core {
    /// Begins a round now, and others from time to time.
    pub(super) fn begin_expiry_round(&mut self, now: Moment) {
        self.expiry.get_or_insert_default();
        self.timers.arm(now.plus_seconds(ROUND_EVERY_S), Timer::Expiry);
    }

    /// Whether the disk has room for more messages; if it has none any more, what is over goes first.
    pub(super) fn on_disk_room(&mut self, has_room: bool) {
        if self.journal.has_room && !has_room {
            self.expiry.get_or_insert_default();
        }
        self.journal.has_room = has_room;
    }

    /// One step of the round that is going on.
    pub(super) fn drop_expired(&mut self, now: Moment, effects: &mut Effects) {
        let Some(mut round) = self.expiry.take() else { return };
        let now_ms = self.journal.clock.ms(now);
        for _ in 0..SESSIONS_PER_STEP {
            let Some(key) = self.sessions.at_or_after(round.session) else { return };
            let mut next = None;
            if let Some(session) = self.sessions.get_mut(key)
                && session.queue.stored.may_expire()
            {
                let mut gone = Vec::new();
                let from = if key.index == round.session { round.entry } else { 0 };
                let stored = &mut session.queue.stored;
                next = stored.expire(from, ENTRIES_PER_STEP, now_ms, &mut |dropped| gone.push(dropped));
                self.statistics.dropped_expired += gone.len() as u64;
                self.forget_waiting(key, &gone);
                effects.work += ENTRIES_PER_STEP / 64;
            }
            match next {
                Some(entry) => {
                    self.expiry = Some(ExpiryRound { session: key.index, entry });
                    return;
                }
                None => round = ExpiryRound { session: key.index + 1, entry: 0 },
            }
        }
        self.expiry = Some(round);
    }

    /// Gives up what waits and is of lower priority, until it makes up for `bytes`. False: there is nothing such.
    pub(super) fn make_room(&mut self, priority: Priority, bytes: usize) -> bool {
        while self.given_up < bytes {
            if self.journal.lowest_waiting() >= priority {
                return false;
            }
            let lower = [Priority::Low, Priority::Normal].into_iter().filter(|lower| *lower < priority);
            for lower in lower {
                if self.give_up_waiting(lower).is_break() {
                    break;
                }
                // Nobody has such any more, until somebody is given one.
                self.journal.nothing_waits_up_to(lower);
            }
        }
        self.given_up -= bytes;
        true
    }

    /// Breaks off once some were found.
    fn give_up_waiting(&mut self, priority: Priority) -> ControlFlow<()> {
        let clock = self.journal.clock;
        let mut next = self.give_up_next;
        let mut wrapped = false;
        loop {
            let Some(key) = self.sessions.at_or_after(next) else {
                if wrapped {
                    return ControlFlow::Continue(());
                }
                (wrapped, next) = (true, 0);
                continue;
            };
            if wrapped && key.index >= self.give_up_next {
                return ControlFlow::Continue(());
            }
            next = key.index + 1;
            let Some(session) = self.sessions.get_mut(key).filter(|session| session.number != 0) else { continue };
            session.queue.spill(clock);
            let mut gone = Vec::new();
            let bytes = session.queue.stored.give_up(priority, GIVEN_UP_AT_ONCE, &mut |dropped| gone.push(dropped));
            self.forget_waiting(key, &gone);
            if bytes > 0 {
                self.statistics.dropped_priority += gone.len() as u64;
                self.given_up += bytes;
                // The others have their turn as well.
                self.give_up_next = next;
                return ControlFlow::Break(());
            }
        }
    }

    fn forget_waiting(&mut self, key: SessionKey, gone: &[Dropped]) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.settle(&mut self.account);
        for dropped in gone {
            self.statistics.queued_messages -= 1;
            self.statistics.queued_bytes -= dropped.cost as u64;
            self.journal.done(session.number, dropped.entry, dropped.message);
        }
    }
}
