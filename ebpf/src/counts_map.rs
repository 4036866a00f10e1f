//! A map of the kernel whose values are counts, one for each processor.
//!
//! Invariant: its keys and values are as long as the readers take them to be. The kernel writes as much as the map was
//! made with, whatever room there is, so the lengths are compared before anything is read.

use std::os::fd::{AsFd as _, BorrowedFd};

use aya::maps::{Map, MapData};
use selvedge_ebpf_abi::{Counts, FlowKey};

use crate::StartError;

/// Counts by flow.
pub type FlowsMap = CountsMap<{ size_of::<FlowKey>() }>;
/// Counts by place in an array.
pub type TotalsMap = CountsMap<{ size_of::<u32>() }>;

/// A map of counts with keys of this many bytes.
#[derive(Debug)]
pub struct CountsMap<const KEY_BYTES: usize>(MapData);

/// Why a map is not one of counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoCounts {
    /// Not made by these programs, or by others than the readers were made for.
    #[error(
        "{name} has keys of {key_bytes} and values of {value_bytes} bytes, and not of {} and {}",
        .expected.0,
        .expected.1
    )]
    Lengths {
        /// Name of the map.
        name: &'static str,
        /// Length of its keys.
        key_bytes: u32,
        /// Length of its values.
        value_bytes: u32,
        /// What the readers expect.
        expected: (usize, usize),
    },
    /// One value for all processors.
    #[error("{0} has no value for each processor")]
    Shared(&'static str),
}

impl<const KEY_BYTES: usize> CountsMap<KEY_BYTES> {
    /// Takes a map for one of counts.
    ///
    /// # Errors
    /// It is another kind of map, or the kernel does not say what it is.
    pub fn new(name: &'static str, map: Map) -> Result<Self, StartError> {
        let (Map::PerCpuLruHashMap(data) | Map::PerCpuArray(data)) = map else {
            return Err(StartError::Object(NoCounts::Shared(name).into()));
        };
        let info = data.info().map_err(|error| StartError::Object(error.into()))?;
        let (key_bytes, value_bytes) = (info.key_size(), info.value_size());
        let expected = (KEY_BYTES, size_of::<Counts>());
        if (key_bytes as usize, value_bytes as usize) != expected {
            return Err(StartError::Object(NoCounts::Lengths { name, key_bytes, value_bytes, expected }.into()));
        }
        Ok(Self(data))
    }

    /// Its descriptor.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.fd().as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OBJECT;
    use aya::EbpfLoader;
    use selvedge_ebpf_abi::map;

    #[test]
    fn only_maps_of_counts_with_keys_of_the_right_length_are_taken() {
        if !rustix::process::geteuid().is_root() {
            println!("SKIPPED: making maps needs root");
            return;
        }
        let mut kernel = EbpfLoader::new().btf(None).load(OBJECT).unwrap();
        let mut take = |name| kernel.take_map(name).unwrap();
        let (flows, totals, statistics, ports) =
            (take(map::FLOWS), take(map::TOTALS), take(map::STATISTICS), take(map::PORTS));
        assert!(FlowsMap::new(map::FLOWS, flows).is_ok());
        let cause = |error: StartError| std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(
            cause(FlowsMap::new(map::TOTALS, totals).unwrap_err()),
            "TOTALS has keys of 4 and values of 56 bytes, and not of 24 and 56"
        );
        let wrong = cause(TotalsMap::new(map::STATISTICS, statistics).unwrap_err());
        assert!(wrong.starts_with("STATISTICS has keys of 4 and values of 8 bytes"), "{wrong}");
        let shared = cause(TotalsMap::new(map::PORTS, ports).unwrap_err());
        assert!(shared.starts_with("PORTS has no value for each processor"), "{shared}");
    }
}
