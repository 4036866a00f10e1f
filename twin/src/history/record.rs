//! A change as bytes: what it replaced, in the store and in memory.
//!
//! ```text
//! segment  = 1 change...             change = length (revision steps cause:u8 existed:u8 time:u64le node:u64le replaced...)
//! replaced = section:u8 path (0 | 1 json)
//! ```
//! Numbers and texts are written as between nodes ([`selvedge_twin_core::wire`]). A change of a form that is not known, or
//! of a damaged segment, is none.

use std::cmp::Ordering;

use selvedge_twin_core::field::Sight;
use selvedge_twin_core::path::PATH_BYTES_MAX;
use selvedge_twin_core::wire::{self, DecodeError, Reader};

use super::{Cause, NodeId};
use crate::clock::HybridTime;
use crate::document::Document;
use crate::path::Path;
use crate::twin::{Section, Twin};

/// The first byte of a segment.
pub(super) const VERSION: u8 = 1;

/// A change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recorded {
    /// The version that it led to.
    pub(super) revision: u64,
    /// The version before. What one transaction does in several steps is one change.
    pub(super) previous: u64,
    pub(super) cause: Cause,
    /// Whether the twin existed before.
    pub(super) existed: bool,
    pub(super) time: HybridTime,
    pub(super) node: NodeId,
    pub(super) replaced: Vec<Replaced>,
}

/// What a reader saw of a field before the change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Replaced {
    pub(super) section: Section,
    pub(super) path: Path,
    /// JSON text; none if nothing was seen.
    pub(super) was: Option<Box<str>>,
}

impl Recorded {
    /// The change from `before` to `after`.
    pub(super) fn of(before: &Twin, after: &Twin, cause: Cause) -> Self {
        let mut replaced = Vec::new();
        for section in Section::ALL {
            compare(before.section(section), after.section(section), &mut |path, sight| {
                let was = sight.map(|sight| sight.shown.to_text().into());
                replaced.push(Replaced { section, path: path.clone(), was });
            });
        }
        Self {
            revision: after.version,
            previous: before.version,
            cause,
            existed: before.exists,
            time: after.updated.time,
            node: after.updated.node,
            replaced,
        }
    }

    /// The change with its length before it.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let cause = match self.cause {
            Cause::Request => 0,
            Cause::Exchange => 1,
        };
        let mut bytes = Vec::new();
        wire::put_number(&mut bytes, self.revision);
        wire::put_number(&mut bytes, self.revision.saturating_sub(self.previous));
        bytes.extend_from_slice(&[cause, u8::from(self.existed)]);
        wire::put_time(&mut bytes, self.time);
        bytes.extend_from_slice(&self.node.0.to_le_bytes());
        for replaced in &self.replaced {
            bytes.push(match replaced.section {
                Section::Desired => 0,
                Section::Reported => 1,
            });
            wire::put_bytes(&mut bytes, replaced.path.as_str().as_bytes());
            match &replaced.was {
                None => bytes.push(0),
                Some(text) => {
                    bytes.push(1);
                    wire::put_bytes(&mut bytes, text.as_bytes());
                }
            }
        }
        wire::put_bytes(out, &bytes);
    }
}

/// The changes of a segment, the oldest first; none if it is damaged.
pub(super) fn decode_segment(bytes: &[u8]) -> Option<Vec<Recorded>> {
    let mut reader = Reader::of_own(bytes.strip_prefix(&[VERSION])?);
    let mut changes = Vec::new();
    while !reader.is_at_end() {
        let change = reader.bytes(bytes.len(), "a change").ok()?;
        changes.push(read_change(Reader::of_own(change)).ok()?);
    }
    Some(changes)
}

fn read_change(mut reader: Reader<'_>) -> Result<Recorded, DecodeError> {
    let (revision, steps) = (reader.number()?, reader.number()?);
    let previous = revision.checked_sub(steps).ok_or(DecodeError::Malformed("a revision"))?;
    let cause = match reader.byte()? {
        0 => Cause::Request,
        1 => Cause::Exchange,
        _ => return Err(DecodeError::Malformed("a cause")),
    };
    let existed = flag(&mut reader)?;
    let (time, node) = (reader.time()?, reader.node()?);
    let mut replaced = Vec::new();
    while !reader.is_at_end() {
        let section = if flag(&mut reader)? { Section::Reported } else { Section::Desired };
        let path = Path::parse(reader.text(PATH_BYTES_MAX, "a path")?).ok_or(DecodeError::Malformed("a path"))?;
        let was = if flag(&mut reader)? { Some(reader.text(usize::MAX, "a value")?.into()) } else { None };
        replaced.push(Replaced { section, path, was });
    }
    Ok(Recorded { revision, previous, cause, existed, time, node, replaced })
}

fn flag(reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
    match reader.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::Malformed("a flag")),
    }
}

/// Shows the paths at which `before` and `after` are seen differently, with what was seen in `before`, in their order.
fn compare(before: &Document, after: &Document, differs: &mut dyn FnMut(&Path, Option<&Sight<'_>>)) {
    let (before, after) = (before.seen(), after.seen());
    let (mut old, mut new) = (before.iter().peekable(), after.iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((old, _)), Some((new, _))) => old.cmp(new),
        };
        let was = if order.is_le() { old.next() } else { None };
        let is = if order.is_ge() { new.next() } else { None };
        match (was, is) {
            (Some((_, was)), Some((_, is))) if was.shown == is.shown => {}
            (Some((path, was)), _) => differs(path, Some(was)),
            (None, Some((path, _))) => differs(path, None),
            (None, None) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change() -> Recorded {
        let replaced = |section, path: &str, was: Option<&str>| Replaced {
            section,
            path: Path::parse(path).unwrap(),
            was: was.map(Into::into),
        };
        Recorded {
            revision: 300,
            previous: 298,
            cause: Cause::Exchange,
            existed: true,
            time: HybridTime::from_ms(7),
            node: NodeId(9),
            replaced: vec![
                replaced(Section::Desired, "/a~1b", None),
                replaced(Section::Reported, "/c", Some("[1,2]")),
                replaced(Section::Reported, "/d", Some("\"x\"")),
            ],
        }
    }

    fn segment(changes: &[Recorded]) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        changes.iter().for_each(|change| change.put(&mut bytes));
        bytes
    }

    #[test]
    fn changes_come_back_as_they_were() {
        let first = Recorded { cause: Cause::Request, existed: false, replaced: Vec::new(), ..change() };
        let changes = vec![first, change()];
        let bytes = segment(&changes);
        assert_eq!(decode_segment(&bytes), Some(changes));
        assert_eq!(decode_segment(&[VERSION]), Some(Vec::new()));
    }

    #[test]
    fn what_is_cut_or_changed_is_not_taken_and_nothing_panics() {
        let bytes = segment(&[change()]);
        for end in 2..bytes.len() {
            assert_eq!(decode_segment(&bytes[..end]), None, "{end}");
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bad = bytes.clone();
                bad[at] ^= 1 << bit;
                let _ = decode_segment(&bad);
            }
        }
    }
}
