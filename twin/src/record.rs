//! What of twins lies in the store's space [`Space::Twin`], byte by byte.
//!
//! ```text
//! key                                value
//! 's'                                state:   1 time:u64le twins:u64le
//! 'h' thing                          header:  1 exists:u8 version:u64le time:u64le node:u64le
//! 'c' thing 0 ('d'|'r') bucket:u8    bucket:  1 cell...
//! 'd' time:u64be thing               a deleted thing, no value: the order in which they are forgotten
//!
//! cell = path_bytes:u16le path kind:u8 time:u64le node:u64le body_bytes:u32le body
//!        kind 0: body = JSON text; 1: an object, no body; 2: removed, body = time:u64le node:u64le of the removal
//! ```
//! The first byte of each value is its version. Thing names have no zero byte, so keys are unambiguous.
//!
//! The cells of a section are spread over as many buckets as its size asks for, by a hash of their paths: one for a
//! small section, which keeps the number of keys and with it sled's memory low (about 500 bytes a key), and more for a large one, so that
//! a change of one field writes about 2 KiB and not the whole section. The number follows from the cells alone.
//! Reading takes every bucket there is and merges, so a bucket that was left behind does no harm.
//!
//! [`Space::Twin`]: selvedge_store::Space::Twin

use crate::cell::{Cell, CellValue};
use crate::clock::{HybridTime, NodeId, Stamp};
use crate::document::Document;
use crate::path::Path;
use crate::twin::{Section, Twin};

/// Longest path that a bucket can hold with room to spare, in bytes.
pub(crate) const PATH_BYTES_LIMIT: usize = 1024;

/// What a bucket should not be much larger than, in bytes.
const BUCKET_BYTES: usize = 2048;
/// Most buckets of a section.
const BUCKETS_MAX: usize = 256;
/// Bytes of a cell beside its path and body.
const CELL_OVERHEAD_BYTES: usize = 23;

/// The key of the state record.
pub(crate) const STATE_KEY: &[u8] = b"s";
/// What all header keys begin with.
pub(crate) const HEADER_PREFIX: &[u8] = b"h";
/// What all keys of deleted things begin with.
pub(crate) const DELETED_PREFIX: &[u8] = b"d";

const VERSION: u8 = 1;
const CELL_LEAF: u8 = 0;
const CELL_OBJECT: u8 = 1;
const CELL_REMOVED: u8 = 2;

/// One of the records that the cells of a section are spread over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bucket(u8);

/// How many buckets a section has: a power of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spread(usize);

impl Spread {
    pub(crate) fn of(document: &Document) -> Self {
        let sizes = document.cells().map(|(path, cell)| CELL_OVERHEAD_BYTES + path.as_str().len() + body_bytes(cell));
        let bytes: usize = sizes.sum();
        Self(bytes.div_ceil(BUCKET_BYTES).next_power_of_two().min(BUCKETS_MAX))
    }

    pub(crate) fn bucket(self, path: &Path) -> Bucket {
        // FNV-1a: the bucket of a path must never change.
        let mix = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        let hash = path.as_str().bytes().fold(0x811c_9dc5, mix);
        Bucket(((hash ^ (hash >> 16)) as usize & (self.0 - 1)) as u8)
    }

    pub(crate) fn buckets(self) -> impl Iterator<Item = Bucket> {
        (0..self.0).map(|index| Bucket(index as u8))
    }
}

/// What a node remembers beside its twins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct State {
    /// The greatest time of any stamp.
    pub(crate) time: HybridTime,
    /// How many twins exist.
    pub(crate) twins: u64,
}

/// A twin without its documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) exists: bool,
    pub(crate) version: u64,
    pub(crate) updated: Stamp,
}

impl Header {
    pub(crate) fn of(twin: &Twin) -> Self {
        Self { exists: twin.exists, version: twin.version, updated: twin.updated }
    }
}

pub(crate) fn header_key(thing: &str) -> Vec<u8> {
    [HEADER_PREFIX, thing.as_bytes()].concat()
}

/// The thing in a header's key.
pub(crate) fn thing_of_header(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.strip_prefix(HEADER_PREFIX)?).ok()
}

pub(crate) fn deleted_key(time: HybridTime, thing: &str) -> Vec<u8> {
    [DELETED_PREFIX, &time.0.to_be_bytes(), thing.as_bytes()].concat()
}

pub(crate) fn decode_deleted_key(key: &[u8]) -> Option<(HybridTime, &str)> {
    let (time, thing) = key.strip_prefix(DELETED_PREFIX)?.split_first_chunk::<8>()?;
    Some((HybridTime(u64::from_be_bytes(*time)), std::str::from_utf8(thing).ok()?))
}

