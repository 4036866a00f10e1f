//! Publications of one publisher that the broker has not finished with: their identifiers, and when each was sent.
//! Pure. Invariant: holds no more than the receive maximum, so memory is bounded whatever the broker does.

use std::collections::VecDeque;

use crate::packet_id::PacketIds;

/// What one publisher has on the way to the broker.
#[derive(Debug)]
pub(crate) struct InFlight {
    ids: PacketIds,
    /// Identifier and time, oldest first. Brokers acknowledge in order ([MQTT-4.6.0-2]), so what ends is near the front.
    sent: VecDeque<(u16, u64)>,
}

impl InFlight {
    /// Nothing on the way; `maximum` is the server's receive maximum or a smaller window.
    pub fn new(maximum: u16) -> Self {
        Self { ids: PacketIds::new(maximum), sent: VecDeque::new() }
    }

    /// Whether one more may be sent.
    pub fn has_room(&self) -> bool {
        self.ids.has_room()
    }

    /// How many are on the way.
    pub fn count(&self) -> usize {
        self.sent.len()
    }

    /// An identifier for a publication that is sent (or was due) now; `None` when there is no room.
    pub fn begin(&mut self, sent_ns: u64) -> Option<u16> {
        let id = self.ids.take()?;
        self.sent.push_back((id, sent_ns));
        Some(id)
    }

    /// Ends one; gives when it was sent, or `None` if no such publication is on the way.
    pub fn end(&mut self, id: u16) -> Option<u64> {
        if !self.ids.release(id) {
            return None;
        }
        let at = self.sent.iter().position(|(other, _)| *other == id)?;
        self.sent.remove(at).map(|(_, sent_ns)| sent_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_publication_ends_once_with_its_own_time_in_whatever_order() {
        let mut in_flight = InFlight::new(3);
        let ids = [10, 20, 30].map(|sent_ns| in_flight.begin(sent_ns).expect("there is room"));
        assert_eq!((in_flight.begin(40), in_flight.count()), (None, 3));
        assert_eq!((in_flight.end(ids[1]), in_flight.end(ids[1])), (Some(20), None));
        assert!(in_flight.has_room());
        assert_eq!((in_flight.end(ids[2]), in_flight.end(ids[0]), in_flight.count()), (Some(30), Some(10), 0));
    }
}
