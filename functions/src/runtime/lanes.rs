//! Which of a function's waiting messages may run now. Pure.
//!
//! Invariants: of one publisher at most one message runs or has a commit that can still conflict, and the next one only after it,
//! also when it has to wait for another attempt; a function that runs one message at a time does so in the order of all.

use std::time::Instant;

use crate::manifest::Concurrency;

/// Waiting messages that are looked at for one that may run.
const LOOK_MAX: usize = 128;
/// Messages that wait for each further run beside the first ones.
const WAITING_PER_RUN: usize = 8;
/// The order of all messages, for a function that runs one at a time and for a message that runs alone.
const WHOLE: Order = Order(u64::MAX);

/// What keeps its order: the messages of one publisher, or a message on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order(u64);

impl Order {
    /// Equal numbers keep their order among each other.
    pub(super) fn of(number: u64) -> Self {
        Self(number >> 1)
    }
}

/// A waiting message, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) order: Order,
    /// Not before that.
    pub(super) not_before: Option<Instant>,
    /// Nothing else may run beside it, because what did made its commits conflict.
    pub(super) is_alone: bool,
}

/// What may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The waiting message at this place.
    Run(usize),
    /// Nothing before that.
    At(Instant),
    /// Nothing until something else ends or comes.
    Nothing,
}

/// A function's runs, and its entries with the scheduler.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    running: usize,
    /// Entries to run now.
    scheduled: usize,
    /// There is an entry to look again then.
    wakes_at: Option<Instant>,
    /// Of messages that run or whose commit can still conflict.
    busy: Vec<Order>,
}

/// Orders that have to wait, and when the first of them is due.
#[derive(Debug, Default)]
pub(super) struct Passed {
    orders: Vec<Order>,
    earliest: Option<Instant>,
}

impl Passed {
    /// The message of this order waits, until then if that is known.
    pub(super) fn over(&mut self, order: Order, until: Option<Instant>) {
        self.orders.push(order);
        self.earliest = self.earliest.into_iter().chain(until).min();
    }

    fn next(&self) -> Next {
        self.earliest.map_or(Next::Nothing, Next::At)
    }
}

/// Runs at once, for so many messages that wait.
fn allowed(concurrency: Concurrency, waiting: usize) -> usize {
    (1 + waiting / WAITING_PER_RUN).clamp(concurrency.floor, concurrency.ceiling)
}

impl Lanes {
    /// The order that a message is in under this concurrency; that of all if nothing may begin while it runs.
    pub(super) fn order(concurrency: Concurrency, candidate: Candidate) -> Order {
        if concurrency.ceiling == 1 || candidate.is_alone { WHOLE } else { candidate.order }
    }

    /// Messages that run.
    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// Is there room for one more run?
    pub(super) fn has_room(&self, concurrency: Concurrency, waiting: usize) -> bool {
        self.running < allowed(concurrency, waiting)
    }

    /// What the scheduler should be told: to run the function now ([`Next::Run`]) or to look at it later, where it does not know.
    pub(super) fn claim(
        &mut self,
        concurrency: Concurrency,
        count: usize,
        waiting: impl Iterator<Item = Candidate> + Clone,
        now: Instant,
    ) -> Next {
        if self.running + self.scheduled >= allowed(concurrency, count) {
            return Next::Nothing;
        }
        let mut passed = Passed::default();
        // Each entry takes one message that may run.
        for _ in 0..self.scheduled {
            let Next::Run(place) = self.next(concurrency, waiting.clone(), now, &mut passed) else {
                return Next::Nothing;
            };
            let taken = waiting.clone().nth(place);
            taken.into_iter().for_each(|taken| passed.over(Self::order(concurrency, taken), None));
        }
        match self.next(concurrency, waiting, now, &mut passed) {
            Next::Run(place) => {
                self.scheduled += 1;
                Next::Run(place)
            }
            Next::At(at) => self.wake(at),
            Next::Nothing => Next::Nothing,
        }
    }

    /// [`Next::At`] where the scheduler has to be told of it.
    pub(super) fn wake(&mut self, at: Instant) -> Next {
        if self.wakes_at.is_some_and(|known| known <= at) {
            return Next::Nothing;
        }
        self.wakes_at = Some(at);
        Next::At(at)
    }

    /// The scheduler gave an entry back.
    pub(super) fn entered(&mut self, is_wake: bool) {
        if is_wake {
            self.wakes_at = None;
        } else {
            self.scheduled -= 1;
        }
    }

