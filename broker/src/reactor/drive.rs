//! Driving one connection: what waits to be handled, what the socket has, and the steps of its end.
//!
//! A client that sends little is read when its task is polled. One that sends much, or comes when the turn has been long
//! already, is put in line and read at the end of the turn, a share at a time.

use std::{
    mem,
    task::{Context, Poll},
    time::Duration,
};

use selvedge_codec::{DecodeError, Packet, decode, frame_length};
use selvedge_core::{ConnectionId, Input};

use super::{Reactor, gate::Pass, serve::weight};
use crate::connection::{
    Phase,
    reader::{Filled, ReadEnd},
    task::Step,
};

/// What a connection wants after a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// Nothing before it is woken.
    Rest,
    /// To be registered for the next bytes. Trying to read does that, without a system call.
    Register,
    /// Its next turn: there may be more to read or to handle.
    Yield,
}

/// Reads that are dropped at once from a connection being closed.
const DISCARDS_PER_POLL: usize = 4;

impl Reactor {
    /// One poll of a connection's task.
    pub(crate) fn drive(&mut self, id: ConnectionId, context: &mut Context<'_>, pass: &mut Pass) -> Step {
        self.open_turn();
        let Some(connection) = self.connections.connection(id) else { return Step::Finished };
        if !connection.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            connection.waker = Some(context.waker().clone());
        }
        if connection.is_leaving() {
            return self.lead_out(id, context, pass);
        }
        let (queued, busy) = (connection.queued, connection.busy);
        if connection.blocked && self.connections.flush(id, true) {
            self.handle(Input::Drained { connection: id });
        }
        if let Some(pause) = self.pause(id) {
            return Step::Pause(pause);
        }
        if !queued {
            if busy {
                self.put_in_line(id, true);
            } else if self.turn_is_spent() {
                self.put_in_line(id, false);
            } else {
                self.visit(id, context);
            }
        }
        self.after_visit(id, context, pass)
    }

    /// What the task of a connection that was read does next.
    fn after_visit(&mut self, id: ConnectionId, context: &mut Context<'_>, pass: &mut Pass) -> Step {
        match self.connections.connection(id) {
            Some(connection) if connection.is_leaving() => self.lead_out(id, context, pass),
            Some(_) => self.pause(id).map_or(Step::Wait, Step::Pause),
            None => Step::Finished,
        }
    }

    /// For how long `id` is not to be read because of its publish rate. Its silence is not its own meanwhile.
    fn pause(&mut self, id: ConnectionId) -> Option<Duration> {
        let now = self.now;
        let budget = self.connections.connection(id)?.budget.as_mut()?;
        budget.until?;
        let pause = budget.pause(now);
        if pause.is_none() {
            self.connections.resources.statistics.throttled -= 1;
        }
        self.handle(Input::Heard { connection: id });
        pause
    }

    /// One poll of a connection that is over, when there is time for such.
    fn lead_out(&mut self, id: ConnectionId, context: &mut Context<'_>, pass: &mut Pass) -> Step {
        if !self.leavers.enter(pass, context.waker()) {
            return Step::Wait;
        }
        if let Some(end) = self.connections.connection(id).and_then(|connection| connection.ended.take()) {
            self.end_of_input(id, &end);
        }
        match self.phase(id) {
            Phase::Open | Phase::Failed => Step::Finished,
            Phase::Closing | Phase::Lingering => self.close(id, context),
        }
    }

    pub(super) fn phase(&mut self, id: ConnectionId) -> Phase {
        self.connections.connection(id).map_or(Phase::Failed, |connection| connection.phase)
    }

    /// Handle what a former turn left, then what the socket has.
    pub(super) fn read(&mut self, id: ConnectionId, context: &mut Context<'_>) {
        if self.stalls(id) {
            return;
        }
        let Some(connection) = self.connections.connection(id) else { return };
        if connection.suspended {
            return;
        }
        if connection.input_waits {
            if connection.paused {
                return;
            }
            if self.handle_waiting(id) == Some(true) {
                self.put_in_line(id, true);
                return;
            }
        }
        if self.close_as_asked(id) {
            return;
        }
        let mut shared = self.take_read_buffer();
        let mut after = self.read_once(id, context, &mut shared);
        if after == After::Register {
            after = self.read_once(id, context, &mut shared);
        }
        self.put_read_buffer(shared);
        if after != After::Rest {
            self.put_in_line(id, true);
        }
    }

    /// Handle so much of what a former turn left as one turn may. `None` if nothing waits; `true` if more can be handled
    /// at once.
    fn handle_waiting(&mut self, id: ConnectionId) -> Option<bool> {
        let connection = self.connections.connection(id).filter(|connection| connection.input_waits)?;
        connection.input_waits = false;
        let kept = mem::take(&mut connection.partial);
        let consumed = self.consume(id, &kept);
        Some(self.keep_rest(id, kept, consumed))
    }

    /// One read and its packets.
    fn read_once(&mut self, id: ConnectionId, context: &mut Context<'_>, shared: &mut [u8]) -> After {
        let Some((connection, resources)) = self.connections.connection_and_resources(id) else { return After::Rest };
        if connection.is_leaving() || connection.paused || connection.is_throttled() || connection.suspended {
            return After::Rest;
        }
        // Of this read only: after an error nothing of it is answered.
        let mut control = Vec::new();
        let fill = match connection.poll_fill(context, shared, &mut control, resources) {
            Poll::Pending => return After::Rest,
            Poll::Ready(Ok(fill)) => fill,
            Poll::Ready(Err(end)) => {
                connection.ended = Some(end);
                return After::Rest;
            }
        };
        if !control.is_empty() {
            self.visit.note_control(control.len());
            connection.peer_closes = connection.answer_control(control, resources);
            self.connections.appended(id, 0);
            self.tell_congested();
        }
        // Control frames of a WebSocket alone are no part of a packet.
        if fill.place != Filled::Shared(0) {
            self.visit.note_read();
        }
        let waits = match fill.place {
            Filled::Shared(length) => {
                let consumed = self.consume(id, &shared[..length]);
                consumed < length && self.keep_rest(id, shared[consumed..length].to_vec(), 0)
            }
            Filled::Kept => {
                let Some(connection) = self.connections.connection(id) else { return After::Rest };
                let kept = mem::take(&mut connection.partial);
                let consumed = self.consume(id, &kept);
                self.keep_rest(id, kept, consumed)
            }
        };
        if self.close_as_asked(id) {
            return if waits { After::Yield } else { After::Rest };
        }
        if waits || fill.more { After::Yield } else { After::Register }
    }

    /// Keep what was not consumed. Gives `true` if it can be handled without reading more, and the client may be read.
    fn keep_rest(&mut self, id: ConnectionId, mut kept: Vec<u8>, consumed: usize) -> bool {
        let Some(connection) = self.connections.connection(id) else { return false };
        if connection.phase != Phase::Open || consumed == kept.len() {
            return false;
        }
        kept.drain(..consumed);
        if kept.capacity() > 2 * kept.len() {
            kept.shrink_to_fit();
        }
        connection.partial = kept;
        connection.input_waits && !connection.paused && !connection.is_throttled() && !connection.suspended
    }

    /// Handle the packets at the front of `bytes`. Gives how many bytes they took. Stops early, and sets
    /// `input_waits`, when the client had its share of this turn or must not be read.
    fn consume(&mut self, id: ConnectionId, bytes: &[u8]) -> usize {
        let mut at = 0;
        let mut cost = 0;
        let Some(connection) = self.connections.connection(id) else { return bytes.len() };
        let version = connection.version;
        let limited = connection.budget.is_some();
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let start = at;
            let input = match frame_length(rest, self.packet_bytes_max) {
                Ok(None) => break,
                Ok(Some(length)) => {
                    let (frame, _) = rest.split_at(length);
                    at += length;
                    decode(version, frame)
                }
                Err(error) => Err(error),
            };
            let weight = weight(&input, at - start);
            let spent = if limited { self.spend_budget(id, &input, at - start) } else { false };
            let kept_before = self.core.kept_bytes();
            let publishes = matches!(input, Ok(Packet::Publish(_)));
            let caused = match input {
                Ok(packet) => self.handle(Input::Packet { connection: id, packet }),
                Err(error) => self.handle(Input::Undecodable { connection: id, error: &error }),
            };
            cost += caused;
            let visit_is_over = self.visit.spend(caused + weight);
            let keeps = publishes && self.core.kept_bytes() > kept_before;
            let Some(connection) = self.connections.connection(id) else { return bytes.len() };
            if connection.phase != Phase::Open {
                return bytes.len();
            }
            if publishes {
                connection.keeps = keeps;
            }
            if connection.paused
                || connection.suspended
                || spent
                || visit_is_over
                || cost >= self.config.effects_per_turn_max
            {
                connection.input_waits = at < bytes.len();
                break;
            }
        }
        at
    }

    /// Gives `true` if the client is not to be read for a while after this packet.
    fn spend_budget(&mut self, id: ConnectionId, input: &Result<Packet<'_>, DecodeError>, bytes: usize) -> bool {
        let (now, rates) = (self.now, self.publish_rates);
        let Some((connection, resources)) = self.connections.connection_and_resources(id) else { return false };
        match (input, &mut connection.budget) {
            (Ok(Packet::Publish(_)), Some(budget)) => {
                let spent = budget.spend(bytes, &rates, now, &mut resources.statistics);
                resources.statistics.throttled += u64::from(spent);
                spent
            }
            _ => false,
        }
    }

    /// Nothing more will come from `id`.
    fn end_of_input(&mut self, id: ConnectionId, end: &ReadEnd) {
        tracing::debug!(slot = id.slot, generation = id.generation, reason = %end, "connection ended");
        self.handle(Input::Closed { connection: id });
        let Some((connection, resources)) = self.connections.connection_and_resources(id) else { return };
        if let ReadEnd::Violation(violation) = end {
            resources.offenders.note(connection.peer.ip());
            connection.begin_close(violation.close_code(), resources);
        } else {
            // What is unsent gets one chance.
            connection.flush(resources);
            connection.fail(resources);
        }
    }

    /// If the peer sent a WebSocket close frame, give `true`: it is not read any more. What it sent before that frame
    /// counts, so the answer waits until all of it is handled.
    fn close_as_asked(&mut self, id: ConnectionId) -> bool {
        let Some(connection) = self.connections.connection(id) else { return false };
        let Some(code) = connection.peer_closes else { return false };
        if connection.phase == Phase::Open && !connection.input_waits && !connection.suspended {
            self.handle(Input::Closed { connection: id });
            if let Some((connection, resources)) = self.connections.connection_and_resources(id) {
                connection.begin_close(code, resources);
            }
        }
        true
    }

    /// One poll of a connection being closed: send the rest, say that it was all, wait for the peer to take it.
    fn close(&mut self, id: ConnectionId, context: &mut Context<'_>) -> Step {
        let Some((connection, resources)) = self.connections.connection_and_resources(id) else {
            return Step::Finished;
        };
        if connection.phase == Phase::Closing {
            connection.flush(resources);
            if connection.phase == Phase::Failed {
                return Step::Finished;
            }
            if !connection.outbox.is_empty() {
                return Step::WaitToClose;
            }
            match connection.poll_shutdown(context) {
                Poll::Pending => return Step::WaitToClose,
                Poll::Ready(Err(_)) => return Step::Finished,
                Poll::Ready(Ok(())) => connection.phase = Phase::Lingering,
            }
        }
        for _ in 0..DISCARDS_PER_POLL {
            match connection.poll_discard(context, &mut self.read_buffer) {
                Poll::Pending => return Step::WaitToClose,
                Poll::Ready(Err(_)) => return Step::Finished,
                Poll::Ready(Ok(count)) => resources.statistics.bytes_in += count as u64,
            }
        }
        context.waker().wake_by_ref();
        Step::WaitToClose
    }
}
