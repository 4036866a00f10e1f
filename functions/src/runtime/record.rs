//! Which functions are deployed, on disk: one file per function with its manifest and its component's digest.
//!
//! `deployed/<name>.json`: `{"format": 1, "manifest": "<text>", "digest": "<sha256 hex>"}`. One file, so that manifest and
//! component change together.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::durable_file;
use crate::manifest::is_valid_function_name;

/// The only format so far.
const FORMAT: u32 = 1;

/// One deployed function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    format: u32,
    pub(super) manifest: String,
    pub(super) digest: String,
}

impl Record {
    pub(super) fn new(manifest: &str, digest: &str) -> Self {
        Self { format: FORMAT, manifest: manifest.into(), digest: digest.into() }
    }
}

/// The directory of records.
pub(super) struct RecordStore {
    directory: PathBuf,
}

impl RecordStore {
    pub(super) fn open(parent: &Path) -> io::Result<Self> {
        let directory = parent.join("deployed");
        durable_file::make_directory(&directory)?;
        Ok(Self { directory })
    }

    /// Replaces the record of `name`.
    pub(super) fn put(&self, name: &str, record: &Record) -> io::Result<()> {
        durable_file::write(&self.path(name), &serde_json::to_vec(record)?, 0o600)
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        durable_file::remove(&self.path(name))
    }

    /// Every record by name; a file that cannot be read as one comes as a sentence about it.
    pub(super) fn all(&self) -> io::Result<Vec<(String, Result<Record, String>)>> {
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
            if path.extension().is_some_and(|extension| extension == "json") && is_valid_function_name(&name) {
                records.push((name, read(&path)));
            }
        }
        records.sort_by(|left, right| left.0.cmp(&right.0));
        Ok(records)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.json"))
    }
}

fn read(path: &Path) -> Result<Record, String> {
    let bytes = fs::read(path).map_err(|error| format!("reading {}: {error}", path.display()))?;
    let record: Record =
        serde_json::from_slice(&bytes).map_err(|error| format!("{} is damaged: {error}", path.display()))?;
    let is_digest = record.digest.len() == 64 && record.digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    match (record.format, is_digest) {
        (FORMAT, true) => Ok(record),
        (FORMAT, false) => Err(format!("{} is damaged: no digest", path.display())),
        (format, _) => Err(format!("{} has format {format}, known is {FORMAT}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_there_after_opening_again() {
        let directory = tempfile::tempdir().unwrap();
        let record = Record::new("name = \"a\"", &"ab".repeat(32));
        RecordStore::open(directory.path()).unwrap().put("a", &record).unwrap();
        let store = RecordStore::open(directory.path()).unwrap();
        assert_eq!(store.all().unwrap(), [("a".to_owned(), Ok(record))]);
        store.remove("a").unwrap();
        assert_eq!(store.all().unwrap(), []);
    }

    #[test]
    fn damaged_and_foreign_files_are_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let store = RecordStore::open(directory.path()).unwrap();
        let deployed = directory.path().join("deployed");
        fs::write(deployed.join("a.json"), "{").unwrap();
        fs::write(deployed.join("b.json"), r#"{"format":2,"manifest":"","digest":""}"#).unwrap();
        fs::write(deployed.join("c.json"), r#"{"format":1,"manifest":"","digest":"../../x"}"#).unwrap();
        fs::write(deployed.join(".tmp-d.json"), "x").unwrap();
        fs::write(deployed.join("README"), "x").unwrap();
        let all = store.all().unwrap();
        assert_eq!(
            all.iter().map(|(name, record)| (name.as_str(), record.is_err())).collect::<Vec<_>>(),
            [("a", true), ("b", true), ("c", true)]
        );
    }
}