/// What the keys of all cells of a thing begin with.
pub(crate) fn cells_prefix(thing: &str) -> Vec<u8> {
    [b"c", thing.as_bytes(), &[0]].concat()
}

pub(crate) fn bucket_key(thing: &str, section: Section, bucket: Bucket) -> Vec<u8> {
    let mut key = cells_prefix(thing);
    key.extend_from_slice(&[section_byte(section), bucket.0]);
    key
}

/// The section from the part of a bucket's key after [`cells_prefix`].
pub(crate) fn section_of_bucket(rest: &[u8]) -> Option<Section> {
    let [section, _] = rest else { return None };
    Section::ALL.into_iter().find(|candidate| section_byte(*candidate) == *section)
}

pub(crate) fn encode_state(state: &State) -> Vec<u8> {
    [&[VERSION][..], &state.time.0.to_le_bytes(), &state.twins.to_le_bytes()].concat()
}

pub(crate) fn decode_state(bytes: &[u8]) -> Option<State> {
    let mut reader = Reader::new(bytes)?;
    let state = State { time: HybridTime(reader.u64()?), twins: reader.u64()? };
    reader.0.is_empty().then_some(state)
}

pub(crate) fn encode_header(header: &Header) -> Vec<u8> {
    let mut bytes = vec![VERSION, u8::from(header.exists)];
    bytes.extend_from_slice(&header.version.to_le_bytes());
    push_stamp(&mut bytes, header.updated);
    bytes
}

pub(crate) fn decode_header(bytes: &[u8]) -> Option<Header> {
    let mut reader = Reader::new(bytes)?;
    let exists = match reader.u8()? {
        0 => false,
        1 => true,
        _ => return None,
    };
    let header = Header { exists, version: reader.u64()?, updated: reader.stamp()? };
    reader.0.is_empty().then_some(header)
}

/// The cells of `document` that belong into `bucket`, or `None` if there are none.
pub(crate) fn encode_bucket(document: &Document, spread: Spread, bucket: Bucket) -> Option<Vec<u8>> {
    let mut bytes = vec![VERSION];
    for (path, cell) in document.cells().filter(|(path, _)| spread.bucket(path) == bucket) {
        push_cell(&mut bytes, path, cell);
    }
    (bytes.len() > 1).then_some(bytes)
}

/// The cells of a bucket, or `None` if it is damaged.
pub(crate) fn decode_bucket(bytes: &[u8]) -> Option<Vec<(Path, Cell)>> {
    let mut reader = Reader::new(bytes)?;
    let mut cells = Vec::new();
    while !reader.0.is_empty() {
        cells.push(reader.cell()?);
    }
    Some(cells)
}

fn push_cell(bytes: &mut Vec<u8>, path: &Path, cell: &Cell) {
    // Paths have at most `PATH_BYTES_LIMIT` bytes, bodies less than a section: both fit their length fields.
    bytes.extend_from_slice(&(path.as_str().len() as u16).to_le_bytes());
    bytes.extend_from_slice(path.as_str().as_bytes());
    let (kind, stamp) = match cell {
        Cell::Live { stamp, value: CellValue::Leaf(_) } => (CELL_LEAF, stamp),
        Cell::Live { stamp, value: CellValue::Object } => (CELL_OBJECT, stamp),
        Cell::Removed { observed, .. } => (CELL_REMOVED, observed),
    };
    bytes.push(kind);
    push_stamp(bytes, *stamp);
    let mut body = Vec::new();
    match cell {
        Cell::Live { value, .. } => body.extend_from_slice(value.to_text().as_bytes()),
        Cell::Removed { by, .. } => push_stamp(&mut body, *by),
    }
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&body);
}

fn body_bytes(cell: &Cell) -> usize {
    match cell {
        Cell::Live { value, .. } => value.to_text().len(),
        Cell::Removed { .. } => 16,
    }
}

fn decode_cell(kind: u8, stamp: Stamp, body: &[u8]) -> Option<Cell> {
    match kind {
        CELL_LEAF => {
            let value = serde_json::from_slice(body).ok()?;
            Some(Cell::Live { stamp, value: CellValue::Leaf(value) })
        }
        CELL_OBJECT => body.is_empty().then_some(Cell::Live { stamp, value: CellValue::Object }),
        CELL_REMOVED => {
            let mut reader = Reader(body);
            let by = reader.stamp()?;
            reader.0.is_empty().then_some(Cell::Removed { observed: stamp, by })
        }
        _ => None,
    }
}

fn section_byte(section: Section) -> u8 {
    match section {
        Section::Desired => b'd',
        Section::Reported => b'r',
    }
}

