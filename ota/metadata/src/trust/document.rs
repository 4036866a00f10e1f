//! The document in which a trust is stored: JSON, with the files as they were received.
//!
//! ```text
//! { "format": 1, "latest_seen_unix_s": SECONDS, "root": FILE, "timestamp": FILE|null, "snapshot": FILE|null,
//!   "targets": { ROLE: FILE, … }, "sha256": HEX of the canonical form of all of this with an empty text here }
//! ```
//!
//! What breaks it: a member that is missing, a format other than 1, a wrong checksum, a file that its root does not vouch
//! for. The checksum finds flash that forgets; it is no protection against who may write the document.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Accepted, Trust, TrustDocumentError, own_root, reread};
use crate::json::{canonical, parse};
use crate::key::{KeySet, hex, sha256};
use crate::limits::Limits;
use crate::refuse::Refusal;
use crate::role::{Role, Snapshot, Targets, Timestamp};
use crate::signed_file::SignedFile;

/// The format that is written, and the only one so far.
pub(super) const FORMAT: u64 = 1;

#[derive(Serialize, Deserialize)]
struct Document {
    format: u64,
    latest_seen_unix_s: i64,
    root: String,
    timestamp: Option<String>,
    snapshot: Option<String>,
    targets: BTreeMap<String, String>,
    sha256: String,
}

impl Document {
    fn checksum(&self) -> String {
        // Texts and whole numbers only: these always have a canonical form.
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Some(sha256) = value.get_mut("sha256") {
            *sha256 = Value::String(String::new());
        }
        hex(&sha256(&canonical(&value).unwrap_or_default()))
    }
}

impl Trust {
    /// The trust as a document, to be stored in one piece.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut document = Document {
            format: FORMAT,
            latest_seen_unix_s: self.latest_seen_unix_s,
            root: self.root.text.to_string(),
            timestamp: self.timestamp.as_ref().map(|file| file.text.to_string()),
            snapshot: self.snapshot.as_ref().map(|file| file.text.to_string()),
            targets: self
                .targets
                .iter()
                .map(|(role, accepted)| (role.name().to_owned(), accepted.file.text.to_string()))
                .collect(),
            sha256: String::new(),
        };
        document.sha256 = document.checksum();
        serde_json::to_vec(&document).unwrap_or_default()
    }

    /// Reads a document, and verifies every file in it again. Freshness is not judged.
    ///
    /// # Errors
    /// If it is damaged, or from a newer program. Then there is the pinned root to start from, at the price of what the
    /// document knew against going back.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TrustDocumentError> {
        let value = parse(bytes).map_err(TrustDocumentError::Json)?;
        if let Some(format) = value.get("format").and_then(Value::as_u64).filter(|&format| format != FORMAT) {
            return Err(TrustDocumentError::Format(format));
        }
        let document = Document::deserialize(&value).map_err(|error| TrustDocumentError::Form(error.to_string()))?;
        if document.checksum() != document.sha256 {
            return Err(TrustDocumentError::Checksum);
        }
        let limits = Limits::own_document();
        let refused = |role: Role| move |refusal| TrustDocumentError::File { role, refusal };
        let root = own_root(document.root.as_bytes(), u64::MAX, &limits).map_err(refused(Role::Root))?;
        let timestamp =
            read(document.timestamp.as_deref(), &root.content.timestamp, |file| Timestamp::read(file.content()))
                .map_err(refused(Role::Timestamp))?;
        let snapshot =
            read(document.snapshot.as_deref(), &root.content.snapshot, |file| Snapshot::read(file.content()))
                .map_err(refused(Role::Snapshot))?;
        let latest_seen_unix_s = document.latest_seen_unix_s;
        let mut trust = Self { latest_seen_unix_s, root, timestamp, snapshot, targets: BTreeMap::new() };
        trust.link_all(&document.targets, &limits)?;
        Ok(trust)
    }

    fn link_all(&mut self, texts: &BTreeMap<String, String>, limits: &Limits) -> Result<(), TrustDocumentError> {
        let mut kept = BTreeMap::new();
        for (name, text) in texts {
            let role = Role::named(name).map_err(|error| TrustDocumentError::Form(error.to_string()))?;
            let file = SignedFile::read(text.as_bytes(), u64::MAX, limits)
                .and_then(|file| Targets::read(file.content(), &role, limits))
                .map_err(|refusal| TrustDocumentError::File { role: role.clone(), refusal })?;
            kept.insert(role, Accepted::new(text.as_bytes(), file));
        }
        self.link(&mut kept);
        match kept.into_keys().next() {
            Some(role) => Err(TrustDocumentError::File { role, refusal: Refusal::NotListed }),
            None => Ok(()),
        }
    }
}

fn read<T>(
    text: Option<&str>,
    keys: &KeySet,
    content: impl FnOnce(&SignedFile) -> Result<T, Refusal>,
) -> Result<Option<Accepted<T>>, Refusal> {
    let Some(text) = text else { return Ok(None) };
    let file = reread(text, keys)?;
    Ok(Some(Accepted::new(text.as_bytes(), content(&file)?)))
}
