//! Twins as one invocation sees them: stored sections with its own merge patches on top, buffered until the commit.
//!
//! Pure: stored documents come in through a closure. Invariant: every section that was read is checked at the commit with the
//! revision seen first; one that was only patched is checked only if the guest gave a revision, because a merge patch is
//! meant to meet whatever is there.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::host::{HostError, TwinDoc, TwinPatch, TwinRead, TwinSection};

/// Largest merge patch, bytes.
pub(crate) const PATCH_BYTES_MAX: usize = 32 << 10;
/// Longest thing name or path, bytes.
pub(crate) const NAME_BYTES_MAX: usize = 256;
/// Different sections that one invocation may read or patch.
const SECTIONS_MAX: usize = 64;

/// Why a call failed; each maps to one case of the interface's `error`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TwinError {
    Quota(String),
    Invalid(String),
    Conflict(u64),
    Unavailable(String),
}

impl From<HostError> for TwinError {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Invalid(reason) => Self::Invalid(reason),
            HostError::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}

type Stored<'a> = &'a dyn Fn(&str, TwinSection, &str) -> Result<Option<TwinDoc>, HostError>;

#[derive(Clone, Debug, Default)]
struct Seen {
    /// Revision seen first; 0 and `None` both mean that nothing was there.
    revision: Option<u64>,
    read: bool,
    patches: Vec<Value>,
}

/// One invocation's view.
#[derive(Debug)]
pub(crate) struct TwinBuffer {
    patches_max: usize,
    sections: BTreeMap<(String, TwinSection), Seen>,
    patches: Vec<TwinPatch>,
}

impl TwinBuffer {
    pub(crate) fn new(patches_max: usize) -> Self {
        Self { patches_max, sections: BTreeMap::new(), patches: Vec::new() }
    }

    /// The document at `path`, with this invocation's own patches applied.
    pub(crate) fn get(
        &mut self,
        device: &str,
        section: TwinSection,
        path: &str,
        stored: Stored<'_>,
    ) -> Result<Option<TwinDoc>, TwinError> {
        check_name("thing name", device)?;
        if path.len() > NAME_BYTES_MAX || !(path.is_empty() || path.starts_with('/')) {
            return Err(TwinError::Invalid(format!(
                "path {path:?} is not a JSON pointer of at most {NAME_BYTES_MAX} bytes"
            )));
        }
        let key = (device.to_owned(), section);
        let patches = self.sections.get(&key).map_or(&[][..], |seen| &seen.patches);
        if patches.is_empty() {
            let doc = stored(device, section, path)?;
            self.remember(key, doc.as_ref().map(|doc| doc.revision))?.read = true;
            return Ok(doc);
        }
        let doc = stored(device, section, "")?;
        let stored_revision = doc.as_ref().map(|doc| doc.revision);
        let revision = stored_revision.unwrap_or(0) + patches.len() as u64;
        let mut document = match doc {
            Some(doc) => serde_json::from_str(&doc.json)
                .map_err(|error| TwinError::Unavailable(format!("stored twin: {error}")))?,
            None => Value::Object(serde_json::Map::new()),
        };
        patches.iter().for_each(|patch| merge(&mut document, patch));
        self.remember(key, stored_revision)?.read = true;
        Ok(document.pointer(path).map(|part| TwinDoc { json: part.to_string(), revision }))
    }

    /// Buffers a merge patch; gives the revision that the section will have if nobody else writes.
    pub(crate) fn patch(
        &mut self,
        device: &str,
        section: TwinSection,
        patch: &str,
        expected: Option<u64>,
        stored: Stored<'_>,
    ) -> Result<u64, TwinError> {
        check_name("thing name", device)?;
        if patch.len() > PATCH_BYTES_MAX {
            return Err(TwinError::Invalid(format!(
                "a merge patch has at most {PATCH_BYTES_MAX} bytes, this one has {}",
                patch.len()
            )));
        }
        let value: Value = serde_json::from_str(patch)
            .map_err(|error| TwinError::Invalid(format!("merge patch is not JSON: {error}")))?;
        if !value.is_object() {
            return Err(TwinError::Invalid("merge patch is not a JSON object".into()));
        }
        if self.patches.len() >= self.patches_max {
            return Err(TwinError::Quota(format!("limits.twin_patches is {}", self.patches_max)));
        }
        let key = (device.to_owned(), section);
        let revision = stored(device, section, "")?.map(|doc| doc.revision);
        let own = self.sections.get(&key).map_or(0, |seen| seen.patches.len() as u64);
        let current = revision.unwrap_or(0) + own;
        if expected.is_some_and(|expected| expected != current) {
            return Err(TwinError::Conflict(current));
        }
        self.remember(key, revision)?.patches.push(value);
        let expected = if own == 0 { expected } else { None };
        self.patches.push(TwinPatch { device: device.to_owned(), section, merge: patch.to_owned(), expected });
        Ok(current + 1)
    }

    /// What to check and what to write at the commit.
    pub(crate) fn into_effects(self) -> (Vec<TwinRead>, Vec<TwinPatch>) {
        let reads = self.sections.into_iter().filter(|(_, seen)| seen.read);
        let reads = reads.map(|((device, section), seen)| TwinRead { device, section, revision: seen.revision });
        (reads.collect(), self.patches)
    }

    fn remember(&mut self, key: (String, TwinSection), revision: Option<u64>) -> Result<&mut Seen, TwinError> {
        if !self.sections.contains_key(&key) && self.sections.len() >= SECTIONS_MAX {
            return Err(TwinError::Quota(format!("more than {SECTIONS_MAX} twin sections in one invocation")));
        }
        Ok(self.sections.entry(key).or_insert(Seen { revision, read: false, patches: Vec::new() }))
    }
}

fn check_name(what: &str, name: &str) -> Result<(), TwinError> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(TwinError::Invalid(format!(
            "a {what} has 1 to {NAME_BYTES_MAX} bytes, this one has {}",
            name.len()
        )));
    }
    Ok(())
}

/// RFC 7396, section 2. The depth is bounded by that of parsed JSON.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(target) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.shift_remove(key);
        } else {
            merge(target.entry(key.as_str()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests;
