//! What of twins lies in the store's space [`Space::Twin`], byte by byte.
//!
//! ```text
//! key                                value
//! 's'                                state ([`node`])
//! 'h' thing                          header:  2 exists:u8 version:u64le time:u64le node:u64le digest:u64le removals newest
//! 'c' thing 0 ('d'|'r') bucket:u8    bucket:  2 count origin... cell...
//! 'd' time:u64be thing               a deleted thing, no value: the order in which they are forgotten
//! 'g' 'p' 'q'                        the group, its policies, and events that are held ([`node`])
//! 'v' thing 0 revision:u64be         history: see `history::ring` and `history::record`
//!
//! cell  = path part count event...
//! event = origin:index seq time:u64le policy count (origin:index seq)... body (0 | 1 signature:64)
//! ```
//! The first byte of each value is its version. Thing names have no zero byte, so keys are unambiguous. Numbers, texts,
//! parts and bodies are written as between nodes ([`selvedge_twin_core::wire`]); an origin stands once in its bucket.
//!
//! State, headers and buckets of version 1 ([`format_1`]) are read too; what is written again is written in version 2.
//!
//! The cells of a section are spread over as many buckets as its size asks for, by a hash of their paths: one for a
//! small section, which keeps the number of keys and with it sled's memory low (about 500 bytes a key), and more for a large one, so that
//! a change of one field writes about 2 KiB and not the whole section. The number follows from the cells alone.
//! Reading takes every bucket there is and merges, so a bucket that was left behind does no harm.
//!
//! [`Space::Twin`]: selvedge_store::Space::Twin

mod format_1;
pub(crate) mod node;

use std::collections::BTreeMap;

use selvedge_twin_core::cell::Cell;
use selvedge_twin_core::dot::{Dot, Origin};
use selvedge_twin_core::event::{Body, Event, PolicyVersion};
use selvedge_twin_core::place::Part;
use selvedge_twin_core::vector::VersionVector;
use selvedge_twin_core::wire::{self, DecodeError, ORIGINS_MAX, Reader};

use crate::clock::{HybridTime, Stamp};
use crate::document::Document;
use crate::path::Path;
use crate::sums::Sums;
use crate::twin::{Section, Twin};

/// Longest path that a bucket can hold with room to spare, in bytes.
pub(crate) const PATH_BYTES_LIMIT: usize = 1024;

/// What a bucket should not be much larger than, in bytes.
const BUCKET_BYTES: usize = 2048;
/// Most buckets of a section.
const BUCKETS_MAX: usize = 256;
/// Bytes of a cell beside its path and body.
const CELL_OVERHEAD_BYTES: usize = 23;
/// Bytes of an event beside its body, beyond the first of a cell, and of an entry of its context.
const EVENT_BYTES: usize = 20;
const CONTEXT_BYTES: usize = 4;
const SIGNATURE_BYTES: usize = 64;

/// What all header keys begin with.
pub(crate) const HEADER_PREFIX: &[u8] = b"h";
/// What all keys of deleted things begin with.
pub(crate) const DELETED_PREFIX: &[u8] = b"d";

/// What the keys of all cells begin with.
pub(crate) const CELLS_PREFIX: &[u8] = b"c";

const HEADER_VERSION_1: u8 = 1;
const VERSION: u8 = 2;

/// One of the records that the cells of a section are spread over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bucket(u8);

/// How many buckets a section has: a power of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spread(usize);

