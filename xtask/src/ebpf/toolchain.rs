//! The compiler and linker of the kernel's programs: Debian's rustc for the web, which has the standard library of this
//! target and its own libLLVM, and bpf-linker, built once below `target/`.
//!
//! Invariant: nothing is installed when all is there; what cannot be installed is named with the command that does it.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, bail};

use crate::{process, repository};

/// Version of bpf-linker: later ones no longer use the compiler's own libLLVM.
const BPF_LINKER: &str = "0.10.4";
/// The feature that says which libLLVM that is.
const LLVM_FEATURE: &str = "rust-llvm-22";
/// Debian's compiler; rustup's stays first on PATH.
const RUSTC: &str = "/usr/bin/rustc";
const PACKAGES: &[&str] = &["rustc-web", "libstd-rust-web-dev-bpf", "llvm-22"];

/// Version texts by tool.
pub type Versions = BTreeMap<String, String>;

/// The tools, ready to be used.
pub struct Toolchain {
    pub rustc: String,
    pub strip: String,
    /// PATH with the linker first.
    pub path: String,
    pub versions: Versions,
}

/// Installs what is missing and says what is there.
pub fn prepare() -> anyhow::Result<Toolchain> {
    install_packages()?;
    let folder = repository::target_folder().join("ebpf-toolchain");
    let linker = install_linker(&folder)?;
    let strip = strip().context("llvm-strip is installed and cannot be found")?;
    let answer = |program: &str, arguments: &[&str]| {
        process::output(program, arguments)
            .with_context(|| format!("`{}` does not answer", process::line(program, arguments, &[])))
    };
    let aya = fs::read_to_string(repository::root().join(super::PROGRAMS).join("Cargo.lock"))
        .context("read the lock file of the programs")?;
    let versions = [
        ("rustc", answer(RUSTC, &["--version"])?),
        ("bpf-linker", answer(&linker, &["--version"])?),
        ("aya-ebpf", locked_version(&aya, "aya-ebpf").context("aya-ebpf is not in the lock file")?),
    ];
    let path = format!("{}/bin:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    let versions = versions.into_iter().map(|(name, version)| (name.to_owned(), version)).collect();
    Ok(Toolchain { rustc: RUSTC.to_owned(), strip, path, versions })
}

fn has_packages() -> bool {
    let target = process::output(RUSTC, &["--print", "target-libdir", "--target", "bpfel-unknown-none"]);
    target.is_some_and(|folder| Path::new(&folder).is_dir()) && strip().is_some()
}

fn strip() -> Option<String> {
    process::find(&["llvm-strip-22", "/usr/lib/llvm-22/bin/llvm-strip"])
}

fn install_packages() -> anyhow::Result<()> {
    if has_packages() {
        return Ok(());
    }
    let line = format!("sudo apt-get update && sudo apt-get install -y --no-install-recommends {}", PACKAGES.join(" "));
    let is_root = process::output("id", &["-u"]).as_deref() == Some("0");
    if !is_root || process::find(&["apt-get"]).is_none() {
        bail!("the programs for the kernel need {}; on Debian this installs them:\n  {line}", PACKAGES.join(", "));
    }
    let quiet = [("DEBIAN_FRONTEND", "noninteractive")];
    process::run_with("apt-get", &["update", "--quiet"], &quiet)?;
    let arguments = [&["install", "-y", "--no-install-recommends"], PACKAGES].concat();
    process::run_with("apt-get", &arguments, &quiet)?;
    if has_packages() { Ok(()) } else { bail!("installed, but still not usable: {}", PACKAGES.join(", ")) }
}

/// The path of the linker, which is built when this version is not there.
fn install_linker(folder: &Path) -> anyhow::Result<String> {
    let linker = folder.join("bin/bpf-linker").to_string_lossy().into_owned();
    let there = || process::output(&linker, &["--version"]).is_some_and(|text| text.ends_with(BPF_LINKER));
    if there() {
        return Ok(linker);
    }
    let folder = folder.to_string_lossy();
    let build = format!("{folder}/build");
    let arguments = ["install", "bpf-linker", "--version", BPF_LINKER, "--locked", "--force", "--no-default-features"];
    let arguments = [&arguments[..], &["--features", LLVM_FEATURE, "--root", &folder]].concat();
    process::run_with("cargo", &arguments, &[("CARGO_TARGET_DIR", &build)])?;
    if there() { Ok(linker) } else { bail!("{linker} was built and does not say that it is {BPF_LINKER}") }
}

fn locked_version(lock: &str, name: &str) -> Option<String> {
    let wanted = format!("name = \"{name}\"");
    let line = lock.lines().skip_while(|line| *line != wanted).nth(1)?;
    Some(line.strip_prefix("version = \"")?.strip_suffix('"')?.to_owned())
}

/// One sentence per tool that is not the recorded one.
pub fn differences(recorded: &Versions, found: &Versions) -> Vec<String> {
    let names: std::collections::BTreeSet<&String> = recorded.keys().chain(found.keys()).collect();
    let differing = names.into_iter().filter(|name| recorded.get(*name) != found.get(*name));
    let text = |version: Option<&String>| version.map_or("none", String::as_str).to_owned();
    differing
        .map(|name| {
            format!(
                "{name} is {:?} here, the object was built with {:?}",
                text(found.get(name)),
                text(recorded.get(name))
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_moved_is_named_with_both_versions() {
        let versions = |rustc: &str| Versions::from([("rustc".to_owned(), rustc.to_owned())]);
        assert!(differences(&versions("1.96"), &versions("1.96")).is_empty());
        let sentences = differences(&versions("1.96"), &versions("1.97"));
        assert!(
            sentences.len() == 1 && sentences[0].contains("1.96") && sentences[0].contains("1.97"),
            "{sentences:?}"
        );
        assert_eq!(differences(&versions("1.96"), &Versions::new()).len(), 1);
    }

    #[test]
    fn a_version_is_read_from_a_lock_file() {
        let lock = "[[package]]\nname = \"aya\"\nversion = \"0.1.0\"\n\n[[package]]\nname = \"aya-ebpf\"\nversion = \"0.2.1\"\n";
        assert_eq!(locked_version(lock, "aya-ebpf"), Some("0.2.1".to_owned()));
        assert_eq!(locked_version(lock, "other"), None);
    }
}
