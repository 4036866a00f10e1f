//! What a package says of its programs, read from their bytes: the processor, and the oldest C library that they start with.
//!
//! Not a reader of ELF: the names of glibc's versions are looked for as text, which finds those of optional symbols, too. So the
//! package may ask for a newer library than it needs, and never for an older one.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// Processors that there are packages for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Architecture {
    Aarch64,
    #[value(name = "x86_64")]
    X86_64,
}

impl Architecture {
    /// That of this program.
    pub fn of_this_machine() -> anyhow::Result<Self> {
        match std::env::consts::ARCH {
            "aarch64" => Ok(Self::Aarch64),
            "x86_64" => Ok(Self::X86_64),
            other => bail!("there are no packages for {other}"),
        }
    }

    /// Debian's name.
    pub fn debian(self) -> &'static str {
        match self {
            Self::Aarch64 => "arm64",
            Self::X86_64 => "amd64",
        }
    }

    /// The name in a target of Rust.
    pub fn rust(self) -> &'static str {
        match self {
            Self::Aarch64 => "aarch64",
            Self::X86_64 => "x86_64",
        }
    }

    /// `e_machine` of an ELF header.
    fn of_machine(number: u16) -> Option<Self> {
        match number {
            183 => Some(Self::Aarch64),
            62 => Some(Self::X86_64),
            _ => None,
        }
    }
}

/// A version of glibc, as 2.36.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Glibc(pub u32, pub u32);

/// A program for a package.
#[derive(Debug)]
pub struct Program {
    pub path: PathBuf,
    pub architecture: Architecture,
    pub glibc: Glibc,
}

impl Program {
    /// Reads it.
    ///
    /// # Errors
    /// It is no program for Linux on a processor that there are packages for.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
        let architecture =
            architecture(&bytes).with_context(|| format!("{} is no program for aarch64 or x86_64", path.display()))?;
        let glibc = newest_glibc(&bytes).with_context(|| format!("{} names no version of glibc", path.display()))?;
        Ok(Self { path: path.to_owned(), architecture, glibc })
    }
}

fn architecture(bytes: &[u8]) -> Option<Architecture> {
    // 64 bits, little-endian.
    let machine = bytes.strip_prefix(b"\x7fELF\x02\x01")?.get(12..14)?;
    Architecture::of_machine(u16::from_le_bytes(machine.try_into().ok()?))
}

fn newest_glibc(bytes: &[u8]) -> Option<Glibc> {
    const NAME: &[u8] = b"GLIBC_";
    bytes
        .windows(NAME.len())
        .enumerate()
        .filter(|(_, window)| *window == NAME)
        .filter_map(|(at, _)| {
            let version = bytes.get(at + NAME.len()..)?;
            let end = version.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.')?;
            let mut numbers = str::from_utf8(version.get(..end)?).ok()?.split('.');
            Some(Glibc(numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
        })
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(machine: u16) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0".to_vec();
        bytes.extend(machine.to_le_bytes());
        bytes
    }

    #[test]
    fn the_processor_of_a_program_stands_in_its_header() {
        assert_eq!(architecture(&header(183)), Some(Architecture::Aarch64));
        assert_eq!(architecture(&header(62)), Some(Architecture::X86_64));
        assert_eq!(architecture(&header(40)), None);
        assert_eq!(architecture(b"#!/bin/sh"), None);
        assert_eq!(architecture(&header(62)[..19]), None);
    }

    #[test]
    fn the_newest_library_counts_and_two_digits_are_more_than_one() {
        assert_eq!(newest_glibc(b"..GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.9\0GLIBC_PRIVATE\0"), Some(Glibc(2, 34)));
        assert_eq!(newest_glibc(b"musl"), None);
        assert_eq!(newest_glibc(b"GLIBC_2.3"), None, "a name that does not end is none");
    }
}
