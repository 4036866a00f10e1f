//! Messages that wait for the connection, and what wakes the thread that sends them.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use selvedge_twin::sync::Output;

/// See the module. Bounded: what does not fit is left out and counted, and the next heartbeat makes good for it.
pub struct Outbox {
    waiting: Mutex<VecDeque<Output>>,
    messages_max: usize,
    left_out: AtomicU64,
    wake: OwnedFd,
}

impl Outbox {
    /// With room for so many messages.
    ///
    /// # Errors
    /// The system gives no descriptor.
    pub fn new(messages_max: usize) -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { waiting: Mutex::default(), messages_max, left_out: AtomicU64::new(0), wake })
    }

    /// Puts messages behind those that wait.
    pub fn push(&self, outputs: Vec<Output>) {
        let mut waiting = self.waiting.lock();
        for output in outputs {
            if waiting.len() < self.messages_max {
                waiting.push_back(output);
            } else {
                self.left_out.fetch_add(1, Ordering::Relaxed);
            }
        }
        drop(waiting);
        self.wake();
    }

    /// Takes the first.
    pub fn pop(&self) -> Option<Output> {
        self.waiting.lock().pop_front()
    }

    /// Forgets all: the connection that they were for is gone.
    pub fn clear(&self) {
        self.waiting.lock().clear();
    }

    /// Messages that wait.
    pub fn len(&self) -> usize {
        self.waiting.lock().len()
    }

    /// Messages that found no room.
    pub fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }

    /// Readable after [`Outbox::wake`], until [`Outbox::quiet`].
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Ends a wait.
    pub fn wake(&self) {
        // Fails only when it counts to the limit, and then it is awake.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// Takes note of being woken.
    pub fn quiet(&self) {
        let _ = rustix::io::read(&self.wake, &mut [0_u8; 8]);
    }

    /// Waits until woken, or until then.
    pub fn wait(&self, until: Instant) {
        let timeout = Timespec::try_from(until.saturating_duration_since(Instant::now())).ok();
        let mut wanted = [PollFd::new(&self.wake, PollFlags::IN)];
        // A wait that a signal ends early is none the worse.
        if poll(&mut wanted, timeout.as_ref()).is_ok_and(|ready| ready > 0) {
            self.quiet();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_finds_no_room_is_counted_and_the_rest_goes_in_order() {
        let outbox = Outbox::new(2).unwrap();
        outbox.push((0..3).map(|byte| Output::Broadcast(vec![byte])).collect());
        assert_eq!((outbox.len(), outbox.left_out()), (2, 1));
        assert_eq!(outbox.pop(), Some(Output::Broadcast(vec![0])));
        outbox.push(vec![Output::Broadcast(vec![9])]);
        assert_eq!(outbox.pop(), Some(Output::Broadcast(vec![1])));
        outbox.clear();
        assert_eq!((outbox.pop(), outbox.left_out()), (None, 1));
    }

    #[test]
    fn a_push_ends_a_wait_and_a_wait_ends_by_itself() {
        let outbox = Outbox::new(2).unwrap();
        outbox.push(vec![Output::Broadcast(vec![1])]);
        let long = Instant::now() + Duration::from_secs(600);
        outbox.wait(long);
        assert!(Instant::now() < long);
        outbox.wait(Instant::now() + Duration::from_millis(5));
    }
}
