//! The maps, as `selvedge_ebpf_abi::map` describes them. Sizes of those that depend on the configuration are set by the
//! loader.

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, LpmTrie, LruHashMap, LruPerCpuHashMap, PerCpuArray},
};
use selvedge_ebpf_abi::{
    Bucket, Counts, DenyEntry, FlowKey, GuardSettings, INTERFACE_RECORDS, InterfaceRecord, PORT_GROUPS, Peer,
    PortGroup, Statistic, TOTALS as TOTALS_LENGTH, Verdict, VerdictCount, map,
};

#[map]
pub static FLOWS: LruPerCpuHashMap<FlowKey, Counts> = LruPerCpuHashMap::with_max_entries(4096, 0);

#[map]
pub static TOTALS: PerCpuArray<Counts> = PerCpuArray::with_max_entries(TOTALS_LENGTH, 0);

#[map]
pub static INTERFACES: Array<InterfaceRecord> = Array::with_max_entries(INTERFACE_RECORDS, 0);

#[map]
pub static PORTS: Array<PortGroup> = Array::with_max_entries(PORT_GROUPS, 0);

#[map]
pub static STATISTICS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Statistic::ALL.len() as u32, 0);

#[map]
pub static GUARD_SETTINGS: Array<GuardSettings> = Array::with_max_entries(1, 0);

#[map]
pub static DENIED: HashMap<Peer, DenyEntry> = HashMap::with_max_entries(1024, 0);

#[map]
pub static ALLOWED: LpmTrie<Peer, u8> = LpmTrie::with_max_entries(map::ALLOWED_MAX, 0);

#[map]
pub static BUCKETS: LruHashMap<Peer, Bucket> = LruHashMap::with_max_entries(4096, 0);

#[map]
pub static VERDICTS: PerCpuArray<VerdictCount> = PerCpuArray::with_max_entries(Verdict::ALL.len() as u32, 0);

/// Counts something about the programs themselves.
#[inline(always)]
pub fn count_statistic(statistic: Statistic) {
    if let Some(count) = STATISTICS.get_ptr_mut(statistic as u32) {
        // SAFETY: the kernel gave a pointer to this processor's own number, and nothing else runs on this processor
        // meanwhile.
        unsafe { *count = (*count).wrapping_add(1) };
    }
}

/// What a port is used for: number of a [`selvedge_ebpf_abi::PortClass`], or whatever the loader wrote.
#[inline(always)]
pub fn port_class(port: u16) -> u8 {
    match PORTS.get_ptr(PortGroup::place(port)) {
        // SAFETY: the kernel gave a pointer to a group, which the loader wrote before the program was attached.
        Some(group) => unsafe { *group }.class_number(port),
        None => 0,
    }
}
