//! Format 1, which nodes wrote before they exchanged twins. Only read; a node's next write of a bucket leaves format 2.
//!
//! ```text
//! state:  1 time:u64le twins:u64le
//! bucket: 1 cell...
//! cell = path_bytes:u16le path kind:u8 time:u64le node:u64le body_bytes:u32le body
//!        kind 0: body = JSON text; 1: an object, no body; 2: removed, body = time:u64le node:u64le of the removal
//! ```
//!
//! A write had no number. Its time was unique in its node, so that time is its number in the node's life 0.

use selvedge_twin_core::dot::{Dot, Origin};
use selvedge_twin_core::event::{Base, Body, Event, PolicyVersion};
use selvedge_twin_core::place::Part;
use selvedge_twin_core::vector::VersionVector;

use super::PATH_BYTES_LIMIT;
use super::node::{Known, State};
use crate::clock::{HybridTime, NodeId, Stamp};
use crate::path::Path;

pub(super) const VERSION: u8 = 1;

const CELL_LEAF: u8 = 0;
const CELL_OBJECT: u8 = 1;
const CELL_REMOVED: u8 = 2;

pub(super) fn decode_state(bytes: &[u8]) -> Option<State> {
    let mut reader = Reader(bytes);
    let (time, twins) = (HybridTime(reader.u64()?), reader.u64()?);
    let state = State { time, twins, known_of: Known::Counted, ..State::default() };
    reader.0.is_empty().then_some(state)
}

pub(super) fn decode_bucket(bytes: &[u8]) -> Option<Vec<(Path, Part, Event)>> {
    let mut reader = Reader(bytes);
    let mut cells = Vec::new();
    while !reader.0.is_empty() {
        let (path, event) = reader.cell()?;
        cells.push((path, Part::Register, event));
    }
    Some(cells)
}

fn event(kind: u8, stamp: Stamp, body: &[u8]) -> Option<Event> {
    match kind {
        CELL_LEAF => {
            // Numbers in the form in which they are written today.
            let value: serde_json::Value = serde_json::from_slice(body).ok()?;
            Some(made(stamp, Body::Json(value.to_string().into()), VersionVector::default()))
        }
        CELL_OBJECT => body.is_empty().then(|| made(stamp, Body::Object, VersionVector::default())),
        CELL_REMOVED => {
            let mut reader = Reader(body);
            let by = reader.stamp()?;
            let mut context = VersionVector::default();
            if stamp.node != by.node {
                context.add(dot(stamp));
            }
            reader.0.is_empty().then(|| made(by, Body::Removed { base: Base::default() }, context))
        }
        _ => None,
    }
}

fn made(stamp: Stamp, body: Body, context: VersionVector) -> Event {
    Event { dot: dot(stamp), time: stamp.time, policy: PolicyVersion(0), context, body, signature: None }
}

fn dot(stamp: Stamp) -> Dot {
    Origin { node: stamp.node, incarnation: 0 }.dot(stamp.time.0)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn u8(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn u64(&mut self) -> Option<u64> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*first))
    }

    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn cell(&mut self) -> Option<(Path, Event)> {
        let path_bytes = self.bytes(2)?.try_into().map(u16::from_le_bytes).ok()?;
        let path = self.bytes(usize::from(path_bytes))?;
        let path =
            Path::parse(std::str::from_utf8(path).ok()?).filter(|path| path.as_str().len() <= PATH_BYTES_LIMIT)?;
        let (kind, stamp) = (self.u8()?, self.stamp()?);
        let body_bytes = self.bytes(4)?.try_into().map(u32::from_le_bytes).ok()?;
        Some((path, event(kind, stamp, self.bytes(usize::try_from(body_bytes).ok()?)?)?))
    }

    fn stamp(&mut self) -> Option<Stamp> {
        Some(Stamp { time: HybridTime(self.u64()?), node: NodeId(self.u64()?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;
    use crate::record;

    /// `/a` = 21.5, `/b` = {}, and `/c`, removed at 9 what was written at 7; as version 1 of this crate wrote it.
    const BUCKET: &[u8] = b"\x01\
        \x02\0/a\0\x05\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x04\0\0\x0021.5\
        \x02\0/b\x01\x06\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\
        \x02\0/c\x02\x07\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x10\0\0\0\x09\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0";

    #[test]
    fn a_bucket_of_format_1_is_read_and_what_it_removed_stays_removed() {
        let mut document = Document::default();
        for (path, part, event) in record::decode_bucket(BUCKET).unwrap() {
            document.join(&path, &part, event);
        }
        assert_eq!(document.to_text(), r#"{"a":21.5,"b":{}}"#);
        assert_eq!(document.tombstones().count(), 1);
        let (path, stamp) = (Path::root_member("c"), Stamp { time: HybridTime(7), node: NodeId(1) });
        document.join(&path, &Part::Register, made(stamp, Body::Json("1".into()), VersionVector::default()));
        assert_eq!(document.to_text(), r#"{"a":21.5,"b":{}}"#);
    }

    #[test]
    fn a_state_of_format_1_is_of_the_first_life() {
        let bytes = [&[1][..], &9_u64.to_le_bytes(), &3_u64.to_le_bytes()].concat();
        let (time, known_of) = (HybridTime(9), Known::Counted);
        let expected = State { time, twins: 3, known_of, ..State::default() };
        assert_eq!(record::node::decode_state(&bytes), Some(expected));
    }
}