    /// The first message that may run besides those of orders in `passed`.
    pub(super) fn next(
        &self,
        concurrency: Concurrency,
        waiting: impl Iterator<Item = Candidate>,
        now: Instant,
        passed: &mut Passed,
    ) -> Next {
        let one_at_a_time = concurrency.ceiling == 1;
        // Those that began under another concurrency end first.
        if !self.busy.is_empty() && (one_at_a_time || self.busy.contains(&WHOLE)) {
            return Next::Nothing;
        }
        for (place, candidate) in waiting.take(LOOK_MAX).enumerate() {
            let waits = candidate.not_before.filter(|at| *at > now);
            // Until then, what will run alone holds up its own publisher, not everybody.
            let is_alone = candidate.is_alone && waits.is_none();
            let order = Self::order(concurrency, Candidate { is_alone, ..candidate });
            if is_alone && !self.busy.is_empty() {
                return Next::Nothing;
            }
            if self.busy.contains(&order) || passed.orders.contains(&order) {
                if one_at_a_time || is_alone {
                    break;
                }
                continue;
            }
            match waits {
                Some(at) => passed.over(order, Some(at)),
                None => return Next::Run(place),
            }
            if one_at_a_time {
                break;
            }
        }
        passed.next()
    }

    /// A message of this order runs.
    pub(super) fn begin(&mut self, order: Order) {
        self.running += 1;
        self.busy.push(order);
    }

    /// It ran; its order is kept until [`Lanes::free`].
    pub(super) fn end(&mut self) {
        self.running -= 1;
    }

    /// The next message of the order may run.
    pub(super) fn free(&mut self, order: Order) {
        if let Some(place) = self.busy.iter().position(|busy| *busy == order) {
            self.busy.swap_remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const ONE: Concurrency = Concurrency { floor: 1, ceiling: 1 };
    const FOUR: Concurrency = Concurrency { floor: 4, ceiling: 4 };

    fn of(number: u64) -> Candidate {
        Candidate { order: Order::of(number << 1), not_before: None, is_alone: false }
    }

    fn at(number: u64, at: Instant) -> Candidate {
        Candidate { not_before: Some(at), ..of(number) }
    }

    fn next(lanes: &Lanes, concurrency: Concurrency, waiting: &[Candidate], now: Instant) -> Next {
        lanes.next(concurrency, waiting.iter().copied(), now, &mut Passed::default())
    }

    fn begin(lanes: &mut Lanes, concurrency: Concurrency, candidate: Candidate) -> Order {
        let order = Lanes::order(concurrency, candidate);
        lanes.begin(order);
        order
    }

    #[test]
    fn one_at_a_time_is_the_order_of_all() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        let later = now + Duration::from_secs(1);
        assert_eq!(next(&lanes, ONE, &[of(1), of(2)], now), Next::Run(0));
        assert_eq!(next(&lanes, ONE, &[at(1, later), of(2)], now), Next::At(later), "another publisher waits as well");
        let order = begin(&mut lanes, ONE, of(1));
        assert_eq!(next(&lanes, ONE, &[of(2)], now), Next::Nothing);
        lanes.end();
        assert_eq!(next(&lanes, ONE, &[of(2)], now), Next::Nothing, "its commit is not certain");
        lanes.free(order);
        assert_eq!(next(&lanes, ONE, &[of(2)], now), Next::Run(0));
    }

    #[test]
    fn of_several_at_once_each_publisher_has_its_order() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        let (soon, later) = (now + Duration::from_secs(1), now + Duration::from_secs(2));
        begin(&mut lanes, FOUR, of(1));
        assert_eq!(next(&lanes, FOUR, &[of(1), of(1), of(2)], now), Next::Run(2));
        let waiting = [at(2, later), of(2), at(3, soon), of(1), of(4)];
        assert_eq!(next(&lanes, FOUR, &waiting, now), Next::Run(4), "what waits for an attempt holds its publisher up");
        assert_eq!(next(&lanes, FOUR, &waiting[..4], now), Next::At(soon));
        assert_eq!(next(&lanes, FOUR, &waiting[..4], later), Next::Run(0));
    }