fn push_stamp(bytes: &mut Vec<u8>, stamp: Stamp) {
    bytes.extend_from_slice(&stamp.time.0.to_le_bytes());
    bytes.extend_from_slice(&stamp.node.0.to_le_bytes());
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// `None`: another version.
    fn new(bytes: &'a [u8]) -> Option<Self> {
        bytes.strip_prefix(&[VERSION]).map(Self)
    }

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

    fn cell(&mut self) -> Option<(Path, Cell)> {
        let path_bytes = self.bytes(2)?.try_into().map(u16::from_le_bytes).ok()?;
        let path = Path::parse(std::str::from_utf8(self.bytes(usize::from(path_bytes))?).ok()?)?;
        let (kind, stamp) = (self.u8()?, self.stamp()?);
        let body_bytes = self.bytes(4)?.try_into().map(u32::from_le_bytes).ok()?;
        Some((path, decode_cell(kind, stamp, self.bytes(body_bytes as usize)?)?))
    }

    fn stamp(&mut self) -> Option<Stamp> {
        Some(Stamp { time: HybridTime(self.u64()?), node: NodeId(self.u64()?) })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::cell::tests::any_stamp;
    use crate::document::tests::any_document;

    /// Everything that is stored of a document, read back.
    fn stored(document: &Document, spread: Spread) -> Document {
        let mut found = Document::default();
        for bytes in spread.buckets().filter_map(|bucket| encode_bucket(document, spread, bucket)) {
            for (path, cell) in decode_bucket(&bytes).unwrap() {
                found.merge_cell(path, cell);
            }
        }
        found
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(document in any_document(), updated in any_stamp(), version: u64, exists: bool) {
            for spread in [1, 4, BUCKETS_MAX] {
                prop_assert_eq!(&stored(&document, Spread(spread)), &document);
            }
            let header = Header { exists, version, updated };
            prop_assert_eq!(decode_header(&encode_header(&header)), Some(header));
            let state = State { time: updated.time, twins: version };
            prop_assert_eq!(decode_state(&encode_state(&state)), Some(state));
        }

        #[test]
        fn keys_give_back_what_they_were_made_of(time: u64, bucket: u8) {
            let key = bucket_key("pump-7", Section::Reported, Bucket(bucket));
            let rest = key.strip_prefix(&cells_prefix("pump-7")[..]).unwrap();
            prop_assert_eq!(section_of_bucket(rest), Some(Section::Reported));
            let key = deleted_key(HybridTime(time), "pump-7");
            prop_assert_eq!(decode_deleted_key(&key), Some((HybridTime(time), "pump-7")));
            let key = header_key("pump-7");
            prop_assert_eq!(thing_of_header(&key), Some("pump-7"));
        }

        #[test]
        fn arbitrary_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..80), version: bool) {
            if version && !bytes.is_empty() { bytes[0] = VERSION; }
            let _ = (decode_bucket(&bytes), decode_header(&bytes), decode_state(&bytes));
            let _ = (section_of_bucket(&bytes), decode_deleted_key(&bytes), thing_of_header(&bytes).is_some());
        }
    }

    #[test]
    fn another_version_and_trailing_bytes_are_not_taken() {
        let mut bytes = encode_state(&State::default());
        bytes.push(0);
        assert_eq!(decode_state(&bytes), None);
        bytes.pop();
        bytes[0] = 2;
        assert_eq!(decode_state(&bytes), None);
    }

    #[test]
    fn a_section_gets_buckets_by_its_size_and_its_paths_use_them_all() {
        let stamp = Stamp { time: HybridTime(1), node: NodeId(1) };
        let mut document = Document::default();
        assert_eq!(Spread::of(&document), Spread(1));
        for index in 0..400 {
            document.write(Path::root_member(&format!("field-{index}")), CellValue::Leaf(index.into()), stamp);
        }
        let spread = Spread::of(&document);
        assert_eq!(spread, Spread(8));
        let buckets = spread.buckets().map(|bucket| encode_bucket(&document, spread, bucket));
        let sizes: Vec<usize> = buckets.map(|bytes| bytes.map_or(0, |bytes| bytes.len())).collect();
        assert!(sizes.iter().all(|bytes| (1..2 * BUCKET_BYTES).contains(bytes)), "{sizes:?}");
    }

    #[test]
    fn the_bucket_of_a_path_is_what_it_was_when_it_was_written() {
        let paths = ["/a", "/temperature", "/a/b~1c", "/"].map(|text| Path::parse(text).unwrap());
        let buckets: Vec<u8> = paths.iter().map(|path| Spread(BUCKETS_MAX).bucket(path).0).collect();
        assert_eq!(buckets, BUCKETS_OF_FORMAT_1);
        let distinct: BTreeSet<u8> = buckets.into_iter().collect();
        assert_eq!(distinct.len(), 4);
    }

    const BUCKETS_OF_FORMAT_1: [u8; 4] = [255, 19, 247, 82];
}
