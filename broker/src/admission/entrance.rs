//! Strangers come in a few at a time: accepting a connection, and each step of its handshake on the reactor's thread, pass
//! the reactor's gate for them, so that a crowd at the door takes no more than a share of each turn.

use std::{
    cell::RefCell,
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use crate::reactor::{Reactor, gate::Pass};

/// Wait for the next one's turn to come in.
pub(crate) async fn enter(reactor: &RefCell<Reactor>) {
    let mut pass = Pass::default();
    poll_fn(|context| poll_enter(reactor, &mut pass, context)).await;
}

fn poll_enter(reactor: &RefCell<Reactor>, pass: &mut Pass, context: &mut Context<'_>) -> Poll<()> {
    let mut reactor = reactor.borrow_mut();
    reactor.open_turn();
    if reactor.strangers.enter(pass, context.waker()) { Poll::Ready(()) } else { Poll::Pending }
}

/// A handshake of which each step passes the gate.
#[derive(Debug)]
pub(crate) struct Steps<F> {
    reactor: Rc<RefCell<Reactor>>,
    pass: Pass,
    handshake: F,
}

impl<F: Future + Unpin> Steps<F> {
    pub(crate) fn of(handshake: F, reactor: Rc<RefCell<Reactor>>) -> Self {
        Self { reactor, pass: Pass::default(), handshake }
    }
}

impl<F: Future + Unpin> Future for Steps<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        match poll_enter(&this.reactor, &mut this.pass, context) {
            Poll::Ready(()) => Pin::new(&mut this.handshake).poll(context),
            Poll::Pending => Poll::Pending,
        }
    }
}
