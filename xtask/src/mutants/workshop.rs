//! The copy of `broker/` and `twin/core/` (and of what their tests read) in which mutants live: a small workspace of its own with build output of its own.
//!
//! Invariant: nothing outside its folder is written; a file is only written where its text differs, so that cargo
//! builds again what changed and nothing else.

use std::{
    cell::OnceCell,
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use toml::Value;

/// What the copy holds of the repository: the crates, and what their tests replay.
const COPIED: [&str; 4] = ["broker", "fuzz/corpus", "priority", "twin/core"];
const MEMBERS: [&str; 5] = ["broker", "broker/codec", "broker/core", "priority", "twin/core"];
/// Build output.
const SKIPPED_FOLDER: &str = "target";

/// See the module.
#[derive(Debug)]
pub struct Workshop {
    folder: PathBuf,
    /// The program of the conformance suite, once it was asked for.
    pub conformance: OnceCell<String>,
}

impl Workshop {
    /// Makes the copy, or brings an earlier one up to date (which undoes a mutant that a stopped run left there).
    pub fn open(folder: PathBuf, root: &Path) -> anyhow::Result<Self> {
        let workshop = Self { folder, conformance: OnceCell::new() };
        let source = files(root)?;
        for path in &source {
            let bytes = fs::read(root.join(path)).with_context(|| format!("read {}", path.display()))?;
            workshop.write_bytes(path, &bytes)?;
        }
        for path in files(&workshop.tree())?.difference(&source) {
            fs::remove_file(workshop.tree().join(path))
                .with_context(|| format!("remove {} from the copy", path.display()))?;
        }
        let manifest = root.join("Cargo.toml");
        let text = fs::read_to_string(&manifest).with_context(|| format!("read {}", manifest.display()))?;
        workshop.write("Cargo.toml", &reduced(&text)?)?;
        if !workshop.tree().join("Cargo.lock").is_file() {
            let lock = fs::read(root.join("Cargo.lock")).context("read Cargo.lock")?;
            workshop.write_bytes(Path::new("Cargo.lock"), &lock)?;
        }
        Ok(workshop)
    }

    /// The copy's root.
    pub fn tree(&self) -> PathBuf {
        self.folder.join("tree")
    }

    /// Where its builds go.
    pub fn build_output(&self) -> PathBuf {
        self.folder.join("build")
    }

    /// Puts `text` into a file of the copy.
    pub fn write(&self, path: &str, text: &str) -> anyhow::Result<()> {
        self.write_bytes(Path::new(path), text.as_bytes())
    }

    fn write_bytes(&self, path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
        let target = self.tree().join(path);
        if fs::read(&target).is_ok_and(|known| known == bytes) {
            return Ok(());
        }
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
        }
        fs::write(&target, bytes).with_context(|| format!("write {}", target.display()))
    }
}

/// The copied files that are below `root`, relative to it.
fn files(root: &Path) -> anyhow::Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    let mut folders: Vec<PathBuf> =
        COPIED.iter().map(PathBuf::from).filter(|folder| root.join(folder).is_dir()).collect();
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(root.join(&folder)).with_context(|| format!("list {}", folder.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("list {}", folder.display()))?;
            let path = folder.join(entry.file_name());
            let kind = entry.file_type().with_context(|| format!("look at {}", path.display()))?;
            if kind.is_file() {
                found.insert(path);
            } else if kind.is_dir() && entry.file_name() != SKIPPED_FOLDER {
                folders.push(path);
            }
        }
    }
    Ok(found)
}

/// The root manifest with only the copied members.
fn reduced(manifest: &str) -> anyhow::Result<String> {
    let mut table: toml::Table = manifest.parse().context("read Cargo.toml")?;
    let workspace = table.get_mut("workspace").and_then(Value::as_table_mut).context("find [workspace]")?;
    let members: Vec<Value> = MEMBERS.iter().map(|member| Value::from(*member)).collect();
    workspace.insert("members".to_owned(), Value::Array(members));
    workspace.insert("default-members".to_owned(), Value::Array(vec![Value::from(MEMBERS[0])]));
    workspace.remove("exclude");
    let text = toml::to_string(&table).context("write the reduced Cargo.toml")?;
    ensure!(text.contains("[workspace"), "the reduced Cargo.toml has no workspace");
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mutant_in_the_copy_leaves_the_repository_alone_and_is_undone_at_the_next_start() {
        let folder = std::env::temp_dir().join(format!("selvedge-workshop-{}", std::process::id()));
        let root = folder.join("repository");
        fs::create_dir_all(root.join("broker/src")).unwrap();
        fs::write(root.join("Cargo.toml"), "[workspace]\nmembers = [\"broker\", \"daemon\"]\n").unwrap();
        fs::write(root.join("Cargo.lock"), "").unwrap();
        fs::write(root.join("broker/src/lib.rs"), "if a < b {").unwrap();

        let workshop = Workshop::open(folder.join("mutants"), &root).unwrap();
        workshop.write("broker/src/lib.rs", "if a <= b {").unwrap();
        workshop.write("broker/src/gone.rs", "left behind").unwrap();
        assert_eq!(fs::read_to_string(root.join("broker/src/lib.rs")).unwrap(), "if a < b {");
        assert!(!fs::read_to_string(workshop.tree().join("Cargo.toml")).unwrap().contains("daemon"));

        let again = Workshop::open(folder.join("mutants"), &root).unwrap();
        assert_eq!(fs::read_to_string(again.tree().join("broker/src/lib.rs")).unwrap(), "if a < b {");
        assert!(!again.tree().join("broker/src/gone.rs").exists());
        fs::remove_dir_all(&folder).unwrap();
    }
}
