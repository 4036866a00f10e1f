//! Accounts for one stream of numbered messages at one subscriber: lost, twice, late.
//! Pure. Invariant: what arrived and what is missing add up to the highest number seen plus one, whatever arrives in whatever order.

use std::collections::BTreeSet;

/// Holes of one stream that are remembered one by one. Beyond it a hole still counts as missing, but its late arrival
/// counts as a duplicate.
const HOLES_MAX: usize = 65_536;

/// What one arrival meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The next one.
    InOrder,
    /// Later than the next one: this many before it are missing for now.
    AfterGap(u64),
    /// One that was missing: it came, but out of order.
    Late,
    /// Seen before.
    Duplicate,
    /// A number that has not been sent: the payload was damaged on the way.
    NeverSent,
}

/// The arrivals of one stream.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    next: u64,
    missing: u64,
    holes: BTreeSet<u64>,
    duplicates: u64,
    late: u64,
    never_sent: u64,
}

impl Sequence {
    /// Accounts for message `number` of a stream of which `sent` messages were sent so far.
    pub fn observe(&mut self, number: u64, sent: u64) -> Arrival {
        if number >= sent {
            self.never_sent += 1;
            return Arrival::NeverSent;
        }
        if number == self.next {
            self.next += 1;
            return Arrival::InOrder;
        }
        if number > self.next {
            let gap = number - self.next;
            let room = HOLES_MAX.saturating_sub(self.holes.len());
            self.holes.extend((self.next..number).take(room));
            self.missing += gap;
            self.next = number + 1;
            return Arrival::AfterGap(gap);
        }
        if self.holes.remove(&number) {
            self.missing -= 1;
            self.late += 1;
            Arrival::Late
        } else {
            self.duplicates += 1;
            Arrival::Duplicate
        }
    }

    /// Different messages that arrived.
    pub fn distinct(&self) -> u64 {
        self.next - self.missing
    }

    /// Arrivals beyond the first of their number.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Messages that arrived after a later one.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// Arrivals with a number that was not sent.
    pub fn never_sent(&self) -> u64 {
        self.never_sent
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn observed(numbers: &[u64]) -> Sequence {
        let mut sequence = Sequence::default();
        for &number in numbers {
            sequence.observe(number, 1_000_000);
        }
        sequence
    }

    #[test]
    fn an_unbroken_stream_has_nothing_to_report() {
        let sequence = observed(&[0, 1, 2, 3]);
        assert_eq!((sequence.distinct(), sequence.missing, sequence.duplicates(), sequence.late()), (4, 0, 0, 0));
    }

    #[test]
    fn a_hole_is_missing_until_it_arrives_late() {
        let mut sequence = Sequence::default();
        assert_eq!(sequence.observe(0, 10), Arrival::InOrder);
        assert_eq!(sequence.observe(3, 10), Arrival::AfterGap(2));
        assert_eq!(sequence.missing, 2);
        assert_eq!(sequence.observe(1, 10), Arrival::Late);
        assert_eq!((sequence.distinct(), sequence.missing, sequence.late()), (3, 1, 1));
    }

    #[test]
    fn a_second_copy_is_a_duplicate_even_of_a_late_one() {
        let mut sequence = observed(&[0, 2, 1]);
        assert_eq!(sequence.observe(1, 10), Arrival::Duplicate);
        assert_eq!(sequence.observe(0, 10), Arrival::Duplicate);
        assert_eq!((sequence.distinct(), sequence.duplicates()), (3, 2));
    }

    #[test]
    fn a_number_beyond_what_was_sent_changes_nothing_else() {
        let mut sequence = observed(&[0]);
        assert_eq!(sequence.observe(5, 5), Arrival::NeverSent);
        assert_eq!((sequence.distinct(), sequence.missing, sequence.never_sent()), (1, 0, 1));
        assert_eq!(sequence.observe(4, 5), Arrival::AfterGap(3));
    }

    #[test]
    fn holes_beyond_the_limit_are_still_counted() {
        let mut sequence = Sequence::default();
        let far = HOLES_MAX as u64 + 10;
        assert_eq!(sequence.observe(far, u64::MAX), Arrival::AfterGap(far));
        assert_eq!(sequence.missing, far);
        assert_eq!(sequence.observe(HOLES_MAX as u64 - 1, u64::MAX), Arrival::Late);
        assert_eq!(sequence.observe(HOLES_MAX as u64, u64::MAX), Arrival::Duplicate);
    }

    proptest! {
        #[test]
        fn any_order_with_any_repeats_is_accounted_as_a_set_would(numbers in prop::collection::vec(0_u64..200, 0..400)) {
            let sequence = observed(&numbers);
            let distinct: BTreeSet<u64> = numbers.iter().copied().collect();
            let span = distinct.last().map_or(0, |last| last + 1);
            prop_assert_eq!(sequence.distinct(), distinct.len() as u64);
            prop_assert_eq!(sequence.distinct() + sequence.missing, span);
            prop_assert_eq!(sequence.duplicates(), (numbers.len() - distinct.len()) as u64);
        }
    }
}
