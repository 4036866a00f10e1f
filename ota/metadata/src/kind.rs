//! What a target is to a node: the block `selvedge` in its `custom`.
//!
//! Fields that are known must be as written here; others are left alone, for newer publishers. A target without the block is
//! a file that other tools put into the repository.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::key::{from_hex, hex};
use crate::rollout::Rollout;

/// Longest name or version, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// What to do with a content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Kind {
    /// The daemon itself.
    Daemon {
        /// Like `1.2.3`.
        version: String,
        /// What it runs on.
        architecture: Architecture,
        /// Newest format of stored data that it writes and reads.
        data_format: u32,
        /// Daemons with a lower one are not run again after this one was committed.
        #[serde(default, skip_serializing_if = "is_zero")]
        security_floor: u64,
        /// Which nodes take it; all if missing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rollout: Option<Rollout>,
        /// Nobody takes it for now.
        #[serde(default, skip_serializing_if = "is_false")]
        paused: bool,
    },
    /// A WebAssembly function.
    Function {
        /// Of the function on the node.
        name: String,
        /// Of the function.
        version: String,
        /// The text of its `function.toml`: what starts it, its limits, and what it may do on the node.
        manifest: String,
        /// What it was compiled for, if it was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        architecture: Option<Architecture>,
        /// Which runtime it was compiled for, if it was. Free form, read by who runs it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        compiled_for: Option<String>,
        /// Which nodes take it; all if missing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rollout: Option<Rollout>,
        /// Nobody takes it for now.
        #[serde(default, skip_serializing_if = "is_false")]
        paused: bool,
    },
    /// Any other file.
    File {
        /// By which the node's configuration knows what to do with it.
        name: String,
        /// Of the file.
        version: String,
        /// Which nodes take it; all if missing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rollout: Option<Rollout>,
        /// Nobody takes it for now.
        #[serde(default, skip_serializing_if = "is_false")]
        paused: bool,
    },
    /// A way to another content that is shorter than the content itself.
    Patch {
        /// What it is applied to; without one, the content compressed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        base: Option<Content>,
        /// What comes out: the content of another target.
        result: Content,
    },
}

/// A content by its length and hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Content {
    /// Bytes.
    pub length: u64,
    /// SHA-256, as 64 hex digits.
    #[serde(serialize_with = "write_sha256", deserialize_with = "read_sha256")]
    pub sha256: [u8; 32],
}

/// What machine code is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// 64-bit ARM.
    Aarch64,
    /// 64-bit x86.
    #[serde(rename = "x86_64")]
    X86_64,
}

/// Why the block is not understood.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum KindError {
    /// Something missing, or of another type.
    #[error("the target's custom.selvedge is not understood: {0}")]
    Form(String),
    /// A name or version that is none.
    #[error(
        "the target's custom.selvedge has the {what} {text:?}; 1 to {NAME_BYTES_MAX} bytes without control characters and slashes are possible"
    )]
    Name {
        /// Name or version.
        what: &'static str,
        /// What is written.
        text: String,
    },
}

impl Kind {
    pub(crate) fn read(value: &Value) -> Result<Self, KindError> {
        let kind = Self::deserialize(value).map_err(|error| KindError::Form(error.to_string()))?;
        match &kind {
            Self::Daemon { version, .. } => check("version", version)?,
            Self::Function { name, version, .. } | Self::File { name, version, .. } => {
                check("name", name)?;
                check("version", version)?;
            }
            Self::Patch { .. } => {}
        }
        Ok(kind)
    }

    /// The `custom` of a target of this kind.
    ///
    /// # Errors
    /// If a node would not understand it.
    pub fn to_custom(&self) -> Result<Value, KindError> {
        let block = serde_json::to_value(self).map_err(|error| KindError::Form(error.to_string()))?;
        Self::read(&block)?;
        Ok(serde_json::json!({ "selvedge": block }))
    }

    /// Whether a node takes it now: it is not paused, and the node belongs to those to whom it is rolled out.
    pub fn is_for(&self, node_id: &str) -> bool {
        match self {
            Self::Daemon { rollout, paused, .. }
            | Self::Function { rollout, paused, .. }
            | Self::File { rollout, paused, .. } => {
                !paused && rollout.as_ref().is_none_or(|rollout| rollout.includes(node_id))
            }
            Self::Patch { .. } => true,
        }
    }

    /// Which nodes take it; `None`: all.
    pub fn rollout(&self) -> Option<&Rollout> {
        match self {
            Self::Daemon { rollout, .. } | Self::Function { rollout, .. } | Self::File { rollout, .. } => {
                rollout.as_ref()
            }
            Self::Patch { .. } => None,
        }
    }

    /// Whether nobody takes it for now.
    pub fn is_paused(&self) -> bool {
        match self {
            Self::Daemon { paused, .. } | Self::Function { paused, .. } | Self::File { paused, .. } => *paused,
            Self::Patch { .. } => false,
        }
    }

    /// The same with another roll-out (`Some(None)`: to all) or another pause; `None` leaves each as it is.
    #[must_use]
    pub fn staged(mut self, new_rollout: Option<Option<Rollout>>, new_paused: Option<bool>) -> Self {
        if let Self::Daemon { rollout, paused, .. }
        | Self::Function { rollout, paused, .. }
        | Self::File { rollout, paused, .. } = &mut self
        {
            *rollout = new_rollout.unwrap_or_else(|| rollout.take());
            *paused = new_paused.unwrap_or(*paused);
        }
        self
    }
}

impl std::fmt::Display for Architecture {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Aarch64 => "aarch64",
            Self::X86_64 => "x86_64",
        })
    }
}

impl Architecture {
    /// Of the running program, if it is one of them.
    pub fn of_this_program() -> Option<Self> {
        match std::env::consts::ARCH {
            "aarch64" => Some(Self::Aarch64),
            "x86_64" => Some(Self::X86_64),
            _ => None,
        }
    }
}

fn check(what: &'static str, text: &str) -> Result<(), KindError> {
    let wrong = text.is_empty()
        || text.len() > NAME_BYTES_MAX
        || matches!(text, "." | "..")
        || text.chars().any(|character| character.is_control() || matches!(character, '/' | '\\'));
    if wrong { Err(KindError::Name { what, text: text.to_owned() }) } else { Ok(()) }
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

fn is_false(value: &bool) -> bool {
    !value
}

fn write_sha256<S: serde::Serializer>(sha256: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex(sha256))
}

fn read_sha256<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
    let text = String::deserialize(deserializer)?;
    from_hex(&text).ok_or_else(|| serde::de::Error::custom("a sha256 that is not 64 hex digits"))
}

#[cfg(test)]
mod tests;
