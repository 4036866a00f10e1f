//! The guard's lists in the kernel, written and read.

use std::{io, net::IpAddr, time::Duration};

use aya::{
    Ebpf,
    maps::{HashMap, LpmTrie, Map, MapData, MapError, PerCpuArray, lpm_trie},
};
use selvedge_ebpf_abi::{Peer, Verdict, map};

use crate::{
    Denial, DenyReason, KernelTime, Network, StartError,
    network::{peer_address, peer_of},
    object::not_in_object,
};

/// Peers that are reported as the ones who attempt fastest.
pub const FASTEST_MAX: usize = 32;

/// The guard's maps.
pub struct GuardMaps {
    denied: HashMap<MapData, [u64; 2], [u64; 2]>,
    allowed: LpmTrie<MapData, [u64; 2], u8>,
    buckets: HashMap<MapData, [u64; 2], [u64; 2]>,
    verdicts: PerCpuArray<MapData, [u64; 2]>,
    /// Why each peer was denied; as long as the kernel's list.
    reasons: std::collections::HashMap<IpAddr, DenyReason>,
}

/// Buffers and bytes by verdict.
pub type VerdictSums = [(u64, u64); Verdict::ALL.len()];

impl GuardMaps {
    /// Takes the maps out of the loaded programs.
    ///
    /// # Errors
    /// The object has no such map: never, with the embedded one.
    pub fn take(kernel: &mut Ebpf) -> Result<Self, StartError> {
        fn typed<T: TryFrom<Map, Error = MapError>>(kernel: &mut Ebpf, name: &'static str) -> Result<T, StartError> {
            let map = kernel.take_map(name).ok_or_else(|| not_in_object(name))?;
            map.try_into().map_err(|error: MapError| StartError::Object(error.into()))
        }
        Ok(Self {
            denied: typed(kernel, map::DENIED)?,
            allowed: typed(kernel, map::ALLOWED)?,
            buckets: typed(kernel, map::BUCKETS)?,
            verdicts: typed(kernel, map::VERDICTS)?,
            reasons: std::collections::HashMap::new(),
        })
    }

    /// Denies a peer until a moment. A peer that is denied already is denied until that moment from now on.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn deny(&mut self, peer: IpAddr, until: KernelTime, why: DenyReason) -> io::Result<()> {
        let key = peer_of(peer).0;
        let dropped = match self.denied.get(&key, 0) {
            Ok([_, dropped]) => dropped,
            Err(MapError::KeyNotFound) => 0,
            Err(error) => return Err(io_error(error)),
        };
        self.denied.insert(key, [until.as_ns(), dropped], 0).map_err(io_error)?;
        self.reasons.insert(peer.to_canonical(), why);
        Ok(())
    }

    /// Ends a denial; says whether there was one.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn undeny(&mut self, peer: IpAddr) -> io::Result<bool> {
        self.reasons.remove(&peer.to_canonical());
        match self.denied.remove(&peer_of(peer).0) {
            Ok(()) => Ok(true),
            Err(MapError::KeyNotFound) => Ok(false),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(io_error(error)),
        }
    }

    /// Denials that hold at `now`, those that end last first; what is over is removed.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn denials(&mut self, now: KernelTime) -> io::Result<Vec<Denial>> {
        let entries: Vec<([u64; 2], [u64; 2])> = self.denied.iter().collect::<Result<_, _>>().map_err(io_error)?;
        let mut denials = Vec::new();
        for (key, [until_ns, dropped_packets]) in entries {
            let peer = peer_address(Peer(key));
            let remaining = KernelTime::from_ns(until_ns).since(now);
            if remaining == Duration::ZERO {
                self.undeny(peer)?;
                continue;
            }
            denials.push(Denial {
                peer,
                why: self.reasons.get(&peer).copied().unwrap_or(DenyReason::ByHand),
                remaining_s: remaining.as_nanos().div_ceil(1_000_000_000).try_into().unwrap_or(u64::MAX),
                dropped_packets,
            });
        }
        denials.sort_by_key(|denial| (std::cmp::Reverse(denial.remaining_s), denial.peer));
        Ok(denials)
    }

    /// Nothing from this network is dropped from now on.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn allow(&mut self, network: &Network) -> io::Result<()> {
        self.allowed.insert(&trie_key(network), 1, 0).map_err(io_error)
    }

    /// Ends that; says whether it was so.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn disallow(&mut self, network: &Network) -> io::Result<bool> {
        match self.allowed.remove(&trie_key(network)) {
            Ok(()) => Ok(true),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(io_error(error)),
        }
    }

    /// What was made of packets so far.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn verdicts(&self) -> io::Result<VerdictSums> {
        let mut sums = VerdictSums::default();
        for (verdict, sum) in Verdict::ALL.into_iter().zip(&mut sums) {
            let values = self.verdicts.get(&(verdict as u32), 0).map_err(io_error)?;
            for [packets, bytes] in values.iter() {
                sum.0 = sum.0.wrapping_add(*packets);
                sum.1 = sum.1.wrapping_add(*bytes);
            }
        }
        Ok(sums)
    }

    /// Peers whose attempts were dropped, or in a dry run would have been, most first, with their number.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn fastest(&self) -> io::Result<Vec<(IpAddr, u64)>> {
        let mut fastest = Vec::new();
        for entry in self.buckets.iter() {
            let (key, [_, dropped]) = entry.map_err(io_error)?;
            if dropped > 0 {
                fastest.push((peer_address(Peer(key)), dropped));
            }
        }
        fastest.sort_by_key(|(peer, dropped)| (std::cmp::Reverse(*dropped), *peer));
        fastest.truncate(FASTEST_MAX);
        Ok(fastest)
    }
}

fn trie_key(network: &Network) -> lpm_trie::Key<[u64; 2]> {
    let key = network.key();
    lpm_trie::Key::new(key.prefix_bits, { key.address }.0)
}

fn is_absent(error: &MapError) -> bool {
    match error {
        MapError::KeyNotFound | MapError::ElementNotFound => true,
        MapError::SyscallError(error) => error.io_error.raw_os_error() == Some(libc::ENOENT),
        _ => false,
    }
}

pub fn io_error(error: MapError) -> io::Error {
    match error {
        MapError::SyscallError(error) => error.io_error,
        MapError::IoError(error) => error,
        error => io::Error::other(error),
    }
}
