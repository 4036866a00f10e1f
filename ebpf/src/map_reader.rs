//! Reads maps of the kernel: many records with one system call where the kernel can do that, one by one where it
//! cannot.
//!
//! The library that loads the programs has no batch lookup, hence the system call itself here. Every buffer that the
//! kernel writes to is owned here and as large as what the map was made with says.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

use selvedge_ebpf_abi::{self as abi, FlowDetails, FlowKey, Peer};

use crate::{
    counts::add_processor,
    counts_map::{CountsMap, FlowsMap, TotalsMap},
};

/// Records that are asked for at once.
const BATCH: u32 = 512;
/// Bytes of a key of the map of flows, and of a record of one processor.
const KEY_BYTES: usize = size_of::<FlowKey>();
const COUNTS_BYTES: usize = size_of::<abi::Counts>();

/// Commands of bpf(2).
const LOOKUP_ELEMENT: u32 = 1;
const DELETE_ELEMENT: u32 = 3;
const NEXT_KEY: u32 = 4;
const LOOKUP_BATCH: u32 = 24;
/// What a kernel says that cannot look up this kind of map in batches, besides EINVAL (`linux/errno.h`; not for user
/// space, but it arrives there).
const ENOTSUPP: i32 = 524;

/// Why the counters could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// The kernel refused to give a map.
    #[error("the kernel does not give its counters ({map})")]
    Read {
        /// Which map.
        map: &'static str,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// The interfaces cannot be looked up.
    #[error("the interfaces of this machine cannot be listed")]
    Interfaces(#[source] io::Error),
}

/// How flows are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadMethod {
    /// Many with one system call.
    Batch,
    /// Two system calls for each.
    OneByOne,
}

/// Reads maps whose values are one [`abi::Counts`] for each processor.
#[derive(Debug)]
pub struct MapReader {
    processors: usize,
    method: ReadMethod,
    keys: Vec<u8>,
    values: Vec<u8>,
}

/// Arguments of the commands on one element.
#[repr(C)]
#[derive(Default)]
struct ElementArguments {
    map: u32,
    padding: u32,
    key: u64,
    value_or_next_key: u64,
    flags: u64,
}

/// Arguments of the commands on many.
#[repr(C)]
#[derive(Default)]
struct BatchArguments {
    after: u64,
    reached: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

impl MapReader {
    /// A reader for a machine that can have this many processors.
    pub fn new(processors: usize) -> Self {
        let batch = BATCH as usize;
        Self {
            processors,
            method: ReadMethod::Batch,
            keys: vec![0; batch * KEY_BYTES],
            values: vec![0; batch * processors * COUNTS_BYTES],
        }
    }

    /// How flows are read.
    pub const fn method(&self) -> ReadMethod {
        self.method
    }

    /// Reads another way from now on.
    pub const fn set_method(&mut self, method: ReadMethod) {
        self.method = method;
    }

    /// Gives each flow of the map to `take`, summed over the processors. A flow that comes or goes meanwhile may be
    /// missing; none is given twice but for one that goes and comes again.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn flows(
        &mut self,
        map: &FlowsMap,
        length_max: u32,
        mut take: impl FnMut(FlowKey, abi::Counts),
    ) -> io::Result<()> {
        if self.method == ReadMethod::Batch {
            match self.flows_in_batches(map, length_max, &mut take) {
                Err(error) if is_unsupported(&error) => self.method = ReadMethod::OneByOne,
                result => return result,
            }
        }
        self.flows_one_by_one(map, length_max, &mut take)
    }

