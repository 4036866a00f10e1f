//! Which functions are deployed, on disk: one file per function with its versions and aliases.
//!
//! `deployed/<name>.json`: `{"format": 1, "manifest": "<text>", "digest": "<sha256 hex>", "catalog": {…}}`. One file, so that
//! everything changes together. Manifest and digest are those of the foremost version: a node from before there were versions
//! reads them and runs that one; its own files have no catalog and are read as one live version. Format 2 is the same with
//! nothing live, which such a node must not run.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::catalog::Catalog;
use crate::durable_file;
use crate::manifest::is_valid_function_name;

/// Something is live.
const FORMAT: u32 = 1;
/// Nothing is.
const FORMAT_NOT_LIVE: u32 = 2;

/// One deployed function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    format: u32,
    manifest: String,
    digest: String,
    catalog: Option<Catalog>,
}

impl Record {
    fn of(catalog: &Catalog) -> io::Result<Self> {
        let foremost = catalog.foremost().ok_or_else(|| io::Error::other("a function without versions"))?;
        Ok(Self {
            format: if catalog.live().is_some() { FORMAT } else { FORMAT_NOT_LIVE },
            manifest: foremost.manifest.clone(),
            digest: foremost.digest.clone(),
            catalog: Some(catalog.clone()),
        })
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
    pub(super) fn put(&self, name: &str, catalog: &Catalog) -> io::Result<()> {
        durable_file::write(&self.path(name), &serde_json::to_vec(&Record::of(catalog)?)?, 0o600)
    }

    /// The record of `name`; a file that cannot be read as one comes as a sentence about it.
    pub(super) fn get(&self, name: &str) -> Result<Catalog, String> {
        read(&self.path(name))
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        durable_file::remove(&self.path(name))
    }

    /// Every record by name; a file that cannot be read as one comes as a sentence about it.
    pub(super) fn all(&self) -> io::Result<Vec<(String, Result<Catalog, String>)>> {
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

fn read(path: &Path) -> Result<Catalog, String> {
    let bytes = fs::read(path).map_err(|error| format!("reading {}: {error}", path.display()))?;
    let record: Record =
        serde_json::from_slice(&bytes).map_err(|error| format!("{} is damaged: {error}", path.display()))?;
    if !matches!(record.format, FORMAT | FORMAT_NOT_LIVE) {
        let format = record.format;
        return Err(format!("{} has format {format}, known are {FORMAT} and {FORMAT_NOT_LIVE}", path.display()));
    }
    let catalog = record.catalog.unwrap_or_else(|| Catalog::of_one(&record.manifest, &record.digest));
    let is_digest = |digest: &str| digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !catalog.versions().iter().all(|version| is_digest(&version.digest)) {
        return Err(format!("{} is damaged: no digest", path.display()));
    }
    if !catalog.is_sound() {
        return Err(format!("{} is damaged: versions and aliases do not fit together", path.display()));
    }
    Ok(catalog)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alias::Alias;
    use crate::catalog::{Candidate, LIVE};
    use crate::version::VersionNumber;

    fn catalog() -> Catalog {
        let mut catalog = Catalog::new();
        for digest in ["ab", "cd"] {
            let digest = digest.repeat(32);
            let candidate = Candidate { manifest: "name = \"a\"", digest: &digest, fallback: None, now_ms: 7 };
            catalog.publish(candidate, 9).unwrap();
        }
        catalog
    }

    #[test]
    fn what_was_put_is_there_after_opening_again() {
        let directory = tempfile::tempdir().unwrap();
        RecordStore::open(directory.path()).unwrap().put("a", &catalog()).unwrap();
        let store = RecordStore::open(directory.path()).unwrap();
        assert_eq!(store.all().unwrap(), [("a".to_owned(), Ok(catalog()))]);
        assert_eq!(store.get("a"), Ok(catalog()));
        store.remove("a").unwrap();
        assert_eq!(store.all().unwrap(), []);
    }

    #[test]
    fn a_record_from_before_there_were_versions_is_one_live_version() {
        let directory = tempfile::tempdir().unwrap();
        let store = RecordStore::open(directory.path()).unwrap();
        let digest = "ab".repeat(32);
        let old = format!(r#"{{"format":1,"manifest":"m","digest":"{digest}"}}"#);
        fs::write(directory.path().join("deployed/a.json"), old).unwrap();
        assert_eq!(store.get("a"), Ok(Catalog::of_one("m", &digest)));
    }

    #[test]
    fn a_node_from_before_there_were_versions_finds_the_foremost_one_and_nothing_that_is_not_live() {
        let mut catalog = catalog();
        assert_eq!(Record::of(&catalog).unwrap().format, FORMAT_NOT_LIVE);
        catalog.point(LIVE, Alias::only(VersionNumber::FIRST)).unwrap();
        let record = Record::of(&catalog).unwrap();
        assert_eq!((record.format, record.digest), (FORMAT, "ab".repeat(32)));
    }

    #[test]
    fn damaged_and_foreign_files_are_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let store = RecordStore::open(directory.path()).unwrap();
        let deployed = directory.path().join("deployed");
        fs::write(deployed.join("a.json"), "{").unwrap();
        fs::write(deployed.join("b.json"), r#"{"format":3,"manifest":"","digest":""}"#).unwrap();
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
