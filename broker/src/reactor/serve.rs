//! Who is read when: those who send little at once, the others in line, a share at a time.

use std::{
    mem,
    task::Context,
    time::{Duration, Instant},
};

use selvedge_codec::{DecodeError, Packet};
use selvedge_core::ConnectionId;

use super::Reactor;

/// Work of one visit, in packets and what they cause, from which a client counts as sending much. Not time: a thread that
/// had to wait for a processor must not make a client look busy.
const BUSY_COST: usize = 16;
/// Bytes that are as much work as a packet.
const BYTES_PER_COST: usize = 1024;
/// Work after which the clock is looked at.
const COST_PER_LOOK: usize = 32;

/// Reading one connection once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Visit {
    /// What it may take.
    share: Duration,
    /// When others are to have their turn, once the clock was looked at.
    until: Option<Instant>,
    /// Packets and what they caused.
    cost: usize,
    /// Packets handled.
    pub(super) packets: usize,
    /// Something came.
    has_read: bool,
}

impl Visit {
    /// Bytes came, whether or not they make a packet whole.
    pub(super) fn note_read(&mut self) {
        self.has_read = true;
    }

    /// Whether the client is to wait in line the next time: it sent much, or less than a packet. What comes of a packet of many
    /// reads shows only at its end, and many clients that each send a byte at a time are a crowd like any other.
    fn is_busy(&self) -> bool {
        self.cost > BUSY_COST || (self.has_read && self.packets == 0)
    }

    /// Control frames of a WebSocket are about as much work as packets.
    pub(super) fn note_control(&mut self, frames: usize) {
        self.cost += frames;
    }

    /// A packet was handled. Gives `true` if that was enough for this visit.
    pub(super) fn spend(&mut self, cost: usize) -> bool {
        let before = self.cost;
        self.cost += 1 + cost;
        self.packets += 1;
        if before / COST_PER_LOOK == self.cost / COST_PER_LOOK {
            return false;
        }
        let now = Instant::now();
        now >= *self.until.get_or_insert(now + self.share)
    }
}

impl Reactor {
    /// Those who wait in line, for as long as their share of the turn goes.
    pub(super) fn serve_waiting(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let until = Instant::now() + self.turn_share();
        while let Some(id) = self.waiting.pop_light() {
            self.serve(id);
            if Instant::now() >= until {
                break;
            }
        }
        while let Some(id) = self.waiting.pop_busy() {
            self.serve(id);
            if Instant::now() >= until {
                break;
            }
        }
    }

    /// Read one that waited in line, in the place of its task.
    fn serve(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.connection(id) else { return };
        connection.queued = false;
        if connection.is_leaving() || connection.is_throttled() {
            return;
        }
        let Some(waker) = connection.waker.clone() else { return };
        self.visit(id, &mut Context::from_waker(&waker));
        if self.connections.connection(id).is_none_or(|connection| connection.is_leaving() || connection.is_throttled())
        {
            waker.wake();
        }
    }

    pub(super) fn put_in_line(&mut self, id: ConnectionId, busy: bool) {
        let Some(connection) = self.connections.connection(id) else { return };
        if mem::replace(&mut connection.queued, true) {
            return;
        }
        if busy {
            self.waiting.push_busy(id);
        } else {
            self.waiting.push_light(id);
        }
    }

    /// Read `id` once, and handle a share of what it sent.
    pub(super) fn visit(&mut self, id: ConnectionId, context: &mut Context<'_>) {
        self.visit = Visit { share: self.turn_share(), ..Visit::default() };
        self.read(id, context);
        let busy = self.visit.is_busy();
        if !busy && self.visit.packets > 0 {
            self.light_read_at = self.now;
        }
        if let Some(connection) = self.connections.connection(id) {
            connection.busy = busy;
        }
        self.note_unhandled(id);
    }
}

/// What a packet of `bytes` costs that its effects do not show: a filter is about as much work as a packet.
pub(super) fn weight(input: &Result<Packet<'_>, DecodeError>, bytes: usize) -> usize {
    let filters = match input {
        Ok(Packet::Subscribe(subscribe)) => subscribe.filters.len(),
        Ok(Packet::Unsubscribe(unsubscribe)) => unsubscribe.filters.len(),
        _ => 0,
    };
    filters + bytes / BYTES_PER_COST
}

#[cfg(test)]
mod tests {
    use selvedge_codec::{PacketId, QoS, Subscribe, SubscribeFilter, UserProperties};

    use super::*;

    fn subscribe(filters: usize) -> Packet<'static> {
        Packet::Subscribe(Subscribe {
            packet_id: PacketId::MIN,
            subscription_identifier: None,
            user_properties: UserProperties::EMPTY,
            filters: (0..filters).map(|_| SubscribeFilter::new("f", QoS::AtMostOnce)).collect(),
        })
    }

    #[test]
    fn filters_and_bytes_weigh_as_much_as_packets() {
        assert_eq!(weight(&Ok(Packet::PingReq), BYTES_PER_COST - 1), 0);
        assert_eq!(weight(&Ok(Packet::PingReq), BYTES_PER_COST), 1);
        assert_eq!(weight(&Ok(subscribe(20)), 100), 20);
    }

    #[test]
    fn who_sends_much_or_less_than_a_packet_waits_in_line() {
        let mut visit = Visit::default();
        assert!(!visit.is_busy());
        visit.note_read();
        assert!(visit.is_busy(), "a part of a packet came");
        visit.spend(0);
        assert!(!visit.is_busy(), "and then the rest");
        visit.spend(BUSY_COST);
        assert!(visit.is_busy(), "and much more");
    }

    #[test]
    fn a_visit_is_over_when_its_share_is_used_up_and_the_clock_was_looked_at() {
        let packets_until_over = |share, most| {
            let mut visit = Visit { share, ..Visit::default() };
            (1..=most).find(|_| visit.spend(0))
        };
        assert_eq!(packets_until_over(Duration::ZERO, 1000), Some(COST_PER_LOOK));
        assert_eq!(packets_until_over(Duration::from_secs(3600), 1000), None);
        let mut visit = Visit::default();
        assert!(visit.spend(COST_PER_LOOK), "one packet can be enough");
        assert_eq!((visit.cost, visit.packets), (COST_PER_LOOK + 1, 1));
    }
}
