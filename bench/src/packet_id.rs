//! Packet identifiers of one publisher: which are in use, and how many may be.
//! Pure. Invariant: an identifier is never given out twice before it is released, and never more than the server's
//! receive maximum at once ([MQTT-2.2.1-3], section 3.2.2.3.3).

/// The identifiers of one publisher.
#[derive(Debug)]
pub(crate) struct PacketIds {
    used: Box<[u64; 1_024]>,
    last: u16,
    in_flight: u32,
    receive_maximum: u16,
}

impl PacketIds {
    /// All free; `receive_maximum` is what the server announced.
    pub fn new(receive_maximum: u16) -> Self {
        Self { used: Box::new([0; 1_024]), last: 0, in_flight: 0, receive_maximum }
    }

    /// Whether one more may be taken.
    pub fn has_room(&self) -> bool {
        self.in_flight < u32::from(self.receive_maximum)
    }

    /// Takes the next free identifier; `None` when as many as allowed are in use.
    pub fn take(&mut self) -> Option<u16> {
        if !self.has_room() {
            return None;
        }
        loop {
            // Ends: fewer than 65,535 are in use.
            self.last = self.last.checked_add(1).unwrap_or(1);
            if !self.is_used(self.last) {
                self.used[usize::from(self.last >> 6)] |= 1 << (self.last & 63);
                self.in_flight += 1;
                return Some(self.last);
            }
        }
    }

    /// Gives an identifier back; `false` if it was not in use.
    pub fn release(&mut self, id: u16) -> bool {
        if !self.is_used(id) {
            return false;
        }
        self.used[usize::from(id >> 6)] &= !(1 << (id & 63));
        self.in_flight -= 1;
        true
    }

    fn is_used(&self, id: u16) -> bool {
        self.used[usize::from(id >> 6)] & (1 << (id & 63)) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_receive_maximum_are_given_out() {
        let mut ids = PacketIds::new(2);
        assert_eq!((ids.take(), ids.take(), ids.take()), (Some(1), Some(2), None));
        assert!(ids.release(1));
        assert_eq!((ids.take(), ids.take()), (Some(3), None));
    }

    #[test]
    fn an_identifier_in_use_is_skipped_after_the_wrap_and_zero_never_comes() {
        let mut ids = PacketIds::new(2);
        assert_eq!(ids.take(), Some(1));
        for _ in 0..200_000 {
            let id = ids.take().expect("one is free");
            assert!(id > 1, "{id}");
            assert!(ids.release(id));
        }
    }

    #[test]
    fn releasing_what_is_not_in_use_is_noticed() {
        let mut ids = PacketIds::new(u16::MAX);
        assert!(!ids.release(0));
        let id = ids.take().expect("all are free");
        assert!(ids.release(id));
        assert!(!ids.release(id));
        assert_eq!(ids.in_flight, 0);
    }
}
