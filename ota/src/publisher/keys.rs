//! Secret keys: one file each, in a folder that only the publisher reads. The root's belong on a stick in a drawer.
//!
//! ```text
//! NAME.key    {"keytype": "ed25519", "name": NAME, "public": 64HEX, "secret": 64HEX}      mode 0600
//! NAME.pub    the public key as metadata lists it
//! ```

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use selvedge_ota_metadata::sign::SigningKey;
use selvedge_ota_metadata::{Key, KeyError, KeyId, KeySet};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::PublishError;
use super::files::{self, Readers};
use crate::content::hex;

/// Those of a folder.
#[derive(Clone, Debug)]
pub struct Keys {
    folder: PathBuf,
    keys: Vec<(String, SigningKey)>,
}

/// Why a key file is not used.
#[derive(Debug, Error)]
pub enum KeyFileError {
    /// The disk.
    #[error("read keys from {path}", path = path.display())]
    Read {
        /// File or folder.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// Not a key file.
    #[error("{path} is no key file (`selvedge ota key new` makes them): {cause}", path = path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// Others can read it.
    #[error("{path} can be read by others: chmod 600 it, and if others could read it before, replace the key", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// A name that is none.
    #[error("{name:?} cannot name a key; use letters, digits, '-' and '_'")]
    Name {
        /// What was asked for.
        name: String,
    },
    /// There is one.
    #[error("{path} is there already; a new key needs another name", path = path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A public key file.
    #[error("{path} is no public key", path = path.display())]
    Public {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: KeyError,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    keytype: String,
    name: String,
    public: String,
    secret: String,
}

impl Keys {
    /// All keys in `folder`, by name.
    ///
    /// # Errors
    /// It cannot be read, or one of its key files is none, or open to others.
    pub fn read(folder: &Path) -> Result<Self, KeyFileError> {
        let failed = |source| KeyFileError::Read { path: folder.to_owned(), source };
        let mut keys = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "key") {
                keys.push(read_key(&path)?);
            }
        }
        keys.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(Self { folder: folder.to_owned(), keys })
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Names and public halves.
    pub fn public(&self) -> impl Iterator<Item = (&str, &Key)> {
        self.keys.iter().map(|(name, key)| (name.as_str(), key.public()))
    }

    /// Those that may sign for a set.
    pub(super) fn of<'k>(&'k self, set: &'k KeySet) -> impl Iterator<Item = &'k SigningKey> {
        self.keys.iter().map(|(_, key)| key).filter(|key| set.contains(key.public().id()))
    }

    pub(super) fn has(&self, id: &KeyId) -> bool {
        self.keys.iter().any(|(_, key)| key.public().id() == id)
    }

    /// All of them, for a file that is signed by hand.
    pub(super) fn all(&self) -> impl Iterator<Item = &SigningKey> {
        self.keys.iter().map(|(_, key)| key)
    }
}

/// Makes a key file of 32 random bytes and gives the key.
///
/// # Errors
/// There is one of that name, or the disk.
pub fn make(folder: &Path, name: &str, seed: &[u8; 32]) -> Result<SigningKey, PublishError> {
    let is_name = !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if !is_name {
        return Err(KeyFileError::Name { name: name.to_owned() }.into());
    }
    let path = folder.join(format!("{name}.key"));
    if path.exists() {
        return Err(KeyFileError::Exists { path }.into());
    }
    let key = SigningKey::from_seed(seed);
    let public = key.public().content().clone();
    let point = public.pointer("/keyval/public").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let fields =
        Fields { keytype: "ed25519".to_owned(), name: name.to_owned(), public: point, secret: hex(&key.seed()) };
    let bytes = serde_json::to_vec_pretty(&fields)
        .map_err(|error| KeyFileError::Form { path: path.clone(), cause: error.to_string() })?;
    files::write(&path, &bytes, Readers::Owner)?;
    let public = serde_json::to_vec_pretty(&public)
        .map_err(|error| KeyFileError::Form { path: path.clone(), cause: error.to_string() })?;
    files::write(&folder.join(format!("{name}.pub")), &public, Readers::All)?;
    Ok(key)
}

/// Reads a public key file.
///
/// # Errors
/// It is none.
pub fn read_public(path: &Path) -> Result<Key, KeyFileError> {
    let bytes = fs::read(path).map_err(|source| KeyFileError::Read { path: path.to_owned(), source })?;
    let form = |cause: String| KeyFileError::Form { path: path.to_owned(), cause };
    let content: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| form(error.to_string()))?;
    let public = content.pointer("/keyval/public").and_then(serde_json::Value::as_str).and_then(seed_of);
    let public = public.ok_or_else(|| form("it has no keyval.public of 64 hexadecimal digits".to_owned()))?;
    Key::ed25519(&public).map_err(|source| KeyFileError::Public { path: path.to_owned(), source })
}

fn read_key(path: &Path) -> Result<(String, SigningKey), KeyFileError> {
    let failed = |source| KeyFileError::Read { path: path.to_owned(), source };
    if fs::metadata(path).map_err(failed)?.permissions().mode() & 0o077 != 0 {
        return Err(KeyFileError::Open { path: path.to_owned() });
    }
    let form = |cause: String| KeyFileError::Form { path: path.to_owned(), cause };
    let bytes = fs::read(path).map_err(failed)?;
    let fields: Fields = serde_json::from_slice(&bytes).map_err(|error| form(error.to_string()))?;
    let seed = seed_of(&fields.secret).filter(|_| fields.keytype == "ed25519");
    let key = SigningKey::from_seed(
        &seed.ok_or_else(|| form("it has no ed25519 secret of 64 hexadecimal digits".to_owned()))?,
    );
    let public = key.public().content().pointer("/keyval/public").and_then(serde_json::Value::as_str);
    if public != Some(fields.public.as_str()) {
        return Err(form("its secret does not belong to its public key".to_owned()));
    }
    Ok((fields.name, key))
}

fn seed_of(hex: &str) -> Option<[u8; 32]> {
    crate::content::from_hex(0, hex).map(|content| content.sha256)
}