    #[test]
    fn what_conflicted_runs_alone_and_nothing_behind_it_goes_first() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        let alone = Candidate { is_alone: true, ..of(2) };
        let order = begin(&mut lanes, FOUR, of(1));
        assert_eq!(next(&lanes, FOUR, &[alone, of(3)], now), Next::Nothing);
        lanes.end();
        lanes.free(order);
        assert_eq!(next(&lanes, FOUR, &[alone, of(3)], now), Next::Run(0));
    }

    #[test]
    fn what_will_run_alone_after_a_pause_holds_up_its_publisher_and_when_it_is_due_everybody() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        let later = now + Duration::from_secs(1);
        let waits = Candidate { not_before: Some(later), is_alone: true, ..of(2) };
        assert_eq!(
            next(&lanes, FOUR, &[waits, of(2)], now),
            Next::At(later),
            "its publisher's next one stays behind it"
        );
        assert_eq!(next(&lanes, FOUR, &[waits, of(2), of(3)], now), Next::Run(2));
        assert_eq!(next(&lanes, ONE, &[waits, of(3)], now), Next::At(later), "one at a time is the order of all");
        let other = begin(&mut lanes, FOUR, of(3));
        assert_eq!(next(&lanes, FOUR, &[waits, of(4)], now), Next::Run(1));
        assert_eq!(next(&lanes, FOUR, &[waits, of(4)], later), Next::Nothing, "it is due: nothing begins until it can");
        lanes.end();
        lanes.free(other);
        assert_eq!(next(&lanes, FOUR, &[waits, of(4)], later), Next::Run(0));
    }

    #[test]
    fn nothing_begins_beside_what_runs_alone_until_its_commit_is_certain() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        let alone = begin(&mut lanes, FOUR, Candidate { is_alone: true, ..of(2) });
        assert_eq!(next(&lanes, FOUR, &[of(3)], now), Next::Nothing, "it could commit first, again and again");
        lanes.end();
        assert_eq!(next(&lanes, FOUR, &[of(3)], now), Next::Nothing);
        lanes.free(alone);
        assert_eq!(next(&lanes, FOUR, &[of(3), of(2)], now), Next::Run(0));
    }

    #[test]
    fn a_change_of_concurrency_waits_for_what_runs() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        let order = begin(&mut lanes, FOUR, of(1));
        assert_eq!(next(&lanes, ONE, &[of(2)], now), Next::Nothing);
        lanes.end();
        lanes.free(order);
        begin(&mut lanes, ONE, of(1));
        assert_eq!(next(&lanes, FOUR, &[of(2)], now), Next::Nothing);
    }

    #[test]
    fn runs_follow_what_waits_between_floor_and_ceiling() {
        let concurrency = Concurrency { floor: 2, ceiling: 5 };
        let runs: Vec<usize> = [0, 7, 8, 16, 24, 32, 1000].map(|waiting| allowed(concurrency, waiting)).to_vec();
        assert_eq!(runs, [2, 2, 2, 3, 4, 5, 5]);
    }

    #[test]
    fn the_scheduler_has_one_entry_for_each_message_that_may_run() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        let waiting = [of(1), of(1), of(2)];
        let claim = |lanes: &mut Lanes| lanes.claim(FOUR, waiting.len(), waiting.iter().copied(), now);
        assert_eq!((claim(&mut lanes), claim(&mut lanes)), (Next::Run(0), Next::Run(2)));
        assert_eq!(claim(&mut lanes), Next::Nothing, "the second of publisher 1 waits for the first");
        lanes.entered(false);
        assert_eq!(claim(&mut lanes), Next::Run(2));
    }

    #[test]
    fn the_scheduler_is_told_of_a_time_once_and_again_when_it_comes_nearer() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        let (soon, later) = (now + Duration::from_secs(1), now + Duration::from_secs(2));
        let claim = |lanes: &mut Lanes, at_time| lanes.claim(ONE, 1, [at(1, at_time)].into_iter(), now);
        assert_eq!((claim(&mut lanes, later), claim(&mut lanes, later)), (Next::At(later), Next::Nothing));
        assert_eq!(claim(&mut lanes, soon), Next::At(soon));
        lanes.entered(true);
        assert_eq!(claim(&mut lanes, later), Next::At(later));
    }

    #[test]
    fn only_so_many_waiting_messages_are_looked_at() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        begin(&mut lanes, FOUR, of(1));
        let mut waiting = vec![of(1); LOOK_MAX];
        waiting.push(of(2));
        assert_eq!(next(&lanes, FOUR, &waiting, now), Next::Nothing);
        assert_eq!(next(&lanes, FOUR, &waiting[1..], now), Next::Run(LOOK_MAX - 1));
    }
}
