//! The programs in a real kernel: network namespaces with a pair of virtual cards between them, made for each test and
//! gone with it.
//!
//! They need root, `ip` and `unshare`; where one is missing each test says SKIPPED and why. What is sent is compared
//! with what the kernel's own counters say and with what ours say, and all three have to be equal.

mod capabilities;
mod exact_counts;
mod flows;
mod frame;
mod frame_socket;
mod frames;
mod guard;
mod interfaces;
mod kernel_figures;
mod network;
mod reference;
mod surroundings;
mod test_run;
mod verdict_of_packets;
