//! The task of one connection, small because there may be thousands: all it owns is its place in the reactor.

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use selvedge_core::ConnectionId;
use tokio::time::Sleep;

use crate::reactor::{Reactor, gate::Pass};

/// What is to become of a connection after it was driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Something will wake it.
    Wait,
    /// As `Wait`, but only for so long.
    Pause(Duration),
    /// As `Wait`, but only for `close_timeout`.
    WaitToClose,
    /// It is over.
    Finished,
}

/// Drives one connection until it is over.
#[derive(Debug)]
pub(crate) struct ConnectionTask {
    reactor: Rc<RefCell<Reactor>>,
    id: ConnectionId,
    pass: Pass,
    pause: Option<Pin<Box<Sleep>>>,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl ConnectionTask {
    /// Start driving the connection `id` of `reactor`.
    pub(crate) fn spawn(reactor: Rc<RefCell<Reactor>>, id: ConnectionId) {
        let ending = reactor.borrow().ending();
        ending.spawn(Self { reactor, id, pass: Pass::default(), pause: None, deadline: None });
    }
}

impl Future for ConnectionTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let reactor = &mut *this.reactor.borrow_mut();
        match reactor.drive(this.id, context, &mut this.pass) {
            Step::Wait => {
                this.pause = None;
                Poll::Pending
            }
            Step::Pause(time) => {
                let pause = this.pause.insert(Box::pin(tokio::time::sleep(time)));
                if pause.as_mut().poll(context).is_ready() {
                    context.waker().wake_by_ref();
                }
                Poll::Pending
            }
            Step::WaitToClose => {
                let timeout = reactor.config().close_timeout;
                let deadline = this.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
                if deadline.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                reactor.cut_off(this.id);
                Poll::Ready(())
            }
            Step::Finished => {
                reactor.remove_connection(this.id);
                Poll::Ready(())
            }
        }
    }
}
