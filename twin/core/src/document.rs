//! A document: fields by path, and how to read JSON out of them.
//!
//! Merging documents is merging their cells, one at a time. Cells of different paths can still disagree: one node writes
//! `/a` = 5 while another writes `/a/b` = 7. Which of them is seen is decided when the document is read, by rank, and
//! nothing is lost in the cells. Invariant: what is seen depends on the cells alone, so nodes with equal cells show equal
//! documents.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Bound;

use serde_json::{Map, Value};

use crate::cell::{Cell, CountOverflow, Pen};
use crate::clock::Stamp;
use crate::dot::Origin;
use crate::event::{Body, Event};
use crate::field::{Field, Shown, Sight};
use crate::path::{self, Path};
use crate::place::Part;

/// One section of a twin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document {
    fields: BTreeMap<Path, Field>,
}

impl Document {
    /// The fields, in the order of their paths.
    pub fn fields(&self) -> impl Iterator<Item = (&Path, &Field)> {
        self.fields.iter()
    }

    /// The cells, in the order of their paths and parts.
    pub fn cells(&self) -> impl Iterator<Item = (&Path, &Part, &Cell)> {
        self.fields.iter().flat_map(|(path, field)| field.cells().map(move |(part, cell)| (path, part, cell)))
    }

    /// The field at `path`.
    #[must_use]
    pub fn field(&self, path: &Path) -> Option<&Field> {
        self.fields.get(path)
    }

