//! What is counted, as the kernel keeps it: one of these per processor for each flow and each total.

use core::ops::{BitOr, BitOrAssign};

/// Counters of one processor.
///
/// The 32-bit ones wrap; the reader takes differences modulo 2³² and must look at least once every 2³² of them.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Segments: what the wire carries, or would carry, of the buffers counted below.
    pub packets: u64,
    /// Bytes of the buffers at the hook, link header included.
    pub bytes: u64,
    /// Clock of the kernel (`CLOCK_MONOTONIC`, ns) when the record was made; 0 on the processors that did not make it.
    /// It tells a record that was evicted and made again from one that grew.
    pub born_ns: u64,
    /// Buffers: what the kernel handles at once and its interface counters call a packet.
    pub buffers: u32,
    /// TCP SYN without ACK.
    pub syn: u32,
    /// TCP SYN with ACK.
    pub syn_ack: u32,
    /// TCP RST.
    pub reset: u32,
    /// TCP FIN.
    pub finish: u32,
    /// SYN without ACK to a port of an MQTT class.
    pub mqtt_attempts: u32,
    /// IP fragments, the first of each packet among them.
    pub fragments: u32,
    /// Packets that contradict themselves: see `docs/decisions/kernel-counters.md`.
    pub malformed: u32,
}

/// What happened with a packet besides being there; a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Happened(pub u32);

impl Happened {
    /// Nothing.
    pub const NOTHING: Self = Self(0);
    /// TCP SYN without ACK.
    pub const SYN: Self = Self(1);
    /// TCP SYN with ACK.
    pub const SYN_ACK: Self = Self(1 << 1);
    /// TCP RST.
    pub const RESET: Self = Self(1 << 2);
    /// TCP FIN.
    pub const FINISH: Self = Self(1 << 3);
    /// SYN to a port of an MQTT class.
    pub const MQTT_ATTEMPT: Self = Self(1 << 4);
    /// An IP fragment.
    pub const FRAGMENT: Self = Self(1 << 5);
    /// Contradicts itself.
    pub const MALFORMED: Self = Self(1 << 6);

    /// Whether all of `other` happened.
    #[inline(always)]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Happened {
    type Output = Self;
    #[inline(always)]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Happened {
    #[inline(always)]
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl Counts {
    /// Counts one buffer. Wraps and never fails, as the kernel's own counters do.
    #[inline(always)]
    pub fn add(&mut self, segments: u32, bytes: u32, happened: Happened) {
        self.packets = self.packets.wrapping_add(segments as u64);
        self.bytes = self.bytes.wrapping_add(bytes as u64);
        self.buffers = self.buffers.wrapping_add(1);
        if happened == Happened::NOTHING {
            return;
        }
        let one = |happening: Happened| happened.has(happening) as u32;
        self.syn = self.syn.wrapping_add(one(Happened::SYN));
        self.syn_ack = self.syn_ack.wrapping_add(one(Happened::SYN_ACK));
        self.reset = self.reset.wrapping_add(one(Happened::RESET));
        self.finish = self.finish.wrapping_add(one(Happened::FINISH));
        self.mqtt_attempts = self.mqtt_attempts.wrapping_add(one(Happened::MQTT_ATTEMPT));
        self.fragments = self.fragments.wrapping_add(one(Happened::FRAGMENT));
        self.malformed = self.malformed.wrapping_add(one(Happened::MALFORMED));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{align_of, offset_of, size_of};

    #[test]
    fn the_record_is_56_bytes_without_padding() {
        assert_eq!((size_of::<Counts>(), align_of::<Counts>()), (56, 8));
        assert_eq!(offset_of!(Counts, born_ns), 16);
        assert_eq!(offset_of!(Counts, buffers), 24);
        assert_eq!(offset_of!(Counts, malformed), 52);
    }

    #[test]
    fn each_happening_moves_its_own_counter_only() {
        type Read = fn(&Counts) -> u32;
        let named: [(Happened, Read); 7] = [
            (Happened::SYN, |counts| counts.syn),
            (Happened::SYN_ACK, |counts| counts.syn_ack),
            (Happened::RESET, |counts| counts.reset),
            (Happened::FINISH, |counts| counts.finish),
            (Happened::MQTT_ATTEMPT, |counts| counts.mqtt_attempts),
            (Happened::FRAGMENT, |counts| counts.fragments),
            (Happened::MALFORMED, |counts| counts.malformed),
        ];
        for (position, (happened, _)) in named.iter().enumerate() {
            let mut counts = Counts::default();
            counts.add(3, 100, *happened);
            assert_eq!((counts.packets, counts.bytes, counts.buffers), (3, 100, 1));
            for (other, (_, read)) in named.iter().enumerate() {
                assert_eq!(read(&counts), u32::from(other == position), "{happened:?}");
            }
        }
    }

    #[test]
    fn a_full_counter_wraps() {
        let mut counts = Counts { buffers: u32::MAX, syn: u32::MAX, bytes: u64::MAX, ..Counts::default() };
        counts.add(1, 1, Happened::SYN);
        assert_eq!((counts.buffers, counts.syn, counts.bytes), (0, 0, 0));
    }
}
