//! Why a field has the value that it has: who wrote it and when, and what else was written that it won over.

use std::collections::BTreeMap;

use selvedge_twin_core::document::Document;
use selvedge_twin_core::event::{Body, Event};
use selvedge_twin_core::place::Part;
use serde::Serialize;

use crate::clock::Stamp;
use crate::repository::{TwinError, Twins};
use crate::thing;

/// One field and all that is known of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldOrigin {
    /// A JSON pointer within the section.
    pub path: String,
    /// What readers see; none if it was removed, or another field is seen in its place.
    pub shown: Option<serde_json::Value>,
    /// Which write decided; none if nothing is seen.
    pub decided: Option<Stamp>,
    /// All that stands side by side because nobody who wrote had seen the other, the latest first. The first with a value
    /// is what is seen, if anything of the field is.
    pub claims: Vec<Claim>,
}

/// Something that was done to a field.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Claim {
    /// When and where.
    pub stamp: Stamp,
    /// The event's name: `<node>/<incarnation>#<number>`.
    pub event: String,
    /// What was done: `write`, `object`, `add`, `count` or `remove`.
    pub deed: &'static str,
    /// The value that was written, the element that was added or removed, what was counted.
    pub value: Option<serde_json::Value>,
}

/// All fields of a twin.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TwinOrigin {
    /// The thing's name.
    pub thing: String,
    /// Of `desired`.
    pub desired: Vec<FieldOrigin>,
    /// Of `reported`.
    pub reported: Vec<FieldOrigin>,
    /// The version that this is about.
    pub version: u64,
}

impl Twins {
    /// Why the fields of `thing` are as they are, removed ones too; `None` if the twin does not exist. May show a change
    /// some milliseconds before it is durable.
    ///
    /// # Errors
    /// There can be no such thing, or the store could not be read.
    pub fn explain(&self, thing: &str) -> Result<Option<TwinOrigin>, TwinError> {
        thing::check(thing)?;
        let twin = self.inner.load(&mut self.inner.shelf.lock(), thing)?;
        let origin = || TwinOrigin {
            thing: thing.to_owned(),
            desired: explain(&twin.desired),
            reported: explain(&twin.reported),
            version: twin.version,
        };
        Ok(twin.exists.then(origin))
    }
}

/// All fields of a document, in the order of their paths.
#[must_use]
pub fn explain(document: &Document) -> Vec<FieldOrigin> {
    let seen: BTreeMap<_, _> = document.seen().into_iter().collect();
    let fields = document.fields().map(|(path, field)| {
        let sight = seen.get(path);
        let mut events: Vec<(&Part, &Event)> =
            field.cells().flat_map(|(part, cell)| cell.siblings().iter().map(move |event| (part, event))).collect();
        events.sort_by_key(|(_, event)| std::cmp::Reverse(event.rank()));
        FieldOrigin {
            path: path.to_string(),
            shown: sight.map(|sight| sight.shown.to_value()),
            decided: sight.map(|sight| sight.stamp()),
            claims: events.into_iter().map(|(part, event)| claim(part, event)).collect(),
        }
    });
    fields.collect()
}

fn claim(part: &Part, event: &Event) -> Claim {
    let element = match part {
        Part::Latest(element) | Part::AddWins(element) => serde_json::from_str(element).ok(),
        Part::Register | Part::Share(_) => None,
    };
    let (deed, value) = match &event.body {
        Body::Json(text) => ("write", serde_json::from_str(text).ok()),
        Body::Object => ("object", None),
        Body::Present => ("add", element),
        Body::Count { total, base } => ("count", Some(total.saturating_sub(base.total).into())),
        Body::Removed { .. } => ("remove", element),
    };
    Claim { stamp: event.stamp(), event: event.dot.to_string(), deed, value }
}

#[cfg(test)]
mod tests {
    use selvedge_twin_core::cell::Pen;
    use selvedge_twin_core::clock::{HybridTime, NodeId};
    use selvedge_twin_core::dot::Origin;
    use selvedge_twin_core::event::PolicyVersion;
    use selvedge_twin_core::path::Path;
    use serde_json::json;

    use super::*;

    fn pen(node: u64, time: u64) -> Pen {
        let (time, policy) = (HybridTime(time), PolicyVersion(0));
        Pen { origin: Origin::first(NodeId(node)), next_seq: time.0, time, policy }
    }

    #[test]
    fn the_winner_comes_first_and_the_losers_are_named_with_who_wrote_them_and_when() {
        let path = Path::root_member("a");
        let (mut here, mut there) = (Document::default(), Document::default());
        here.write(&path, Body::Json("1".into()), &mut pen(1, 5));
        there.write(&path, Body::Json("2".into()), &mut pen(2, 9));
        here.join_all(&there);
        let [field] = &explain(&here)[..] else { panic!("one field") };
        assert_eq!((field.shown.clone(), field.decided.map(|stamp| stamp.node)), (Some(json!(2)), Some(NodeId(2))));
        let claims: Vec<_> = field.claims.iter().map(|claim| (claim.value.clone(), claim.stamp.node.0)).collect();
        assert_eq!(claims, [(Some(json!(2)), 2), (Some(json!(1)), 1)]);

        here.remove(&path, &mut pen(1, 10));
        let [field] = &explain(&here)[..] else { panic!("one field") };
        assert_eq!((field.shown.clone(), field.claims.len(), field.claims[0].deed), (None, 1, "remove"));
    }
}
