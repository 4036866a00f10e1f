//! Which schedules are due. Pure: the time is an argument.
//!
//! What was missed while nobody looked happens once, not once for each time. When the clock goes back, times are found anew, so that
//! nothing waits for a year that was never there.

use jiff::tz::TimeZone;

use crate::cron::Schedule;

/// A clock that goes back further than this was set, not corrected. Milliseconds.
const BACK_MAX_MS: i64 = 1000;

/// One schedule.
#[derive(Clone, Debug)]
pub struct Appointment<K> {
    /// What is to happen.
    pub key: K,
    /// When.
    pub schedule: Schedule,
    /// By the clocks of where.
    pub zone: TimeZone,
}

/// Schedules and when each is due.
#[derive(Debug)]
pub struct Timetable<K> {
    entries: Vec<(Appointment<K>, Option<i64>)>,
    last_ms: i64,
}

impl<K: Clone + PartialEq> Timetable<K> {
    /// Nothing is due.
    pub fn new(now_ms: i64) -> Self {
        Self { entries: Vec::new(), last_ms: now_ms }
    }

    /// These schedules, and no others; those that were there keep their next time.
    pub fn set(&mut self, appointments: Vec<Appointment<K>>, now_ms: i64) {
        let before = std::mem::take(&mut self.entries);
        let kept = |new: &Appointment<K>| {
            let same = |(old, _): &&(Appointment<K>, _)| {
                old.key == new.key && old.schedule == new.schedule && old.zone == new.zone
            };
            before.iter().find(same).map(|(_, due)| *due)
        };
        self.entries = appointments
            .into_iter()
            .map(|new| {
                let due = kept(&new).unwrap_or_else(|| new.schedule.next_after(now_ms, &new.zone));
                (new, due)
            })
            .collect();
    }

    /// What is due at `now_ms`, with the time that it was due at, earliest first.
    pub fn due(&mut self, now_ms: i64) -> Vec<(K, i64)> {
        let went_back = now_ms < self.last_ms.saturating_sub(BACK_MAX_MS);
        self.last_ms = now_ms;
        let mut all = Vec::new();
        for (entry, due) in &mut self.entries {
            if went_back {
                *due = entry.schedule.next_after(now_ms, &entry.zone);
            }
            if let Some(at) = due.filter(|at| *at <= now_ms) {
                all.push((entry.key.clone(), at));
                *due = entry.schedule.next_after(now_ms, &entry.zone);
            }
        }
        all.sort_by_key(|(_, at)| *at);
        all
    }

    /// The next time that something is due.
    pub fn next(&self) -> Option<i64> {
        self.entries.iter().filter_map(|(_, due)| *due).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every(key: &'static str, schedule: &str) -> Appointment<&'static str> {
        Appointment { key, schedule: Schedule::parse(schedule).unwrap(), zone: TimeZone::UTC }
    }

    #[test]
    fn what_is_due_happens_once_and_in_order() {
        let mut table = Timetable::new(500);
        table.set(vec![every("slow", "*/3 * * * * *"), every("fast", "* * * * * *")], 500);
        assert_eq!((table.next(), table.due(999)), (Some(1000), vec![]));
        assert_eq!(table.due(1000), [("fast", 1000)]);
        assert_eq!(table.due(1001), []);
        assert_eq!(table.due(3100), [("fast", 2000), ("slow", 3000)], "what was missed happens once");
        assert_eq!(table.next(), Some(4000));
    }

    #[test]
    fn what_stays_keeps_its_time_and_what_goes_is_gone() {
        let mut table = Timetable::new(0);
        table.set(vec![every("a", "*/10 * * * * *")], 500);
        table.set(vec![every("a", "*/10 * * * * *"), every("b", "* * * * * *")], 10_500);
        assert_eq!(table.due(10_600), [("a", 10_000)], "it was due while the table changed");
        table.set(vec![every("a", "*/30 * * * * *")], 11_000);
        assert_eq!(table.next(), Some(30_000));
    }

    #[test]
    fn a_clock_that_is_set_is_followed_both_ways() {
        let mut table = Timetable::new(1_000_000);
        table.set(vec![every("a", "0 * * * * *")], 1_000_000);
        assert_eq!(table.due(100_000_000), [("a", 1_020_000)], "forward: once");
        assert_eq!(table.due(1_000_500), []);
        assert_eq!(table.next(), Some(1_020_000), "back: found anew");
        assert_eq!(table.due(1_020_000).len(), 1);
        assert_eq!(table.due(1_019_500), [], "a correction of half a second");
        assert_eq!(table.due(1_020_100), []);
    }
}
