//! A document: cells by path, and how to read JSON out of them.
//!
//! Merging documents is merging their cells, one path at a time. Cells of different paths can still disagree: one
//! node writes `/a` = 5 while another writes `/a/b` = 7. Which of them is seen is decided when the document is read, by
//! stamp, and nothing is lost in the cells. Invariant: what is seen depends on the cells alone, so nodes with equal
//! cells show equal documents.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Write;
use std::ops::Bound;

use serde_json::{Map, Value};

use crate::cell::{Cell, CellValue};
use crate::clock::Stamp;
use crate::path::{self, Path};

/// One section of a twin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document {
    cells: BTreeMap<Path, Cell>,
}

impl Document {
    /// The cells, in the order of their paths.
    pub fn cells(&self) -> impl Iterator<Item = (&Path, &Cell)> {
        self.cells.iter()
    }

    /// The cell at `path`.
    #[must_use]
    pub fn cell(&self, path: &Path) -> Option<&Cell> {
        self.cells.get(path)
    }

    /// Takes over all that `other` knows better. Returns the paths whose cells changed.
    pub fn merge(&mut self, other: &Document) -> Vec<Path> {
        let cells = other.cells.iter();
        let changed = cells.filter(|(path, theirs)| self.merge_cell((*path).clone(), (*theirs).clone()));
        changed.map(|(path, _)| path.clone()).collect()
    }

    /// Takes over a cell if it is better than what is known of its path. Returns whether anything changed.
    pub fn merge_cell(&mut self, path: Path, cell: Cell) -> bool {
        match self.cells.entry(path) {
            Entry::Occupied(mut ours) => ours.get_mut().merge(&cell),
            Entry::Vacant(entry) => {
                entry.insert(cell);
                true
            }
        }
    }

    /// Number of fields that have a value.
    #[must_use]
    pub fn live_count(&self) -> usize {
        self.cells.values().filter(|cell| cell.is_live()).count()
    }

    /// Number of removed fields that are remembered.
    #[must_use]
    pub fn tombstone_count(&self) -> usize {
        self.cells.len() - self.live_count()
    }

    /// The document as JSON, members in the order of their paths.
    #[must_use]
    pub fn to_json(&self) -> Map<String, Value> {
        let mut root = Map::new();
        for (path, _, value) in self.seen() {
            match value {
                CellValue::Leaf(value) => place(&mut root, path, value.clone()),
                CellValue::Object => place_object(&mut root, path),
            }
        }
        root
    }

    /// The document's shape with what `describe` makes of each field's stamp in the place of its value.
    #[must_use]
    pub fn metadata(&self, describe: &dyn Fn(Stamp) -> Value) -> Map<String, Value> {
        let mut root = Map::new();
        for (path, stamp, value) in self.seen() {
            match value {
                CellValue::Leaf(_) => place(&mut root, path, describe(stamp)),
                CellValue::Object => place_object(&mut root, path),
            }
        }
        root
    }

