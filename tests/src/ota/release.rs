//! A publisher with three releases, made with the commands that a person would use.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::program::Program;
use crate::installed;

/// Programs and the bundles that bring them.
#[derive(Debug)]
pub struct Releases {
    /// What a gateway trusts first.
    pub root: PathBuf,
    /// Was never published: what comes with the package of a gateway that has been updated since.
    pub packaged: Program,
    /// The versions, oldest first.
    pub programs: [Program; 3],
    /// A bundle for each version that needs nothing.
    pub full: [PathBuf; 3],
    /// A bundle with the patch from the second version to the third.
    pub patch: PathBuf,
}

/// Where the newest program stands in the repository.
fn target() -> String {
    format!("daemon/{}/selvedge", std::env::consts::ARCH)
}

impl Releases {
    /// Makes keys, a repository and the bundles in `folder`.
    ///
    /// # Errors
    /// A command failed; its words.
    pub fn publish(folder: &Path) -> anyhow::Result<Self> {
        let programs = ["1.0.0", "1.1.0", "1.2.0"].map(|version| (version, Program::new(version, number(version))));
        let [repository, keys] = ["repository", "keys"].map(|name| folder.join(name).to_string_lossy().into_owned());
        run(&["init", &repository, "--keys", &keys])?;
        let mut full = Vec::new();
        for (version, program) in &programs {
            let file = folder.join(version);
            program.write(&file).with_context(|| format!("write {}", file.display()))?;
            let file = file.to_string_lossy();
            run(&["add", &repository, &file, "--daemon", std::env::consts::ARCH, "--version", version])?;
            run(&["publish", &repository, "--keys", &keys])?;
            let bundle = folder.join(format!("{version}.full"));
            run(&["bundle", &repository, &bundle.to_string_lossy()])?;
            full.push(bundle);
        }
        let programs = programs.map(|(_, program)| program);
        let patch = folder.join("patch");
        let base = &programs[1].sha256;
        run(&["bundle", &repository, &patch.to_string_lossy(), "--only", &target(), "--from", base])?;
        let sizes = [&full[2], &patch].map(|bundle| bundle.metadata().map_or(0, |metadata| metadata.len()));
        ensure!(sizes[1] < sizes[0] / 2, "the bundle with a patch has {} bytes, the whole one {}", sizes[1], sizes[0]);
        let full = full.try_into().ok().context("count the bundles")?;
        let root = Path::new(&repository).join("metadata/1.root.json");
        Ok(Self { root, packaged: Program::new("0.9.0", 0), programs, full, patch })
    }
}

/// A seed for each version.
fn number(version: &str) -> u64 {
    version.bytes().map(u64::from).sum()
}

fn run(words: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(installed::selvedge()?).arg("ota").args(words).output().context("start selvedge ota")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`selvedge ota {}` ended with {}: {said}", words.join(" "), output.status);
    Ok(())
}
