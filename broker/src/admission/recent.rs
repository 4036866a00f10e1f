//! How fast each address has connected lately: a bounded table of buckets.
//!
//! An address whose bucket is full again is forgotten, for that is the same. When there are more addresses than may be
//! remembered, the one with the fullest bucket is forgotten: what it gains is what its bucket lacked, which is no more
//! than any other lacks. So someone with many addresses, who makes one connection from each, has his own forgotten, and
//! never that of one which connects fast.

use std::collections::{BTreeSet, HashMap};

use selvedge_core::Moment;

use super::{
    address::Origin,
    bucket::{Bucket, Rate},
};

/// Addresses forgotten with each that comes, where their time is over.
const FORGOTTEN_AT_ONCE: usize = 2;

/// See the module.
#[derive(Debug)]
pub(super) struct Recent {
    buckets: HashMap<Origin, Bucket>,
    /// The same, the fullest first.
    by_fullness: BTreeSet<(Bucket, Origin)>,
    max: usize,
    forgotten: u64,
}

impl Recent {
    /// Remembers at most `max` addresses.
    pub(super) fn new(max: usize) -> Self {
        Self { buckets: HashMap::new(), by_fullness: BTreeSet::new(), max: max.max(1), forgotten: 0 }
    }

    /// One more connection from `origin`; false if that is too fast.
    pub(super) fn take(&mut self, origin: Origin, rate: Rate, now: Moment) -> bool {
        self.forget_full(now);
        let known = self.buckets.get(&origin).copied();
        let mut bucket = known.unwrap_or_default();
        if !bucket.has_one(rate, now) {
            return false;
        }
        if known.is_some() {
            self.by_fullness.remove(&(bucket, origin));
        } else if self.buckets.len() >= self.max {
            self.forgotten += 1;
            self.forget_first();
        }
        bucket.take(1, rate, now);
        self.buckets.insert(origin, bucket);
        self.by_fullness.insert((bucket, origin));
        true
    }

    /// How many were forgotten before their time.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn forget_full(&mut self, now: Moment) {
        for _ in 0..FORGOTTEN_AT_ONCE {
            if self.by_fullness.first().is_some_and(|(bucket, _)| bucket.is_full(now)) {
                self.forget_first();
            }
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, origin)) = self.by_fullness.pop_first() {
            self.buckets.remove(&origin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 10;

    fn rate() -> Rate {
        Rate::new(10, 5).expect("limited")
    }

    fn at(ms: u64) -> Moment {
        Moment::from_millis(ms)
    }

    #[test]
    fn many_addresses_do_not_make_it_forget_the_one_that_connects_fast() {
        let mut recent = Recent::new(MAX);
        let fast = Origin::V4(0);
        assert_eq!((0..9).filter(|_| recent.take(fast, rate(), at(0))).count(), 5);
        for other in 1..1000 {
            assert!(recent.take(Origin::V4(other), rate(), at(0)));
            assert!(recent.buckets.len() <= MAX && recent.by_fullness.len() == recent.buckets.len());
        }
        assert!(!recent.take(fast, rate(), at(0)), "it is still known");
        assert_eq!(recent.forgotten(), 1000 - MAX as u64);
    }

    #[test]
    fn as_many_as_may_be_are_remembered_and_none_whose_bucket_is_full_again() {
        let mut recent = Recent::new(MAX);
        for number in 0..MAX as u32 {
            assert!(recent.take(Origin::V4(number), rate(), at(0)));
        }
        assert_eq!((recent.buckets.len(), recent.forgotten()), (MAX, 0));
        for number in 0..MAX as u32 {
            assert!(recent.take(Origin::V6Network(number.into()), rate(), at(1000)));
        }
        assert_eq!((recent.buckets.len(), recent.forgotten()), (MAX, 0));
        assert!(recent.buckets.keys().all(|origin| matches!(origin, Origin::V6Network(_))));
    }
}