    /// Appends the document as JSON text, without building it in memory first. `write_leaf` appends what stands in the
    /// place of a field: its value, or something made of its stamp.
    pub fn write_json(&self, out: &mut String, write_leaf: &mut dyn FnMut(&mut String, Stamp, &Value)) {
        out.push('{');
        let mut open: Vec<&str> = Vec::new();
        let mut is_first = true;
        for (path, stamp, value) in self.seen() {
            let mut segments: Vec<&str> = path.as_str().split('/').skip(1).collect();
            let leaf = match value {
                CellValue::Leaf(value) => segments.pop().map(|key| (key, value)),
                CellValue::Object => None,
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
            if let Some((key, value)) = leaf {
                write_key(out, key, &mut is_first);
                write_leaf(out, stamp, value);
            }
        }
        open.iter().for_each(|_| out.push('}'));
        out.push('}');
    }

    /// Whether a field with a value lies strictly within `path`.
    #[must_use]
    pub fn has_live_within(&self, path: &Path) -> bool {
        self.within(path).any(|(_, cell)| cell.is_live())
    }

    /// Writes `value` at `path` and nothing else.
    pub fn write(&mut self, path: Path, value: CellValue, stamp: Stamp) {
        self.cells.insert(path, Cell::Live { stamp, value });
    }

    /// Removes the value at `path`, if there is one, and says whether there was.
    pub fn remove(&mut self, path: &Path, by: Stamp) -> bool {
        match self.cells.get_mut(path) {
            Some(cell @ Cell::Live { .. }) => {
                *cell = Cell::Removed { observed: cell.written_by(), by };
                true
            }
            _ => false,
        }
    }

    /// Removes all values strictly within `path`, or in the whole document if it is `None`, and gives their paths.
    pub fn remove_within(&mut self, path: Option<&Path>, by: Stamp) -> Vec<Path> {
        let paths: Vec<Path> = match path {
            Some(path) => self.within(path).filter(|(_, cell)| cell.is_live()).map(|(path, _)| path.clone()).collect(),
            None => self.cells.iter().filter(|(_, cell)| cell.is_live()).map(|(path, _)| path.clone()).collect(),
        };
        for path in &paths {
            self.remove(path, by);
        }
        paths
    }

    /// Removes the object-only or other value at `path` from memory altogether; what nobody remembers can come back.
    pub fn forget(&mut self, path: &Path) {
        self.cells.remove(path);
    }

    /// Paths of removed fields with the stamp of their removal.
    pub fn tombstones(&self) -> impl Iterator<Item = (&Path, Stamp)> {
        self.cells.iter().filter(|(_, cell)| !cell.is_live()).map(|(path, cell)| (path, cell.written_by()))
    }

    fn within<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = (&'a Path, &'a Cell)> {
        let after = (Bound::Excluded(path), Bound::Unbounded);
        self.cells.range::<Path, _>(after).take_while(move |(found, _)| found.is_within(path))
    }

    /// The values that a reader sees, in the order of their paths: all live ones, unless a leaf and something within
    /// it are both live.
    fn seen(&self) -> Vec<(&Path, Stamp, &CellValue)> {
        let live = self.cells.iter().filter_map(|(path, cell)| match cell {
            Cell::Live { stamp, value } => Some((path, *stamp, value)),
            Cell::Removed { .. } => None,
        });
        let live: Vec<_> = live.collect();
        if has_conflict(&live) { resolve(live) } else { live }
    }
}

/// Whether something is within a leaf. Paths are in order, so what is within a leaf comes directly after it.
fn has_conflict(live: &[(&Path, Stamp, &CellValue)]) -> bool {
    live.windows(2).any(|pair| matches!(pair[0].2, CellValue::Leaf(_)) && pair[1].0.is_within(pair[0].0))
}

/// Takes values from the latest to the earliest and leaves out those that do not fit to what was taken.
fn resolve<'a>(mut live: Vec<(&'a Path, Stamp, &'a CellValue)>) -> Vec<(&'a Path, Stamp, &'a CellValue)> {
    live.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    let mut taken: BTreeMap<&Path, (Stamp, &CellValue)> = BTreeMap::new();
    for (path, stamp, value) in live {
        let below_leaf = path.ancestors().any(|ancestor| matches!(taken.get(&ancestor), Some((_, CellValue::Leaf(_)))));
        let after = (Bound::Excluded(path), Bound::Unbounded);
        let above_something = matches!(value, CellValue::Leaf(_))
            && taken.range::<Path, _>(after).next().is_some_and(|(next, _)| next.is_within(path));
        if !below_leaf && !above_something {
            taken.insert(path, (stamp, value));
        }
    }
    taken.into_iter().map(|(path, (stamp, value))| (path, stamp, value)).collect()
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

fn place(root: &mut Map<String, Value>, path: &Path, value: Value) {
    let mut segments: Vec<String> = path.segments().collect();
    let Some(last) = segments.pop() else { return };
    let mut object = root;
    for segment in segments {
        let member = object.entry(segment).or_insert_with(|| Value::Object(Map::new()));
        // What is seen never has a value within a leaf.
        let Value::Object(inner) = member else { return };
        object = inner;
    }
    object.insert(last, value);
}

fn place_object(root: &mut Map<String, Value>, path: &Path) {
    // Its members come after it in path order, so it cannot have any yet.
    place(root, path, Value::Object(Map::new()));
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::cell::tests::any_cell;
    use crate::clock::{HybridTime, NodeId};

    pub(crate) fn any_document() -> impl Strategy<Value = Document> {
        let path = prop::sample::select(vec!["/a", "/a/b", "/a/b/c", "/a/d", "/a-b", "/e", "/e/f"]);
        proptest::collection::btree_map(path, any_cell(), 0..7).prop_map(|cells| Document {
            cells: cells.into_iter().map(|(path, cell)| (Path::parse(path).unwrap(), cell)).collect(),
        })
    }

    fn at(time: u64) -> Stamp {
        Stamp { time: HybridTime(time), node: NodeId(1) }
    }

    fn document(fields: &[(&str, u64, Value)]) -> Document {
        let mut document = Document::default();
        for (path, time, value) in fields {
            let value = if *value == json!({}) { CellValue::Object } else { CellValue::Leaf(value.clone()) };
            document.write(Path::parse(path).unwrap(), value, at(*time));
        }
        document
    }

    #[test]
    fn fields_are_read_as_nested_objects() {
        let document = document(&[("/a/b", 1, json!(1)), ("/a/c", 1, json!([1, {}])), ("/d", 2, json!({}))]);
        assert_eq!(Value::Object(document.to_json()), json!({"a": {"b": 1, "c": [1, {}]}, "d": {}}));
        let times = document.metadata(&|stamp| stamp.time.0.into());
        assert_eq!(Value::Object(times), json!({"a": {"b": 1, "c": 1}, "d": {}}));
    }

    #[test]
    fn member_names_are_escaped_in_the_text() {
        let document =
            document(&[("/a~1b/c~0\"\n", 1, json!("x\"")), ("/a~1b/d/e/f", 1, json!(1)), ("/z", 1, json!({}))]);
        let mut text = String::new();
        document.write_json(&mut text, &mut |out, _, value| out.push_str(&value.to_string()));
        assert_eq!(text, r#"{"a/b":{"c~\"\n":"x\"","d":{"e":{"f":1}}},"z":{}}"#);
    }

    #[test]
    fn of_a_leaf_and_a_field_within_it_the_later_one_is_seen() {
        let deeper_later = document(&[("/a", 1, json!(5)), ("/a/b", 2, json!(7)), ("/a/c", 0, json!(8))]);
        assert_eq!(Value::Object(deeper_later.to_json()), json!({"a": {"b": 7, "c": 8}}));
        let leaf_later = document(&[("/a", 3, json!(5)), ("/a/b", 2, json!(7)), ("/a/b/x", 1, json!(8))]);
        assert_eq!(Value::Object(leaf_later.to_json()), json!({"a": 5}));
    }

    #[test]
    fn a_removed_leaf_lets_what_was_hidden_be_seen_again() {
        let mut document = document(&[("/a", 3, json!(5)), ("/a/b", 2, json!(7))]);
        document.remove(&Path::parse("/a").unwrap(), at(4));
        assert_eq!(Value::Object(document.to_json()), json!({"a": {"b": 7}}));
        assert_eq!((document.live_count(), document.tombstone_count()), (1, 1));
    }

    #[test]
    fn a_field_added_elsewhere_survives_the_removal_of_the_object_around_it() {
        let mut here = document(&[("/a/b", 1, json!(1))]);
        let mut there = here.clone();
        here.remove_within(Some(&Path::parse("/a").unwrap()), at(10));
        there.write(Path::parse("/a/c").unwrap(), CellValue::Leaf(json!(2)), at(5));
        assert_eq!(here.merge(&there), [Path::parse("/a/c").unwrap()]);
        assert_eq!(Value::Object(here.to_json()), json!({"a": {"c": 2}}));
    }

    fn merged(mut a: Document, b: &Document) -> Document {
        a.merge(b);
        a
    }

    proptest! {
        #[test]
        fn merging_is_commutative_associative_and_idempotent(
            a in any_document(), b in any_document(), c in any_document(),
        ) {
            prop_assert_eq!(merged(a.clone(), &b), merged(b.clone(), &a));
            prop_assert_eq!(merged(merged(a.clone(), &b), &c), merged(a.clone(), &merged(b, &c)));
            prop_assert_eq!(merged(a.clone(), &a), a);
        }

        #[test]
        fn any_order_and_repetition_of_deliveries_ends_in_the_same_document(
            documents in proptest::collection::vec(any_document(), 1..5),
            order in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let mut straight = Document::default();
            for document in &documents { straight.merge(document); }
            let mut shuffled = Document::default();
            for index in order { shuffled.merge(&documents[index.index(documents.len())]); }
            for document in documents.iter().rev() { shuffled.merge(document); }
            prop_assert_eq!(straight.to_json(), shuffled.to_json());
            prop_assert_eq!(straight, shuffled);
        }

        #[test]
        fn the_text_says_what_the_values_say(document in any_document()) {
            let mut text = String::new();
            document.write_json(&mut text, &mut |out, _, value| out.push_str(&value.to_string()));
            prop_assert_eq!(text, Value::Object(document.to_json()).to_string());
            let mut text = String::new();
            document.write_json(&mut text, &mut |out, stamp, _| out.push_str(&stamp.time.0.to_string()));
            prop_assert_eq!(text, Value::Object(document.metadata(&|stamp| stamp.time.0.into())).to_string());
        }

        #[test]
        fn what_is_seen_has_the_shape_of_its_metadata(document in any_document()) {
            fn leaves(value: &Value) -> usize {
                match value {
                    Value::Object(map) => map.values().map(leaves).sum(),
                    _ => 1,
                }
            }
            let json = Value::Object(document.to_json());
            let metadata = Value::Object(document.metadata(&|_| Value::Null));
            prop_assert_eq!(leaves(&json), leaves(&metadata));
        }
    }
}
