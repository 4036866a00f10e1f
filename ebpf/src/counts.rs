//! What is reported: counters that only grow, and how they follow from two readings of the kernel's.

use selvedge_ebpf_abi as abi;
use serde::{Deserialize, Serialize};

/// Counters. What each counts is defined in `docs/decisions/kernel-counters.md`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Segments: a buffer that the kernel or the card cuts into 40 packets counts 40.
    pub packets: u64,
    /// Buffers: what the interface counters of the kernel call packets.
    pub buffers: u64,
    /// Bytes of the buffers at the hook, link header included.
    pub bytes: u64,
    /// TCP SYN without ACK.
    pub syn: u64,
    /// TCP SYN with ACK.
    pub syn_ack: u64,
    /// TCP RST.
    pub rst: u64,
    /// TCP FIN.
    pub fin: u64,
    /// SYN without ACK to a port of an MQTT class.
    pub mqtt_attempts: u64,
    /// IP fragments.
    pub fragments: u64,
    /// Packets that contradict themselves.
    pub malformed: u64,
}

impl Counts {
    /// Adds what `more` counts.
    pub fn add(&mut self, more: &Self) {
        let Self { packets, buffers, bytes, syn, syn_ack, rst, fin, mqtt_attempts, fragments, malformed } = self;
        for (sum, more) in [
            (packets, more.packets),
            (buffers, more.buffers),
            (bytes, more.bytes),
            (syn, more.syn),
            (syn_ack, more.syn_ack),
            (rst, more.rst),
            (fin, more.fin),
            (mqtt_attempts, more.mqtt_attempts),
            (fragments, more.fragments),
            (malformed, more.malformed),
        ] {
            *sum = sum.saturating_add(more);
        }
    }

    /// Whether nothing was counted.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    /// What came since the `last` reading of the same record.
    ///
    /// A record that was made anew meanwhile, because the kernel had evicted it, has another birth: all of it is new.
    pub fn grown(last: &abi::Counts, now: &abi::Counts) -> Self {
        let zero = abi::Counts::default();
        let last = if last.born_ns == now.born_ns { last } else { &zero };
        let narrow = |now: u32, last: u32| u64::from(now.wrapping_sub(last));
        Self {
            packets: now.packets.wrapping_sub(last.packets),
            buffers: narrow(now.buffers, last.buffers),
            bytes: now.bytes.wrapping_sub(last.bytes),
            syn: narrow(now.syn, last.syn),
            syn_ack: narrow(now.syn_ack, last.syn_ack),
            rst: narrow(now.reset, last.reset),
            fin: narrow(now.finish, last.finish),
            mqtt_attempts: narrow(now.mqtt_attempts, last.mqtt_attempts),
            fragments: narrow(now.fragments, last.fragments),
            malformed: narrow(now.malformed, last.malformed),
        }
    }
}

/// Adds what another processor counted. The birth is the one of the processor that made the record; the others have
/// none.
pub fn add_processor(sum: &mut abi::Counts, more: &abi::Counts) {
    sum.packets = sum.packets.wrapping_add(more.packets);
    sum.bytes = sum.bytes.wrapping_add(more.bytes);
    sum.born_ns = sum.born_ns.max(more.born_ns);
    for (sum, more) in [
        (&mut sum.buffers, more.buffers),
        (&mut sum.syn, more.syn),
        (&mut sum.syn_ack, more.syn_ack),
        (&mut sum.reset, more.reset),
        (&mut sum.finish, more.finish),
        (&mut sum.mqtt_attempts, more.mqtt_attempts),
        (&mut sum.fragments, more.fragments),
        (&mut sum.malformed, more.malformed),
    ] {
        *sum = sum.wrapping_add(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_grew_gives_the_difference() {
        let last = abi::Counts { packets: 5, bytes: 500, syn: 1, born_ns: 7, ..Default::default() };
        let now = abi::Counts { packets: 8, bytes: 900, syn: 1, fragments: 2, born_ns: 7, ..Default::default() };
        assert_eq!(Counts::grown(&last, &now), Counts { packets: 3, bytes: 400, fragments: 2, ..Default::default() });
    }

    #[test]
    fn a_record_made_anew_is_new_as_a_whole_even_where_it_is_larger() {
        let last = abi::Counts { packets: 5, born_ns: 7, ..Default::default() };
        let now = abi::Counts { packets: 8, born_ns: 9, ..Default::default() };
        assert_eq!(Counts::grown(&last, &now).packets, 8);
    }

    #[test]
    fn a_narrow_counter_that_wrapped_still_gives_the_difference() {
        let last = abi::Counts { syn: u32::MAX, buffers: u32::MAX - 1, ..Default::default() };
        let now = abi::Counts { syn: 4, buffers: 0, ..Default::default() };
        let grown = Counts::grown(&last, &now);
        assert_eq!((grown.syn, grown.buffers), (5, 2));
    }

    #[test]
    fn processors_add_up_and_the_birth_is_that_of_the_one_that_has_it() {
        let mut sum = abi::Counts::default();
        add_processor(&mut sum, &abi::Counts { packets: 1, malformed: u32::MAX, ..Default::default() });
        add_processor(&mut sum, &abi::Counts { packets: 2, malformed: 1, born_ns: 9, ..Default::default() });
        assert_eq!((sum.packets, sum.malformed, sum.born_ns), (3, 0, 9));
    }

    #[test]
    fn a_sum_stops_at_the_end_of_its_numbers() {
        let mut sum = Counts { bytes: u64::MAX, ..Default::default() };
        sum.add(&Counts { bytes: 1, fin: 1, ..Default::default() });
        assert_eq!((sum.bytes, sum.fin), (u64::MAX, 1));
    }
}