impl Spread {
    pub(crate) fn of(document: &Document) -> Self {
        // As in format 1 for what that could hold, so that what was spread then is found where it is.
        let sizes = document
            .cells()
            .map(|(path, part, cell)| CELL_OVERHEAD_BYTES + path.as_str().len() + part_bytes(part) + cell_bytes(cell));
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

/// A twin without its documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) exists: bool,
    pub(crate) version: u64,
    pub(crate) updated: Stamp,
    /// `None` in version 1.
    pub(crate) sums: Option<Sums>,
}

impl Header {
    pub(crate) fn of(twin: &Twin) -> Self {
        let sums = Some(twin.sums.clone());
        Self { exists: twin.exists, version: twin.version, updated: twin.updated, sums }
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
    [CELLS_PREFIX, thing.as_bytes(), &[0]].concat()
}

pub(crate) fn bucket_key(thing: &str, section: Section, bucket: Bucket) -> Vec<u8> {
    let mut key = cells_prefix(thing);
    key.extend_from_slice(&[section_byte(section), bucket.0]);
    key
}

/// The thing in a bucket's key.
pub(crate) fn thing_of_bucket(key: &[u8]) -> Option<&str> {
    let (name, [0, _, _]) = key.strip_prefix(CELLS_PREFIX)?.split_last_chunk()? else { return None };
    std::str::from_utf8(name).ok()
}

/// The section from the part of a bucket's key after [`cells_prefix`].
pub(crate) fn section_of_bucket(rest: &[u8]) -> Option<Section> {
    let [section, _] = rest else { return None };
    Section::ALL.into_iter().find(|candidate| section_byte(*candidate) == *section)
}

pub(crate) fn encode_header(header: &Header) -> Vec<u8> {
    let sums = header.sums.clone().unwrap_or_default();
    let mut bytes = vec![VERSION, u8::from(header.exists)];
    bytes.extend_from_slice(&header.version.to_le_bytes());
    bytes.extend_from_slice(&header.updated.time.0.to_le_bytes());
    bytes.extend_from_slice(&header.updated.node.0.to_le_bytes());
    bytes.extend_from_slice(&sums.digest.to_le_bytes());
    wire::put_number(&mut bytes, sums.removals);
    wire::put_vector(&mut bytes, &sums.newest);
    bytes
}

pub(crate) fn decode_header(bytes: &[u8]) -> Option<Header> {
    let (version, rest) = bytes.split_first()?;
    matches!(*version, HEADER_VERSION_1 | VERSION).then(|| read_header(Reader::of_own(rest), *version).ok())?.flatten()
}

/// The cells of `document` that belong into `bucket`, or `None` if there are none.
pub(crate) fn encode_bucket(document: &Document, spread: Spread, bucket: Bucket) -> Option<Vec<u8>> {
    let mut origins = Origins::default();
    let mut cells = Vec::new();
    for (path, part, cell) in document.cells().filter(|(path, ..)| spread.bucket(path) == bucket) {
        wire::put_bytes(&mut cells, path.as_str().as_bytes());
        wire::put_part(&mut cells, part);
        wire::put_number(&mut cells, cell.siblings().len() as u64);
        cell.siblings().iter().for_each(|event| put_event(&mut cells, event, &mut origins));
    }
    if cells.is_empty() {
        return None;
    }
    let mut bytes = vec![VERSION];
    wire::put_number(&mut bytes, origins.listed.len() as u64);
    origins.listed.iter().for_each(|origin| wire::put_origin(&mut bytes, *origin));
    bytes.extend_from_slice(&cells);
    Some(bytes)
}

/// The events of a bucket with where they are, or `None` if it is damaged.
pub(crate) fn decode_bucket(bytes: &[u8]) -> Option<Vec<(Path, Part, Event)>> {
    let (version, rest) = bytes.split_first()?;
    match *version {
        format_1::VERSION => format_1::decode_bucket(rest),
        VERSION => read_bucket(Reader::of_own(rest)).ok(),
        _ => None,
    }
}

/// The origins of a bucket, each by its place in the list.
#[derive(Default)]
struct Origins {
    listed: Vec<Origin>,
    places: BTreeMap<Origin, u64>,
}

impl Origins {
    fn place(&mut self, origin: Origin) -> u64 {
        let Self { listed, places } = self;
        *places.entry(origin).or_insert_with(|| {
            listed.push(origin);
            listed.len() as u64 - 1
        })
    }
}

fn put_event(out: &mut Vec<u8>, event: &Event, origins: &mut Origins) {
    wire::put_number(out, origins.place(event.dot.origin));
    wire::put_number(out, event.dot.seq);
    wire::put_time(out, event.time);
    wire::put_number(out, event.policy.0.into());
    wire::put_number(out, event.context.len() as u64);
    for dot in event.context.dots() {
        wire::put_number(out, origins.place(dot.origin));
        wire::put_number(out, dot.seq);
    }
    wire::put_body(out, &event.body);
    match &event.signature {
        None => out.push(0),
        Some(signature) => {
            out.push(1);
            out.extend_from_slice(&signature[..]);
        }
    }
}

fn read_header(mut reader: Reader<'_>, version_of_record: u8) -> Result<Option<Header>, DecodeError> {
    let exists = match reader.byte()? {
        0 => false,
        1 => true,
        _ => return Ok(None),
    };
    let version = u64::from_le_bytes(reader.array()?);
    let updated = Stamp { time: reader.time()?, node: reader.node()? };
    let sums = if version_of_record == VERSION {
        let digest = u64::from_le_bytes(reader.array()?);
        Some(Sums { digest, removals: reader.number()?, newest: reader.vector()? })
    } else {
        None
    };
    reader.end()?;
    Ok(Some(Header { exists, version, updated, sums }))
}

fn read_bucket(mut reader: Reader<'_>) -> Result<Vec<(Path, Part, Event)>, DecodeError> {
    let mut origins = Vec::new();
    for _ in 0..reader.count(ORIGINS_MAX, "the list of origins")? {
        origins.push(reader.origin()?);
    }
    let mut events = Vec::new();
    while !reader.is_at_end() {
        let path = reader.text(PATH_BYTES_LIMIT, "a path")?;
        let path = Path::parse(path).ok_or(DecodeError::Malformed("a path"))?;
        let part = reader.part()?;
        for _ in 0..reader.count(ORIGINS_MAX, "the events of a cell")? {
            events.push((path.clone(), part.clone(), read_event(&mut reader, &origins)?));
        }
    }
    Ok(events)
}

fn read_event(reader: &mut Reader<'_>, origins: &[Origin]) -> Result<Event, DecodeError> {
    let dot = read_dot(reader, origins)?;
    let (time, policy) = (reader.time()?, PolicyVersion(reader.number_u32()?));
    let mut context = VersionVector::default();
    for _ in 0..reader.count(ORIGINS_MAX, "a context")? {
        context.add(read_dot(reader, origins)?);
    }
    let body = reader.body()?;
    let signature = match reader.byte()? {
        0 => None,
        1 => Some(Box::new(reader.array()?)),
        _ => return Err(DecodeError::Malformed("a signature")),
    };
    Ok(Event { dot, time, policy, context, body, signature })
}

fn read_dot(reader: &mut Reader<'_>, origins: &[Origin]) -> Result<Dot, DecodeError> {
    let place = usize::try_from(reader.number()?).map_err(|_| DecodeError::Malformed("an origin"))?;
    let origin = origins.get(place).ok_or(DecodeError::Malformed("an origin"))?;
    Ok(origin.dot(reader.number()?))
}

fn part_bytes(part: &Part) -> usize {
    match part {
        Part::Register => 0,
        Part::Latest(element) | Part::AddWins(element) => element.len() + 2,
        Part::Share(_) => 10,
    }
}

fn cell_bytes(cell: &Cell) -> usize {
    let bodies = cell.siblings().iter().map(|event| {
        let body = match &event.body {
            Body::Json(text) => text.len(),
            Body::Object | Body::Present => 0,
            Body::Count { .. } | Body::Removed { .. } => 16,
        };
        let signature = event.signature.as_ref().map_or(0, |_| SIGNATURE_BYTES);
        // Of what one node wrote, which is most, an entry is the node's own in format 1.
        let context = event.context.dots().filter(|dot| dot.origin.incarnation > 0).count() * CONTEXT_BYTES;
        body + signature + context
    });
    bodies.sum::<usize>() + cell.siblings().len().saturating_sub(1) * EVENT_BYTES
}

fn section_byte(section: Section) -> u8 {
    match section {
        Section::Desired => b'd',
        Section::Reported => b'r',
    }
}

#[cfg(test)]
mod tests;
