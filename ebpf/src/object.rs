//! The programs as they are embedded, and how they get into the kernel.
//!
//! The object is built by `cargo xtask ebpf` and committed; building the node needs no other compiler.

use std::{collections::BTreeMap, io};

use aya::{
    Ebpf, EbpfError, EbpfLoader,
    maps::{Array, MapData, MapError},
    programs::{ProgramError, SchedClassifier, Xdp},
};
use selvedge_ebpf_abi::{GuardSettings, PORT_GROUPS, PortGroup, map};

use crate::{
    Config, GuardConfig, GuardMode, PortsConfig, StartError,
    capability::{self, KERNEL_MIN},
};

/// The programs: an ELF object for 64-bit little-endian kernels, x86-64 and aarch64 alike.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/counters.bpf.o"));

/// Lines of the verifier's log that go into an error.
const VERIFIER_LINES_MAX: usize = 3;
/// Name of a map in an error.
const MAP_NAME_BYTES_MAX: usize = 32;

/// Programs in the kernel, not yet attached.
#[derive(Debug)]
pub struct Loaded {
    /// Maps and the programs of the tc hooks.
    pub kernel: Ebpf,
    /// Why the guard cannot be at XDP, where it should be: an older kernel, mostly.
    pub no_xdp: Option<String>,
}

/// Makes the maps and loads the programs.
///
/// # Errors
/// Why not, with a remedy.
pub fn load(config: &Config) -> Result<Loaded, StartError> {
    config.check()?;
    check_surroundings()?;
    allow_memory();
    load_object(OBJECT, config)
}

fn load_object(object: &[u8], config: &Config) -> Result<Loaded, StartError> {
    // The kernel's own type information is not needed: no program looks at its structures.
    let mut loader = EbpfLoader::new();
    loader.btf(None).map_max_entries(map::FLOWS, config.flows_max);
    let guard_is_on = config.guard.mode != GuardMode::Off;
    let (denied, buckets) = if guard_is_on { (config.guard.denied_max, config.guard.buckets_max) } else { (1, 64) };
    loader.map_max_entries(map::DENIED, denied).map_max_entries(map::BUCKETS, buckets);
    let mut kernel = loader.load(object).map_err(maps_not_made)?;

    write_ports(&mut kernel, &config.ports)?;
    write_guard_settings(&mut kernel, &config.guard)?;
    for name in [map::PROGRAM_IN, map::PROGRAM_OUT] {
        let program = kernel.program_mut(name).ok_or_else(|| not_in_object(name))?;
        let program: &mut SchedClassifier = program.try_into().map_err(|error| not_loaded(name, error))?;
        program.load().map_err(|error| not_loaded(name, error))?;
    }
    let no_xdp = if guard_is_on { load_xdp(&mut kernel).err().map(|error| error.to_string()) } else { None };
    Ok(Loaded { kernel, no_xdp })
}

fn load_xdp(kernel: &mut Ebpf) -> Result<(), StartError> {
    let name = map::PROGRAM_XDP;
    let program = kernel.program_mut(name).ok_or_else(|| not_in_object(name))?;
    let program: &mut Xdp = program.try_into().map_err(|error| not_loaded(name, error))?;
    program.load().map_err(|error| not_loaded(name, error))
}

fn check_surroundings() -> Result<(), StartError> {
    let other = |attempt| move |source: io::Error| StartError::Other { attempt, source: source.into() };
    let (found, version) = capability::kernel().map_err(other("read the version of the kernel"))?;
    if version.is_some_and(|version| version < KERNEL_MIN) {
        return Err(StartError::KernelTooOld { found });
    }
    let missing = capability::missing().map_err(other("read the capabilities of this process"))?;
    if missing.is_empty() { Ok(()) } else { Err(StartError::missing(&missing)) }
}

/// Before 5.11 the kernel counts maps as locked memory of the user. It may not be allowed, and may not be needed.
fn allow_memory() {
    let unlimited = rustix::process::Rlimit { current: None, maximum: None };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Memlock, unlimited);
}

fn write_ports(kernel: &mut Ebpf, ports: &PortsConfig) -> Result<(), StartError> {
    let mut groups = BTreeMap::<u32, PortGroup>::new();
    for (_, class, ports) in ports.lists() {
        for &port in ports {
            let group = groups.entry(PortGroup::place(port)).or_default();
            *group = group.with(port, class.into());
        }
    }
    let attempt = "write the port classes into the kernel";
    let mut map: Array<&mut MapData, u64> = array(kernel, map::PORTS)?;
    for (place, group) in groups.into_iter().filter(|(place, _)| *place < PORT_GROUPS) {
        map.set(place, group.0, 0).map_err(|source| StartError::Other { attempt, source: source.into() })?;
    }
    Ok(())
}

fn write_guard_settings(kernel: &mut Ebpf, guard: &GuardConfig) -> Result<(), StartError> {
    let GuardSettings { attempt_ns, ahead_max_ns } = guard_settings(guard);
    let attempt = "write the settings of the guard into the kernel";
    let mut map: Array<&mut MapData, [u64; 2]> = array(kernel, map::GUARD_SETTINGS)?;
    map.set(0, [attempt_ns, ahead_max_ns], 0).map_err(|source| StartError::Other { attempt, source: source.into() })
}

