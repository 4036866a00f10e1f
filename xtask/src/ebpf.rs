//! Rebuilds the programs for the kernel that are committed as an object, or compares with it.
//!
//! The object is compared section by section when every tool that shapes it is the recorded one. When one of them has
//! moved, that is said, and the tests run on what was just built instead: what counts is that it counts.
//!
//! Invariant: a check changes nothing in the tree.

mod object;
mod toolchain;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use self::{object::Sections, toolchain::Toolchain};
use crate::{process, repository};

/// The crate of the programs, the object, and what it was built with, relative to the repository.
const PROGRAMS: &str = "ebpf/programs";
const OBJECT: &str = "ebpf/object/counters.bpf.o";
const RECORD: &str = "ebpf/object/built-with.toml";

/// Arguments of `cargo xtask ebpf`.
#[derive(clap::Args)]
pub struct Options {
    /// Only compare with the committed object; change nothing
    #[arg(long)]
    check: bool,
}

/// What the record says.
#[derive(Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Record {
    /// Versions of the tools that shape the object.
    tools: toolchain::Versions,
    /// Hash of each section that the kernel or the loader reads.
    sections: Sections,
}

/// Builds the object; replaces the committed one, or compares with it.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let toolchain = match toolchain::prepare() {
        Ok(toolchain) => toolchain,
        Err(unavailable) if options.check => {
            println!("SKIPPED ebpf: {unavailable:#}");
            return Ok(());
        }
        Err(unavailable) => return Err(unavailable),
    };
    let built = build(&toolchain)?;
    let bytes = fs::read(&built).with_context(|| format!("read {}", built.display()))?;
    let record = Record { tools: toolchain.versions, sections: object::sections(&bytes)? };
    if options.check { check(&built, &record) } else { install(&built, &record) }
}

fn build(toolchain: &Toolchain) -> anyhow::Result<PathBuf> {
    let folder = repository::target_folder().join("ebpf");
    let flags = flags(&folder);
    let environment = [
        ("RUSTC", toolchain.rustc.as_str()),
        // The assembly of this target is not stable yet.
        ("RUSTC_BOOTSTRAP", "1"),
        ("CARGO_ENCODED_RUSTFLAGS", flags.as_str()),
        ("CARGO_TARGET_DIR", &folder.to_string_lossy()),
        ("PATH", toolchain.path.as_str()),
    ];
    let manifest = format!("{PROGRAMS}/Cargo.toml");
    let arguments =
        ["build", "--locked", "--release", "--target", "bpfel-unknown-none", "--manifest-path", manifest.as_str()];
    process::run_with("cargo", &arguments, &environment)?;
    let (linked, stripped) = (folder.join("bpfel-unknown-none/release/counters"), folder.join("counters.bpf.o"));
    process::run(&toolchain.strip, &["-g", "-o", &stripped.to_string_lossy(), &linked.to_string_lossy()])?;
    Ok(stripped)
}

/// Paths of this machine do not get into the object; structures are copied in place and not by a loop, which the kernel
/// would not take from a loader without CAP_PERFMON.
fn flags(folder: &Path) -> String {
    let home = std::env::var("CARGO_HOME").or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cargo")));
    let flags = [
        "--cfg=bpf_target_arch=\"x86_64\"".to_owned(),
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--disable-expand-memcpy-in-order".to_owned(),
        format!("--remap-path-prefix={}=/selvedge", repository::root().display()),
        format!("--remap-path-prefix={}=/target", folder.display()),
        format!("--remap-path-prefix={}/registry/src=/registry", home.unwrap_or_default()),
    ];
    flags.join("\u{1f}")
}

fn install(built: &Path, record: &Record) -> anyhow::Result<()> {
    let target = repository::root().join(OBJECT);
    fs::copy(built, &target).with_context(|| format!("copy to {}", target.display()))?;
    let text = format!(
        "# What built counters.bpf.o, and the SHA-256 of each of its sections. Written by `cargo xtask ebpf`.\n{}",
        toml::to_string(record).context("write the record")?
    );
    fs::write(repository::root().join(RECORD), text).with_context(|| format!("write {RECORD}"))?;
    println!("ebpf: {OBJECT} built, {} sections", record.sections.len());
    Ok(())
}

fn check(built: &Path, found: &Record) -> anyhow::Result<()> {
    let text = fs::read_to_string(repository::root().join(RECORD)).with_context(|| format!("read {RECORD}"))?;
    let record: Record = toml::from_str(&text).with_context(|| format!("read {RECORD}"))?;
    let committed = fs::read(repository::root().join(OBJECT)).with_context(|| format!("read {OBJECT}"))?;
    let differing = object::differences(&record.sections, &object::sections(&committed)?);
    if !differing.is_empty() {
        bail!("{OBJECT} is not what {RECORD} says:\n{}", differing.join("\n"));
    }
    let differing = object::differences(&record.sections, &found.sections);
    if differing.is_empty() {
        println!("ebpf: the committed object is what its source builds ({} sections)", record.sections.len());
        return Ok(());
    }
    let moved = toolchain::differences(&record.tools, &found.tools);
    if moved.is_empty() {
        bail!(
            "{OBJECT} is not what its source builds with the recorded tools:\n{}\n`cargo xtask ebpf` builds and replaces it",
            differing.join("\n")
        );
    }
    println!("ebpf: the compiler has moved: {}", moved.join("; "));
    println!("ebpf: so the tests run on the object that it builds");
    let built = built.to_string_lossy();
    let environment = [("SELVEDGE_EBPF_OBJECT", built.as_ref())];
    process::run_with("cargo", &["test", "--locked", "--package", "selvedge-ebpf"], &environment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_object_is_what_its_record_says() {
        let text = fs::read_to_string(repository::root().join(RECORD)).unwrap();
        let record: Record = toml::from_str(&text).unwrap();
        let bytes = fs::read(repository::root().join(OBJECT)).unwrap();
        assert_eq!(object::differences(&record.sections, &object::sections(&bytes).unwrap()), Vec::<String>::new());
        assert!(record.tools.contains_key("rustc") && record.tools.contains_key("bpf-linker"));
    }

    #[test]
    fn no_path_of_this_machine_is_in_the_object() {
        let bytes = fs::read(repository::root().join(OBJECT)).unwrap();
        let root = repository::root().to_string_lossy().into_owned();
        assert!(!bytes.windows(root.len()).any(|window| window == root.as_bytes()));
    }
}
