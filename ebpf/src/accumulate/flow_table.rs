//! Sums by flow.
//!
//! The kernel's map forgets the flow that was silent longest when it is full; this table goes on knowing it, as long as
//! there is room, and takes it for the same one when it speaks again. What leaves this table too is added to a row
//! without peer, so that the rows of an interface together never shrink.
//!
//! Invariant: no reading is counted twice. A flow that the kernel still has is never forgotten here, because its next
//! reading could not be told from a new one; when there is no room for a flow it is left alone until there is.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use selvedge_ebpf_abi::{self as abi, FlowDetails, FlowKey, Peer};

use super::{GONE_NAMES_MAX, Sum, gone};
use crate::{Counts, InterfaceName};

/// Sums by flow. See the module.
#[derive(Debug)]
pub struct FlowTable {
    flows: HashMap<FlowKey, Tracked>,
    /// Flows that are no longer told apart by peer.
    others: BTreeMap<(InterfaceName, FlowDetails), Sum>,
    names: HashMap<u32, InterfaceName>,
    capacity: usize,
    drain: u64,
    live: usize,
    statistics: FlowStatistics,
}

/// What the table knows of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlowStatistics {
    /// Flows that were added to a row without peer.
    pub folded: u64,
    /// Readings that were left alone because there was no room.
    pub deferred: u64,
}

#[derive(Debug)]
struct Tracked {
    interface: InterfaceName,
    last: abi::Counts,
    sum: Sum,
    /// Number of the drain that saw it last.
    seen: u64,
}

/// A row of the table.
#[derive(Debug)]
pub struct Flow<'a> {
    /// Name of the interface.
    pub interface: &'a InterfaceName,
    /// Peer and its port; none where flows are no longer told apart.
    pub peer: Option<(Peer, u16)>,
    /// Direction, version, class, protocol.
    pub details: FlowDetails,
    /// What was counted.
    pub sum: &'a Sum,
}

impl FlowTable {
    /// A table for `capacity` flows. Twice what the kernel's map holds is always enough: then all flows of one drain
    /// and all of the next have room.
    pub fn new(capacity: usize) -> Self {
        Self {
            flows: HashMap::new(),
            others: BTreeMap::new(),
            names: HashMap::new(),
            capacity,
            drain: 0,
            live: 0,
            statistics: FlowStatistics::default(),
        }
    }

    /// Tells the table the name of an interface. Readings of others are not counted.
    pub fn add_interface(&mut self, index: u32, name: InterfaceName) {
        self.names.insert(index, name);
    }

    /// Begins a drain.
    pub fn start_drain(&mut self) {
        self.drain += 1;
        self.start_reading();
        self.flows.values_mut().for_each(|flow| flow.sum.start_drain());
        self.others.values_mut().for_each(Sum::start_drain);
    }

    /// Begins to read the kernel's map; in one drain that may happen more than once.
    pub const fn start_reading(&mut self) {
        self.live = 0;
    }

    /// Takes a reading, summed over all processors.
    pub fn take(&mut self, key: FlowKey, now: abi::Counts) {
        self.live += 1;
        if let Some(flow) = self.flows.get_mut(&key) {
            let grown = Counts::grown(&flow.last, &now);
            flow.last = now;
            flow.seen = self.drain;
            flow.sum.add(&grown);
            return;
        }
        let Some(interface) = self.names.get(&key.details.interface()).cloned() else {
            return;
        };
        if self.flows.len() >= self.capacity && !self.make_room() {
            self.statistics.deferred += 1;
            return;
        }
        let mut sum = Sum::default();
        sum.add(&Counts::grown(&abi::Counts::default(), &now));
        self.flows.insert(key, Tracked { interface, last: now, sum, seen: self.drain });
    }

    /// Folds flows that the kernel has forgotten: those that neither this drain nor the one before has seen, silent
    /// longest first, a quarter of the table at once so that it is not searched for each new flow.
    fn make_room(&mut self) -> bool {
        let mut forgotten: Vec<(u64, FlowKey)> = self
            .flows
            .iter()
            .filter(|(_, flow)| flow.seen + 1 < self.drain)
            .map(|(key, flow)| (flow.seen, *key))
            .collect();
        forgotten.sort_unstable();
        forgotten.truncate((self.capacity / 4).max(1));
        for (_, key) in &forgotten {
            self.fold(key);
        }
        !forgotten.is_empty()
    }

    fn fold(&mut self, key: &FlowKey) {
        if let Some(flow) = self.flows.remove(key) {
            self.statistics.folded += 1;
            self.others.entry((flow.interface, key.details.kind())).or_default().absorb(&flow.sum);
        }
    }

    /// An interface is gone or no longer counted, and its last reading was taken. What the kernel still has of it is
    /// the caller's to delete, before the interface is added again.
    pub fn remove_interface(&mut self, index: u32) {
        self.names.remove(&index);
        let keys: Vec<FlowKey> = self.flows.keys().filter(|key| key.details.interface() == index).copied().collect();
        keys.iter().for_each(|key| self.fold(key));
        self.forget_names();
    }

    /// Keeps the number of names that are no longer there within its bound.
    fn forget_names(&mut self) {
        let present: HashSet<&InterfaceName> = self.names.values().collect();
        let absent: BTreeSet<InterfaceName> = self
            .others
            .keys()
            .map(|(name, _)| name)
            .filter(|name| !present.contains(name) && name.as_str() != super::GONE)
            .cloned()
            .collect();
        for name in absent.iter().take(absent.len().saturating_sub(GONE_NAMES_MAX)) {
            let keys: Vec<_> = self.others.keys().filter(|(other, _)| other == name).cloned().collect();
            for key in keys {
                if let Some(sum) = self.others.remove(&key) {
                    self.others.entry((gone(), key.1)).or_default().absorb(&sum);
                }
            }
        }
    }

    /// All rows.
    pub fn rows(&self) -> impl Iterator<Item = Flow<'_>> {
        let flows = self.flows.iter().map(|(key, flow)| Flow {
            interface: &flow.interface,
            peer: Some((key.peer, key.details.peer_port())),
            details: key.details,
            sum: &flow.sum,
        });
        let others = self.others.iter().map(|((interface, details), sum)| Flow {
            interface,
            peer: None,
            details: *details,
            sum,
        });
        flows.chain(others)
    }

    /// Flows that the kernel had at the last drain.
    pub const fn live(&self) -> usize {
        self.live
    }

    /// Flows that are told apart.
    pub fn tracked(&self) -> usize {
        self.flows.len()
    }

    /// What the table knows of itself.
    pub const fn statistics(&self) -> FlowStatistics {
        self.statistics
    }
}

#[cfg(test)]
mod tests;
