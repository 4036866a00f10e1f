//! A twin as one value: two documents, a version and whether it exists. What an update does to it, within the limits,
//! is decided here, with what it is written with as an argument.
//!
//! Invariant: a refused update leaves nothing behind, because changes are made to a copy; the version rises with every
//! change and goes on after a deletion.

use std::collections::BTreeSet;

use selvedge_twin_core::cell::Pen;
use selvedge_twin_core::event::Event;
pub use selvedge_twin_core::place::Section;
use selvedge_twin_core::vector::VersionVector;
use serde::Serialize;
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::clock::{HybridTime, NodeId, Stamp};
use crate::config::Config;
use crate::delta::delta;
use crate::document::Document;
use crate::json;
use crate::merge_patch;
use crate::ops::{self, Op};
use crate::path::Path;
use crate::sums::Sums;

/// What a request wants of a section.
#[derive(Debug, Clone, PartialEq)]
pub enum SectionPatch {
    /// Merge these members (RFC 7396).
    Merge(Map<String, Value>),
    /// Remove everything: the request had null.
    Clear,
    /// Count, or change a set.
    Op(Op),
}

/// A change of one or both sections.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Update {
    /// Applied in order. At most one a section, unless they are operations.
    pub patches: Vec<(Section, SectionPatch)>,
    /// The version that the twin must have; 0 also stands for a twin that does not exist.
    pub expected_version: Option<u64>,
}

impl Update {
    fn has_ops_for(&self, section: Section) -> bool {
        self.patches.iter().any(|(found, patch)| *found == section && matches!(patch, SectionPatch::Op(_)))
    }
}

/// Why an update is refused although it was understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The twin has another version than the request asked for.
    #[error("the version is {current}, not {expected}")]
    VersionConflict {
        /// What the request asked for.
        expected: u64,
        /// What the twin has.
        current: u64,
    },
    /// Objects and arrays lie too deep within each other.
    #[error("{} has {depth} levels, at most {max} are allowed", section.name())]
    TooDeep {
        /// In which section of the request.
        section: Section,
        /// Levels found, the section itself included.
        depth: usize,
        /// Levels allowed.
        max: usize,
    },
    /// The path of a field is too long.
    #[error("a path in {} has {bytes} bytes, at most {max} are allowed", section.name())]
    PathTooLong {
        /// In which section of the request.
        section: Section,
        /// Its length in bytes.
        bytes: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// The section would be too large.
    #[error("{} would have {bytes} bytes, at most {max} are allowed", section.name())]
    SectionTooLarge {
        /// Which section.
        section: Section,
        /// The size it would have in bytes.
        bytes: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// The twin would have too many fields.
    #[error("the twin would have {fields} fields and elements of sets, at most {max} are allowed")]
    TooManyFields {
        /// The number it would have.
        fields: usize,
        /// Fields allowed.
        max: usize,
    },
    /// The group's policy does not let this node write there.
    #[error("the policy of the group does not let this node write {} of {thing:?}", section.name())]
    NotAllowed {
        /// Which section.
        section: Section,
        /// Of which thing.
        thing: String,
    },
    /// An operation is for another kind of value than there is.
    #[error("{place} is {found}, not {wanted}: remove it first")]
    OtherKind {
        /// Section and path.
        place: String,
        /// What is there.
        found: &'static str,
        /// What the operation is for.
        wanted: &'static str,
    },
    /// A counter would pass what 64 bits hold.
    #[error("{place} would pass what 64 bits hold")]
    CounterFull {
        /// Section and path.
        place: String,
    },
    /// There are as many twins as may be.
    #[error("there are {max} twins already, which is the limit")]
    TooManyTwins {
        /// Twins allowed.
        max: u64,
    },
}

/// The paths whose cells an update changed, by section, and what was forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    desired: BTreeSet<Path>,
    reported: BTreeSet<Path>,
    /// The removals that were forgotten, and what they had removed.
    pub floor: VersionVector,
}

