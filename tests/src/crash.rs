//! Crash tests: seeded load from real clients, a crash, and an account of everything that was acknowledged before it.
//!
//! Black-box: a broker is a process that serves MQTT at an address and may die at any moment; nothing here knows how it
//! keeps what it promised. The parts, in the order in which a round uses them: [`broker`] starts it, [`load`] makes the
//! [`members`] talk to it while the [`ledger`] writes down what is owed, then [`kill`], [`power_cut`] or [`disk_faults`]
//! strike, and [`recovery`] reconnects everybody, finishes every handshake and presents the bill.
//!
//! Invariant: something is only called lost if its acknowledgement had been read by a client, and nothing that MQTT allows
//! (an unanswered request that did or did not happen, a QoS 1 message that comes again) is called an error.

pub mod broker;
pub mod connection;
pub mod disk_faults;
pub mod endpoint;
pub mod functions;
pub mod kill;
pub mod ledger;
pub mod load;
pub mod members;
pub mod power_cut;
pub mod recovery;
pub mod report;
pub mod retained;
pub mod round;
pub mod swaps;
pub mod things;
pub mod world;
