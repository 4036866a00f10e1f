//! Twins read back: one, or all in the order of their names.

use std::iter::Peekable;

use selvedge_store::{ReadError, Space, Store};

use super::{Damage, Found, headers, tolerate};
use crate::record::{self, Header};
use crate::sums::Sums;
use crate::twin::{Section, Twin};

/// Most buckets that are read for one twin: all that its two sections can have.
const BUCKETS_MAX: usize = 2 * 256;

/// What the store gives of a bucket.
type Entry = Result<(Vec<u8>, Vec<u8>), ReadError>;

/// The twin as the store has it. A thing that was never heard of is [`Twin::default`].
pub(crate) fn read_twin(store: &Store, thing: &str, damage: &Damage) -> Result<Twin, ReadError> {
    let header = match tolerate(store.get(Space::Twin, &record::header_key(thing)))? {
        Found::Nothing => return Ok(Twin::default()),
        Found::Bytes(bytes) => record::decode_header(&bytes),
        Found::Damaged => None,
    };
    let mut twin = Assembly::new(thing, damage);
    for entry in store.scan(Space::Twin, &record::cells_prefix(thing), None, BUCKETS_MAX) {
        twin.take(entry)?;
    }
    Ok(twin.finish(header))
}

/// The twins whose names come after `after`, in the order of names, deleted ones too; each with as few reads as they take. One
/// whose header is damaged is left out.
pub(crate) fn twins_after<'a>(
    store: &Store,
    after: Option<&str>,
    damage: &'a Damage,
) -> impl Iterator<Item = Result<(String, Twin), ReadError>> + use<'a> {
    let last_bucket = after.map(|after| [&record::cells_prefix(after)[..], &[u8::MAX; 2]].concat());
    let buckets = store.scan(Space::Twin, record::CELLS_PREFIX, last_bucket.as_deref(), usize::MAX);
    let mut buckets = buckets.peekable();
    headers(store, "", after, damage).map(move |entry| {
        let (thing, header) = entry?;
        let mut twin = Assembly::new(&thing, damage);
        take_buckets(&mut twin, &thing, &mut buckets)?;
        let twin = twin.finish(Some(header));
        Ok((thing, twin))
    })
}

fn take_buckets(
    twin: &mut Assembly<'_>,
    thing: &str,
    buckets: &mut Peekable<impl Iterator<Item = Entry>>,
) -> Result<(), ReadError> {
    let is_due = |entry: &Entry| match entry {
        Ok((key, _)) | Err(ReadError::Corrupt { key, .. }) => {
            // Of one that has no header, or has lost it, nothing is shown.
            record::thing_of_bucket(key).is_none_or(|owner| owner <= thing)
        }
        Err(ReadError::Failed { .. }) => true,
    };
    while let Some(entry) = buckets.next_if(is_due) {
        twin.take(entry)?;
    }
    Ok(())
}

/// A twin that is being put together.
struct Assembly<'a> {
    thing: &'a str,
    prefix: Vec<u8>,
    twin: Twin,
    is_damaged: bool,
    damage: &'a Damage,
}

impl<'a> Assembly<'a> {
    fn new(thing: &'a str, damage: &'a Damage) -> Self {
        Self { thing, prefix: record::cells_prefix(thing), twin: Twin::default(), is_damaged: false, damage }
    }

    /// Takes a bucket in, unless it is another's.
    fn take(&mut self, entry: Entry) -> Result<(), ReadError> {
        let cells = match entry {
            Ok((key, value)) => {
                let Some(rest) = key.strip_prefix(&self.prefix[..]) else { return Ok(()) };
                record::section_of_bucket(rest).zip(record::decode_bucket(&value))
            }
            Err(ReadError::Corrupt { key, .. }) if !key.starts_with(&self.prefix) => return Ok(()),
            Err(ReadError::Corrupt { .. }) => None,
            Err(failed @ ReadError::Failed { .. }) => return Err(failed),
        };
        match cells {
            Some((section, cells)) => {
                let document = self.twin.section_mut(section);
                for (path, part, event) in cells {
                    document.join(&path, &part, event);
                }
            }
            None => {
                self.is_damaged = true;
                self.damage.found(self.thing, "bucket of cells");
            }
        }
        Ok(())
    }

    fn finish(self, header: Option<Header>) -> Twin {
        let Self { thing, mut twin, is_damaged, damage, .. } = self;
        match header {
            Some(header) => {
                (twin.exists, twin.version, twin.updated) = (header.exists, header.version, header.updated);
                twin.sums = header.sums.filter(|_| !is_damaged).unwrap_or_else(|| Sums::of(thing, &twin));
            }
            None => {
                damage.found(thing, "header");
                rebuild_header(&mut twin);
                twin.sums = Sums::of(thing, &twin);
            }
        }
        twin
    }
}

/// A version that is greater than any that was counted: the seconds of the latest stamp.
fn rebuild_header(twin: &mut Twin) {
    let cells = Section::ALL.into_iter().flat_map(|section| twin.section(section).cells());
    let latest = cells.flat_map(|(_, _, cell)| cell.siblings()).map(|event| event.stamp()).max();
    twin.exists = twin.desired.live_count() + twin.reported.live_count() > 0;
    twin.updated = latest.unwrap_or(twin.updated);
    twin.version = twin.updated.time.ms() / 1000;
}
