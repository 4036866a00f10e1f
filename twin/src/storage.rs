//! Twins as records in the store: reading one back, and what a change puts into a batch. Keeps nothing in memory.
//!
//! A damaged bucket costs the fields in it and nothing else; it is counted and said aloud, and the next write mends it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use selvedge_store::{Batch, KEY_BYTES_MAX, PutError, ReadError, Space, Store};

use crate::clock::HybridTime;
use crate::record::{self, Bucket, Header, Spread};
use crate::twin::{Section, Touched, Twin};

mod node;
mod reading;

pub(crate) use self::node::{put_group, put_held, put_policies, put_state, read_node};
pub(crate) use self::reading::{read_twin, twins_after};

/// Most deleted things that are read back, whatever the configuration says.
const DELETED_MAX: usize = 100_000;

/// Records that could not be used, counted since the start.
#[derive(Debug, Default)]
pub(crate) struct Damage(AtomicU64);

impl Damage {
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn found(&self, thing: &str, what: &'static str) {
        self.0.fetch_add(1, Ordering::Relaxed);
        tracing::error!(thing, what, "a record of a twin is damaged and was left out");
    }
}

/// Adds what has to be written for a change from `before` to `after` that touched `touched`.
pub(crate) fn put_change(
    batch: &mut Batch,
    thing: &str,
    before: &Twin,
    after: &Twin,
    touched: &Touched,
) -> Result<(), PutError> {
    for section in Section::ALL {
        let (old, new) = (before.section(section), after.section(section));
        let (old_spread, new_spread) = (Spread::of(old), Spread::of(new));
        let mut buckets: BTreeSet<Bucket> = touched.paths(section).map(|path| new_spread.bucket(path)).collect();
        if old_spread != new_spread {
            buckets.extend(new_spread.buckets().chain(old_spread.buckets()));
        }
        for bucket in buckets {
            let key = record::bucket_key(thing, section, bucket);
            match record::encode_bucket(new, new_spread, bucket) {
                Some(cells) => batch.put(Space::Twin, &key, &cells)?,
                None => batch.delete(Space::Twin, &key)?,
            }
        }
    }
    if before.version > 0 && !before.exists {
        batch.delete(Space::Twin, &record::deleted_key(before.updated.time, thing))?;
    }
    if !after.exists {
        batch.put(Space::Twin, &record::deleted_key(after.updated.time, thing), &[])?;
    }
    batch.put(Space::Twin, &record::header_key(thing), &record::encode_header(&Header::of(after)))
}

/// Adds the removal of everything that is known of a thing.
pub(crate) fn put_forgotten(batch: &mut Batch, thing: &str, twin: &Twin) -> Result<(), PutError> {
    for section in Section::ALL {
        for bucket in Spread::of(twin.section(section)).buckets() {
            batch.delete(Space::Twin, &record::bucket_key(thing, section, bucket))?;
        }
    }
    batch.delete(Space::Twin, &record::header_key(thing))?;
    batch.delete(Space::Twin, &record::deleted_key(twin.updated.time, thing))
}

/// The things that are remembered as deleted, by the time of their deletion.
pub(crate) fn read_deleted(store: &Store) -> Result<Vec<(HybridTime, String)>, ReadError> {
    let mut deleted = Vec::new();
    for entry in store.scan(Space::Twin, record::DELETED_PREFIX, None, DELETED_MAX) {
        match entry {
            Ok((key, _)) | Err(ReadError::Corrupt { key, .. }) => {
                deleted.extend(record::decode_deleted_key(&key).map(|(time, thing)| (time, thing.to_owned())));
            }
            Err(failed @ ReadError::Failed { .. }) => return Err(failed),
        }
    }
    Ok(deleted)
}

/// Headers of things whose names begin with `prefix` and come after `after`, in the order of names, deleted ones too.
pub(crate) fn headers<'a>(
    store: &Store,
    prefix: &str,
    after: Option<&str>,
    damage: &'a Damage,
) -> impl Iterator<Item = Result<(String, Header), ReadError>> + use<'a> {
    decoded(store, &record::header_key(prefix), after.map(record::header_key).as_deref(), damage)
}

/// Headers of all things from the name `first` on.
pub(crate) fn headers_from<'a>(
    store: &Store,
    first: Option<&str>,
    damage: &'a Damage,
) -> impl Iterator<Item = Result<(String, Header), ReadError>> + use<'a> {
    // The greatest key before it: names have no zero byte.
    let before = first.and_then(|first| record::header_key(first).split_last().map(|(last, rest)| before(rest, *last)));
    decoded(store, record::HEADER_PREFIX, before.as_deref(), damage)
}

/// A key that comes before `rest` + `last`, and after all that come before that and are no longer than keys may be.
fn before(rest: &[u8], last: u8) -> Vec<u8> {
    let mut key = rest.to_vec();
    if let Some(less) = last.checked_sub(1) {
        key.push(less);
        key.resize(KEY_BYTES_MAX, u8::MAX);
    }
    key
}

fn decoded<'a>(
    store: &Store,
    prefix: &[u8],
    after: Option<&[u8]>,
    damage: &'a Damage,
) -> impl Iterator<Item = Result<(String, Header), ReadError>> + use<'a> {
    let scan = store.scan(Space::Twin, prefix, after, usize::MAX);
    scan.filter_map(|entry| match entry {
        Ok((key, value)) => {
            let thing = record::thing_of_header(&key)?.to_owned();
            let header = record::decode_header(&value);
            if header.is_none() {
                damage.found(&thing, "header");
            }
            header.map(|header| Ok((thing, header)))
        }
        Err(ReadError::Corrupt { key, .. }) => {
            damage.found(record::thing_of_header(&key).unwrap_or_default(), "header");
            None
        }
        Err(failed @ ReadError::Failed { .. }) => Some(Err(failed)),
    })
}

pub(crate) enum Found {
    Nothing,
    Bytes(Vec<u8>),
    Damaged,
}

pub(crate) fn tolerate(read: Result<Option<Vec<u8>>, ReadError>) -> Result<Found, ReadError> {
    match read {
        Ok(Some(bytes)) => Ok(Found::Bytes(bytes)),
        Ok(None) => Ok(Found::Nothing),
        Err(ReadError::Corrupt { .. }) => Ok(Found::Damaged),
        Err(failed @ ReadError::Failed { .. }) => Err(failed),
    }
}
