//! `targets.json` and the files of delegated roles: contents by path, and who else may speak.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::delegation::at_most;
use super::meta_file::sha256_of;
use super::{Delegation, Head, Role, fields};
use crate::key::hex;
use crate::kind::{Content, Kind, KindError};
use crate::limits::Limits;
use crate::path::TargetPath;
use crate::refuse::Refusal;

/// The content of a targets file.
#[derive(Clone, Debug, PartialEq)]
pub struct Targets {
    /// From 1.
    pub version: u64,
    /// Seconds since 1970.
    pub expires_unix_s: i64,
    /// What there is.
    pub targets: BTreeMap<TargetPath, Target>,
    /// Who else may speak, in the order in which they are asked.
    pub delegations: Vec<Delegation>,
}

/// One content.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Bytes of the content.
    pub length: u64,
    /// SHA-256 of the content. Other hashes that are listed beside it are not read.
    pub sha256: [u8; 32],
    /// What the publisher says about it; ours is `selvedge` in it, see [`Target::kind`].
    pub custom: Option<Value>,
}

#[derive(Deserialize)]
struct Fields {
    targets: BTreeMap<String, Value>,
    delegations: Option<Value>,
}

#[derive(Deserialize)]
struct TargetFields {
    length: u64,
    hashes: BTreeMap<String, String>,
    custom: Option<Value>,
}

impl Targets {
    pub(crate) fn read(signed: &Value, role: &Role, limits: &Limits) -> Result<Self, Refusal> {
        let head = Head::read(signed, role)?;
        let Fields { targets, delegations } = fields(signed, "it")?;
        at_most("targets", targets.len(), limits.targets_per_file)?;
        let mut all = BTreeMap::new();
        for (path, entry) in targets {
            let target = Target::read(&entry, &path)?;
            let path = TargetPath::new(path).map_err(|error| Refusal::Form(format!("in its targets: {error}")))?;
            all.insert(path, target);
        }
        let delegations = match &delegations {
            Some(delegations) => Delegation::read_all(delegations, limits)?,
            None => Vec::new(),
        };
        Ok(Self { version: head.version, expires_unix_s: head.expires_unix_s, targets: all, delegations })
    }

    pub(crate) fn write(&self) -> Value {
        let head = Head { version: self.version, expires_unix_s: self.expires_unix_s };
        let mut signed = head.write(&Role::Targets);
        let targets: Map<_, _> =
            self.targets.iter().map(|(path, target)| (path.as_str().to_owned(), target.write())).collect();
        signed.insert("targets".to_owned(), Value::Object(targets));
        if !self.delegations.is_empty() {
            signed.insert("delegations".to_owned(), Delegation::write_all(&self.delegations));
        }
        Value::Object(signed)
    }
}

impl Target {
    /// What the content is to a node. None if it is nothing of ours.
    ///
    /// # Errors
    /// If it says that it is ours, but not as we write it.
    pub fn kind(&self) -> Result<Option<Kind>, KindError> {
        self.custom.as_ref().and_then(|custom| custom.get("selvedge")).map(Kind::read).transpose()
    }

    /// Length and hash, by which patches name contents.
    pub fn content(&self) -> Content {
        Content { length: self.length, sha256: self.sha256 }
    }

    fn read(value: &Value, path: &str) -> Result<Self, Refusal> {
        let entry: TargetFields = fields(value, format_args!("its entry {path:?}"))?;
        Ok(Self { length: entry.length, sha256: sha256_of(&entry.hashes, path)?, custom: entry.custom })
    }

    fn write(&self) -> Value {
        let mut entry = Map::new();
        entry.insert("length".to_owned(), self.length.into());
        entry.insert("hashes".to_owned(), json!({ "sha256": hex(&self.sha256) }));
        if let Some(custom) = &self.custom {
            entry.insert("custom".to_owned(), custom.clone());
        }
        Value::Object(entry)
    }
}
