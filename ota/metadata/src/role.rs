//! The roles of TUF and what their files say. One role, one file below `role/`.

use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::expiry::{format_time, parse_time};
use crate::refuse::Refusal;

mod delegation;
mod meta_file;
mod root;
mod snapshot;
mod targets;
mod timestamp;

pub use delegation::Delegation;
pub use meta_file::MetaFile;
pub use root::Root;
pub use snapshot::Snapshot;
pub use targets::{Target, Targets};
pub use timestamp::Timestamp;

/// Longest name of a delegated role, in bytes.
pub const ROLE_NAME_BYTES_MAX: usize = 128;

/// What the files here are written against.
const SPEC_VERSION: &str = "1.0.31";

/// Who signs something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Says which keys the others have.
    Root,
    /// Says often what the newest snapshot is.
    Timestamp,
    /// Says which versions of all targets files belong together.
    Snapshot,
    /// Says what is to run, and who else may.
    Targets,
    /// May say some of that.
    Delegated(RoleName),
}

/// The name of a delegated role.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleName(String);

/// Why a text is no name of a delegated role.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RoleNameError {
    /// Nothing, or too much.
    #[error("the name of a role has 1 to {ROLE_NAME_BYTES_MAX} bytes, this one has {0}")]
    Length(usize),
    /// One of the four.
    #[error("{0:?} is a role that every repository has and cannot be delegated to")]
    TopLevel(String),
}

impl RoleName {
    /// Checks a name.
    ///
    /// # Errors
    /// If it is empty, too long or one of the four top-level roles.
    pub fn new(name: impl Into<String>) -> Result<Self, RoleNameError> {
        let name = name.into();
        if name.is_empty() || name.len() > ROLE_NAME_BYTES_MAX {
            return Err(RoleNameError::Length(name.len()));
        }
        if matches!(name.as_str(), "root" | "timestamp" | "snapshot" | "targets") {
            return Err(RoleNameError::TopLevel(name));
        }
        Ok(Self(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Role {
    /// The role of this name.
    ///
    /// # Errors
    /// If there can be none.
    pub fn named(name: &str) -> Result<Self, RoleNameError> {
        Ok(match name {
            "root" => Self::Root,
            "timestamp" => Self::Timestamp,
            "snapshot" => Self::Snapshot,
            "targets" => Self::Targets,
            _ => Self::Delegated(RoleName::new(name)?),
        })
    }

    /// The name.
    pub fn name(&self) -> &str {
        match self {
            Self::Root => "root",
            Self::Timestamp => "timestamp",
            Self::Snapshot => "snapshot",
            Self::Targets => "targets",
            Self::Delegated(name) => name.as_str(),
        }
    }

    /// What `_type` says.
    fn kind(&self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Timestamp => "timestamp",
            Self::Snapshot => "snapshot",
            Self::Targets | Self::Delegated(_) => "targets",
        }
    }

    /// The name of the file with this role's metadata, below the metadata folder, percent-encoded so that it is one name.
    /// With a version where the repository keeps one file per version.
    pub fn file_name(&self, version: Option<u64>) -> String {
        let mut name = version.map_or_else(String::new, |version| format!("{version}."));
        for &byte in self.name().as_bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'~') {
                name.push(char::from(byte));
            } else {
                name.push_str(&format!("%{byte:02X}"));
            }
        }
        name.push_str(".json");
        name
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delegated(name) => write!(formatter, "the role {:?}", name.as_str()),
            _ => formatter.write_str(self.name()),
        }
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What every role's file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) version: u64,
    pub(crate) expires_unix_s: i64,
}

#[derive(Deserialize)]
struct HeadFields {
    #[serde(rename = "_type")]
    kind: String,
    spec_version: String,
    version: u64,
    expires: String,
}

impl Head {
    /// Reads it; the type must be that of the role.
    pub(crate) fn read(signed: &Value, role: &Role) -> Result<Self, Refusal> {
        let fields: HeadFields = fields(signed, "it")?;
        if fields.kind != role.kind() {
            return Err(Refusal::Form(format!("it is of type {:?}, and {:?} was expected", fields.kind, role.kind())));
        }
        let mut numbers = fields.spec_version.split('.');
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if numbers.next() != Some("1") || !(1..=2).contains(&numbers.clone().count()) || !numbers.all(digits) {
            return Err(Refusal::Form(format!(
                "it follows specification {:?}, and 1.x is understood",
                fields.spec_version
            )));
        }
        if fields.version == 0 {
            return Err(Refusal::Form("its version is 0, and the first is 1".to_owned()));
        }
        let expires_unix_s = parse_time(&fields.expires).ok_or_else(|| {
            Refusal::Form(format!("it expires at {:?}, which is no time like 2030-01-31T12:00:00Z", fields.expires))
        })?;
        Ok(Self { version: fields.version, expires_unix_s })
    }

    /// Writes it.
    fn write(self, role: &Role) -> Map<String, Value> {
        let mut signed = Map::new();
        signed.insert("_type".to_owned(), role.kind().into());
        signed.insert("spec_version".to_owned(), SPEC_VERSION.into());
        signed.insert("version".to_owned(), self.version.into());
        signed.insert("expires".to_owned(), format_time(self.expires_unix_s).unwrap_or_default().into());
        signed
    }
}

/// Reads the fields of an object that is named for a person.
fn fields<T: DeserializeOwned>(value: &Value, what: impl fmt::Display) -> Result<T, Refusal> {
    if !value.is_object() {
        return Err(Refusal::Form(format!("{what} is no JSON object")));
    }
    T::deserialize(value).map_err(|error| Refusal::Form(format!("{what} is not as TUF says: {error}")))
}

#[cfg(test)]
mod tests;
