//! Publications that somebody inside the node looks at first: handing them over, once per turn, and taking the answers.
//!
//! The connection of a publisher is not read while one of its publications is held. Its sink is code of another part of the node: a
//! panic in it ends the interception, and everything passes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use selvedge_core::{HeldPublication, Input, Interception, Interceptor};

use super::Reactor;

/// Takes what is held since the last call. Runs on the reactor's thread: it passes the batch on and returns. The answers go to
/// [`crate::Handle::intercepted`].
pub type InterceptSink = Box<dyn FnMut(Vec<HeldPublication>) + Send>;

/// Who looks, if anybody does.
#[derive(Default)]
pub(crate) struct Interceptors {
    sink: Option<InterceptSink>,
    held: Vec<HeldPublication>,
}

impl std::fmt::Debug for Interceptors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Interceptors").field("held", &self.held.len()).finish_non_exhaustive()
    }
}

impl Interceptors {
    pub(crate) fn push(&mut self, held: HeldPublication) {
        self.held.push(held);
    }
}

impl Reactor {
    /// From now on these look at what is published.
    pub(super) fn set_interceptors(&mut self, interceptors: Vec<Interceptor>, sink: Option<InterceptSink>) -> usize {
        if let Some(sink) = sink {
            self.connections.interceptors.sink = Some(sink);
        }
        self.handle(Input::SetInterceptors { interceptors })
    }

    /// Somebody has looked at a publication.
    pub(super) fn intercepted(&mut self, ticket: u64, outcome: Interception) -> usize {
        let kept_before = self.core.kept_bytes();
        let cost = self.handle(Input::Intercepted { ticket, outcome });
        let keeps = self.core.kept_bytes() > kept_before;
        self.read_again(keeps);
        cost
    }

    /// Reads those again that the core has done with; `keeps`: what they published had to be kept.
    pub(super) fn read_again(&mut self, keeps: bool) {
        while let Some(id) = self.connections.outstanding.released.pop() {
            let Some(connection) = self.connections.connection(id) else { continue };
            connection.suspended = false;
            connection.keeps |= keeps;
            let busy = connection.busy;
            // The rest of a packet has its whole time again.
            if let Some(since) = connection.since.take() {
                self.incomplete.end(since);
                connection.since = Some(self.incomplete.begin(id, self.now));
            }
            self.put_in_line(id, busy);
        }
    }

    /// Hands over what is held since the last turn.
    pub(super) fn hand_over_held(&mut self) {
        if self.connections.interceptors.held.is_empty() {
            return;
        }
        let held = std::mem::take(&mut self.connections.interceptors.held);
        let tickets: Vec<u64> = held.iter().map(|held| held.ticket).collect();
        let Some(mut sink) = self.connections.interceptors.sink.take() else { return self.pass(tickets) };
        // Nothing of this node is shared with the sink but the batch, which is gone with it.
        let sink = catch_unwind(AssertUnwindSafe(move || {
            sink(held);
            sink
        }));
        match sink {
            Ok(sink) => self.connections.interceptors.sink = Some(sink),
            Err(_) => {
                tracing::error!("who looks at publications panicked: they pass from here on");
                self.connections.resources.statistics.sinks_panicked += 1;
                self.handle(Input::SetInterceptors { interceptors: Vec::new() });
                self.pass(tickets);
            }
        }
    }

    fn pass(&mut self, tickets: Vec<u64>) {
        for ticket in tickets {
            self.intercepted(ticket, Interception::Pass);
        }
    }
}
