//! Updates stopped at every step: the real `selvedge ota apply --offline` and the real `selvedge-launch`, killed at each of their
//! system calls, and their power cut at each change of the disk.
//!
//! Black-box: bundles come from the publisher's commands, what starts is seen from what it prints, and the program that is
//! updated is a small script with versions. The parts, in the order in which a run uses them: [`release`] makes the
//! [`program`]s and the bundles, [`case`] a gateway for each kind of update, [`kill`] (through [`trace`]) and [`power_cut`]
//! stop it, [`verdict`] starts what is left and says what that is, [`report`] counts.
//!
//! Invariant: after each stop the launcher starts the old program or the new one, whole; the new one if the update had said
//! that it is done; and the same update applied again ends at the new one.

pub mod case;
pub mod kill;
pub mod power_cut;
pub mod program;
pub mod release;
pub mod report;
pub mod trace;
pub mod verdict;
