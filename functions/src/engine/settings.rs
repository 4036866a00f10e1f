//! Engine settings, once for the compiler child and once for the node, from one base.
//!
//! Invariant: everything that decides what native code looks like is in [`base`], a function of the profile alone.
//!
//! Native code checks every bound itself (`signals_based_traps` off). With guard pages instead, each instance whose memory
//! grew cost two changes of page protection, which were half of the time of a small Rust function; and the guards of a pool
//! do not fit a 39-bit address space. This way no signal handler is installed either.

use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

/// Changes whenever [`base`] changes; part of the name of cached native code.
pub(crate) const SETTINGS_VERSION: u32 = 1;

/// Version of the wasmtime crate, which native code is good for; a test holds it against `Cargo.lock`.
pub(crate) const WASMTIME_VERSION: &str = "48.0.8";

/// Greatest stack of a guest, bytes. Worker threads have more.
pub(crate) const GUEST_STACK_BYTES: usize = 512 << 10;

/// Reserved addresses per pooled memory, and the most that a memory can have.
pub(crate) const POOLED_MEMORY_BYTES: u64 = 256 << 20;
/// Memories per component: its own and those of an adapter.
const MEMORIES_PER_COMPONENT: u32 = 2;
/// Core instances per component: its own, adapters and the shims between them.
const CORE_INSTANCES_PER_COMPONENT: u32 = 16;
/// Tables per component.
const TABLES_PER_COMPONENT: u32 = 16;
/// Elements per table; JavaScript and Python runtimes have a few thousand.
const TABLE_ELEMENTS: usize = 20_000;

/// Slots that keep their mappings and pages while unused.
const WARM_SLOTS_MAX: u32 = 4;
/// Dirty bytes per memory that are written back to their first state instead of being given to the kernel and faulted in
/// again; at most this times [`WARM_SLOTS_MAX`] stays resident.
const KEEP_RESIDENT_BYTES: usize = 256 << 10;
/// The same for a table.
const TABLE_KEEP_RESIDENT_BYTES: usize = 16 << 10;

/// A resolved choice of where memory comes from; native code differs between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Profile {
    /// Slots that are used again, with their pages written back to the first state.
    Pooled,
    /// One mapping per instance, for places where the pool cannot be reserved; slower.
    OnDemand,
}

impl Profile {
    /// Every profile.
    pub(crate) const ALL: [Self; 2] = [Self::Pooled, Self::OnDemand];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pooled => "pooled",
            Self::OnDemand => "on-demand",
        }
    }

    #[cfg(feature = "compiler")]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.as_str() == text)
    }
}

/// What compiler and node must have in common.
fn base(profile: Profile) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .wasm_memory64(false)
        .relaxed_simd_deterministic(true)
        .epoch_interruption(true)
        .consume_fuel(false)
        .signals_based_traps(false)
        .generate_address_map(false)
        .native_unwind_info(false)
        .max_wasm_stack(GUEST_STACK_BYTES);
    match profile {
        Profile::Pooled => config.memory_reservation(POOLED_MEMORY_BYTES).memory_guard_size(0).memory_may_move(false),
        Profile::OnDemand => config
            .memory_reservation(16 << 20)
            .memory_guard_size(0)
            .memory_reservation_for_growth(1 << 20)
            .memory_may_move(true),
    };
    config
}

/// Settings of the compiler child. NaNs are made canonical, so that replay gives the same bytes.
#[cfg(feature = "compiler")]
pub(crate) fn compiler(profile: Profile) -> Config {
    let mut config = base(profile);
    config.cranelift_nan_canonicalization(true);
    config
}

/// Settings of the node's engine: no compiler, `slots` instances at once.
pub(crate) fn node(profile: Profile, slots: u32) -> Config {
    let mut config = base(profile);
    #[cfg(feature = "compiler")]
    config.enable_compiler(false);
    if profile == Profile::Pooled {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(slots)));
    }
    config
}

/// Addresses that a pool of so many slots reserves.
pub(crate) fn pool_bytes(slots: u32) -> usize {
    usize::try_from(u64::from(slots * MEMORIES_PER_COMPONENT) * POOLED_MEMORY_BYTES).unwrap_or(usize::MAX)
}

fn pool(slots: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots * CORE_INSTANCES_PER_COMPONENT)
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .total_memories(slots * MEMORIES_PER_COMPONENT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_memory_size(POOLED_MEMORY_BYTES as usize)
        .total_tables(slots * 4)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .table_elements(TABLE_ELEMENTS)
        .max_unused_warm_slots(WARM_SLOTS_MAX);
    // Without the scan of dirty pages everything up to these bounds would be written at each reset.
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pool.pagemap_scan(Enabled::Auto)
            .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
            .table_keep_resident(TABLE_KEEP_RESIDENT_BYTES);
    }
    pool
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_lock_file() {
        let lock = include_str!("../../../Cargo.lock");
        assert!(lock.contains(&format!("name = \"wasmtime\"\nversion = \"{WASMTIME_VERSION}\"\n")));
    }

    #[test]
    fn a_pool_of_eight_fits_a_39_bit_address_space() {
        assert!(pool_bytes(8) < 1 << 38);
    }
}
