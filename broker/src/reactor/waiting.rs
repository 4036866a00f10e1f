//! Connections with input that wait for their turn, and who comes first. Pure.
//!
//! Those who send little come before those who send much; of the latter at least one is served in each turn, so neither
//! kind can keep the other waiting for ever.

use std::collections::VecDeque;

use selvedge_core::ConnectionId;

/// See the module. A connection is in it at most once (its `queued`).
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    light: VecDeque<ConnectionId>,
    busy: VecDeque<ConnectionId>,
}

impl Waiting {
    /// It sent little the last time.
    pub(crate) fn push_light(&mut self, id: ConnectionId) {
        self.light.push_back(id);
    }

    /// It sent much the last time, or has more at once.
    pub(crate) fn push_busy(&mut self, id: ConnectionId) {
        self.busy.push_back(id);
    }

    pub(crate) fn pop_light(&mut self) -> Option<ConnectionId> {
        self.light.pop_front()
    }

    pub(crate) fn pop_busy(&mut self) -> Option<ConnectionId> {
        self.busy.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.light.is_empty() && self.busy.is_empty()
    }
}
