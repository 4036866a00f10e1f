//! `snapshot.json`: which versions of all targets files belong together, so that nobody can mix old and new ones.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Head, MetaFile, Role, fields};
use crate::refuse::Refusal;

/// The content of a snapshot file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// From 1.
    pub version: u64,
    /// Seconds since 1970.
    pub expires_unix_s: i64,
    /// Targets and every delegated role.
    pub meta: BTreeMap<Role, MetaFile>,
}

#[derive(Deserialize)]
struct Fields {
    meta: BTreeMap<String, Value>,
}

impl Snapshot {
    pub(crate) fn read(signed: &Value) -> Result<Self, Refusal> {
        let head = Head::read(signed, &Role::Snapshot)?;
        let fields: Fields = fields(signed, "it")?;
        let mut meta = BTreeMap::new();
        for (file, entry) in &fields.meta {
            let role = file.strip_suffix(".json").and_then(|name| Role::named(name).ok());
            let role = role.ok_or_else(|| Refusal::Form(format!("it lists {file:?}, which is no file of a role")))?;
            meta.insert(role, MetaFile::read(entry, file)?);
        }
        if !meta.contains_key(&Role::Targets) {
            return Err(Refusal::Form("it does not list targets.json".to_owned()));
        }
        Ok(Self { version: head.version, expires_unix_s: head.expires_unix_s, meta })
    }

    pub(crate) fn write(&self) -> Value {
        let head = Head { version: self.version, expires_unix_s: self.expires_unix_s };
        let mut signed = head.write(&Role::Snapshot);
        let meta: Map<_, _> =
            self.meta.iter().map(|(role, entry)| (format!("{}.json", role.name()), entry.write())).collect();
        signed.insert("meta".to_owned(), Value::Object(meta));
        Value::Object(signed)
    }

    /// What was listed before must still be, and in no older version (TUF 5.5.5).
    pub(crate) fn check_follows(&self, before: &Self) -> Result<(), Refusal> {
        for (role, seen) in &before.meta {
            let Some(now) = self.meta.get(role) else { return Err(Refusal::Dropped { role: role.clone() }) };
            if now.version < seen.version {
                return Err(Refusal::RollbackOf { role: role.clone(), version: now.version, seen: seen.version });
            }
        }
        Ok(())
    }
}
