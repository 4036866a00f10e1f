//! METAFILES: which version of a role's file counts, and perhaps its length and hash.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Role, fields};
use crate::key::{from_hex, hex, sha256};
use crate::refuse::Refusal;

/// What timestamp and snapshot list about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaFile {
    /// The version in the file.
    pub version: u64,
    /// Bytes of the file, where listed.
    pub length: Option<u64>,
    /// SHA-256 of the file, where listed.
    pub sha256: Option<[u8; 32]>,
}

#[derive(Deserialize)]
struct MetaFields {
    version: u64,
    length: Option<u64>,
    hashes: Option<BTreeMap<String, String>>,
}

impl MetaFile {
    /// The entry for a file of this version and content.
    pub fn of(version: u64, bytes: &[u8]) -> Self {
        Self { version, length: Some(bytes.len() as u64), sha256: Some(sha256(bytes)) }
    }

    /// Checks bytes against what is listed.
    pub(crate) fn check(&self, bytes: &[u8], listed_by: Role) -> Result<(), Refusal> {
        let length = bytes.len() as u64;
        match (self.length, self.sha256) {
            (Some(expected), _) if expected != length => Err(Refusal::Length { bytes: length, expected, listed_by }),
            (_, Some(expected)) if expected != sha256(bytes) => Err(Refusal::Hash { listed_by }),
            _ => Ok(()),
        }
    }

    pub(super) fn read(value: &Value, name: &str) -> Result<Self, Refusal> {
        let entry: MetaFields = fields(value, format_args!("its entry {name:?}"))?;
        if entry.version == 0 {
            return Err(Refusal::Form(format!("its entry {name:?} has version 0, and the first is 1")));
        }
        let sha256 = match &entry.hashes {
            Some(hashes) => Some(sha256_of(hashes, name)?),
            None => None,
        };
        Ok(Self { version: entry.version, length: entry.length, sha256 })
    }

    pub(super) fn write(&self) -> Value {
        let mut entry = Map::new();
        entry.insert("version".to_owned(), self.version.into());
        if let Some(length) = self.length {
            entry.insert("length".to_owned(), length.into());
        }
        if let Some(sha256) = &self.sha256 {
            entry.insert("hashes".to_owned(), serde_json::json!({ "sha256": hex(sha256) }));
        }
        Value::Object(entry)
    }
}

/// The one hash that is checked; others beside it are not needed.
pub(super) fn sha256_of(hashes: &BTreeMap<String, String>, name: &str) -> Result<[u8; 32], Refusal> {
    hashes
        .get("sha256")
        .and_then(|hash| from_hex(hash))
        .ok_or_else(|| Refusal::Form(format!("its entry {name:?} has no sha256 of 64 hex digits")))
}
