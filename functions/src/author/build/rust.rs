//! The Rust recipe: cargo builds the core module, with all paths of this machine taken out of it, so that the same source
//! and compiler give the same bytes in every directory.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::BuildError;
use super::toolchain::{Recipe, TARGET, choose, probe};
use crate::author::program::run;

/// Builds the library of the package in `directory` and gives back its core module.
pub(super) fn core_module(directory: &Path, progress: &mut dyn FnMut(&str)) -> Result<Vec<u8>, BuildError> {
    let manifest = directory.join("Cargo.toml");
    let manifest = fs::canonicalize(&manifest)
        .map_err(|error| BuildError::Project { path: manifest, reason: error.to_string() })?;
    let recipe = choose(&probe(directory))?;
    if recipe.build_std {
        progress("the target wasm32-unknown-unknown is not installed: building the standard library from its source");
    }

    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let ended = run(&mut command(&cargo, &manifest, &recipe), progress).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => BuildError::Missing {
            missing: "cargo".to_owned(),
            fix: "curl --proto =https -sSf https://sh.rustup.rs | sh".to_owned(),
        },
        _ => BuildError::Run { program: "cargo".to_owned(), source },
    })?;
    if !ended.status.success() {
        return Err(BuildError::failed("cargo", ended));
    }
    let module = module_in(&ended.stdout, &manifest).ok_or(BuildError::NoModule { manifest })?;
    fs::read(&module).map_err(|error| BuildError::Project { path: module, reason: error.to_string() })
}

fn command(cargo: &OsStr, manifest: &Path, recipe: &Recipe) -> Command {
    let directory = manifest.parent().unwrap_or(manifest);
    let mut command = Command::new(cargo);
    command
        .args(["build", "--release", "--lib", "--target", TARGET, "--message-format", "json-render-diagnostics"])
        .arg("--manifest-path")
        .arg(manifest)
        .current_dir(directory)
        .env("RUSTC", &recipe.rustc)
        .env("CARGO_ENCODED_RUSTFLAGS", remap_flags(&recipe.sysroot));
    if recipe.build_std {
        // The library's source is built with the stable compiler it belongs to, which needs its unstable features.
        command.arg("-Zbuild-std=std,panic_abort").env("RUSTC_BOOTSTRAP", "1");
    }
    if let Some(linker) = &recipe.linker {
        command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
    }
    command
}

/// Flags, separated as cargo wants them, that replace the paths that panic messages would carry. The project's own files
/// are named relative to it already, and leaving it out lets all projects share one standard library.
fn remap_flags(sysroot: &Path) -> OsString {
    let mut remaps = vec![(sysroot.to_owned(), "/rust".to_owned())];
    if let Some(home) = cargo_home() {
        remaps.push((home.join("git/checkouts"), "/git".to_owned()));
        // One directory per registry, named after a hash that depends on how the registry is reached.
        let registries = fs::read_dir(home.join("registry/src")).into_iter().flatten().flatten();
        remaps.extend(registries.map(|registry| (registry.path(), "/registry".to_owned())));
    }
    let mut flags = OsString::new();
    for (from, to) in remaps {
        if !flags.is_empty() {
            flags.push("\u{1f}");
        }
        flags.push("--remap-path-prefix=");
        flags.push(from);
        flags.push("=");
        flags.push(to);
    }
    flags
}

fn cargo_home() -> Option<PathBuf> {
    env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")))
}

/// One line of cargo's report; the fields that matter here.
#[derive(Deserialize)]
struct Report {
    reason: String,
    manifest_path: Option<PathBuf>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// The module among the files that cargo says it made for this package.
fn module_in(report: &[u8], manifest: &Path) -> Option<PathBuf> {
    report
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Report>(line).ok())
        .filter(|report| report.reason == "compiler-artifact" && report.manifest_path.as_deref() == Some(manifest))
        .flat_map(|report| report.filenames)
        .find(|file| file.extension() == Some(OsStr::new("wasm")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_of_the_package_itself_is_found_in_cargos_report() {
        let report = br#"not json
{"reason":"compiler-artifact","manifest_path":"/other/Cargo.toml","filenames":["/t/other.wasm"]}
{"reason":"build-script-executed","manifest_path":"/p/Cargo.toml"}
{"reason":"compiler-artifact","manifest_path":"/p/Cargo.toml","filenames":["/t/p.d","/t/p.wasm"]}
{"reason":"build-finished","success":true}
"#;
        assert_eq!(module_in(report, Path::new("/p/Cargo.toml")), Some("/t/p.wasm".into()));
        assert_eq!(module_in(report, Path::new("/q/Cargo.toml")), None);
        assert_eq!(module_in(b"", Path::new("/p/Cargo.toml")), None);
    }

    #[test]
    fn no_path_of_the_compiler_is_left_to_the_module() {
        let flags = remap_flags(Path::new("/opt/rust"));
        let flags = flags.to_str().unwrap();
        assert!(flags.split('\u{1f}').any(|flag| flag == "--remap-path-prefix=/opt/rust=/rust"));
    }
}
