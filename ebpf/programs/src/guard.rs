//! The guard: drops what comes from a denied peer, and connection attempts beyond a peer's rate.
//!
//! Invariant: nothing from a loopback address or from a network in the allow list is ever dropped, whatever the other
//! maps say, and each decision is counted.

use core::arch::asm;

use aya_ebpf::{bindings::xdp_md, helpers::generated::bpf_ktime_get_ns, maps::lpm_trie};
use selvedge_ebpf_abi::{Bucket, Happened, InterfaceRecord, Peer, Statistic, Verdict};

use crate::{
    count,
    maps::{ALLOWED, BUCKETS, DENIED, GUARD_SETTINGS, VERDICTS, count_statistic},
    packet::{
        ETHERNET, Frame, Packet, Source as _, careful,
        fast::{self, Direct},
    },
};

/// Whether a frame at the XDP hook is dropped.
#[inline(always)]
pub fn drops_at_xdp(frame: *mut xdp_md) -> bool {
    // SAFETY: the kernel's context; the two pointers are only ever compared and loaded from.
    let (index, data, end) = unsafe { ((*frame).ingress_ifindex, (*frame).data as usize, (*frame).data_end as usize) };
    let interface = count::interface(index);
    if interface.flags & InterfaceRecord::GUARD_AT_XDP == 0 {
        return false;
    }
    let source = Frame(frame);
    let length = source.length();
    let Some(ether_type) = source.load::<2>(ETHERNET - 2).map(u16::from_be_bytes) else {
        return false;
    };
    // Each reader's packet goes its own way, as in `count`.
    if let Some(packet) = fast::read::<{ ETHERNET as usize }, { count::IN }>(Direct { data, end }, ether_type, length) {
        return drops(&packet, length, interface.flags);
    }
    let mut packet = Packet::blank();
    careful::read::<Frame, { count::IN }>(source, ether_type, ETHERNET, &mut packet);
    drops(&packet, length, interface.flags)
}

/// Whether a packet that comes in is dropped.
#[inline(always)]
pub fn drops(packet: &Packet, length: u32, flags: u16) -> bool {
    if !packet.has_peer {
        return false;
    }
    let denies = flags & InterfaceRecord::GUARD_DENIES != 0;
    let attempts = packet.happened.has(Happened::MQTT_ATTEMPT);
    if !denies && !attempts {
        return false;
    }
    judge(&packet.peer, length, attempts, flags)
}

/// A function of its own in the kernel too: it is long, and called from each reader's way.
///
/// What a pointer was found to be is used where it was found, and not remembered: for a loader without CAP_PERFMON the
/// verifier also follows the way that a processor might guess, on which the pointer is none.
#[inline(never)]
fn judge(peer: &Peer, length: u32, attempts: bool, flags: u16) -> bool {
    // SAFETY: no arguments.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    if let Some(entry) = DENIED.get_ptr_mut(peer) {
        // SAFETY: the kernel gave a pointer to an entry; the loader writes its time as a whole.
        if now_ns < unsafe { (*entry).until_ns } {
            if is_spared(peer, length) {
                return false;
            }
            // SAFETY: as above, and all of its numbers are aligned.
            unsafe { count_shared(&raw mut (*entry).dropped) };
            return is_dropped(Verdict::DroppedDenied, Verdict::WouldDropDenied, length, flags);
        }
    }
    if !attempts {
        return false;
    }
    if is_within_rate(peer, now_ns) {
        count_verdict(Verdict::AttemptAdmitted, length);
        return false;
    }
    if is_spared(peer, length) {
        return false;
    }
    if let Some(bucket) = BUCKETS.get_ptr_mut(peer) {
        // SAFETY: the kernel gave a pointer to a bucket, all of whose numbers are aligned.
        unsafe { count_shared(&raw mut (*bucket).dropped) };
    }
    is_dropped(Verdict::DroppedTooFast, Verdict::WouldDropTooFast, length, flags)
}

/// Counts the one verdict, or in a dry run the other one.
#[inline(always)]
fn is_dropped(dropped: Verdict, would_be: Verdict, length: u32, flags: u16) -> bool {
    let acts = flags & InterfaceRecord::GUARD_DRY_RUN == 0;
    count_verdict(if acts { dropped } else { would_be }, length);
    acts
}

/// Whether nothing from this peer is ever dropped; counts that it was needed.
#[inline(always)]
fn is_spared(peer: &Peer, length: u32) -> bool {
    let spared = peer.is_loopback() || is_allowed(peer);
    if spared {
        count_verdict(Verdict::SparedAllowed, length);
    }
    spared
}

/// Key of the allow list, in whole words but for the one whose second half the length is (see `packet::Packet`).
#[repr(C, align(8))]
struct AllowedKey {
    padding: u32,
    key: lpm_trie::Key<Peer>,
}

#[inline(always)]
fn is_allowed(peer: &Peer) -> bool {
    let allowed = AllowedKey { padding: 0, key: lpm_trie::Key::new(128, *peer) };
    ALLOWED.get(&allowed.key).is_some()
}

/// Takes from the peer's bucket. Two processors at once may both take the last token: a flood gets a packet more, no
/// less.
#[inline(always)]
fn is_within_rate(peer: &Peer, now_ns: u64) -> bool {
    let Some(settings) = GUARD_SETTINGS.get_ptr(0) else {
        return true;
    };
    // SAFETY: the kernel gave a pointer to the one value, which the loader wrote before the program was attached.
    let settings = unsafe { *settings };
    if let Some(bucket) = BUCKETS.get_ptr_mut(peer) {
        // SAFETY: the kernel gave a pointer to a bucket; numbers are read and written as a whole.
        let used_until_ns = unsafe { (*bucket).used_until_ns };
        let Some(used_until_ns) = settings.attempt(used_until_ns, now_ns) else {
            return false;
        };
        // SAFETY: as above.
        unsafe { (*bucket).used_until_ns = used_until_ns };
        return true;
    }
    let used_until_ns = settings.attempt(0, now_ns).unwrap_or(now_ns);
    if BUCKETS.insert(peer, &Bucket { used_until_ns, dropped: 0 }, 0).is_err() {
        count_statistic(Statistic::BucketsNotMade);
    }
    true
}

/// Adds 1 to a number that all processors share. The compiler's own atomics are switched off for this target.
///
/// # Safety
/// The number lies inside a value of a map, at a multiple of 8.
#[inline(always)]
unsafe fn count_shared(number: *mut u64) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("lock *(u64 *)({number} + 0) += {one}", number = in(reg) number, one = in(reg) 1_u64, options(nostack))
    };
}

#[inline(always)]
fn count_verdict(verdict: Verdict, length: u32) {
    if let Some(count) = VERDICTS.get_ptr_mut(verdict as u32) {
        // SAFETY: this processor's own record, with soft interrupts off.
        unsafe {
            (*count).packets = (*count).packets.wrapping_add(1);
            (*count).bytes = (*count).bytes.wrapping_add(length as u64);
        }
    }
}
