//! JSON merge patch (RFC 7396) on documents of cells: null removes, objects are merged, everything else replaces.
//!
//! Every field in the patch is written anew, also one that keeps its value: to say it again is to
//! write it again, and wins over a write made elsewhere in between. Invariant: for a document that a reader sees
//! without conflicts, reading it after the patch gives what RFC 7396 gives for the JSON before.

use std::collections::BTreeSet;

use selvedge_twin_core::cell::Pen;
use selvedge_twin_core::event::Body;
use selvedge_twin_core::field::{Field, Shown};
use serde_json::{Map, Value};

use crate::document::Document;
use crate::path::Path;

/// Applies `patch` to `document` with `pen`, whose time must be greater than every time in it. Adds the paths of all
/// fields that changed to `touched`.
pub fn apply(document: &mut Document, patch: &Map<String, Value>, pen: &mut Pen, touched: &mut BTreeSet<Path>) {
    let mut application = Application { document, pen, touched };
    for (key, value) in patch {
        application.member(Path::root_member(key), value);
    }
}

/// Removes every field of `document`: a patch of null for the whole section.
pub fn clear(document: &mut Document, pen: &mut Pen, touched: &mut BTreeSet<Path>) {
    touched.extend(document.remove_within(None, pen));
}

struct Application<'a> {
    document: &'a mut Document,
    pen: &'a mut Pen,
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
                self.write(path, Body::Json(value.to_string().into()));
            }
        }
    }

    fn object(&mut self, path: Path, members: &Map<String, Value>) {
        let sight = self.document.field(&path).and_then(Field::sight);
        if sight.is_some_and(|sight| sight.shown != Shown::Object) {
            self.remove(path.clone());
        }
        for (key, value) in members {
            self.member(path.child(key), value);
        }
        let exists = self.document.field(&path).is_some_and(Field::is_live);
        if !exists && !self.document.has_live_within(&path) {
            self.write(path, Body::Object);
        }
    }

    fn write(&mut self, path: Path, body: Body) {
        self.document.write(&path, body, self.pen);
        self.touched.insert(path);
    }

    fn remove(&mut self, path: Path) {
        if self.document.remove(&path, self.pen) {
            self.touched.insert(path);
        }
    }

    fn remove_within(&mut self, path: &Path) {
        self.touched.extend(self.document.remove_within(Some(path), self.pen));
    }
}

#[cfg(test)]
pub(crate) mod tests;
