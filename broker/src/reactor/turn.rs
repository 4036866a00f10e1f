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
        if self.armed.is_some_and(|armed| armed <= deadline) {
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
        if this.armed.is_some_and(|armed| armed <= reactor.now) {
            this.armed = None;
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
