//! Gives functions that have work to worker threads, in turn, and wakes those that wait for a later attempt.
//!
//! Not a thread pool: who adds work is told when a thread should be started. Invariants: at most `workers_max` threads count
//! as workers, at most `aside_max` more run an invocation that outlived its slice; nothing here polls.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::function::Function;

/// A function that a worker is to look at.
pub(super) struct Turn {
    pub(super) function: Arc<Function>,
    /// Because its time had come.
    pub(super) is_wake: bool,
}

struct Later {
    at: Instant,
    function: Arc<Function>,
}

impl PartialEq for Later {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Later {}

impl PartialOrd for Later {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Later {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
}

#[derive(Default)]
struct State {
    ready: VecDeque<Turn>,
    later: BinaryHeap<Reverse<Later>>,
    /// Threads that take work.
    workers: usize,
    /// Those of them that wait for it.
    idle: usize,
    /// Threads that were moved out of the way.
    aside: usize,
    stopped: bool,
}

/// What the caller has to do after adding work.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needed {
    Nothing,
    /// Start a worker thread, which is already counted; report [`Scheduler::worker_failed`] if that fails.
    Worker,
}

/// The queue of functions.
pub(super) struct Scheduler {
    state: Mutex<State>,
    changed: Condvar,
    workers_max: usize,
    aside_max: usize,
}

impl Scheduler {
    pub(super) fn new(workers_max: usize, aside_max: usize) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), workers_max, aside_max }
    }

    /// Adds a function to run now.
    pub(super) fn run_now(&self, function: Arc<Function>) -> Needed {
        let mut state = self.state.lock();
        state.ready.push_back(Turn { function, is_wake: false });
        self.wake(&mut state)
    }

    /// Adds a function to run at a time.
    pub(super) fn run_at(&self, at: Instant, function: Arc<Function>) -> Needed {
        let mut state = self.state.lock();
        state.later.push(Reverse(Later { at, function }));
        self.wake(&mut state)
    }

    /// The next function for a worker thread; blocks. `None`: the thread ends.
    pub(super) fn next(&self) -> Option<Turn> {
        let mut state = self.state.lock();
        loop {
            if state.stopped {
                state.workers -= 1;
                return None;
            }
            let now = Instant::now();
            while state.later.peek().is_some_and(|Reverse(later)| later.at <= now) {
                let due = state.later.pop();
                state.ready.extend(due.map(|Reverse(later)| Turn { function: later.function, is_wake: true }));
            }
            if let Some(turn) = state.ready.pop_front() {
                return Some(turn);
            }
            state.idle += 1;
            match state.later.peek().map(|Reverse(later)| later.at) {
                Some(at) => {
                    self.changed.wait_until(&mut state, at);
                }
                None => self.changed.wait(&mut state),
            }
            state.idle -= 1;
        }
    }

    /// A worker's invocation outlived its slice: the thread does not count any more, if there is room aside. The caller
    /// starts a thread in its place where needed.
    pub(super) fn step_aside(&self) -> Option<Needed> {
        let mut state = self.state.lock();
        if state.aside >= self.aside_max || state.stopped {
            return None;
        }
        state.aside += 1;
        state.workers -= 1;
        let has_work = !state.ready.is_empty() || !state.later.is_empty();
        Some(if has_work { self.wake(&mut state) } else { Needed::Nothing })
    }

    /// A thread that stepped aside ends.
    pub(super) fn aside_ended(&self) -> Needed {
        let mut state = self.state.lock();
        state.aside -= 1;
        let has_work = !state.ready.is_empty() || !state.later.is_empty();
        if has_work { self.wake(&mut state) } else { Needed::Nothing }
    }

    /// The thread that [`Needed::Worker`] asked for did not start.
    pub(super) fn worker_failed(&self) {
        self.state.lock().workers -= 1;
    }

    /// Ends all threads and forgets what was to run.
    pub(super) fn stop(&self) {
        let mut state = self.state.lock();
        state.stopped = true;
        state.ready.clear();
        state.later.clear();
        self.changed.notify_all();
    }

    fn wake(&self, state: &mut State) -> Needed {
        if state.idle > 0 {
            self.changed.notify_one();
            return Needed::Nothing;
        }
        if state.stopped || state.workers >= self.workers_max {
            return Needed::Nothing;
        }
        state.workers += 1;
        Needed::Worker
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::runtime::function::{Facts, Serving};
    use std::time::Duration;

    fn function(name: &str) -> Arc<Function> {
        let room = crate::recording::RecordingRoom::new(0);
        Arc::new(Function::new(name, Serving::Preparing, Facts::default(), &Config::default(), room))
    }

    #[test]
    fn workers_are_asked_for_up_to_the_limit() {
        let scheduler = Scheduler::new(2, 1);
        assert_eq!(scheduler.run_now(function("a")), Needed::Worker);
        assert_eq!(scheduler.run_now(function("b")), Needed::Worker);
        assert_eq!(scheduler.run_now(function("c")), Needed::Nothing);
        scheduler.worker_failed();
        assert_eq!(scheduler.run_now(function("d")), Needed::Worker);
    }

    #[test]
    fn functions_come_in_turn_and_later_ones_when_due() {
        let scheduler = Scheduler::new(1, 0);
        let _ = scheduler.run_at(Instant::now() + Duration::from_millis(5), function("later"));
        let _ = scheduler.run_now(function("first"));
        let _ = scheduler.run_now(function("second"));
        let names: Vec<_> = (0..3).map(|_| scheduler.next().unwrap().function.name.clone()).collect();
        assert_eq!(names, ["first", "second", "later"]);
    }

    #[test]
    fn a_worker_that_steps_aside_is_replaced_and_only_so_many_may() {
        let scheduler = Scheduler::new(1, 1);
        let _ = scheduler.run_now(function("loops"));
        assert!(scheduler.next().is_some());
        let _ = scheduler.run_now(function("waits"));
        assert_eq!(scheduler.step_aside(), Some(Needed::Worker));
        assert!(scheduler.next().is_some());
        assert_eq!(scheduler.step_aside(), None, "there is room for one aside");
        assert_eq!(scheduler.aside_ended(), Needed::Nothing);
        assert_eq!(scheduler.step_aside(), Some(Needed::Nothing), "no work waits");
    }

    #[test]
    fn stopping_ends_a_waiting_worker() {
        let scheduler = Arc::new(Scheduler::new(1, 0));
        assert_eq!(scheduler.run_now(function("a")), Needed::Worker);
        assert!(scheduler.next().is_some());
        let waiting = scheduler.clone();
        let thread = std::thread::spawn(move || waiting.next().is_none());
        scheduler.stop();
        assert!(thread.join().unwrap());
    }
}
