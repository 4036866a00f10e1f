//! Key-values as one invocation sees them: the stored state with its own writes on top, buffered until the commit.
//!
//! Pure: stored entries come in through a closure. Invariants: one write per key; every key that was looked at is checked at
//! the commit with the revision that was seen first; a write past a limit changes nothing.
//!
//! Revisions: a write gets the greater of the previous revision plus one and the invocation's start in milliseconds, so that
//! a key that was deleted and made again does not repeat an old revision (as long as the clock does not go back).

use std::collections::BTreeMap;

use crate::host::{HostError, KvChange, KvEntry, KvRead, KvWrite};

/// Longest key, bytes.
pub(crate) const KEY_BYTES_MAX: usize = 256;
/// Largest value, bytes: the store keeps values under 64 KiB.
pub(crate) const VALUE_BYTES_MAX: usize = 60 << 10;
/// Keys that one call of `list` gives at most.
pub(crate) const LIST_MAX: u32 = 1000;
/// Different keys that one invocation may read.
const KEYS_READ_MAX: usize = 1024;

/// Why a call failed; each maps to one case of the interface's `error`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KvError {
    Quota(String),
    Invalid(String),
    /// Carries the current revision, 0 when the key is absent.
    Conflict(u64),
    Unavailable(String),
}

impl From<HostError> for KvError {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Invalid(reason) => Self::Invalid(reason),
            HostError::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}

type Stored<'a> = &'a dyn Fn(&str) -> Result<Option<KvEntry>, HostError>;

/// Lists stored keys after a key, so many.
type StoredKeys<'a> = &'a dyn Fn(Option<&str>, usize) -> Result<Vec<String>, HostError>;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Write {
    /// `None`: deleted.
    value: Option<(Vec<u8>, u64)>,
    ttl_s: Option<u32>,
}

/// One invocation's view.
#[derive(Debug)]
pub(crate) struct KvBuffer {
    start_ms: u64,
    keys_max: usize,
    bytes_max: usize,
    bytes: usize,
    reads: BTreeMap<String, Option<u64>>,
    writes: BTreeMap<String, Write>,
}

impl KvBuffer {
    /// `start_ms`: the invocation's start, milliseconds since 1970; limits on keys and bytes written.
    pub(crate) fn new(start_ms: u64, keys_max: usize, bytes_max: usize) -> Self {
        Self { start_ms, keys_max, bytes_max, bytes: 0, reads: BTreeMap::new(), writes: BTreeMap::new() }
    }

    pub(crate) fn get(&mut self, key: &str, stored: Stored<'_>) -> Result<Option<KvEntry>, KvError> {
        check_key(key)?;
        if let Some(write) = self.writes.get(key) {
            return Ok(write.value.clone().map(|(value, revision)| KvEntry { value, revision }));
        }
        let entry = stored(key)?;
        self.remember_read(key, entry.as_ref().map(|entry| entry.revision))?;
        Ok(entry)
    }

    pub(crate) fn set(
        &mut self,
        key: &str,
        value: Vec<u8>,
        ttl_s: Option<u32>,
        stored: Stored<'_>,
    ) -> Result<u64, KvError> {
        check_value(&value)?;
        if ttl_s == Some(0) {
            return Err(KvError::Invalid("ttl-s is 0; leave it out to keep the entry, or delete it".into()));
        }
        let previous = self.revision(key, stored)?;
        self.write(key, value, ttl_s, previous)
    }

    pub(crate) fn cas(
        &mut self,
        key: &str,
        expected: Option<u64>,
        value: Vec<u8>,
        stored: Stored<'_>,
    ) -> Result<u64, KvError> {
        check_value(&value)?;
        let current = self.revision(key, stored)?;
        if current != expected {
            return Err(KvError::Conflict(current.unwrap_or(0)));
        }
        self.write(key, value, None, current)
    }

    pub(crate) fn delete(&mut self, key: &str, stored: Stored<'_>) -> Result<(), KvError> {
        if self.revision(key, stored)?.is_none() && !self.writes.contains_key(key) {
            return Ok(());
        }
        self.put(key, Write { value: None, ttl_s: None })
    }

