//! Records that cross between the programs in the kernel and the loader: one definition, compiled for both sides.
//!
//! Not here: what the numbers mean to a person (`selvedge-ebpf`), or how a packet is read (`ebpf/programs`).
//!
//! Invariant: every record is `repr(C)`, without padding that is not named, and its size and offsets are asserted, so
//! that the same object serves every little-endian 64-bit kernel. Numbers are in the byte order of the machine unless
//! said otherwise.

#![no_std]

mod counts;
mod flow;
mod guard;
mod interface;
pub mod map;
mod packet_class;
mod port_group;
mod statistics;
mod total;

pub use counts::{Counts, Happened};
pub use flow::{FlowDetails, FlowKey, FlowShape, Peer};
pub use guard::{Bucket, DenyEntry, GuardSettings, NetworkKey, Verdict, VerdictCount};
pub use interface::{INTERFACE_RECORDS, InterfaceRecord, interface_place};
pub use packet_class::{Direction, IpVersion, PORT_CLASSES, PortClass, Protocol};
pub use port_group::{PORT_GROUPS, PortGroup};
pub use statistics::Statistic;
pub use total::{SLOTS, TOTALS, TOTALS_PER_SLOT, TotalKey};
