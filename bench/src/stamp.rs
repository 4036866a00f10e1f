//! The first bytes of every payload: which run, which stream, which message of it, and when it was sent.
//! Not a wire format for others: only a run of this generator reads what it wrote itself.
//! Invariant: a payload that this run did not write is told apart by its run id.

/// What a payload says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Tells this run (and its warm-up) from every other one.
    pub run: u32,
    /// The stream whose order is checked; see [`crate::topology`].
    pub stream: u32,
    /// Position in the stream, from 0 without holes.
    pub sequence: u64,
    /// Nanoseconds since the clock's origin: when it was sent, or was due if the run is paced.
    pub sent_ns: u64,
}

impl Stamp {
    /// Bytes that a stamp takes, hence the smallest payload.
    pub const BYTES: usize = 24;

    /// Writes the stamp over the first bytes of a payload of at least [`Self::BYTES`].
    pub fn write(&self, payload: &mut [u8]) {
        payload[0..4].copy_from_slice(&self.run.to_le_bytes());
        payload[4..8].copy_from_slice(&self.stream.to_le_bytes());
        payload[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        payload[16..24].copy_from_slice(&self.sent_ns.to_le_bytes());
    }

    /// Reads a stamp; `None` if the payload is too short to carry one.
    pub fn read(payload: &[u8]) -> Option<Self> {
        let (run, rest) = payload.split_first_chunk()?;
        let (stream, rest) = rest.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (sent_ns, _) = rest.split_first_chunk()?;
        Some(Self {
            run: u32::from_le_bytes(*run),
            stream: u32::from_le_bytes(*stream),
            sequence: u64::from_le_bytes(*sequence),
            sent_ns: u64::from_le_bytes(*sent_ns),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_comes_back_as_it_was_written() {
        let stamp = Stamp { run: 7, stream: 9, sequence: u64::MAX - 1, sent_ns: 1 << 60 };
        let mut payload = [0xAA; 30];
        stamp.write(&mut payload);
        assert_eq!(Stamp::read(&payload), Some(stamp));
        assert_eq!(payload[24..], [0xAA; 6]);
    }

    #[test]
    fn a_payload_shorter_than_a_stamp_carries_none() {
        assert_eq!(Stamp::read(&[0; Stamp::BYTES - 1]), None);
        assert!(Stamp::read(&[0; Stamp::BYTES]).is_some());
    }
}
