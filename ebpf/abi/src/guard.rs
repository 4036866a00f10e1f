//! What the guard knows, decides and counts.

use crate::Peer;

/// How fast one peer may attempt connections: a token bucket, written as a generic cell rate (ITU-T I.371, annex A).
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GuardSettings {
    /// Time that one attempt uses up, ns.
    pub attempt_ns: u64,
    /// How far ahead of the clock attempts may run, ns: the burst.
    pub ahead_max_ns: u64,
}

/// One peer's bucket.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Time up to which the attempts so far have used up the rate, ns of the kernel's monotonic clock.
    pub used_until_ns: u64,
    /// Attempts that were dropped, or would have been.
    pub dropped: u64,
}

/// One peer that is denied.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DenyEntry {
    /// End of the denial, ns of the kernel's monotonic clock.
    pub until_ns: u64,
    /// Packets that were dropped, or would have been.
    pub dropped: u64,
}

/// A network in the allow list, as the kernel's longest-prefix map wants it.
#[repr(C, packed)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkKey {
    /// Length of the prefix, 0 to 128; IPv4 networks lie in `::ffff:0:0/96`.
    pub prefix_bits: u32,
    /// The address.
    pub address: Peer,
}

/// What the guard made of a packet; number of a place in its counters.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Dropped, because the peer is denied.
    DroppedDenied = 0,
    /// Dropped, because the peer attempts connections too fast.
    DroppedTooFast = 1,
    /// Would have been dropped, because the peer is denied.
    WouldDropDenied = 2,
    /// Would have been dropped, because the peer attempts connections too fast.
    WouldDropTooFast = 3,
    /// Would have been dropped, but the peer is in the allow list.
    SparedAllowed = 4,
    /// An attempt within the rate.
    AttemptAdmitted = 5,
}

impl Verdict {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::DroppedDenied,
        Self::DroppedTooFast,
        Self::WouldDropDenied,
        Self::WouldDropTooFast,
        Self::SparedAllowed,
        Self::AttemptAdmitted,
    ];
}

/// How often a verdict was given, on one processor.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VerdictCount {
    /// Buffers.
    pub packets: u64,
    /// Their bytes at the hook.
    pub bytes: u64,
}

impl GuardSettings {
    /// Whether an attempt at `now_ns` is within the rate, and what the bucket says after it.
    ///
    /// What is refused uses up nothing, so a peer that floods still gets its rate.
    #[inline(always)]
    pub const fn attempt(&self, used_until_ns: u64, now_ns: u64) -> Option<u64> {
        let from = if used_until_ns > now_ns { used_until_ns } else { now_ns };
        if from - now_ns > self.ahead_max_ns { None } else { Some(from.wrapping_add(self.attempt_ns)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::size_of;

    #[test]
    fn the_records_have_the_size_that_the_maps_are_made_with() {
        assert_eq!(size_of::<GuardSettings>(), 16);
        assert_eq!(size_of::<Bucket>(), 16);
        assert_eq!(size_of::<DenyEntry>(), 16);
        assert_eq!(size_of::<NetworkKey>(), 20);
        assert_eq!(size_of::<VerdictCount>(), 16);
        for (position, verdict) in Verdict::ALL.iter().enumerate() {
            assert_eq!(*verdict as usize, position);
        }
    }

    /// Ten a second, five at once.
    const SETTINGS: GuardSettings = GuardSettings { attempt_ns: 100, ahead_max_ns: 400 };

    fn admitted(times: impl Iterator<Item = u64>) -> usize {
        let mut used_until = 0;
        times.filter(|now| SETTINGS.attempt(used_until, *now).map(|until| used_until = until).is_some()).count()
    }

    #[test]
    fn a_burst_is_admitted_up_to_its_size_and_not_beyond() {
        assert_eq!(admitted([1000; 4].into_iter()), 4);
        assert_eq!(admitted([1000; 5].into_iter()), 5);
        assert_eq!(admitted([1000; 6].into_iter()), 5);
    }

    #[test]
    fn a_flood_gets_the_rate_and_no_more() {
        assert_eq!(admitted(1000..2000), 5 + 9);
    }

    #[test]
    fn a_peer_at_exactly_the_rate_is_never_refused() {
        assert_eq!(admitted((0..1000).map(|attempt| 1000 + attempt * 100)), 1000);
    }

    #[test]
    fn a_bucket_from_the_far_end_of_the_clock_does_not_panic() {
        assert_eq!(SETTINGS.attempt(u64::MAX, 0), None);
        assert_eq!(SETTINGS.attempt(0, u64::MAX), Some(99));
    }
}
