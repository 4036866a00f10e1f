//! Documents in memory: for tests, simulations and benches, and to say plainly what [`State`] means.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::cell::Cell;
use crate::digest::{self, BUCKETS, Digests};
use crate::document::Document;
use crate::event::Event;
use crate::place::{Key, Section};
use crate::sync::{Knowledge, State, Wanted};

/// The documents of all things, and what was saved last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    documents: BTreeMap<(Box<str>, Section), Document>,
    saved: Option<Knowledge>,
}

impl Memory {
    /// A document, if anything is known of it.
    #[must_use]
    pub fn document(&self, thing: &str, section: Section) -> Option<&Document> {
        self.documents.get(&(thing.into(), section))
    }

    /// A document, to change it.
    pub fn document_mut(&mut self, thing: &str, section: Section) -> &mut Document {
        self.documents.entry((thing.into(), section)).or_default()
    }

    /// What was saved last.
    #[must_use]
    pub fn saved(&self) -> Option<&Knowledge> {
        self.saved.as_ref()
    }

    /// All documents that show something, as JSON text.
    #[must_use]
    pub fn shown(&self) -> BTreeMap<(Box<str>, Section), String> {
        let shown = self.documents.iter().map(|(at, document)| (at.clone(), document.to_text()));
        shown.filter(|(_, text)| text != "{}").collect()
    }

    /// All cells with their keys.
    pub fn cells(&self) -> impl Iterator<Item = (Key, &Cell)> {
        self.documents.iter().flat_map(|((thing, section), document)| {
            let key = |path: &crate::path::Path, part: &crate::place::Part| Key {
                thing: thing.clone(),
                section: *section,
                path: path.clone(),
                part: part.clone(),
            };
            document.cells().map(move |(path, part, cell)| (key(path, part), cell))
        })
    }
}

impl Memory {
    fn is_wanted(&self, thing: &str, wanted: Wanted<'_>) -> bool {
        let documents = || Section::ALL.into_iter().filter_map(|section| self.document(thing, section));
        match wanted {
            Wanted::All => true,
            Wanted::Beyond(since) => documents()
                .flat_map(Document::cells)
                .flat_map(|(_, _, cell)| cell.siblings())
                .any(|event| !since.covers(event.dot)),
            Wanted::Removals => documents().any(|document| document.tombstones().next().is_some()),
            Wanted::Buckets(buckets) => digest::is_among(buckets, thing),
        }
    }
}

impl State for Memory {
    fn cell(&self, key: &Key) -> Cell {
        let document = self.document(&key.thing, key.section);
        document.and_then(|document| document.cell(&key.path, &key.part)).cloned().unwrap_or_default()
    }

    fn scan(&self, after: Option<&Key>, wanted: Wanted<'_>, visit: &mut dyn FnMut(Key, &Cell) -> ControlFlow<()>) {
        for (key, cell) in self.cells().filter(|(key, _)| after.is_none_or(|after| key > after)) {
            if self.is_wanted(&key.thing, wanted) && visit(key, cell).is_break() {
                return;
            }
        }
    }

    fn join(&mut self, key: &Key, event: Event) {
        self.document_mut(&key.thing, key.section).join(&key.path, &key.part, event);
    }

    fn drop_events(&mut self, key: &Key, is_dead: &mut dyn FnMut(&Event) -> bool) {
        self.document_mut(&key.thing, key.section).drop_events(&key.path, &key.part, is_dead);
    }

    fn digests(&self) -> Box<Digests> {
        let mut digests = Box::new([0_u64; BUCKETS]);
        for (key, cell) in self.cells() {
            if let Some(sum) = digests.get_mut(digest::bucket(&key.thing)) {
                for event in cell.siblings() {
                    *sum = sum.wrapping_add(digest::share(&key, event));
                }
            }
        }
        digests
    }

    fn save(&mut self, knowledge: &Knowledge) {
        self.saved = Some(knowledge.clone());
    }
}
