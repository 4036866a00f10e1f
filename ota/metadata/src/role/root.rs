//! `N.root.json`: which keys speak for the four top-level roles. Each root is vouched for by the one before.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::delegation::{KeyFields, key_set, keys_of, write_key_set, write_keys};
use super::{Head, Role, fields};
use crate::key::KeySet;
use crate::limits::Limits;
use crate::refuse::Refusal;

/// The content of a root file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// From 1.
    pub version: u64,
    /// Seconds since 1970.
    pub expires_unix_s: i64,
    /// Whether the repository keeps each version of each file under its own name. Ours do.
    pub consistent_snapshot: bool,
    /// Who signs the next root, and this one.
    pub root: KeySet,
    /// Who signs the timestamp.
    pub timestamp: KeySet,
    /// Who signs the snapshot.
    pub snapshot: KeySet,
    /// Who signs the targets.
    pub targets: KeySet,
}

#[derive(Deserialize)]
struct Fields {
    #[serde(default)]
    consistent_snapshot: bool,
    keys: BTreeMap<String, Value>,
    roles: RoleFields,
}

#[derive(Deserialize)]
struct RoleFields {
    root: KeyFields,
    timestamp: KeyFields,
    snapshot: KeyFields,
    targets: KeyFields,
}

impl Root {
    pub(crate) fn read(signed: &Value, limits: &Limits) -> Result<Self, Refusal> {
        let head = Head::read(signed, &Role::Root)?;
        let Fields { consistent_snapshot, keys, roles } = fields(signed, "it")?;
        let keys = keys_of(keys, limits)?;
        Ok(Self {
            version: head.version,
            expires_unix_s: head.expires_unix_s,
            consistent_snapshot,
            root: key_set(&keys, roles.root, &Role::Root)?,
            timestamp: key_set(&keys, roles.timestamp, &Role::Timestamp)?,
            snapshot: key_set(&keys, roles.snapshot, &Role::Snapshot)?,
            targets: key_set(&keys, roles.targets, &Role::Targets)?,
        })
    }

    pub(crate) fn write(&self) -> Value {
        let head = Head { version: self.version, expires_unix_s: self.expires_unix_s };
        let mut signed = head.write(&Role::Root);
        signed.insert("consistent_snapshot".to_owned(), self.consistent_snapshot.into());
        let sets = [
            ("root", &self.root),
            ("timestamp", &self.timestamp),
            ("snapshot", &self.snapshot),
            ("targets", &self.targets),
        ];
        signed.insert("keys".to_owned(), write_keys(sets.iter().map(|&(_, keys)| keys)));
        let roles: Map<_, _> = sets.iter().map(|&(name, keys)| (name.to_owned(), json!(write_key_set(keys)))).collect();
        signed.insert("roles".to_owned(), Value::Object(roles));
        Value::Object(signed)
    }

    /// Whether a key that an earlier root trusted for timestamp or snapshot is gone: what it signed must be forgotten, or
    /// version numbers that were driven up with a stolen key would block the node for ever (TUF 5.3.11).
    pub(crate) fn removes_online_key(&self, before: &Self) -> bool {
        self.timestamp.lacks_one_of(&before.timestamp) || self.snapshot.lacks_one_of(&before.snapshot)
    }
}