impl Touched {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.desired.is_empty() && self.reported.is_empty()
    }

    /// The changed paths of a section.
    pub fn paths(&self, section: Section) -> impl Iterator<Item = &Path> {
        match section {
            Section::Desired => self.desired.iter(),
            Section::Reported => self.reported.iter(),
        }
    }

    /// Adds a path of a section.
    pub fn add(&mut self, section: Section, path: &Path) {
        if !self.section(section).contains(path) {
            self.section(section).insert(path.clone());
        }
    }

    /// Adds what `other` touched.
    pub fn extend(&mut self, other: Touched) {
        self.desired.extend(other.desired);
        self.reported.extend(other.reported);
        self.floor.join(&other.floor);
    }

    fn section(&mut self, section: Section) -> &mut BTreeSet<Path> {
        match section {
            Section::Desired => &mut self.desired,
            Section::Reported => &mut self.reported,
        }
    }
}

/// The state of one thing's twin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Twin {
    /// What is wanted.
    pub desired: Document,
    /// What is.
    pub reported: Document,
    /// Number of changes so far. Local to this node.
    pub version: u64,
    /// The latest change.
    pub updated: Stamp,
    /// False before the first update and after a deletion.
    pub exists: bool,
    /// Of its cells, as of when it was kept last.
    pub sums: Sums,
}

impl Default for Twin {
    fn default() -> Self {
        let updated = Stamp { time: HybridTime::default(), node: NodeId(0) };
        let (desired, reported) = (Document::default(), Document::default());
        Self { desired, reported, version: 0, updated, exists: false, sums: Sums::default() }
    }
}

impl Twin {
    /// One of its documents.
    #[must_use]
    pub fn section(&self, section: Section) -> &Document {
        match section {
            Section::Desired => &self.desired,
            Section::Reported => &self.reported,
        }
    }

    /// One of its documents, to change it.
    pub fn section_mut(&mut self, section: Section) -> &mut Document {
        match section {
            Section::Desired => &mut self.desired,
            Section::Reported => &mut self.reported,
        }
    }

    /// All that is known of it.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        let cells = Section::ALL.into_iter().flat_map(|section| self.section(section).cells());
        cells.flat_map(|(_, _, cell)| cell.siblings())
    }

    /// The twin after `update`, and what changed. Without a change the twin comes back as it is, version included.
    pub fn updated(&self, update: &Update, pen: &mut Pen, limits: &Config) -> Result<(Twin, Touched), Refusal> {
        self.check_version(update.expected_version)?;
        let mut twin = self.clone();
        let mut touched = Touched::default();
        for (section, patch) in &update.patches {
            let document = twin.section_mut(*section);
            match patch {
                SectionPatch::Merge(members) => {
                    check_patch(*section, members, limits)?;
                    merge_patch::apply(document, members, pen, touched.section(*section));
                    check_size(*section, document, limits)?;
                }
                SectionPatch::Clear => merge_patch::clear(document, pen, touched.section(*section)),
                SectionPatch::Op(op) => {
                    touched.section(*section).extend(ops::apply(document, *section, op, pen, limits)?);
                }
            }
        }
        for section in Section::ALL.into_iter().filter(|section| update.has_ops_for(*section)) {
            check_size(section, twin.section(section), limits)?;
        }
        let fields = Section::ALL.into_iter().map(|section| live_cells(twin.section(section))).sum();
        if fields > limits.fields_max {
            return Err(Refusal::TooManyFields { fields, max: limits.fields_max });
        }
        if !touched.is_empty() || !twin.exists {
            twin.exists = true;
            twin.changed(pen);
            twin.forget_tombstones(limits.tombstones_max, &mut touched);
        }
        Ok((twin, touched))
    }

    /// The twin after its deletion, and what changed.
    #[must_use]
    pub fn deleted(&self, pen: &mut Pen, limits: &Config) -> (Twin, Touched) {
        let mut twin = self.clone();
        let mut touched = Touched::default();
        for section in Section::ALL {
            merge_patch::clear(twin.section_mut(section), pen, touched.section(section));
        }
        twin.exists = false;
        twin.changed(pen);
        twin.forget_tombstones(limits.tombstones_max, &mut touched);
        (twin, touched)
    }

    /// Everything about the twin in readable form.
    #[must_use]
    pub fn view(&self, thing: &str) -> TwinView {
        let describe = |stamp: Stamp| json!({"timestamp": stamp.time.ms() / 1000, "stamp": stamp.to_string()});
        let desired = self.desired.to_json();
        let reported = self.reported.to_json();
        TwinView {
            thing: thing.to_owned(),
            delta: delta(&desired, &reported),
            desired,
            reported,
            metadata: Metadata {
                desired: self.desired.metadata(&describe),
                reported: self.reported.metadata(&describe),
            },
            version: self.version,
            updated_ms: self.updated.time.ms(),
        }
    }

    fn check_version(&self, expected: Option<u64>) -> Result<(), Refusal> {
        match expected {
            Some(0) if !self.exists => Ok(()),
            Some(expected) if expected != self.version => {
                Err(Refusal::VersionConflict { expected, current: self.version })
            }
            _ => Ok(()),
        }
    }

    fn changed(&mut self, pen: &Pen) {
        self.version = self.version.saturating_add(1);
        self.updated = Stamp { time: pen.time, node: pen.origin.node };
    }

    /// Drops the oldest removals beyond `keep_max`.
    fn forget_tombstones(&mut self, keep_max: usize, touched: &mut Touched) {
        let tombstones = Section::ALL.into_iter().flat_map(|section| {
            let found = self.section(section).tombstones();
            // Others wait until everybody has seen them.
            let found = found.filter(|(_, part, _)| !part.removal_hides());
            found.map(move |(path, part, event)| (event, section, path, part))
        });
        let mut oldest: Vec<_> = tombstones.collect();
        let surplus = oldest.len().saturating_sub(keep_max);
        if surplus == 0 {
            return;
        }
        oldest.sort_by_key(|(event, section, path, _)| (event.time, *section, *path, event.dot));
        let oldest: Vec<_> = oldest
            .into_iter()
            .take(surplus)
            .map(|(event, section, path, part)| (event.clone(), section, path.clone(), part.clone()))
            .collect();
        for (event, section, path, part) in oldest {
            self.section_mut(section).drop_events(&path, &part, |found| found.dot == event.dot);
            touched.floor.add(event.dot);
            touched.floor.join(&event.context);
            touched.section(section).insert(path);
        }
    }
}

