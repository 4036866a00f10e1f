//! A node under siege: hostile clients by the thousand, well-behaved ones beside them, and what the node's process takes.
//!
//! The attacks are written once, for the tests in `tests/hostile` and for the program `siege` that measures. Everything is
//! plain threads and sockets, so that attackers cost little and nothing of the product is on their side. Invariant: an attack
//! that returns without an error has seen with its own eyes that the node refused it, or served it, in the right way.

pub mod attack;
pub mod bystanders;
pub mod crowd;
pub mod footprint;
pub mod fortress;
pub mod full_disk;
pub mod measure;
pub mod metrics;
pub mod pound;
pub mod processor;
pub mod soak;
pub mod standstill;
pub mod wire;
