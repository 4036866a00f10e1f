//! Counting at the tc hook: one total and one flow for each packet.

use aya_ebpf::{
    bindings::{__sk_buff, BPF_NOEXIST, TC_ACT_SHOT, TC_ACT_UNSPEC},
    helpers::generated::bpf_ktime_get_ns,
};
use selvedge_ebpf_abi::{
    Counts, Direction, FlowDetails, FlowKey, FlowShape, InterfaceRecord, Statistic, TOTALS_PER_SLOT, TotalKey,
    interface_place,
};

use crate::{
    guard,
    maps::{FLOWS, INTERFACES, TOTALS, count_statistic},
    packet::{
        Buffer, ETHERNET, Packet, Source as _, careful,
        fast::{self, Direct},
    },
};

/// Direction of the hook, as an argument that the compiler knows.
pub const IN: bool = false;
pub const OUT: bool = true;

/// Counts a packet and says whether it goes on.
///
/// What follows the reading is written down for each reader by itself: the careful one gives its packet in memory, and
/// the other ones would have to put theirs there too, in pieces that are then read as a whole, for which a processor
/// has to wait.
#[inline(always)]
pub fn at_tc<const OUT: bool>(buffer: *mut __sk_buff) -> i32 {
    // SAFETY: the kernel's context, valid for as long as the program runs; the two pointers are only ever compared and
    // loaded from.
    let (index, data, end, ether_type) = unsafe {
        let context = &*buffer;
        (context.ifindex, context.data as usize, context.data_end as usize, u16::from_be(context.protocol as u16))
    };
    let interface = interface(index);
    let length = Buffer(buffer).length();
    let direct = Direct { data, end };
    let link = if interface.flags & InterfaceRecord::NO_LINK_HEADER == 0 {
        if let Some(packet) = fast::read::<{ ETHERNET as usize }, OUT>(direct, ether_type, length) {
            return judge_and_count::<OUT>(buffer, interface, &packet, length);
        }
        ETHERNET
    } else {
        if let Some(packet) = fast::read::<0, OUT>(direct, ether_type, length) {
            return judge_and_count::<OUT>(buffer, interface, &packet, length);
        }
        0
    };
    let mut packet = Packet::blank();
    careful::read::<Buffer, OUT>(Buffer(buffer), ether_type, link, &mut packet);
    judge_and_count::<OUT>(buffer, interface, &packet, length)
}

#[inline(always)]
fn judge_and_count<const OUT: bool>(
    buffer: *mut __sk_buff,
    interface: InterfaceRecord,
    packet: &Packet,
    length: u32,
) -> i32 {
    if !OUT && interface.flags & InterfaceRecord::GUARD_AT_TC != 0 && guard::drops(packet, length, interface.flags) {
        return TC_ACT_SHOT;
    }
    let segments = segments(buffer, packet, length);
    count_total::<OUT>(interface.slot, packet, segments, length);
    if packet.has_peer {
        count_flow::<OUT>(interface.index, packet, segments, length);
    }
    // Whatever else is attached here comes next.
    TC_ACT_UNSPEC
}

/// What is known of an interface; slot 0 and no flags when nothing is.
#[inline(always)]
pub fn interface(index: u32) -> InterfaceRecord {
    if let Some(record) = INTERFACES.get_ptr(interface_place(index)) {
        // SAFETY: the kernel gave a pointer to a record, which the loader writes as a whole.
        let record = unsafe { *record };
        if record.index == index {
            return record;
        }
    }
    count_statistic(Statistic::UnknownInterface);
    InterfaceRecord { index, slot: 0, flags: 0 }
}

/// How many segments the buffer is on the wire. Drivers of virtual machines leave the number out and say the size only.
#[inline(always)]
fn segments(buffer: *mut __sk_buff, packet: &Packet, length: u32) -> u32 {
    // SAFETY: the kernel's context.
    let (segments, size) = unsafe { ((*buffer).gso_segs, (*buffer).gso_size) };
    if segments != 0 {
        return segments;
    }
    if size == 0 {
        return 1;
    }
    let payload = length.wrapping_sub(packet.headers);
    let segments = payload.wrapping_add(size - 1) / size;
    if segments == 0 { 1 } else { segments }
}

#[inline(always)]
const fn direction(out: bool) -> Direction {
    if out { Direction::Out } else { Direction::In }
}

#[inline(always)]
fn count_total<const OUT: bool>(slot: u16, packet: &Packet, segments: u32, length: u32) {
    let key =
        TotalKey { direction: direction(OUT), version: packet.version, protocol: packet.protocol, class: packet.class };
    if let Some(counts) = TOTALS.get_ptr_mut(slot as u32 * TOTALS_PER_SLOT + key.place()) {
        // SAFETY: this processor's own record; the hook runs with soft interrupts off, so nothing else writes it
        // meanwhile.
        unsafe { (*counts).add(segments, length, packet.happened) };
    }
}

#[inline(always)]
fn count_flow<const OUT: bool>(interface: u32, packet: &Packet, segments: u32, length: u32) {
    let shape = FlowShape::new(direction(OUT), packet.version, packet.class);
    let key =
        FlowKey { peer: packet.peer, details: FlowDetails::new(interface, packet.peer_port, shape, packet.protocol) };
    if let Some(counts) = FLOWS.get_ptr_mut(&key) {
        // SAFETY: as for the totals. A record that is evicted at this moment counts for whoever gets it next; that is
        // what an LRU map of the kernel does.
        unsafe { (*counts).add(segments, length, packet.happened) };
        return;
    }
    // Empty, and counted into where it lies then: a record on the stack would be written in pieces, which kernel 6.1
    // refuses to a loader without CAP_PERFMON (see `packet::Packet`). SAFETY: no arguments.
    let empty = Counts { born_ns: unsafe { bpf_ktime_get_ns() }, ..Counts::default() };
    // Refused where another processor was faster, or there is no room.
    if FLOWS.insert(&key, &empty, BPF_NOEXIST as u64).is_ok() {
        count_statistic(Statistic::FlowsMade);
    }
    match FLOWS.get_ptr_mut(&key) {
        // SAFETY: as above.
        Some(counts) => unsafe { (*counts).add(segments, length, packet.happened) },
        None => count_statistic(Statistic::FlowsNotMade),
    }
}
