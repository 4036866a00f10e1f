//! The twins' core: documents and events, without signatures and without the exchange. What automerge and yrs do, this
//! does; a delta is the written cells' keys and events.

use std::collections::BTreeMap;

use selvedge_twin_core::cell::Pen;
use selvedge_twin_core::clock::{BUILD_FLOOR_MS, Clock, HybridTime, NodeId};
use selvedge_twin_core::document::Document;
use selvedge_twin_core::dot::Origin;
use selvedge_twin_core::event::{Body, Event, PolicyVersion};
use selvedge_twin_core::path::Path;
use selvedge_twin_core::place::{Key, Part, Section};
use selvedge_twin_core::wire::{self, Reader};

use crate::contender::{Contender, Write};

pub const THING: &str = "pump-1";
/// What clocks of nodes may differ by, in milliseconds.
const AHEAD_MAX_MS: u64 = 300_000;

/// A document with what its events are made with.
pub struct Core {
    document: Document,
    origin: Origin,
    clock: Clock,
    next_seq: u64,
}

/// Names of nodes are random 64-bit numbers.
pub fn node(number: u8) -> NodeId {
    NodeId(u64::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

pub fn clock(node: NodeId) -> Clock {
    Clock::new(node, HybridTime::default(), BUILD_FLOOR_MS, AHEAD_MAX_MS)
}

/// A wall clock that stands: only the counter of the hybrid clock goes on.
pub fn wall_ms() -> u64 {
    BUILD_FLOOR_MS + 1
}

/// Writes and gives the keys and events that came of it, if they are `wanted`.
pub fn write(document: &mut Document, writes: &[Write<'_>], pen: &mut Pen, wanted: Wanted) -> Vec<(Key, Event)> {
    let mut events = Vec::new();
    for write in writes {
        let path = Path::root_member(write.name);
        let first = pen.next_seq;
        document.write(&path, Body::Json(write.value.to_string().into()), pen);
        if wanted == Wanted::Events {
            let made = document.events_at(&path, pen.origin, first);
            events.extend(made.map(|(part, event)| (key(&path, part), event.clone())));
        }
    }
    events
}

/// What is to be done with the events of a write.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Nothing,
    Events,
}

pub fn read(document: &Document) -> BTreeMap<String, i64> {
    let members = document.to_json().into_iter();
    members.map(|(name, value)| (name, value.as_i64().expect("an integer"))).collect()
}

/// All cells with their events, each with a `signature`.
pub fn save(document: &Document, signature: &[u8]) -> Vec<u8> {
    let mut saved = Vec::new();
    for (path, part, cell) in document.cells() {
        for event in cell.siblings() {
            wire::put_cell_key(&mut saved, &key(path, part));
            wire::put_event(&mut saved, event);
            saved.extend_from_slice(signature);
        }
    }
    saved
}

fn key(path: &Path, part: &Part) -> Key {
    Key { thing: THING.into(), section: Section::Reported, path: path.clone(), part: part.clone() }
}

impl Core {
    fn pen(&mut self) -> Pen {
        let time = self.clock.tick(wall_ms()).time;
        Pen { origin: self.origin, next_seq: self.next_seq, time, policy: PolicyVersion(1) }
    }
}

impl Contender for Core {
    const NAME: &'static str = "twins, unsigned";

    fn new(number: u8) -> Self {
        let node = node(number);
        Self { document: Document::default(), origin: Origin::first(node), clock: clock(node), next_seq: 1 }
    }

    fn write(&mut self, writes: &[Write<'_>]) {
        let mut pen = self.pen();
        write(&mut self.document, writes, &mut pen, Wanted::Nothing);
        self.next_seq = pen.next_seq;
    }

    fn write_and_tell(&mut self, writes: &[Write<'_>]) -> Vec<Vec<u8>> {
        let mut pen = self.pen();
        let events = write(&mut self.document, writes, &mut pen, Wanted::Events);
        self.next_seq = pen.next_seq;
        let mut delta = Vec::new();
        for (key, event) in &events {
            wire::put_cell_key(&mut delta, key);
            wire::put_event(&mut delta, event);
        }
        vec![delta]
    }

    fn merge(&mut self, message: &[u8]) {
        let mut reader = Reader::new(message);
        while !reader.is_at_end() {
            let key = reader.cell_key().expect("a key");
            let event = reader.event(&key.part).expect("an event");
            self.clock.observe(event.stamp(), wall_ms()).expect("a clock of a working node");
            self.document.join(&key.path, &key.part, event);
        }
    }

    fn save(&mut self) -> Vec<u8> {
        save(&self.document, &[])
    }

    fn read(&self) -> BTreeMap<String, i64> {
        read(&self.document)
    }
}
