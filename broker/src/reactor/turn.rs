//! The end of a turn: commands of other threads, what is due, one flush for every connection that got something, one
//! batch for every consumer that got something, and the timer for what is due next.

use std::{
    cell::RefCell,
    future::Future,
    mem,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use selvedge_core::{Input, Moment};
use tokio::time::Sleep;

use super::Reactor;

/// Sockets written to before others get their turn: writing takes microseconds each, and a message may go to thousands.
const FLUSHES_PER_TURN: usize = 256;

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
            context.waker().wake_by_ref();
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
        reactor.connections.resources.statistics.turns += 1;
        let mut again = reactor.run_commands();
        // The timer may go off when the turn is open already, and its time is from before.
        let elapsed = this.timer.is_elapsed();
        if this.armed.is_some_and(|armed| elapsed || armed <= reactor.now) {
            this.armed = None;
            reactor.now = reactor.clock.now();
            reactor.tick();
        }
        again |= reactor.flush();
        reactor.hand_over();
        if let Some(deadline) = reactor.core.next_deadline() {
            this.arm(deadline, reactor, context);
        }
        reactor.turn_is_open = false;
        if again {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl Reactor {
    fn tick(&mut self) {
        self.connections.resources.pool.trim();
        if self.core.next_deadline().is_some_and(|deadline| deadline <= self.now) {
            self.handle(Input::Tick);
        }
    }

    /// Flush what is dirty. Gives `true` if that is not the end of it.
    fn flush(&mut self) -> bool {
        let mut round = mem::take(&mut self.dirty_spare);
        let mut left = FLUSHES_PER_TURN;
        while left > 0 && !self.connections.outstanding.dirty.is_empty() {
            mem::swap(&mut round, &mut self.connections.outstanding.dirty);
            let now = round.len().min(left);
            self.connections.outstanding.dirty.extend(round.drain(now..));
            left -= now;
            for connection in round.drain(..) {
                // A drained connection gets more to send, which is flushed in the next round.
                if self.connections.flush(connection, false) {
                    self.handle(Input::Drained { connection });
                }
            }
        }
        self.dirty_spare = round;
        !self.connections.outstanding.dirty.is_empty()
    }

    /// Hand every consumer what it got in this turn, in one batch.
    fn hand_over(&mut self) {
        while let Some(id) = self.connections.outstanding.consumers.pop() {
            let Some(consumer) = self.connections.consumer(id) else { continue };
            let batch = mem::take(&mut consumer.deliveries);
            if !batch.is_empty() {
                (consumer.sink)(batch);
            }
            if consumer.ended {
                self.attachments.remove(&consumer.key);
                self.connections.remove(id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, task::Waker};

    use selvedge_core::{Core, OpenAccess};

    use super::*;
    use crate::{config::Config, handle::CommandQueue, reactor::clock::Clock};

    #[tokio::test(flavor = "current_thread")]
    async fn a_timer_that_goes_off_in_a_turn_begun_before_its_deadline_is_not_lost() {
        let core = selvedge_core::Config { sys_interval_s: 1, ..selvedge_core::Config::default() };
        let packet_bytes_max = core.packet_bytes_max;
        let core = Core::new(core, Box::new(OpenAccess), 1);
        let commands = Arc::new(CommandQueue::new(1024));
        let reactor = Reactor::new(core, Rc::new(Config::default()), packet_bytes_max, Clock::start(), commands);
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
