//! `timestamp.json`: what the newest snapshot is. Signed often and online, so that a node notices when it is kept from news.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Head, MetaFile, Role, fields};
use crate::refuse::Refusal;

/// The content of a timestamp file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// From 1.
    pub version: u64,
    /// Seconds since 1970.
    pub expires_unix_s: i64,
    /// The newest snapshot.
    pub snapshot: MetaFile,
}

#[derive(Deserialize)]
struct Fields {
    meta: BTreeMap<String, Value>,
}

impl Timestamp {
    pub(crate) fn read(signed: &Value) -> Result<Self, Refusal> {
        let head = Head::read(signed, &Role::Timestamp)?;
        let Fields { meta } = fields(signed, "it")?;
        let name = "snapshot.json";
        let entry = meta.get(name).ok_or_else(|| Refusal::Form("it does not list snapshot.json".to_owned()))?;
        Ok(Self { version: head.version, expires_unix_s: head.expires_unix_s, snapshot: MetaFile::read(entry, name)? })
    }

    pub(crate) fn write(&self) -> Value {
        let head = Head { version: self.version, expires_unix_s: self.expires_unix_s };
        let mut signed = head.write(&Role::Timestamp);
        signed.insert("meta".to_owned(), json!({ "snapshot.json": self.snapshot.write() }));
        Value::Object(signed)
    }
}
