//! Decides at deployment whether the machine has room for a function. Pure.

use thiserror::Error;

use crate::config::Config;
use crate::manifest::Limits;

/// Why there is no room.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoRoom {
    /// More than all functions may have together.
    #[error("limits.memory_bytes = {wanted} does not fit into functions.memory_total_bytes = {total}")]
    Total {
        /// What one instance may take.
        wanted: usize,
        /// What all may take together.
        total: usize,
    },
    /// More than the machine has left.
    #[error("limits.memory_bytes = {wanted}, and the machine has {available} bytes of memory left")]
    Machine {
        /// What one instance may take.
        wanted: usize,
        /// What is left.
        available: u64,
    },
}

/// Is there room for one instance at its limit? `available` is what the machine could give now, where that is known.
pub(crate) fn check(limits: &Limits, config: &Config, available: Option<u64>) -> Result<(), NoRoom> {
    let wanted = limits.memory_bytes;
    if wanted > config.memory_total_bytes {
        return Err(NoRoom::Total { wanted, total: config.memory_total_bytes });
    }
    match available {
        Some(available) if wanted as u64 > available => Err(NoRoom::Machine { wanted, available }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_of_what_there_is() {
        let config = Config { memory_total_bytes: 100, ..Config::default() };
        let admit = |memory_bytes, available| check(&Limits { memory_bytes, ..Limits::default() }, &config, available);
        assert_eq!(admit(100, None), Ok(()));
        assert_eq!(admit(101, None), Err(NoRoom::Total { wanted: 101, total: 100 }));
        assert_eq!(admit(50, Some(50)), Ok(()));
        assert_eq!(admit(50, Some(49)), Err(NoRoom::Machine { wanted: 50, available: 49 }));
    }
}
