//! `ota add`: a program, a function or a file.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use selvedge_ota::metadata::{Architecture, Kind};
use selvedge_ota::publisher::{Addition, Repository};
use serde_json::json;

use super::{hexadecimal, short, tell, waits_for_publish};
use crate::arguments::ota_publisher::OtaAddArguments;
use crate::control::function::{self, Project};
use crate::control::output::escaped;

/// Of an ELF file: the magic number, the class, and at byte 18 what machine it is for.
const ELF_HEADER_BYTES: u64 = 20;
const ELF_AARCH64: u16 = 183;
const ELF_X86_64: u16 = 62;

/// What to add, with its usual path.
struct Thing {
    file: PathBuf,
    path: String,
    kind: Kind,
    version: String,
}

pub(super) fn add(arguments: &OtaAddArguments) -> anyhow::Result<()> {
    let repository = Repository::open(&arguments.repository)?;
    let thing = match (arguments.daemon, &arguments.file) {
        (Some(architecture), _) => daemon(arguments, architecture.into())?,
        (None, Some(name)) => file(arguments, name)?,
        (None, None) => function(arguments)?,
    };
    let path = arguments.path.as_deref().unwrap_or(&thing.path);
    let added = repository.add(&Addition { file: &thing.file, path, kind: thing.kind, role: &arguments.role })?;
    let sha256 = hexadecimal(&added.content.sha256);
    let report = json!({
        "path": added.path.as_str(), "version": thing.version, "bytes": added.content.length, "sha256": sha256,
        "replaced": added.replaced, "role": arguments.role,
    });
    tell(arguments.json, &report, || {
        let verb = if added.replaced { "takes the place of the one before" } else { "is added" };
        format!(
            "{} {} {verb}, {} bytes, sha256 {}…; {}",
            escaped(added.path.as_str()),
            escaped(&thing.version),
            added.content.length,
            short(&sha256),
            waits_for_publish(&arguments.repository)
        )
    })
}

fn daemon(arguments: &OtaAddArguments, architecture: Architecture) -> anyhow::Result<Thing> {
    let version = version(arguments)?;
    require_file(&arguments.content)?;
    require_machine(&arguments.content, architecture)?;
    let kind = Kind::Daemon {
        version: version.clone(),
        architecture,
        data_format: arguments.data_format,
        security_floor: arguments.security_floor,
        rollout: None,
        paused: false,
    };
    Ok(Thing { file: arguments.content.clone(), path: format!("daemon/{architecture}/selvedge"), kind, version })
}

fn file(arguments: &OtaAddArguments, name: &str) -> anyhow::Result<Thing> {
    let version = version(arguments)?;
    require_file(&arguments.content)?;
    let kind = Kind::File { name: name.to_owned(), version: version.clone(), rollout: None, paused: false };
    Ok(Thing { file: arguments.content.clone(), path: format!("files/{name}"), kind, version })
}

fn function(arguments: &OtaAddArguments) -> anyhow::Result<Thing> {
    let Project { name, version, manifest, component } = function::project(&arguments.content)?;
    let version = arguments.version.clone().unwrap_or(version);
    ensure!(
        !version.is_empty(),
        "{} has no version; write one there, or say --version VERSION",
        arguments.content.join(function::MANIFEST).display()
    );
    let kind = Kind::Function {
        name: name.clone(),
        version: version.clone(),
        manifest,
        architecture: None,
        compiled_for: None,
        rollout: None,
        paused: false,
    };
    Ok(Thing { file: component, path: format!("functions/{name}.wasm"), kind, version })
}

fn version(arguments: &OtaAddArguments) -> anyhow::Result<String> {
    arguments.version.clone().context("--version is missing")
}

fn require_file(path: &Path) -> anyhow::Result<()> {
    if path.is_dir() {
        bail!("{} is a directory; a function is added with --function, everything else is a file", path.display());
    }
    ensure!(path.is_file(), "there is no file {}", path.display());
    Ok(())
}

/// A program of the other architecture would be refused by every node that it is for. A script is nobody's.
fn require_machine(path: &Path, architecture: Architecture) -> anyhow::Result<()> {
    let mut header = Vec::new();
    let read = File::open(path).and_then(|file| file.take(ELF_HEADER_BYTES).read_to_end(&mut header));
    read.with_context(|| format!("read {}", path.display()))?;
    match machine(&header) {
        None => eprintln!("warning: {} is no ELF program; nodes will try to start it all the same", path.display()),
        Some(found) => {
            let wanted = match architecture {
                Architecture::Aarch64 => ELF_AARCH64,
                Architecture::X86_64 => ELF_X86_64,
            };
            ensure!(
                found == wanted,
                "{} is a program for {}, not for {architecture}",
                path.display(),
                machine_name(found)
            );
        }
    }
    Ok(())
}

/// What an ELF file with this header is for.
fn machine(header: &[u8]) -> Option<u16> {
    let is_little_endian_elf = header.starts_with(b"\x7fELF") && header.get(5) == Some(&1);
    let machine = header.get(18..20)?.try_into().ok()?;
    is_little_endian_elf.then(|| u16::from_le_bytes(machine))
}

fn machine_name(machine: u16) -> String {
    match machine {
        ELF_AARCH64 => "aarch64".to_owned(),
        ELF_X86_64 => "x86_64".to_owned(),
        other => format!("ELF machine {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_of_a_program_is_in_its_header() {
        let mut header = b"\x7fELF\x02\x01\x01".to_vec();
        header.resize(18, 0);
        header.extend([183, 0]);
        assert_eq!(machine(&header), Some(ELF_AARCH64));
        assert_eq!(machine(&header[..19]), None);
        header[5] = 2;
        assert_eq!(machine(&header), None, "big-endian");
        assert_eq!(machine(b"#!/bin/sh\nexit 0\n######"), None);
        assert_eq!(machine(b""), None);
    }
}