    /// The cell of `part` at `path`.
    #[must_use]
    pub fn cell(&self, path: &Path, part: &Part) -> Option<&Cell> {
        self.fields.get(path)?.cell(part)
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Takes in what `other` knows. Returns the paths whose cells changed.
    pub fn join_all(&mut self, other: &Document) -> Vec<Path> {
        let mut changed = Vec::new();
        for (path, part, cell) in other.cells() {
            for event in cell.siblings() {
                if self.join(path, part, event.clone()) && changed.last() != Some(path) {
                    changed.push(path.clone());
                }
            }
        }
        changed
    }

    /// Takes an event in. Returns whether anything changed.
    pub fn join(&mut self, path: &Path, part: &Part, event: Event) -> bool {
        self.entry(path).cell_mut(part).join(event)
    }

    /// Number of fields that have a value.
    #[must_use]
    pub fn live_count(&self) -> usize {
        self.fields.values().filter(|field| field.is_live()).count()
    }

    /// The document as JSON, members in the order of their paths.
    #[must_use]
    pub fn to_json(&self) -> Map<String, Value> {
        let mut root = Map::new();
        for (path, sight) in self.seen() {
            place(&mut root, path, sight.shown.to_value());
        }
        root
    }

    /// The document's shape with what `describe` makes of each field's stamp in the place of its value.
    #[must_use]
    pub fn metadata(&self, describe: &dyn Fn(Stamp) -> Value) -> Map<String, Value> {
        let mut root = Map::new();
        for (path, sight) in self.seen() {
            let value = match sight.shown {
                Shown::Object => Value::Object(Map::new()),
                _ => describe(sight.stamp()),
            };
            place(&mut root, path, value);
        }
        root
    }

    /// Appends the document as JSON text, without building it in memory first. `write_leaf` appends what stands in the
    /// place of a field: its value, or something made of its stamp.
    pub fn write_json(&self, out: &mut String, write_leaf: &mut dyn FnMut(&mut String, Stamp, &Shown<'_>)) {
        out.push('{');
        let mut open: Vec<&str> = Vec::new();
        let mut is_first = true;
        for (path, sight) in self.seen() {
            let mut segments: Vec<&str> = path.as_str().split('/').skip(1).collect();
            let leaf = match &sight.shown {
                Shown::Object => None,
                shown => segments.pop().map(|key| (key, shown)),
            };
            // Paths are in order, so members of one object come one after the other.
            let common = open.iter().zip(&segments).take_while(|(a, b)| a == b).count();
            for _ in open.drain(common..) {
                out.push('}');
                is_first = false;
            }
            for segment in segments.drain(common..) {
                write_key(out, segment, &mut is_first);
                out.push('{');
                open.push(segment);
                is_first = true;
            }
            if let Some((key, shown)) = leaf {
                write_key(out, key, &mut is_first);
                write_leaf(out, sight.stamp(), shown);
            }
        }
        open.iter().for_each(|_| out.push('}'));
        out.push('}');
    }

    /// The document as JSON text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        self.write_json(&mut text, &mut |out, _, shown| match shown {
            Shown::Json(json) => out.push_str(json),
            shown => out.push_str(&shown.to_text()),
        });
        text
    }

    /// Whether a field with a value lies strictly within `path`.
    #[must_use]
    pub fn has_live_within(&self, path: &Path) -> bool {
        self.within(path).any(|(_, field)| field.is_live())
    }

    /// Writes one value at `path` and nothing else: a set or a counter that was there is removed.
    pub fn write(&mut self, path: &Path, body: Body, pen: &mut Pen) {
        let field = self.entry(path);
        for (part, cell) in field.cells_mut() {
            if *part != Part::Register {
                cell.remove(pen);
            }
        }
        field.cell_mut(&Part::Register).write(body, pen);
    }

    /// Adds `element` (JSON text) to the set of `part`'s kind at `path`; any other value there is removed.
    pub fn add(&mut self, path: &Path, part: &Part, pen: &mut Pen) {
        self.remove_other_kinds(path, part, pen);
        self.entry(path).cell_mut(part).write(Body::Present, pen);
    }

    /// Adds `amount` to the counter at `path`; any other value there is removed.
    ///
    /// # Errors
    /// If 64 bits do not hold the sum of what this origin counted; nothing has changed.
    pub fn count(&mut self, path: &Path, amount: i64, pen: &mut Pen) -> Result<(), CountOverflow> {
        let part = Part::Share(pen.origin);
        let mut share = self.cell(path, &part).cloned().unwrap_or_default();
        share.count(amount, pen)?;
        self.remove_other_kinds(path, &part, pen);
        *self.entry(path).cell_mut(&part) = share;
        Ok(())
    }

    /// Removes the value of one part at `path`, if there is one, and says whether there was.
    pub fn remove_part(&mut self, path: &Path, part: &Part, pen: &mut Pen) -> bool {
        self.cell(path, part).is_some_and(Cell::is_live) && self.entry(path).cell_mut(part).remove(pen)
    }

    /// Removes whatever has a value at `path`, and says whether something had.
    pub fn remove(&mut self, path: &Path, pen: &mut Pen) -> bool {
        let Some(field) = self.fields.get_mut(path) else { return false };
        field.cells_mut().fold(false, |removed, (_, cell)| cell.remove(pen) || removed)
    }

    /// Removes all values strictly within `path`, or in the whole document if it is `None`, and gives their paths.
    pub fn remove_within(&mut self, path: Option<&Path>, pen: &mut Pen) -> Vec<Path> {
        let has_value = |field: &Field| field.cells().any(|(_, cell)| cell.is_live());
        let paths: Vec<Path> = match path {
            Some(path) => {
                self.within(path).filter(|(_, field)| has_value(field)).map(|(path, _)| path.clone()).collect()
            }
            None => self.fields.iter().filter(|(_, field)| has_value(field)).map(|(path, _)| path.clone()).collect(),
        };
        for path in &paths {
            self.remove(path, pen);
        }
        paths
    }

    /// Removes the events that `is_dead` names from the cell of `part` at `path`. Returns whether there were any.
    pub fn drop_events(&mut self, path: &Path, part: &Part, is_dead: impl FnMut(&Event) -> bool) -> bool {
        let Some(field) = self.fields.get_mut(path) else { return false };
        if field.cell(part).is_none() {
            return false;
        }
        let dropped = field.cell_mut(part).drop_events(is_dead);
        if !field.tidy() {
            self.fields.remove(path);
        }
        dropped
    }

    /// Removals that hide nothing any more, with where they are.
    pub fn tombstones(&self) -> impl Iterator<Item = (&Path, &Part, &Event)> {
        self.cells().flat_map(|(path, part, cell)| cell.tombstones(part).map(move |event| (path, part, event)))
    }

    /// The events at `path` that `origin` made with numbers from `first` on.
    pub fn events_at(&self, path: &Path, origin: Origin, first: u64) -> impl Iterator<Item = (&Part, &Event)> {
        let cells = self.fields.get(path).into_iter().flat_map(Field::cells);
        cells
            .flat_map(|(part, cell)| cell.siblings().iter().map(move |event| (part, event)))
            .filter(move |(_, event)| event.dot.origin == origin && event.dot.seq >= first)
    }

    /// Gives the events at `path` that were numbered for the time being, from `first` on, numbers of `to`.
    pub fn renumber(&mut self, path: &Path, first: u64, to: Origin, next_seq: &mut u64) {
        for (_, cell) in self.fields.get_mut(path).into_iter().flat_map(Field::cells_mut) {
            cell.renumber(first, to, next_seq);
        }
    }

    /// The values that a reader sees, in the order of their paths: all that have one, unless a leaf and something within
    /// it both have.
    #[must_use]
    pub fn seen(&self) -> Vec<(&Path, Sight<'_>)> {
        let live = self.fields.iter().filter_map(|(path, field)| Some((path, field.sight()?)));
        let live: Vec<_> = live.collect();
        if has_conflict(&live) { resolve(live) } else { live }
    }

    fn entry(&mut self, path: &Path) -> &mut Field {
        // Most writes are to fields that exist: those cost no copy of the path.
        if !self.fields.contains_key(path) {
            self.fields.insert(path.clone(), Field::default());
        }
        self.fields.entry(path.clone()).or_default()
    }

    /// Removes at `path` what is of another kind than `part`.
    fn remove_other_kinds(&mut self, path: &Path, part: &Part, pen: &mut Pen) {
        let kind = std::mem::discriminant(part);
        let Some(field) = self.fields.get_mut(path) else { return };
        for (other, cell) in field.cells_mut() {
            if std::mem::discriminant(other) != kind {
                cell.remove(pen);
            }
        }
    }

    fn within<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = (&'a Path, &'a Field)> {
        let after = (Bound::Excluded(path), Bound::Unbounded);
        self.fields.range::<Path, _>(after).take_while(move |(found, _)| found.is_within(path))
    }
}

