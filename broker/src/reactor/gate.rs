//! So many in each turn, the others wait in line: for what comes in crowds and is not worth more of a turn than what
//! clients already served are doing. Pure but for the wakers.
//!
//! Invariant: whoever waits is let in after those who came before, and none is woken in vain: one that was woken is in.

use std::{collections::VecDeque, task::Waker};

/// See the module.
#[derive(Debug)]
pub(crate) struct Gate {
    per_turn: usize,
    /// How many more may pass in this turn without waiting.
    left: usize,
    waiting: VecDeque<Waker>,
    /// The number of the first that waits.
    first: u64,
}

/// A place in the line, or none. Each task has one of its own.
#[derive(Debug, Default)]
pub(crate) struct Pass(Option<u64>);

impl Gate {
    pub(crate) fn new(per_turn: usize) -> Self {
        Self { per_turn, left: per_turn, waiting: VecDeque::new(), first: 0 }
    }

    /// Whether the holder of `pass` may go on; if not, `waker` is woken when it may.
    pub(crate) fn enter(&mut self, pass: &mut Pass, waker: &Waker) -> bool {
        match pass.0 {
            Some(number) if number >= self.first => return false,
            Some(_) => {
                pass.0 = None;
                return true;
            }
            None => {}
        }
        if self.left > 0 && self.waiting.is_empty() {
            self.left -= 1;
            return true;
        }
        pass.0 = Some(self.first + self.waiting.len() as u64);
        self.waiting.push_back(waker.clone());
        false
    }

    /// From now on, so many may pass in each turn.
    pub(crate) fn widen(&mut self, per_turn: usize) {
        self.per_turn = per_turn;
    }

    /// The turn is over: let those in whose turn the next is. Gives `true` if that was anybody.
    pub(crate) fn end_turn(&mut self) -> bool {
        let let_in = self.waiting.len().min(self.per_turn);
        self.first += let_in as u64;
        self.left = self.per_turn - let_in;
        for waker in self.waiting.drain(..let_in) {
            waker.wake();
        }
        if self.waiting.is_empty() {
            // A crowd has passed.
            self.waiting = VecDeque::new();
        }
        let_in > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_pass_in_a_turn_and_the_others_in_the_order_in_which_they_came() {
        let mut gate = Gate::new(2);
        let mut passes: Vec<Pass> = (0..7).map(|_| Pass::default()).collect();
        let mut order = Vec::new();
        let mut waiting: Vec<usize> = (0..7).collect();
        let mut turns = 0;
        while !waiting.is_empty() {
            let before = order.len();
            waiting.retain(|index| {
                let entered = gate.enter(&mut passes[*index], Waker::noop());
                if entered {
                    order.push(*index);
                }
                !entered
            });
            assert!(order.len() - before <= 2);
            gate.end_turn();
            turns += 1;
        }
        assert_eq!(order, [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(turns, 4);
        assert!(!gate.end_turn(), "nobody waits");
    }

    #[test]
    fn one_that_comes_anew_does_not_pass_those_who_wait_and_asking_again_does_not_lengthen_the_line() {
        let mut gate = Gate::new(1);
        let (mut first, mut second, mut third) = (Pass::default(), Pass::default(), Pass::default());
        assert!(gate.enter(&mut first, Waker::noop()));
        for _ in 0..5 {
            assert!(!gate.enter(&mut second, Waker::noop()));
        }
        assert_eq!(gate.waiting.len(), 1);
        gate.end_turn();
        assert!(!gate.enter(&mut third, Waker::noop()), "the turn belongs to the second");
        assert!(gate.enter(&mut second, Waker::noop()));
        gate.end_turn();
        assert!(gate.enter(&mut third, Waker::noop()));
    }

    #[test]
    fn one_that_was_let_in_and_never_asks_again_keeps_nobody_out() {
        let mut gate = Gate::new(1);
        let (mut first, mut gone, mut last) = (Pass::default(), Pass::default(), Pass::default());
        assert!(gate.enter(&mut first, Waker::noop()));
        assert!(!gate.enter(&mut gone, Waker::noop()));
        assert!(!gate.enter(&mut last, Waker::noop()));
        gate.end_turn();
        gate.end_turn();
        assert!(gate.enter(&mut last, Waker::noop()));
    }
}