/// A burst of n is one attempt, and n − 1 that are ahead of the clock.
fn guard_settings(guard: &GuardConfig) -> GuardSettings {
    let attempt_ns = 1_000_000_000 / u64::from(guard.attempts_per_s.max(1));
    GuardSettings { attempt_ns, ahead_max_ns: attempt_ns * u64::from(guard.attempts_burst.saturating_sub(1)) }
}

fn array<'k, V: aya::Pod>(kernel: &'k mut Ebpf, name: &'static str) -> Result<Array<&'k mut MapData, V>, StartError> {
    let map = kernel.map_mut(name).ok_or_else(|| not_in_object(name))?;
    map.try_into().map_err(|error: MapError| StartError::Object(error.into()))
}

pub fn not_in_object(name: &'static str) -> StartError {
    StartError::Object(format!("{name} is not among them").into())
}

fn maps_not_made(error: EbpfError) -> StartError {
    match error {
        EbpfError::MapError(MapError::CreateError { name, io_error }) => match io_error.raw_os_error() {
            Some(libc::ENOSYS) => StartError::NoBpf,
            Some(libc::EPERM | libc::EACCES) => StartError::Refused { source: io_error },
            Some(libc::ENOMEM) => {
                let map = name.chars().take(MAP_NAME_BYTES_MAX).collect();
                StartError::NoMemory { map, source: io_error }
            }
            _ => StartError::Other { attempt: "make the maps of the counters in the kernel", source: io_error.into() },
        },
        error => StartError::Object(error.into()),
    }
}

fn not_loaded(program: &'static str, error: ProgramError) -> StartError {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            let log = verifier_log.to_string();
            if log.trim().is_empty() && matches!(io_error.raw_os_error(), Some(libc::EPERM)) {
                return StartError::Refused { source: io_error };
            }
            StartError::Program { program, reason: last_lines(&log), source: io_error }
        }
        error => StartError::Other { attempt: "load a program into the kernel", source: error.into() },
    }
}

/// The verifier says why at the end, before its statistics.
fn last_lines(log: &str) -> String {
    const BESIDES: [&str; 4] = ["mark_precise", "verification time", "stack depth", "processed "];
    let told = log.lines().filter(|line| !line.trim().is_empty());
    let lines: Vec<&str> = told.filter(|line| !BESIDES.iter().any(|start| line.starts_with(start))).collect();
    let from = lines.len().saturating_sub(VERIFIER_LINES_MAX);
    let text = lines.get(from..).unwrap_or_default().join("; ");
    if text.is_empty() { "it does not say why".to_owned() } else { text.chars().take(400).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_is_one_for_the_kernel_and_aligned() {
        assert_eq!(OBJECT.get(..4), Some(b"\x7fELF".as_slice()));
        assert_eq!(OBJECT.as_ptr().align_offset(8), 0);
    }

    #[test]
    fn an_object_that_is_cut_off_or_none_at_all_is_an_error() {
        // The table of sections stands at the end, so no length but the whole one is an object; the kernel is not
        // asked.
        let lengths = (0..OBJECT.len()).step_by(1999).chain([63, 64, 65, OBJECT.len() - 1]);
        for cut in lengths.map(|length| &OBJECT[..length]).chain([b"#!/bin/sh\n".as_slice(), &[0xff; 4096]]) {
            let error = load_object(cut, &Config::default()).unwrap_err();
            assert_eq!(error.kind(), "object", "{error}");
            assert!(error.remedy().contains("install the node again"), "{}", error.remedy());
        }
    }

    #[test]
    fn a_burst_of_one_leaves_nothing_ahead_of_the_clock() {
        let guard = |attempts_per_s, attempts_burst| {
            guard_settings(&GuardConfig { attempts_per_s, attempts_burst, ..GuardConfig::default() })
        };
        assert_eq!(guard(1, 1), GuardSettings { attempt_ns: 1_000_000_000, ahead_max_ns: 0 });
        assert_eq!(guard(20, 100), GuardSettings { attempt_ns: 50_000_000, ahead_max_ns: 4_950_000_000 });
        assert!(guard(1, 1_000_000).ahead_max_ns < u64::MAX / 4);
    }

    #[test]
    fn a_long_log_of_the_verifier_becomes_its_last_lines() {
        let log = (0..1000).map(|line| format!("{line}: (bf) r6 = r1\n")).collect::<String>()
            + "R5 is prohibited\nverification time 12 usec\nstack depth 200+40+0\nprocessed 109 insns\n";
        assert_eq!(last_lines(&log), "998: (bf) r6 = r1; 999: (bf) r6 = r1; R5 is prohibited");
        assert_eq!(last_lines(" \n"), "it does not say why");
    }

    #[test]
    fn a_kernel_without_the_system_call_is_told_from_one_that_refuses_it() {
        let error = |number| {
            let io_error = io::Error::from_raw_os_error(number);
            maps_not_made(EbpfError::MapError(MapError::CreateError { name: "FLOWS".to_owned(), io_error })).kind()
        };
        assert_eq!(error(libc::ENOSYS), "no-bpf");
        assert_eq!(error(libc::EPERM), "refused");
        assert_eq!(error(libc::ENOMEM), "no-memory");
        assert_eq!(error(libc::E2BIG), "other");
    }
}
