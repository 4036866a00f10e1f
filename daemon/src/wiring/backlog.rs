//! What a function could not take, in the order in which it arrived. Decides who goes next; calls nobody.
//!
//! Invariant: of what can wait, nothing is handed out while something that arrived before it waits or is being drained.

use std::collections::BTreeMap;

/// Place of a delivery in the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrival(u64);

/// What becomes of a delivery that arrives.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate<D> {
    /// Nothing is before it: to be invoked now.
    Invoke(Arrival, D),
    /// It stands behind others.
    Waits,
    /// It would have to wait and may not.
    Dropped,
}

/// Whether a delivery may be kept: QoS 0 is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Stands behind what waits.
    CanWait,
    /// Now or never.
    CannotWait,
}

/// Deliveries that wait. Bounded by whoever bounds what is unacknowledged.
#[derive(Debug)]
pub struct Backlog<D> {
    waiting: BTreeMap<Arrival, D>,
    arrived: u64,
    /// The last one that this drain handed out. What arrives meanwhile waits, so that it cannot overtake.
    draining: Option<Arrival>,
    closed: bool,
}

impl<D> Default for Backlog<D> {
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), arrived: 0, draining: None, closed: false }
    }
}

impl<D> Backlog<D> {
    /// Takes a delivery that has just arrived.
    pub fn arrive(&mut self, delivery: D, patience: Patience) -> Fate<D> {
        self.arrived += 1;
        let arrival = Arrival(self.arrived);
        if self.waiting.is_empty() && self.draining.is_none() {
            Fate::Invoke(arrival, delivery)
        } else if patience == Patience::CanWait && !self.closed {
            self.waiting.insert(arrival, delivery);
            Fate::Waits
        } else {
            Fate::Dropped
        }
    }

    /// Takes a refused delivery back to its place. False after `close`: it is gone.
    pub fn put_back(&mut self, arrival: Arrival, delivery: D) -> bool {
        if !self.closed {
            self.waiting.insert(arrival, delivery);
        }
        !self.closed
    }

    /// The next to try, oldest first. `None` ends the drain: nothing waits, or the oldest has been tried in this drain and was
    /// refused. To be called until then.
    pub fn next(&mut self) -> Option<(Arrival, D)> {
        let next = self.waiting.first_entry().filter(|first| self.draining.is_none_or(|tried| *first.key() > tried));
        let next = next.map(|first| first.remove_entry());
        self.draining = next.as_ref().map(|(arrival, _)| *arrival);
        next
    }

    /// Forgets everything, also what is put back later.
    pub fn close(&mut self) {
        self.closed = true;
        self.waiting.clear();
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits and none is on its way out.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.draining.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::Patience::{CanWait, CannotWait};
    use super::*;
    use proptest::prelude::*;

    /// A function with room for some, that notes what it took.
    #[derive(Default)]
    struct Function {
        room: usize,
        taken: Vec<u32>,
        offered: usize,
    }

    impl Function {
        fn offer(&mut self, backlog: &mut Backlog<u32>, arrival: Arrival, delivery: u32) {
            self.offered += 1;
            if self.room == 0 {
                backlog.put_back(arrival, delivery);
            } else {
                self.room -= 1;
                self.taken.push(delivery);
            }
        }

        fn arrive(&mut self, backlog: &mut Backlog<u32>, delivery: u32) {
            if let Fate::Invoke(arrival, delivery) = backlog.arrive(delivery, CanWait) {
                self.offer(backlog, arrival, delivery);
            }
        }
    }

    #[test]
    fn a_refused_delivery_goes_back_to_its_place_and_ends_the_drain() {
        let (mut backlog, mut function) = (Backlog::default(), Function::default());
        (1..=5).for_each(|delivery| function.arrive(&mut backlog, delivery));
        assert_eq!(
            (function.offered, backlog.len()),
            (1, 5),
            "later ones stand behind the first without being offered"
        );
        function.room = 2;
        while let Some((arrival, delivery)) = backlog.next() {
            function.offer(&mut backlog, arrival, delivery);
        }
        assert_eq!((function.offered, backlog.len()), (4, 3), "two taken, one refused, the rest not touched");
        function.room = 5;
        while let Some((arrival, delivery)) = backlog.next() {
            function.offer(&mut backlog, arrival, delivery);
        }
        assert_eq!(function.taken, [1, 2, 3, 4, 5]);
        assert!(backlog.is_empty());
    }

    #[test]
    fn nothing_overtakes_a_drain() {
        let mut backlog = Backlog::default();
        let Fate::Invoke(first, _) = backlog.arrive(1, CanWait) else { panic!("nothing was before it") };
        backlog.put_back(first, 1);
        assert_eq!(backlog.next(), Some((first, 1)));
        // The last one is on its way, and nothing waits.
        assert_eq!((backlog.len(), backlog.is_empty()), (0, false));
        assert_eq!(backlog.arrive(2, CanWait), Fate::Waits);
        assert_eq!(backlog.arrive(3, CannotWait), Fate::Dropped);
        assert_eq!(backlog.next().map(|(_, delivery)| delivery), Some(2));
        assert_eq!(backlog.next(), None);
        assert!(matches!(backlog.arrive(4, CannotWait), Fate::Invoke(_, 4)));
    }

    #[test]
    fn one_that_comes_back_late_is_not_tried_twice_in_one_drain() {
        let mut backlog = Backlog::default();
        let Fate::Invoke(first, _) = backlog.arrive(1, CanWait) else { panic!("nothing was before it") };
        backlog.put_back(first, 1);
        backlog.arrive(2, CanWait);
        assert_eq!(backlog.next().map(|(_, delivery)| delivery), Some(1));
        let (second, _) = backlog.next().unwrap();
        // Both were taken, and their commits failed later, the other way round.
        backlog.put_back(second, 2);
        backlog.put_back(first, 1);
        assert_eq!(backlog.next(), None);
        assert_eq!(backlog.next(), Some((first, 1)), "the next drain begins with the oldest");
    }

    #[test]
    fn after_the_close_nothing_comes_back() {
        let mut backlog = Backlog::default();
        let Fate::Invoke(first, _) = backlog.arrive(1, CanWait) else { panic!("nothing was before it") };
        backlog.close();
        assert!(!backlog.put_back(first, 1));
        assert!(backlog.is_empty());
    }

    proptest! {
        /// Arrivals, room and steps of a drain in any order.
        #[test]
        fn whatever_happens_in_between_the_order_is_that_of_arrival(steps in proptest::collection::vec(0..4u8, 0..300)) {
            let (mut backlog, mut function) = (Backlog::default(), Function::default());
            let mut arrived = 0;
            for step in steps {
                match step {
                    0 => { arrived += 1; function.arrive(&mut backlog, arrived); }
                    1 => function.room += 1,
                    _ => if let Some((arrival, delivery)) = backlog.next() {
                        // One arrives between the choice and the call.
                        arrived += 1;
                        function.arrive(&mut backlog, arrived);
                        function.offer(&mut backlog, arrival, delivery);
                    }
                }
            }
            function.room = usize::MAX;
            for _ in 0..2 {
                while let Some((arrival, delivery)) = backlog.next() {
                    function.offer(&mut backlog, arrival, delivery);
                }
            }
            prop_assert!(backlog.is_empty());
            prop_assert_eq!(function.taken, (1..=arrived).collect::<Vec<_>>());
        }
    }
}
