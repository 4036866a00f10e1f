//! Names of maps and programs in the object, and sizes that both sides have to know.
//!
//! The kernel cuts names to 15 bytes; these are shorter.

/// Flows: [`crate::FlowKey`] to [`crate::Counts`], least recently used goes first, one value per processor.
pub const FLOWS: &str = "FLOWS";
/// Totals: an array of [`crate::Counts`], [`crate::TOTALS`] long, one value per processor.
pub const TOTALS: &str = "TOTALS";
/// Interfaces: an array of [`crate::InterfaceRecord`].
pub const INTERFACES: &str = "INTERFACES";
/// Port classes: an array of [`crate::PortGroup`].
pub const PORTS: &str = "PORTS";
/// Statistics: an array of numbers, [`crate::Statistic`], one value per processor.
pub const STATISTICS: &str = "STATISTICS";
/// The guard's settings: one [`crate::GuardSettings`].
pub const GUARD_SETTINGS: &str = "GUARD_SETTINGS";
/// Denied peers: address to [`crate::DenyEntry`].
pub const DENIED: &str = "DENIED";
/// Networks that are never dropped: [`crate::NetworkKey`] to a byte.
pub const ALLOWED: &str = "ALLOWED";
/// Token buckets: address to [`crate::Bucket`], least recently used goes first.
pub const BUCKETS: &str = "BUCKETS";
/// The guard's counters: an array of [`crate::VerdictCount`], [`crate::Verdict`], one value per processor.
pub const VERDICTS: &str = "VERDICTS";

/// Networks that the allow list holds at most.
pub const ALLOWED_MAX: u32 = 256;

/// Program at the tc hook for what comes in. The name is also what a stale filter is found by.
pub const PROGRAM_IN: &str = "selvedge_in";
/// Program at the tc hook for what goes out.
pub const PROGRAM_OUT: &str = "selvedge_out";
/// The guard at the XDP hook.
pub const PROGRAM_XDP: &str = "selvedge_guard";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_longer_than_the_kernel_keeps() {
        let names = [
            FLOWS,
            TOTALS,
            INTERFACES,
            PORTS,
            STATISTICS,
            GUARD_SETTINGS,
            DENIED,
            ALLOWED,
            BUCKETS,
            VERDICTS,
            PROGRAM_IN,
            PROGRAM_OUT,
            PROGRAM_XDP,
        ];
        for name in names {
            assert!(name.len() <= 15, "{name}");
        }
    }
}