/// A twin in readable form, for HTTP and the command line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TwinView {
    /// The thing's name.
    pub thing: String,
    /// What is wanted.
    pub desired: Map<String, Value>,
    /// What is.
    pub reported: Map<String, Value>,
    /// The fields of `desired` that differ from `reported`.
    pub delta: Map<String, Value>,
    /// For each field: `timestamp` in seconds since 1970 and `stamp` as `<milliseconds>.<counter>@<node>`.
    pub metadata: Metadata,
    /// Number of changes so far; an ETag.
    pub version: u64,
    /// When it changed last, in milliseconds since 1970 by the node's hybrid clock.
    pub updated_ms: u64,
}

/// Where the values of a view come from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metadata {
    /// Of `desired`.
    pub desired: Map<String, Value>,
    /// Of `reported`.
    pub reported: Map<String, Value>,
}

fn check_patch(section: Section, members: &Map<String, Value>, limits: &Config) -> Result<(), Refusal> {
    let depth = 1 + members.values().map(json::depth).max().unwrap_or(0);
    if depth > limits.depth_max {
        return Err(Refusal::TooDeep { section, depth, max: limits.depth_max });
    }
    let bytes = longest_path(members);
    if bytes > limits.path_bytes_max {
        return Err(Refusal::PathTooLong { section, bytes, max: limits.path_bytes_max });
    }
    Ok(())
}

fn longest_path(members: &Map<String, Value>) -> usize {
    let lengths = members.iter().map(|(key, value)| {
        let inner = if let Value::Object(members) = value { longest_path(members) } else { 0 };
        Path::root_member(key).as_str().len() + inner
    });
    lengths.max().unwrap_or(0)
}

/// Values and elements of sets, each of which takes a cell.
fn live_cells(document: &Document) -> usize {
    document.cells().filter(|(_, _, cell)| cell.is_live()).count()
}

fn check_size(section: Section, document: &Document, limits: &Config) -> Result<(), Refusal> {
    let bytes = document.to_text().len();
    if bytes > limits.section_bytes_max {
        return Err(Refusal::SectionTooLarge { section, bytes, max: limits.section_bytes_max });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