    /// Adds to a value that is a decimal number in text; an absent key counts as 0.
    pub(crate) fn increment(&mut self, key: &str, delta: i64, stored: Stored<'_>) -> Result<i64, KvError> {
        let entry = self.get(key, stored)?;
        let number = match &entry {
            None => 0,
            Some(entry) => std::str::from_utf8(&entry.value)
                .ok()
                .and_then(|text| text.parse::<i64>().ok())
                .ok_or_else(|| KvError::Invalid(format!("value of {key:?} is not a decimal number of 64 bits")))?,
        };
        let sum = number
            .checked_add(delta)
            .ok_or_else(|| KvError::Invalid(format!("{number} + {delta} does not fit 64 bits")))?;
        self.write(key, sum.to_string().into_bytes(), None, entry.map(|entry| entry.revision))?;
        Ok(sum)
    }

    /// Keys with `prefix` after `after`, ascending, at most `limit`; `stored` lists the stored ones after a key.
    pub(crate) fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
        stored: StoredKeys<'_>,
    ) -> Result<Vec<String>, KvError> {
        let limit = limit.min(LIST_MAX) as usize;
        // Deleted keys fall out of the stored list, so ask for as many more.
        let deleted = self.writes.values().filter(|write| write.value.is_none()).count();
        let stored = stored(after, limit + deleted)?;
        let is_deleted = |key: &String| self.writes.get(key).is_some_and(|write| write.value.is_none());
        let mut keys: Vec<String> = stored.into_iter().filter(|key| !is_deleted(key)).collect();
        let own = self.writes.iter().filter(|(key, write)| {
            write.value.is_some() && key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after)
        });
        keys.extend(own.map(|(key, _)| key.clone()));
        keys.sort_unstable();
        keys.dedup();
        keys.truncate(limit);
        Ok(keys)
    }

    /// What to check and what to write at the commit.
    pub(crate) fn into_effects(self) -> (Vec<KvRead>, Vec<KvWrite>) {
        let Self { reads, mut writes, .. } = self;
        let mut checks = Vec::new();
        let mut changes = Vec::with_capacity(writes.len());
        for (key, revision) in reads {
            match writes.remove(&key) {
                None => checks.push(KvRead { key, revision }),
                Some(Write { value, ttl_s }) => {
                    let change = match value {
                        Some((value, revision)) => KvChange::Set { value, revision, ttl_s },
                        None => KvChange::Delete,
                    };
                    changes.push(KvWrite { key, expected: revision, change });
                }
            }
        }
        (checks, changes)
    }

    fn revision(&mut self, key: &str, stored: Stored<'_>) -> Result<Option<u64>, KvError> {
        Ok(self.get(key, stored)?.map(|entry| entry.revision))
    }

    fn remember_read(&mut self, key: &str, revision: Option<u64>) -> Result<(), KvError> {
        if let Some(first) = self.reads.get(key) {
            return if *first == revision { Ok(()) } else { Err(KvError::Conflict(revision.unwrap_or(0))) };
        }
        if self.reads.len() >= KEYS_READ_MAX {
            return Err(KvError::Quota(format!("more than {KEYS_READ_MAX} different keys in one invocation")));
        }
        self.reads.insert(key.to_owned(), revision);
        Ok(())
    }

    fn write(&mut self, key: &str, value: Vec<u8>, ttl_s: Option<u32>, previous: Option<u64>) -> Result<u64, KvError> {
        let revision = previous.map_or(0, |previous| previous.saturating_add(1)).max(self.start_ms).max(1);
        self.put(key, Write { value: Some((value, revision)), ttl_s })?;
        Ok(revision)
    }

    fn put(&mut self, key: &str, write: Write) -> Result<(), KvError> {
        let weight = |key: &str, write: &Write| key.len() + write.value.as_ref().map_or(0, |(value, _)| value.len());
        let replaced = self.writes.get(key).map(|write| weight(key, write));
        let bytes = self.bytes - replaced.unwrap_or(0) + weight(key, &write);
        if replaced.is_none() && self.writes.len() >= self.keys_max {
            return Err(KvError::Quota(format!("limits.kv_keys is {}", self.keys_max)));
        }
        if bytes > self.bytes_max {
            return Err(KvError::Quota(format!("limits.kv_bytes is {}", self.bytes_max)));
        }
        self.bytes = bytes;
        self.writes.insert(key.to_owned(), write);
        Ok(())
    }
}

fn check_key(key: &str) -> Result<(), KvError> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(KvError::Invalid(format!("a key has 1 to {KEY_BYTES_MAX} bytes, this one has {}", key.len())));
    }
    Ok(())
}

fn check_value(value: &[u8]) -> Result<(), KvError> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(KvError::Invalid(format!(
            "a value has at most {VALUE_BYTES_MAX} bytes, this one has {}",
            value.len()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
