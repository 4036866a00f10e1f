//! JSON merge patch (RFC 7396) on documents of cells: null removes, objects are merged, everything else replaces.
//!
//! Every field in the patch is written with the patch's stamp, also one that keeps its value: to say it again is to
//! write it again, and wins over a write made elsewhere in between. Invariant: for a document that a reader sees
//! without conflicts, reading it after the patch gives what RFC 7396 gives for the JSON before.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::cell::{Cell, CellValue};
use crate::clock::Stamp;
use crate::document::Document;
use crate::path::Path;

/// Applies `patch` to `document` with `stamp`, which must be greater than every stamp in it. Adds the paths of all cells
/// that changed to `touched`.
pub fn apply(document: &mut Document, patch: &Map<String, Value>, stamp: Stamp, touched: &mut BTreeSet<Path>) {
    let mut application = Application { document, stamp, touched };
    for (key, value) in patch {
        application.member(Path::root_member(key), value);
    }
}

/// Removes every field of `document`: a patch of null for the whole section.
pub fn clear(document: &mut Document, stamp: Stamp, touched: &mut BTreeSet<Path>) {
    touched.extend(document.remove_within(None, stamp));
}

struct Application<'a> {
    document: &'a mut Document,
    stamp: Stamp,
    touched: &'a mut BTreeSet<Path>,
}

impl Application<'_> {
    /// Recursion is bounded by the depth of the patch, which the parser bounds.
    fn member(&mut self, path: Path, value: &Value) {
        match value {
            Value::Null => {
                self.remove_within(&path);
                self.remove(path);
            }
            Value::Object(members) => self.object(path, members),
            value => {
                self.remove_within(&path);
                self.write(path, CellValue::Leaf(value.clone()));
            }
        }
    }

    fn object(&mut self, path: Path, members: &Map<String, Value>) {
        if let Some(Cell::Live { value: CellValue::Leaf(_), .. }) = self.document.cell(&path) {
            self.remove(path.clone());
        }
        for (key, value) in members {
            self.member(path.child(key), value);
        }
        let exists = self.document.cell(&path).is_some_and(Cell::is_live);
        if !exists && !self.document.has_live_within(&path) {
            self.write(path, CellValue::Object);
        }
    }

    fn write(&mut self, path: Path, value: CellValue) {
        self.document.write(path.clone(), value, self.stamp);
        self.touched.insert(path);
    }

    fn remove(&mut self, path: Path) {
        if self.document.remove(&path, self.stamp) {
            self.touched.insert(path);
        }
    }

    fn remove_within(&mut self, path: &Path) {
        self.touched.extend(self.document.remove_within(Some(path), self.stamp));
    }
}

#[cfg(test)]
pub(crate) mod tests;
