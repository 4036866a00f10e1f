//! What clients sent of packets that are not handled yet: bounded together, and in time.
//!
//! Invariant: whoever has something unhandled stands in the list, and only those.

use selvedge_core::{ConnectionId, Input};

use super::Reactor;
use crate::connection::Phase;

/// Clients disconnected in one turn because their packets do not end.
const OVERDUE_PER_TURN: usize = 16;

impl Reactor {
    /// After a visit that handled some packets of `id`, or none: see what is left of its input.
    pub(super) fn note_unhandled(&mut self, id: ConnectionId) {
        let Some((connection, resources)) = self.connections.connection_and_resources(id) else { return };
        connection.recount(resources);
        let something_left = connection.phase == Phase::Open && connection.unhandled_bytes() > 0;
        let begins_anew = self.visit.packets > 0;
        if let Some(since) = connection.since.take_if(|_| begins_anew || !something_left) {
            self.incomplete.end(since);
        }
        if something_left && connection.since.is_none() {
            connection.since = Some(self.incomplete.begin(id, self.now));
        }
        if resources.statistics.incomplete_bytes > self.config.incomplete_bytes_max as u64 {
            self.make_room();
        }
    }

    /// It is gone.
    pub(super) fn forget_unhandled(&mut self, id: ConnectionId) {
        let since = self.connections.connection(id).and_then(|connection| connection.since.take());
        if let Some(since) = since {
            self.incomplete.end(since);
        }
    }

    /// Disconnect those whose input waits longest until the rest is no more than allowed.
    fn make_room(&mut self) {
        while self.connections.resources.statistics.incomplete_bytes > self.config.incomplete_bytes_max as u64
            && let Some(id) = self.incomplete.oldest()
        {
            self.forget_unhandled(id);
            if self.phase(id) == Phase::Open {
                self.connections.resources.statistics.closed_incomplete_bytes += 1;
                self.overrun(id, "incomplete packets take too much memory");
            }
        }
    }

    /// Disconnect clients whose packets take too long. Not those whose packets the node itself does not read.
    pub(super) fn end_overdue(&mut self) {
        for _ in 0..OVERDUE_PER_TURN {
            let Some(id) = self.incomplete.overdue(self.now) else { return };
            self.forget_unhandled(id);
            let Some(connection) = self.connections.connection(id) else { continue };
            if connection.phase != Phase::Open {
                continue;
            }
            let the_node_waits = connection.paused || connection.is_throttled() || connection.suspended;
            if the_node_waits || connection.queued || connection.input_waits {
                connection.since = Some(self.incomplete.begin(id, self.now));
            } else {
                self.connections.resources.statistics.packet_timeouts += 1;
                self.overrun(id, "a packet took too long");
            }
        }
    }

    fn overrun(&mut self, id: ConnectionId, text: &'static str) {
        tracing::debug!(slot = id.slot, generation = id.generation, reason = text, "client is disconnected");
        self.handle(Input::Overrun { connection: id, text });
    }
}
