//! Writing what has gathered in the outboxes: so much of a turn, those first that got something in this turn because of
//! a client that is served at once.
//!
//! Writing takes microseconds for each socket, and one message may go to thousands; their bytes gather meanwhile, so
//! what waits gets cheaper.

use selvedge_core::{ConnectionId, Input};

use super::Reactor;

impl Reactor {
    /// Flush what got something since the last call, for as long as its share goes. The rest joins those who wait.
    pub(super) fn flush_fresh(&mut self) {
        let mut until = None;
        while let Some(id) = self.connections.outstanding.dirty.pop_front() {
            self.flush_one(id);
            if self.connections.outstanding.dirty.is_empty() || self.is_over(&mut until) {
                break;
            }
        }
        self.let_wait();
    }

    /// Flush those who wait, for as long as their share goes. Gives `true` if some still wait.
    pub(super) fn flush_waiting(&mut self) -> bool {
        self.let_wait();
        let mut until = None;
        while let Some(id) = self.connections.outstanding.unflushed.pop_front() {
            self.flush_one(id);
            if self.connections.outstanding.unflushed.is_empty() || self.is_over(&mut until) {
                break;
            }
        }
        // A drained connection got more to send.
        self.let_wait();
        !self.connections.outstanding.unflushed.is_empty()
    }

    fn let_wait(&mut self) {
        let outstanding = &mut self.connections.outstanding;
        outstanding.unflushed.append(&mut outstanding.dirty);
    }

    fn flush_one(&mut self, id: ConnectionId) {
        if self.connections.flush(id, false) {
            self.handle(Input::Drained { connection: id });
        }
    }
}
