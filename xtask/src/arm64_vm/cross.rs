//! Cargo builds for aarch64, with rustup's cargo, Debian's compiler (which has the target's standard library) and the cross
//! linker, all out of the cache folder.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::packages::{Packages, libraries};
use crate::{process, repository};

/// The target that everything is built for.
const TARGET: &str = "aarch64-unknown-linux-gnu";
/// Programs that carry the target's name in front of their own.
const PREFIX: &str = "aarch64-linux-gnu";

/// Wrappers of the compiler and the linker, and cargo's folder.
pub struct Cross {
    rustc: PathBuf,
    linker: PathBuf,
    archiver: PathBuf,
    build: PathBuf,
}

/// What is built.
pub enum Wanted<'a> {
    /// The programs of a package.
    Programs {
        /// As `cargo build --profile`.
        profile: &'a str,
    },
    /// The test programs of a package; all, or one of `tests/`, or `lib`.
    Tests(Option<&'a str>),
}

/// A program that cargo made.
#[derive(Debug, PartialEq, Eq)]
pub struct Built {
    /// The target's name in its manifest.
    pub name: String,
    pub program: PathBuf,
    /// The folder of its package, which tests run in.
    pub package: PathBuf,
}

impl Cross {
    /// Writes the wrappers.
    pub fn new(packages: &Packages, folder: &Path) -> anyhow::Result<Self> {
        let tools = folder.join("tools");
        fs::create_dir_all(&tools).with_context(|| format!("create {}", tools.display()))?;
        let program = |name: &str, arguments: &str| -> anyhow::Result<PathBuf> {
            let path = tools.join(name);
            let script = format!(
                "#!/bin/sh\nLD_LIBRARY_PATH='{}'${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}} exec '{}/usr/bin/{name}' {arguments} \"$@\"\n",
                libraries(&packages.host).display(),
                packages.host.display()
            );
            fs::write(&path, script).with_context(|| format!("write {}", path.display()))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
                .with_context(|| format!("make {} a program", path.display()))?;
            Ok(path)
        };
        // The linker's own scripts name files from the root on.
        let sysroot = format!("--sysroot='{}'", packages.host.display());
        Ok(Self {
            rustc: program("rustc", "")?,
            linker: program(&format!("{PREFIX}-gcc"), &sysroot)?,
            archiver: program(&format!("{PREFIX}-ar"), "")?,
            build: folder.join("build"),
        })
    }

    /// Builds, shows what cargo says, and gives the programs.
    pub fn build(&self, package: &str, wanted: &Wanted<'_>) -> anyhow::Result<Vec<Built>> {
        let mut arguments = match wanted {
            Wanted::Programs { profile } => vec!["build", "--bins", "--profile", profile],
            Wanted::Tests(None) => vec!["test", "--no-run"],
            Wanted::Tests(Some("lib")) => vec!["test", "--no-run", "--lib"],
            Wanted::Tests(Some(test)) => vec!["test", "--no-run", "--test", test],
        };
        arguments.extend(["--package", package, "--target", TARGET]);
        let shown = self.environment();
        let environment: Vec<(&str, &str)> =
            shown.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let line = process::line("cargo", &arguments, &environment);
        eprintln!("$ {line}");
        arguments.push("--message-format=json-render-diagnostics");
        let output = Command::new("cargo")
            .args(&arguments)
            .envs(environment)
            .current_dir(repository::root())
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .context("start cargo")?;
        if !output.status.success() {
            bail!("`{line}` ended with {}", output.status);
        }
        let built = built(&String::from_utf8_lossy(&output.stdout), wanted);
        if built.is_empty() {
            bail!("`{line}` makes no program");
        }
        Ok(built)
    }

    fn environment(&self) -> Vec<(String, String)> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let (upper, lower) = (TARGET.to_uppercase().replace('-', "_"), TARGET.replace('-', "_"));
        vec![
            ("CARGO_TARGET_DIR".to_owned(), text(&self.build)),
            ("RUSTC".to_owned(), text(&self.rustc)),
            (format!("CARGO_TARGET_{upper}_LINKER"), text(&self.linker)),
            (format!("CC_{lower}"), text(&self.linker)),
            (format!("AR_{lower}"), text(&self.archiver)),
        ]
    }
}

/// The wanted programs among cargo's messages, one JSON object a line.
fn built(messages: &str, wanted: &Wanted<'_>) -> Vec<Built> {
    let lines = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let programs = lines.filter_map(|message| {
        let program = PathBuf::from(message.get("executable")?.as_str()?);
        let is_test = message.pointer("/profile/test")?.as_bool()?;
        let name = message.pointer("/target/name")?.as_str()?.to_owned();
        let package = Path::new(message.get("manifest_path")?.as_str()?).parent()?.to_owned();
        let is_wanted = is_test == matches!(wanted, Wanted::Tests(_));
        is_wanted.then_some(Built { name, program, package })
    });
    programs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGES: &str = r#"{"reason":"compiler-artifact","manifest_path":"/r/daemon/Cargo.toml","target":{"name":"selvedge"},"profile":{"test":false},"executable":"/t/selvedge"}
{"reason":"compiler-artifact","manifest_path":"/r/ebpf/Cargo.toml","target":{"name":"netns"},"profile":{"test":true},"executable":"/t/netns-1"}
{"reason":"compiler-artifact","manifest_path":"/r/ebpf/Cargo.toml","target":{"name":"lib"},"profile":{"test":false},"executable":null}
not json
{"reason":"build-finished","success":true}"#;

    #[test]
    fn programs_and_test_programs_are_told_apart() {
        let names =
            |wanted: &Wanted<'_>| built(MESSAGES, wanted).into_iter().map(|built| built.name).collect::<Vec<_>>();
        assert_eq!(names(&Wanted::Programs { profile: "dev" }), ["selvedge"]);
        assert_eq!(names(&Wanted::Tests(None)), ["netns"]);
    }

    #[test]
    fn a_test_runs_in_the_folder_of_its_package() {
        assert_eq!(built(MESSAGES, &Wanted::Tests(None))[0].package, Path::new("/r/ebpf"));
    }
}
