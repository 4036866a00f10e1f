//! Sums by interface, direction, version, protocol and class. Exact: nothing is evicted here.
//!
//! The kernel keeps them by slot, and a slot that an interface gives back goes to another one without being emptied; so
//! what a slot held when it was given away is where its new interface begins.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use selvedge_ebpf_abi::{self as abi, SLOTS, TOTALS_PER_SLOT, TotalKey};

use super::{GONE_NAMES_MAX, Sum, gone};
use crate::{Counts, InterfaceName};

/// All totals of one slot, as they stand in the kernel.
pub type SlotReading = [abi::Counts; TOTALS_PER_SLOT as usize];

/// Sums by interface. See the module.
#[derive(Debug, Default)]
pub struct TotalTable {
    slots: BTreeMap<u16, Slot>,
    sums: BTreeMap<(InterfaceName, TotalKey), Sum>,
    /// Names of interfaces that are gone, longest gone first.
    gone_names: VecDeque<InterfaceName>,
}

#[derive(Debug)]
struct Slot {
    interface: InterfaceName,
    last: Box<SlotReading>,
}

impl TotalTable {
    /// The lowest slot that nobody has; none when all are taken.
    pub fn free_slot(&self) -> Option<u16> {
        (1..u16::try_from(SLOTS).unwrap_or(u16::MAX)).find(|slot| !self.slots.contains_key(slot))
    }

    /// Gives a slot to an interface. `now` is what the kernel has there.
    pub fn assign(&mut self, slot: u16, interface: InterfaceName, now: SlotReading) {
        self.gone_names.retain(|name| *name != interface);
        self.slots.insert(slot, Slot { interface, last: Box::new(now) });
    }

    /// Slots that are taken.
    pub fn slots(&self) -> impl Iterator<Item = u16> + '_ {
        self.slots.keys().copied()
    }

    /// Begins a drain.
    pub fn start_drain(&mut self) {
        self.sums.values_mut().for_each(Sum::start_drain);
    }

    /// Takes a reading of a slot, summed over all processors.
    pub fn take(&mut self, slot: u16, now: &SlotReading) {
        let Some(slot) = self.slots.get_mut(&slot) else {
            return;
        };
        for (place, (now, last)) in (0..).zip(now.iter().zip(slot.last.iter_mut())) {
            let grown = Counts::grown(last, now);
            *last = *now;
            if grown.is_zero() {
                continue;
            }
            if let Some(key) = TotalKey::at(place) {
                self.sums.entry((slot.interface.clone(), key)).or_default().add(&grown);
            }
        }
    }

    /// An interface is gone, and its last reading was taken.
    pub fn release(&mut self, slot: u16) {
        let Some(Slot { interface, .. }) = self.slots.remove(&slot) else {
            return;
        };
        let present: BTreeSet<&InterfaceName> = self.slots.values().map(|slot| &slot.interface).collect();
        if present.contains(&interface) {
            return;
        }
        self.gone_names.push_back(interface);
        if self.gone_names.len() > GONE_NAMES_MAX
            && let Some(name) = self.gone_names.pop_front()
        {
            self.forget(&name);
        }
    }

    fn forget(&mut self, name: &InterfaceName) {
        let keys: Vec<_> = self.sums.keys().filter(|(other, _)| other == name).cloned().collect();
        for key in keys {
            if let Some(sum) = self.sums.remove(&key) {
                self.sums.entry((gone(), key.1)).or_default().absorb(&sum);
            }
        }
    }

    /// All rows, in order.
    pub fn rows(&self) -> impl Iterator<Item = (&InterfaceName, TotalKey, &Sum)> {
        self.sums.iter().map(|((interface, key), sum)| (interface, *key, sum))
    }
}

#[cfg(test)]
mod tests;
