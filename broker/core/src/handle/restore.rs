//! Going on where an earlier run of the node stopped.

use std::sync::Arc;

use super::{Core, disconnect::split_shared, recheck::Sweep};
use crate::{
    durability::Durability,
    id::SessionKey,
    journal::{
        Journal, WallClock, message,
        restore::{Presence, Restored, RestoredEntry, RestoredSession, RestoredWill},
    },
    session::{
        NEVER, Will,
        in_flight::{Awaiting, Body, Entry},
    },
    time::Moment,
    timers::Timer,
};
use selvedge_codec::QoS;

impl Core {
    /// Keeps what must be kept from now on, and goes on with what the journal held. To be called before the first input.
    ///
    /// `wall_ms` is the time of the clock on the wall at the origin of [`Moment`], milliseconds since 1970, never before the
    /// last of what was restored: by it, what was to happen while the node was off happens at once. `next_message` is greater
    /// than the number of any message in the journal; `fetch` gives retained messages by number. A client that was connected
    /// when the node stopped counts as lost now.
    pub fn continue_from(
        &mut self,
        restored: Restored,
        wall_ms: u64,
        next_message: u64,
        fetch: &mut dyn FnMut(u64) -> Option<Vec<u8>>,
    ) {
        let for_sessions = self.config.durability.safest();
        let clock = WallClock { origin_ms: wall_ms };
        self.journal = Journal::on(clock, for_sessions, restored.next_session, next_message);
        if for_sessions == Durability::Memory {
            self.forget(&restored);
            return;
        }
        self.begin_expiry_round(Moment::default());
        for number in restored.ended {
            self.journal.ended_before(number);
        }
        for (number, _) in restored.retained {
            let found = fetch(number).and_then(|body| message::decode(&body, number, clock));
            match found {
                Some(message) => self.restore_retained(message),
                None => {
                    self.statistics.lost_on_disk += 1;
                    self.journal.release(number);
                }
            }
        }
        self.account.retained_levels = self.router.retained.level_bytes();
        for (number, session) in restored.sessions {
            self.restore_session(number, session, clock);
        }
        self.router.cache.invalidate();
        self.account.tree = self.router.tree.bytes();
        // The rules may be others than those by which all this was granted.
        self.rules = self.rules.wrapping_add(1);
        self.sweep = Some(Sweep::from_start());
    }

    /// Nothing is kept any more, and what was kept ends.
    fn forget(&mut self, restored: &Restored) {
        restored.holds(&mut |message| self.journal.release(message));
        // An image of nothing.
        self.journal.begin_image();
        self.journal.image_of_retained(std::iter::empty());
        let numbers = restored.sessions.keys().chain(&restored.ended);
        numbers.for_each(|number| self.journal.ended_before(*number));
        self.journal.end_image();
        self.journal.turn_off();
    }

    fn restore_retained(&mut self, message: crate::message::Message) {
        let message = Arc::new(message);
        message.charge(&self.account.messages);
        // The limits may be lower than they were; what was acknowledged stays.
        let _unlimited = self.router.retained.set(message, usize::MAX, usize::MAX);
    }

    fn restore_session(&mut self, number: u64, restored: RestoredSession, clock: WallClock) {
        let now = Moment::default();
        let RestoredSession {
            client_id,
            user,
            expiry_s,
            will,
            presence,
            filters,
            in_flight,
            queue,
            next_entry,
            inbound,
        } = restored;
        if self.sessions.find(&client_id).is_some() {
            // Cannot be, but for a damaged journal: the one that was read first stays.
            self.journal.ended_before(number);
            return;
        }
        let key = self.sessions.insert(client_id.into(), user.map(Arc::from), &mut self.account);
        for (filter, options) in &filters {
            let (group, plain) = split_shared(filter);
            self.router.tree.subscribe(plain, group, key, *options);
        }
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.number = number;
        session.next_entry = next_entry;
        session.expiry_s = expiry_s;
        session.inbound_qos_2 = inbound;
        session.will = will.and_then(|will| restore_will(&will, clock)).map(Box::new);
        filters.keys().for_each(|filter| session.add_filter(filter));
        in_flight.into_iter().for_each(|entry| session.in_flight.restore(restore_entry(entry)));
        session.queue.stored = queue;
        if !session.is_internal() {
            session.queue.stored.question_all();
        }
        self.statistics.subscriptions += filters.len() as u64;
        self.statistics.queued_messages += session.queue.total() as u64;
        self.statistics.queued_bytes += session.queue.bytes_held() as u64;
        session.settle(&mut self.account);
        self.sessions.went_away(key);
        self.restore_deadlines(key, presence, clock, now);
    }

    fn restore_deadlines(&mut self, key: SessionKey, presence: Presence, clock: WallClock, now: Moment) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        if session.is_internal() {
            return;
        }
        let (ends_at, will_at) = match presence {
            Presence::Away { ends_at_ms, will_at_ms } => {
                let at = |ms: u64| (ms != 0).then(|| clock.moment(ms));
                (at(ends_at_ms), at(will_at_ms))
            }
            Presence::Connected => {
                let ends_at = (session.expiry_s != NEVER).then(|| now.plus_seconds(session.expiry_s));
                (ends_at, session.will.as_ref().map(|will| now.plus_seconds(will.delay_s.min(session.expiry_s))))
            }
        };
        session.ends_at = ends_at;
        session.will_at = will_at.filter(|_| session.will.is_some());
        if let Some(at) = session.ends_at {
            self.timers.arm(at, Timer::SessionExpiry(key));
        }
        if let Some(at) = session.will_at {
            self.timers.arm(at, Timer::Will(key));
        }
        if presence == Presence::Connected {
            self.journal.away(session);
        }
    }
}

fn restore_will(will: &RestoredWill, clock: WallClock) -> Option<Will> {
    let message = message::decode(&will.body, 0, clock)?;
    Some(Will { message, expiry_s: will.expiry_s, delay_s: will.delay_s })
}

fn restore_entry(restored: RestoredEntry) -> Entry {
    let RestoredEntry { entry, packet_id, qos, retain, message, cost, identifiers } = restored;
    let awaiting = match qos {
        _ if message == 0 => Awaiting::Completion,
        QoS::ExactlyOnce => Awaiting::Receipt,
        _ => Awaiting::Acknowledgement,
    };
    let body = if message == 0 { Body::Gone } else { Body::Stored { number: message, cost } };
    Entry { packet_id, awaiting, retain, body, identifiers, entry }
}
