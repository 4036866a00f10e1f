//! The end of a turn: commands of other threads, what is due, those who send much, one flush for every connection that got
//! something, one batch for every consumer that got something, and the timer for what is due next.
//!
//! Each kind of work has its share of the time; what is left over goes on in the next turn, after a look at who has come
//! meanwhile. So a client that sends little waits for one turn, however many others there are.

use std::{
    cell::RefCell,
    future::Future,
    pin::{Pin, pin},
    rc::Rc,
    sync::atomic::Ordering,
    task::{Context, Poll},
    time::Duration,
};

use selvedge_core::{Input, Moment};
use tokio::time::Sleep;

use super::Reactor;

/// Runs for ever; the first task of a turn wakes it.
#[derive(Debug)]
pub(crate) struct TurnEnd {
    reactor: Rc<RefCell<Reactor>>,
    timer: Pin<Box<Sleep>>,
    /// What the timer is set to.
    armed: Option<Moment>,
}

impl TurnEnd {
    pub(crate) fn new(reactor: Rc<RefCell<Reactor>>) -> Self {
        Self { reactor, timer: Box::pin(tokio::time::sleep(Duration::ZERO)), armed: None }
    }

    /// Set the timer to `deadline` unless it goes off before that anyway. Going off early is harmless, and cheaper than
    /// setting it anew whenever something is put off.
    fn arm(&mut self, deadline: Moment, reactor: &Reactor, context: &mut Context<'_>) {
        // One that has gone off wakes nobody again.
        if self.armed.is_some_and(|armed| armed <= deadline) && !self.timer.is_elapsed() {
            return;
        }
        let Some(instant) = reactor.clock.instant(deadline) else { return };
        self.armed = Some(deadline);
        self.timer.as_mut().reset(instant.into());
        if self.timer.as_mut().poll(context).is_ready() {
            look_first(context);
        }
    }
}

impl Future for TurnEnd {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let shared = this.reactor.clone();
        let reactor = &mut *shared.borrow_mut();
        if !reactor.turn_waker.will_wake(context.waker()) {
            reactor.turn_waker = context.waker().clone();
            reactor.commands.set_waker(context.waker().clone());
        }
        if !reactor.turn_is_open {
            // Woken by a command or the timer. Not `open_turn`: that would wake this very task again and again.
            reactor.begin_turn();
        }
        reactor.release_durable();
        let mut again = reactor.run_commands();
        // The timer may go off when the turn is open already, and its time is from before.
        let elapsed = this.timer.is_elapsed();
        if this.armed.is_some_and(|armed| elapsed || armed <= reactor.now) {
            this.armed = None;
            reactor.now = reactor.clock.now();
            reactor.tick();
            reactor.read_again(false);
        }
        reactor.flush_fresh();
        reactor.serve_waiting();
        again |= reactor.flush_waiting();
        reactor.hand_over();
        reactor.hand_over_held();
        reactor.keep();
        reactor.fetch();
        reactor.look_at_disk();
        again |= !reactor.waiting.is_empty() || !reactor.connections.outstanding.dirty.is_empty();
        if let Some(deadline) = reactor.next_deadline() {
            this.arm(deadline, reactor, context);
        }
        reactor.end_turn();
        if again {
            look_first(context);
        }
        Poll::Pending
    }
}

impl Reactor {
    fn tick(&mut self) {
        self.connections.resources.pool.trim();
        let mut until = None;
        while self.core.next_deadline().is_some_and(|deadline| deadline <= self.now) {
            self.handle(Input::Tick);
            // What goes on in steps has its share; the rest is due at once, after a look at the sockets.
            if self.is_over(&mut until) {
                break;
            }
        }
        self.end_overdue();
    }

    fn next_deadline(&self) -> Option<Moment> {
        [self.core.next_deadline(), self.incomplete.next_deadline(), self.keep_by()].into_iter().flatten().min()
    }

    fn end_turn(&mut self) {
        self.strangers.end_turn();
        self.leavers.end_turn();
        let tls_bytes = self.encryption.buffers.bytes();
        let statistics = &mut self.connections.resources.statistics;
        statistics.turns += 1;
        // What came of a record that is incomplete is in two of them: rather too much than too little.
        let outside = statistics.outbox_bytes + statistics.incomplete_bytes + tls_bytes;
        let outside = usize::try_from(outside).unwrap_or(usize::MAX);
        self.core.set_outside_bytes(outside.saturating_add(self.half_open.bytes().load(Ordering::Relaxed)));
        self.turn_times.record(self.turn_began.elapsed(), self.now, statistics);
        self.turn_is_open = false;
    }

    /// Hand every consumer what it got in this turn, in one batch.
    fn hand_over(&mut self) {
        while let Some(id) = self.connections.outstanding.consumers.pop() {
            let Some(consumer) = self.connections.consumer(id) else { continue };
            let key = consumer.key;
            let handed_over = consumer.hand_over();
            let ended = consumer.ended;
            if let Err(error) = handed_over {
                tracing::error!(attachment = key, %error, "consumer dropped");
                self.connections.resources.statistics.sinks_panicked += 1;
                // Its session stays for a successor.
                self.handle(Input::Closed { connection: id });
            }
            if ended || handed_over.is_err() {
                self.attachments.remove(&key);
                self.connections.remove(id);
            }
        }
    }
}

/// Have the task polled again, but after those for whom something has come.
fn look_first(context: &mut Context<'_>) {
    // It is woken when the runtime has looked at its sockets, whether or not this future is there any more.
    let _ = pin!(tokio::task::yield_now()).poll(context);
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, task::Waker};

    use selvedge_core::{Core, OpenAccess};

    use super::*;
    use crate::{
        config::Config,
        handle::CommandQueue,
        reactor::{Beside, clock::Clock},
    };

    #[tokio::test(flavor = "current_thread")]
    async fn a_timer_that_goes_off_in_a_turn_begun_before_its_deadline_is_not_lost() {
        let core = selvedge_core::Config { sys_interval_s: 1, ..selvedge_core::Config::default() };
        let packet_bytes_max = core.packet_bytes_max;
        let core = Core::new(core, Box::new(OpenAccess), 1);
        let commands = Arc::new(CommandQueue::new(1024));
        let beside = Beside::for_test();
        let reactor =
            Reactor::new(core, Rc::new(Config::default()), packet_bytes_max, Clock::start(), commands, beside);
        let reactor = Rc::new(RefCell::new(reactor));
        let mut turn_end = Box::pin(TurnEnd::new(reactor.clone()));
        let mut context = Context::from_waker(Waker::noop());
        assert!(turn_end.as_mut().poll(&mut context).is_pending());
        let first = loop {
            // Whatever is due at once comes first.
            let armed = turn_end.armed.expect("the core wants to be told the time");
            if armed > reactor.borrow().now {
                break armed;
            }
            assert!(turn_end.as_mut().poll(&mut context).is_pending());
        };
        let begun = reactor.borrow().now;
        while !turn_end.timer.is_elapsed() {
            turn_end.timer.as_mut().await;
        }
        {
            let mut reactor = reactor.borrow_mut();
            reactor.turn_is_open = true;
            reactor.now = begun;
        }
        assert!(turn_end.as_mut().poll(&mut context).is_pending());
        assert!(!turn_end.timer.is_elapsed(), "it is set anew");
        assert!(turn_end.armed.is_some_and(|armed| armed > first), "what was due was done");
    }
}