/// Whether something is within a leaf. Paths are in order, so what is within a leaf comes directly after it.
fn has_conflict(live: &[(&Path, Sight<'_>)]) -> bool {
    let leaf_around = |pair: &[(&Path, Sight<'_>)]| match pair {
        [(outer, sight), (inner, _)] => sight.shown != Shown::Object && inner.is_within(outer),
        _ => false,
    };
    live.windows(2).any(leaf_around)
}

/// Takes values from the latest to the earliest and leaves out those that do not fit to what was taken.
fn resolve<'a>(mut live: Vec<(&'a Path, Sight<'a>)>) -> Vec<(&'a Path, Sight<'a>)> {
    live.sort_by(|a, b| b.1.rank.cmp(&a.1.rank).then_with(|| a.0.cmp(b.0)));
    let mut taken: BTreeMap<&Path, Sight<'a>> = BTreeMap::new();
    for (path, sight) in live {
        let is_leaf = |sight: &Sight<'_>| sight.shown != Shown::Object;
        let below_leaf = path.ancestors().any(|ancestor| taken.get(&ancestor).is_some_and(is_leaf));
        let after = (Bound::Excluded(path), Bound::Unbounded);
        let above_something =
            is_leaf(&sight) && taken.range::<Path, _>(after).next().is_some_and(|(next, _)| next.is_within(path));
        if !below_leaf && !above_something {
            taken.insert(path, sight);
        }
    }
    taken.into_iter().collect()
}

/// Appends a member name from a path segment, with what comes before and after it.
fn write_key(out: &mut String, segment: &str, is_first: &mut bool) {
    if !std::mem::take(is_first) {
        out.push(',');
    }
    // Writing to a string cannot fail.
    let _ = if segment.contains('~') {
        write!(out, "{}:", Value::String(path::unescape(segment)))
    } else {
        write!(out, "{}:", Value::String(segment.to_owned()))
    };
}

/// Puts a value where its path says. Paths come in order, parents before their members.
pub fn place(root: &mut Map<String, Value>, path: &Path, value: Value) {
    let mut segments: Vec<String> = path.segments().collect();
    let Some(last) = segments.pop() else { return };
    let mut object = root;
    for segment in segments {
        let member = object.entry(segment).or_insert_with(|| Value::Object(Map::new()));
        // What is seen never has a value within a leaf.
        let Value::Object(inner) = member else { return };
        object = inner;
    }
    // Members of an object come after it in path order, so it cannot have any yet.
    object.insert(last, value);
}

#[cfg(test)]
pub(crate) mod tests;
