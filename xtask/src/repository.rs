//! Where things are in the repository, and its files as plain data for the checks.
//!
//! Nothing here writes. Paths inside a [`Tree`] are relative, with `/`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Folders that hold no source: build output, installed packages, version control.
const SKIPPED_FOLDERS: &[&str] = &["target", ".git", "node_modules", ".venv", "__pycache__", "corpus", "artifacts"];

/// The folder with the workspace's `Cargo.toml`.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or_else(|| Path::new("."))
}

/// Cargo's build folder, honouring `CARGO_TARGET_DIR`.
pub fn target_folder() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// Files of the repository by relative path; binary files have empty text.
#[derive(Debug, Default, Clone)]
pub struct Tree {
    files: BTreeMap<String, String>,
}

impl Tree {
    /// Reads every file below `root` except build output and installed packages.
    pub fn read(root: &Path) -> anyhow::Result<Self> {
        let mut tree = Self::default();
        let mut folders = vec![root.to_path_buf()];
        while let Some(folder) = folders.pop() {
            let entries = std::fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))?;
            for entry in entries {
                let entry = entry.with_context(|| format!("list {}", folder.display()))?;
                let name = entry.file_name();
                let kind = entry.file_type().with_context(|| format!("look at {}", entry.path().display()))?;
                if kind.is_dir() {
                    if !SKIPPED_FOLDERS.iter().any(|skipped| name == *skipped) {
                        folders.push(entry.path());
                    }
                } else if kind.is_file() {
                    let path = entry.path();
                    let bytes = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
                    let relative = path.strip_prefix(root).unwrap_or(&path);
                    tree.files
                        .insert(relative.to_string_lossy().into_owned(), String::from_utf8(bytes).unwrap_or_default());
                }
            }
        }
        Ok(tree)
    }

    /// A tree made of pairs of path and text, for tests that plant a violation.
    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Self {
        Self { files: files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect() }
    }

    /// Every file with its text, in order of path.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Files whose path ends with `.extension`.
    pub fn with_extension<'t>(&'t self, extension: &'t str) -> impl Iterator<Item = (&'t str, &'t str)> {
        self.files().filter(move |(path, _)| path.rsplit_once('.').is_some_and(|(_, end)| end == extension))
    }

    /// The text of one file.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Whether `path` is a file or a folder that holds one.
    pub fn exists(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        if self.files.contains_key(path) {
            return true;
        }
        let folder = format!("{path}/");
        self.files.range(folder.clone()..).next().is_some_and(|(next, _)| next.starts_with(&folder))
    }
}

#[cfg(test)]
mod tests {
    use super::Tree;

    #[test]
    fn a_folder_exists_when_a_file_lies_below_it() {
        let tree = Tree::of(&[("docs/a.md", ""), ("docs-old/b.md", "")]);
        assert!(tree.exists("docs") && tree.exists("docs/") && tree.exists("docs/a.md"));
        assert!(!tree.exists("doc") && !tree.exists("docs/a") && !tree.exists("docs/b.md"));
    }
}