    fn flows_in_batches(
        &mut self,
        map: &FlowsMap,
        length_max: u32,
        take: &mut impl FnMut(FlowKey, abi::Counts),
    ) -> io::Result<()> {
        // The kernel remembers where it is in four bytes; a key would be allowed too.
        let (mut after, mut reached) = ([0_u8; KEY_BYTES], [0_u8; KEY_BYTES]);
        let mut first = true;
        let mut batch = BATCH;
        // Twice what the map holds, plus one for the end: a map that changes all the time has an end too.
        let mut rounds_left = 2 * length_max.div_ceil(BATCH) + 8;
        while rounds_left > 0 {
            rounds_left -= 1;
            let mut arguments = BatchArguments {
                after: if first { 0 } else { address(&mut after) },
                reached: address(&mut reached),
                keys: address(&mut self.keys),
                values: address(&mut self.values),
                count: batch,
                map: descriptor(map.fd()),
                ..Default::default()
            };
            // SAFETY: the buffers have room for `count` keys, and for as many values of 8-byte multiples for each
            // possible processor; the places have the length of a key.
            let result = unsafe { bpf(LOOKUP_BATCH, &mut arguments) };
            let ended = match &result {
                Ok(()) => false,
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
                // A bucket of the map holds more than there is room for.
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) && batch < length_max => {
                    batch = batch.saturating_mul(2).min(length_max.max(BATCH));
                    self.keys.resize(batch as usize * KEY_BYTES, 0);
                    self.values.resize(batch as usize * self.processors * COUNTS_BYTES, 0);
                    continue;
                }
                Err(_) => return result,
            };
            self.give(arguments.count as usize, take);
            if ended {
                return Ok(());
            }
            first = false;
            after = reached;
        }
        Ok(())
    }

    fn give(&self, count: usize, take: &mut impl FnMut(FlowKey, abi::Counts)) {
        let values = self.values.chunks_exact(self.processors.max(1) * COUNTS_BYTES);
        for (key, value) in self.keys.chunks_exact(KEY_BYTES).zip(values).take(count) {
            if let Some(key) = parse_key(key) {
                take(key, sum(value));
            }
        }
    }

    fn flows_one_by_one(
        &mut self,
        map: &FlowsMap,
        length_max: u32,
        take: &mut impl FnMut(FlowKey, abi::Counts),
    ) -> io::Result<()> {
        let mut key: Option<[u8; KEY_BYTES]> = None;
        // The kernel begins anew after a key that went away meanwhile.
        for _ in 0..length_max.saturating_mul(2).saturating_add(8) {
            let mut next = [0_u8; KEY_BYTES];
            let mut arguments = ElementArguments {
                map: descriptor(map.fd()),
                key: key.as_mut().map_or(0, |key| address(key)),
                value_or_next_key: address(&mut next),
                ..Default::default()
            };
            // SAFETY: both keys have the length of a key of the map.
            match unsafe { bpf(NEXT_KEY, &mut arguments) } {
                Ok(()) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(()),
                Err(error) => return Err(error),
            }
            if let (Some(counts), Some(flow)) = (self.lookup(map, &mut next)?, parse_key(&next)) {
                take(flow, counts);
            }
            key = Some(next);
        }
        Ok(())
    }

    /// One record, summed over the processors; none when it is gone.
    fn lookup<const K: usize>(&mut self, map: &CountsMap<K>, key: &mut [u8; K]) -> io::Result<Option<abi::Counts>> {
        let mut arguments = ElementArguments {
            map: descriptor(map.fd()),
            key: address(key),
            value_or_next_key: address(&mut self.values),
            ..Default::default()
        };
        // SAFETY: the buffer has room for a value for each possible processor.
        match unsafe { bpf(LOOKUP_ELEMENT, &mut arguments) } {
            Ok(()) => {
                let length = self.processors * COUNTS_BYTES;
                Ok(self.values.get(..length).map(sum))
            }
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// One place of an array whose values are counts, summed over the processors.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn at(&mut self, map: &TotalsMap, place: u32) -> io::Result<abi::Counts> {
        Ok(self.lookup(map, &mut place.to_ne_bytes())?.unwrap_or_default())
    }

    /// Deletes flows; one that is gone already is fine.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn delete(&self, map: &FlowsMap, flows: &[FlowKey]) -> io::Result<()> {
        for flow in flows {
            let mut key = key_bytes(flow);
            let mut arguments =
                ElementArguments { map: descriptor(map.fd()), key: address(&mut key), ..Default::default() };
            // SAFETY: the key has the length of a key of the map.
            match unsafe { bpf(DELETE_ELEMENT, &mut arguments) } {
                Err(error) if error.raw_os_error() != Some(libc::ENOENT) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// # Safety
/// `arguments` are those of the command, and what they point to is as large as the map says.
unsafe fn bpf<A>(command: u32, arguments: &mut A) -> io::Result<()> {
    // SAFETY: the caller's promise; the length is that of the arguments.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(arguments), size_of::<A>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn is_unsupported(error: &io::Error) -> bool {
    [libc::EINVAL, libc::EOPNOTSUPP, ENOTSUPP].into_iter().any(|number| error.raw_os_error() == Some(number))
}

fn address(buffer: &mut [u8]) -> u64 {
    buffer.as_mut_ptr() as u64
}

fn descriptor(map: BorrowedFd<'_>) -> u32 {
    map.as_raw_fd().cast_unsigned()
}

fn wide(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn parse_key(bytes: &[u8]) -> Option<FlowKey> {
    Some(FlowKey { peer: Peer([wide(bytes, 0)?, wide(bytes, 8)?]), details: FlowDetails(wide(bytes, 16)?) })
}

fn key_bytes(key: &FlowKey) -> [u8; KEY_BYTES] {
    let mut bytes = [0; KEY_BYTES];
    let parts = key.peer.0.into_iter().chain([key.details.0]).flat_map(u64::to_ne_bytes);
    bytes.iter_mut().zip(parts).for_each(|(byte, part)| *byte = part);
    bytes
}

/// Sum over the processors.
fn sum(bytes: &[u8]) -> abi::Counts {
    let mut total = abi::Counts::default();
    for counts in bytes.chunks_exact(COUNTS_BYTES).filter_map(parse_counts) {
        add_processor(&mut total, &counts);
    }
    total
}

fn parse_counts(bytes: &[u8]) -> Option<abi::Counts> {
    Some(abi::Counts {
        packets: wide(bytes, 0)?,
        bytes: wide(bytes, 8)?,
        born_ns: wide(bytes, 16)?,
        buffers: word(bytes, 24)?,
        syn: word(bytes, 28)?,
        syn_ack: word(bytes, 32)?,
        reset: word(bytes, 36)?,
        finish: word(bytes, 40)?,
        mqtt_attempts: word(bytes, 44)?,
        fragments: word(bytes, 48)?,
        malformed: word(bytes, 52)?,
    })
}

#[cfg(test)]
mod tests;
