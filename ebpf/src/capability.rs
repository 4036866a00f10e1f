//! What this process may do and what the kernel is, before anything is asked of it.

use std::io;

/// Oldest kernel: it has CAP_BPF, batch lookups, and knows the size of segments in a buffer.
pub const KERNEL_MIN: (u8, u8) = (5, 8);

/// A right of a Linux process (capabilities(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// Makes maps and loads programs.
    Bpf,
    /// Attaches them to interfaces.
    NetAdmin,
}

impl Capability {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bpf => "CAP_BPF",
            Self::NetAdmin => "CAP_NET_ADMIN",
        }
    }

    const fn bit(self) -> u32 {
        match self {
            Self::Bpf => 39,
            Self::NetAdmin => 12,
        }
    }
}

/// Contains all that CAP_BPF does, for programs from before it.
const SYS_ADMIN: u32 = 21;

/// Which of the needed capabilities the calling thread lacks.
///
/// # Errors
/// `/proc` is not there or says something else.
pub fn missing() -> io::Result<Vec<Capability>> {
    let status = std::fs::read_to_string("/proc/thread-self/status")?;
    let effective =
        effective(&status).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no CapEff in its status"))?;
    Ok(missing_in(effective))
}

fn effective(status: &str) -> Option<u64> {
    let digits = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(digits.trim(), 16).ok()
}

fn missing_in(effective: u64) -> Vec<Capability> {
    let bit = |bit: u32| effective >> bit & 1 == 1;
    let has = |capability: &Capability| match capability {
        Capability::Bpf => bit(capability.bit()) || bit(SYS_ADMIN),
        Capability::NetAdmin => bit(capability.bit()),
    };
    [Capability::Bpf, Capability::NetAdmin].into_iter().filter(|capability| !has(capability)).collect()
}

/// Version of the running kernel, as the kernel writes it and as two numbers.
///
/// # Errors
/// `/proc` is not there.
pub fn kernel() -> io::Result<(String, Option<(u8, u8)>)> {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let text = text.trim().to_owned();
    let version = version(&text);
    Ok((text, version))
}

fn version(text: &str) -> Option<(u8, u8)> {
    let (major, rest) = text.split_once('.')?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((major.parse().ok()?, digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(missing_in(0), [Capability::Bpf, Capability::NetAdmin]);
        assert_eq!(missing_in(1 << 39), [Capability::NetAdmin]);
        assert_eq!(missing_in(1 << 12), [Capability::Bpf]);
        assert_eq!(missing_in(1 << 39 | 1 << 12), []);
    }

    #[test]
    fn the_old_right_for_everything_stands_for_the_new_one() {
        assert_eq!(missing_in(1 << 21), [Capability::NetAdmin]);
        assert_eq!(missing_in(1 << 21 | 1 << 12), []);
    }

    #[test]
    fn the_rights_of_a_process_are_read_from_its_status() {
        assert_eq!(effective("Name:\tx\nCapPrm:\t0000000000000001\nCapEff:\t0000008000001000\n"), Some(0x80_0000_1000));
        assert_eq!(effective("Name:\tx\n"), None);
        assert!(missing().is_ok());
    }

    #[test]
    fn versions_are_read_whatever_the_distribution_appends() {
        assert_eq!(version("6.1.0-37-arm64"), Some((6, 1)));
        assert_eq!(version("5.10-rc1"), Some((5, 10)));
        assert_eq!(version("6.18.44-fc-v595"), Some((6, 18)));
        assert_eq!(version("linux"), None);
        assert!(kernel().unwrap().1.is_some());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = (version(&text), effective(&text));
        }
    }
}
