//! Following interfaces that come and go.

use selvedge_ebpf_abi::{InterfaceRecord, SLOTS, interface_place, map};

use super::{Attached, Counters, Problem};
use crate::{
    DrainError, GuardHook, GuardMode, InterfaceName,
    attachment::{self, XdpAttachment},
    guard_maps::io_error,
    interface::{self, Interface, Link, Nature},
};

/// Interfaces that cannot be read and are named as problems.
const ODD_MAX: usize = 8;

impl Counters {
    /// Attaches to what came and detaches from what went.
    pub(super) fn follow(&mut self) -> Result<(), DrainError> {
        let found = interface::scan(&self.folder, &self.config.interfaces).map_err(DrainError::Interfaces)?;
        let attached = self.attached.iter().map(|one| (one.interface.index, one.interface.name.as_str()));
        let interface::Changes { left, came } = interface::changes(attached, &found.interfaces);
        for index in left {
            self.leave(index)?;
        }
        self.problems.clear();
        for interface in came {
            if let Err(problem) = self.join(interface)? {
                self.problems.push(problem);
            }
        }
        self.problems.extend(found.odd.into_iter().take(ODD_MAX).map(|name| {
            Problem {
                text: format!("the interface {name} is not counted: its name or its number cannot be read"),
                remedy: "give it a name of letters and digits (`ip link set dev … name …`), or leave it out of \
                         `interfaces`"
                    .to_owned(),
            }
        }));
        self.add_general_problems();
        Ok(())
    }

    fn add_general_problems(&mut self) {
        if self.attached.is_empty() && self.problems.is_empty() {
            let patterns: Vec<&str> = self.config.interfaces.iter().map(|pattern| pattern.as_str()).collect();
            self.problems.push(Problem {
                text: format!("no interface of this machine is called {}", patterns.join(" or ")),
                remedy: "name one that `ip link` shows in `interfaces`; one that appears later is counted then"
                    .to_owned(),
            });
        }
        if let Some(reason) = &self.no_xdp {
            self.problems.push(Problem {
                text: format!("the guard works at tc instead of XDP: {reason}"),
                remedy: "nothing has to be done; it costs more for each packet that it drops".to_owned(),
            });
        }
    }

    /// Begins to count an interface. A problem is about this interface only.
    fn join(&mut self, interface: Interface) -> Result<Result<(), Problem>, DrainError> {
        let problem = |text: String, remedy: &str| Ok(Err(Problem { text, remedy: remedy.to_owned() }));
        let name = InterfaceName::new(&interface.name);
        if let Link::Unknown(kind) = interface.link {
            return problem(
                format!("packets of {name} begin with a header that cannot be read (kind of hardware {kind})"),
                "count the interface whose packets it carries, and leave this one out of `interfaces`",
            );
        }
        let Some(slot) = self.totals.free_slot() else {
            return problem(
                format!("{name} is not counted: all {} places for interfaces are taken", SLOTS - 1),
                "make the patterns in `interfaces` match fewer",
            );
        };
        let place = interface_place(interface.index);
        if let Some(other) = self.attached.iter().find(|other| interface_place(other.interface.index) == place) {
            return problem(
                format!("{name} cannot be counted together with {}", other.interface.name),
                "one of them has to be made anew, because their indexes in the kernel are a multiple of 4096 apart",
            );
        }
        let reading = self.read_slot(slot)?;
        let (xdp, guard) = self.place_guard(&interface);
        self.write_record(&interface, slot, guard)?;
        let counting = match attachment::attach(&mut self.kernel, &interface, self.config.attach) {
            Ok(counting) => counting,
            Err(error) => {
                self.clear_record(interface.index)?;
                return problem(causes(&error), error.remedy());
            }
        };
        self.totals.assign(slot, name.clone(), reading);
        self.flows.add_interface(interface.index, name);
        self.attached.push(Attached { interface, slot, hook: counting.hook, guard, _counting: counting, _xdp: xdp });
        Ok(Ok(()))
    }

    fn place_guard(&mut self, interface: &Interface) -> (Option<XdpAttachment>, GuardHook) {
        if self.guard.is_none() || interface.nature == Nature::Loopback {
            return (None, GuardHook::Off);
        }
        let by_xdp = self.no_xdp.is_none()
            && interface.link == Link::Ethernet
            && attachment::wants_xdp(self.config.guard.attach, interface);
        // A driver that cannot do it says so; then tc does the same, only later.
        match by_xdp.then(|| attachment::attach_xdp(&mut self.kernel, &interface.name)) {
            Some(Ok(attachment)) => (Some(attachment), GuardHook::Xdp),
            _ => (None, GuardHook::Tc),
        }
    }

    pub(super) fn write_record(
        &mut self,
        interface: &Interface,
        slot: u16,
        guard: GuardHook,
    ) -> Result<(), DrainError> {
        let mut flags = 0;
        if interface.link == Link::Bare {
            flags |= InterfaceRecord::NO_LINK_HEADER;
        }
        flags |= match guard {
            GuardHook::Off => 0,
            GuardHook::Tc => InterfaceRecord::GUARD_AT_TC,
            GuardHook::Xdp => InterfaceRecord::GUARD_AT_XDP,
        };
        if self.config.guard.mode == GuardMode::DryRun {
            flags |= InterfaceRecord::GUARD_DRY_RUN;
        }
        if self.guard.as_ref().is_some_and(|guard| guard.denies) {
            flags |= InterfaceRecord::GUARD_DENIES;
        }
        self.set_record(InterfaceRecord { index: interface.index, slot, flags })
    }

    fn clear_record(&mut self, index: u32) -> Result<(), DrainError> {
        let place = interface_place(index);
        self.interfaces_map
            .set(place, 0, 0)
            .map_err(|error| DrainError::Read { map: map::INTERFACES, source: io_error(error) })
    }

    fn set_record(&mut self, record: InterfaceRecord) -> Result<(), DrainError> {
        self.interfaces_map
            .set(interface_place(record.index), record_bits(record), 0)
            .map_err(|error| DrainError::Read { map: map::INTERFACES, source: io_error(error) })
    }

    /// Ends counting an interface: detaches, takes what it counted to the last, deletes its flows.
    fn leave(&mut self, index: u32) -> Result<(), DrainError> {
        let Some(position) = self.attached.iter().position(|attached| attached.interface.index == index) else {
            return Ok(());
        };
        let slot = self.attached.swap_remove(position).slot;
        let mut keys = Vec::new();
        self.read(Some((index, &mut keys)))?;
        self.totals.release(slot);
        self.flows.remove_interface(index);
        self.clear_record(index)?;
        self.deleted += keys.len() as u64;
        self.reader.delete(&self.flows_map, &keys).map_err(|source| DrainError::Read { map: map::FLOWS, source })
    }
}

fn record_bits(record: InterfaceRecord) -> u64 {
    let mut bytes = [0; 8];
    let parts =
        record.index.to_ne_bytes().into_iter().chain(record.slot.to_ne_bytes()).chain(record.flags.to_ne_bytes());
    bytes.iter_mut().zip(parts).for_each(|(byte, part)| *byte = part);
    u64::from_ne_bytes(bytes)
}

/// An error with its causes, on one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
