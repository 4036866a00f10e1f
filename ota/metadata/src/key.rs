//! Public keys, their ids, and how many of a set have signed something.
//!
//! The id of a key is the SHA-256 of its canonical JSON (`keytype`, `scheme`, `keyval`) and is checked wherever a key is
//! read. Ids can still be made to differ for one key, so signatures are counted by the key itself. A key of another kind
//! than ed25519 is kept, but nothing that it signed counts.

use std::fmt;
use std::sync::Arc;

use ed25519_dalek::{Signature, VerifyingKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::json::canonical;

/// SHA-256 of the canonical JSON of a key, in lower-case hex.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

/// A public key as metadata lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    id: KeyId,
    /// Shared: a file may name one long key in many delegations.
    content: Arc<Value>,
    ed25519: Option<VerifyingKey>,
}

/// Keys that speak for a role, and how many of them must.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySet {
    /// In the order of the file.
    pub keys: Vec<Key>,
    /// How many distinct ones must sign; at least 1.
    pub threshold: u32,
}

/// Why a key is not taken.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    /// Without `keytype`, `scheme` or `keyval`.
    #[error("is no object with keytype, scheme and keyval")]
    Form,
    /// The id belongs to other content.
    #[error("has the wrong fingerprint: its content has the id {actual}")]
    Fingerprint {
        /// What the content hashes to.
        actual: KeyId,
    },
    /// An ed25519 key that is not 64 hex digits, or not a point.
    #[error("is not an ed25519 public key of 64 hex digits")]
    NotAPoint,
    /// A key for which signatures can be made without a secret.
    #[error("is a weak ed25519 key, under which anybody can sign")]
    Weak,
}

impl KeyId {
    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As many digits as a person compares.
    pub(crate) fn short(&self) -> &str {
        self.0.get(..8).unwrap_or(&self.0)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Key {
    /// An ed25519 key from its 32 bytes.
    ///
    /// # Errors
    /// If they are no point of the curve, or a weak one.
    pub fn ed25519(public: &[u8; 32]) -> Result<Self, KeyError> {
        Self::of_content(json!({ "keytype": "ed25519", "scheme": "ed25519", "keyval": { "public": hex(public) } }))
    }

    /// A key as metadata lists it under an id.
    ///
    /// # Errors
    /// If the id is not that of the content, or the content is a broken ed25519 key.
    pub fn listed(id: &str, content: Value) -> Result<Self, KeyError> {
        let key = Self::of_content(content)?;
        if key.id.0 == id { Ok(key) } else { Err(KeyError::Fingerprint { actual: key.id }) }
    }

    fn of_content(content: Value) -> Result<Self, KeyError> {
        let (Some(Value::String(kind)), Some(Value::String(scheme)), Some(value @ Value::Object(members))) =
            (content.get("keytype"), content.get("scheme"), content.get("keyval"))
        else {
            return Err(KeyError::Form);
        };
        let named = json!({ "keytype": kind, "scheme": scheme, "keyval": value });
        let id = KeyId(hex(&sha256(&canonical(&named).map_err(|_| KeyError::Form)?)));
        let ed25519 = match (kind.as_str(), scheme.as_str()) {
            ("ed25519", "ed25519") => {
                let public = members.get("public").and_then(Value::as_str).ok_or(KeyError::Form)?;
                Some(point(public)?)
            }
            _ => None,
        };
        Ok(Self { id, content: Arc::new(content), ed25519 })
    }

    /// The public half of a secret key, which is a good one by its making.
    pub(crate) fn of_signer(public: &VerifyingKey) -> Self {
        let content =
            json!({ "keytype": "ed25519", "scheme": "ed25519", "keyval": { "public": hex(public.as_bytes()) } });
        let id = KeyId(hex(&sha256(&canonical(&content).unwrap_or_default())));
        Self { id, content: Arc::new(content), ed25519: Some(*public) }
    }

    /// The id.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// The key as metadata lists it.
    pub fn content(&self) -> &Value {
        &self.content
    }

    /// Whether signatures of this key count here: it is ed25519.
    pub fn is_usable(&self) -> bool {
        self.ed25519.is_some()
    }

    /// Whether the key has signed a message. Strict: no malleable signatures, no small-order parts.
    pub(crate) fn has_signed(&self, message: &[u8], signature: &str) -> bool {
        let bytes: Option<[u8; 64]> = from_hex(signature);
        match (self.ed25519, bytes) {
            (Some(key), Some(bytes)) => key.verify_strict(message, &Signature::from_bytes(&bytes)).is_ok(),
            _ => false,
        }
    }

    /// The same for two ids of one key.
    pub(crate) fn identity(&self) -> Option<&[u8; 32]> {
        self.ed25519.as_ref().map(VerifyingKey::as_bytes)
    }
}

impl KeySet {
    /// Whether a key of this id belongs to the set.
    pub fn contains(&self, id: &KeyId) -> bool {
        self.keys.iter().any(|key| key.id == *id)
    }

    /// Whether a key of another set is missing in this one.
    pub(crate) fn lacks_one_of(&self, other: &Self) -> bool {
        other.keys.iter().any(|key| !self.contains(&key.id))
    }

    /// How many keys of the set could sign, each one counted once.
    pub fn distinct(&self) -> usize {
        let mut all: Vec<_> = self.keys.iter().filter_map(Key::identity).collect();
        all.sort_unstable();
        all.dedup();
        all.len()
    }
}

fn point(public: &str) -> Result<VerifyingKey, KeyError> {
    let bytes: [u8; 32] = from_hex(public).ok_or(KeyError::NotAPoint)?;
    let key = VerifyingKey::from_bytes(&bytes).map_err(|_| KeyError::NotAPoint)?;
    // Another spelling of the same point would pass for a second key.
    if key.to_edwards().compress().to_bytes() != bytes {
        return Err(KeyError::NotAPoint);
    }
    if key.is_weak() { Err(KeyError::Weak) } else { Ok(key) }
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(if value < 10 { b'0' + value } else { b'a' + value - 10 });
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Exactly as many bytes as asked for.
pub(crate) fn from_hex<const BYTES: usize>(text: &str) -> Option<[u8; BYTES]> {
    let mut out = [0; BYTES];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != BYTES {
        return None;
    }
    let digit = |character: u8| char::from(character).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    for (byte, &[high, low]) in out.iter_mut().zip(pairs) {
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(out)
}

#[cfg(test)]
mod tests;
