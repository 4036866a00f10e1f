//! Counters and sets, which merge by what was done to them and not by what they became: `inc`, `add` and `remove`.
//!
//! In a document a counter is a number and a set an array of its elements in the order of their JSON texts. A counter that
//! stands at 0 is there; a set without elements is not. Merge patches see values only: one that writes a number or an array
//! puts a plain value in the place of the counter or set. Invariant: an operation never turns one kind of value into
//! another: it is refused where something else is.

use selvedge_twin_core::cell::Pen;
use selvedge_twin_core::document::Document;
use selvedge_twin_core::field::{Field, Shown};
use selvedge_twin_core::place::Part;
use serde_json::{Map, Number, Value};

use crate::config::Config;
use crate::message::Rejection;
use crate::path::Path;
use crate::twin::{Refusal, Section, SectionPatch, Twin, Update};

/// Most operations in a request.
pub const OPS_MAX: usize = 256;

/// Integers of doubles beyond this are not exact.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// One operation on one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    /// Where.
    pub path: Path,
    /// What.
    pub deed: OpDeed,
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpDeed {
    /// Count so much more, or less. A counter begins at 0.
    Count(i64),
    /// Put an element into a set. A set begins empty; without a kind it is of the kind that is there, or [`SetKind::AddWins`].
    Add(Element, Option<SetKind>),
    /// Take an element out of a set, or without one remove the counter or set.
    Remove(Option<Element>),
}

/// Who wins between an addition and a removal that did not know of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetKind {
    /// The addition.
    AddWins,
    /// The later one.
    Latest,
}

/// An element of a set as JSON text: a text, a number or a boolean. 1 and 1.0 are one element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element(Box<str>);

impl Element {
    /// From its value; none if it can be no element.
    #[must_use]
    pub fn of(value: &Value) -> Option<Self> {
        let text = match value {
            Value::Number(number) => canonical(number),
            Value::String(_) | Value::Bool(_) => value.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        Some(Self(text.into()))
    }

    fn part(&self, kind: SetKind) -> Part {
        match kind {
            SetKind::AddWins => Part::AddWins(self.0.clone()),
            SetKind::Latest => Part::Latest(self.0.clone()),
        }
    }
}

/// Numbers that are equal have one text.
fn canonical(number: &Number) -> String {
    match number.as_f64() {
        Some(double) if number.is_f64() && double.fract() == 0.0 && double.abs() < EXACT_MAX => {
            format!("{}", double as i64)
        }
        _ => number.to_string(),
    }
}

/// Applies an operation. Adds nothing to a field that is there as something else.
///
/// # Errors
/// If it does not fit to what is there; nothing has changed.
pub(crate) fn apply(
    document: &mut Document,
    section: Section,
    op: &Op,
    pen: &mut Pen,
    limits: &Config,
) -> Result<Vec<Path>, Refusal> {
    let path = &op.path;
    check_place(document, section, op, limits)?;
    let shown = document.field(path).and_then(Field::sight).map(|sight| sight.shown);
    let mismatch = |wanted: &'static str| {
        let found = match &shown {
            None => return None,
            Some(Shown::Set(_)) => "a set",
            Some(Shown::Count(_)) => "a counter",
            Some(Shown::Json(_)) => "a value",
            Some(Shown::Object) => "an object",
        };
        let place = format!("{}{path}", section.name());
        (found != wanted).then_some(Refusal::OtherKind { place, found, wanted })
    };
    match &op.deed {
        OpDeed::Count(0) => mismatch("a counter").map_or(Ok(Vec::new()), Err),
        OpDeed::Count(amount) => {
            mismatch("a counter").map_or(Ok(()), Err)?;
            let place = || format!("{}{path}", section.name());
            document.count(path, *amount, pen).map_err(|_| Refusal::CounterFull { place: place() })?;
            Ok(vec![path.clone()])
        }
        OpDeed::Add(element, kind) => {
            mismatch("a set").map_or(Ok(()), Err)?;
            let kind = kind.unwrap_or_else(|| kind_of_set(document, path));
            document.add(path, &element.part(kind), pen);
            Ok(vec![path.clone()])
        }
        OpDeed::Remove(Some(element)) => {
            mismatch("a set").map_or(Ok(()), Err)?;
            let parts = [element.part(SetKind::AddWins), element.part(SetKind::Latest)];
            let removed = parts.iter().filter(|part| document.remove_part(path, part, pen)).count() > 0;
            Ok(if removed { vec![path.clone()] } else { Vec::new() })
        }
        OpDeed::Remove(None) => {
            if matches!(shown, Some(Shown::Json(_) | Shown::Object)) {
                mismatch("a counter or a set").map_or(Ok(()), Err)?;
            }
            Ok(if document.remove(path, pen) { vec![path.clone()] } else { Vec::new() })
        }
    }
}

/// Whether a counter or set may be at the path of `op`: not within a value, not where an object has members.
fn check_place(document: &Document, section: Section, op: &Op, limits: &Config) -> Result<(), Refusal> {
    let (bytes, levels) = (op.path.as_str().len(), op.path.segments().count());
    // A set is an array, which is a level.
    let depth = levels + usize::from(matches!(op.deed, OpDeed::Add(..)));
    if depth > limits.depth_max {
        return Err(Refusal::TooDeep { section, depth, max: limits.depth_max });
    }
    if bytes > limits.path_bytes_max {
        return Err(Refusal::PathTooLong { section, bytes, max: limits.path_bytes_max });
    }
    let is_leaf =
        |path: &Path| document.field(path).and_then(Field::sight).is_some_and(|sight| sight.shown != Shown::Object);
    let wanted = "a counter or a set";
    if let Some(around) = op.path.ancestors().find(is_leaf) {
        return Err(Refusal::OtherKind {
            place: format!("{}{around}", section.name()),
            found: "a value",
            wanted: "an object",
        });
    }
    if document.has_live_within(&op.path) {
        return Err(Refusal::OtherKind { place: format!("{}{}", section.name(), op.path), found: "an object", wanted });
    }
    Ok(())
}

fn kind_of_set(document: &Document, path: &Path) -> SetKind {
    let mut cells = document.field(path).into_iter().flat_map(Field::cells);
    let is_latest = cells.any(|(part, cell)| matches!(part, Part::Latest(_)) && cell.is_live());
    if is_latest { SetKind::Latest } else { SetKind::AddWins }
}

/// What a request's members say that is to be done.
pub(crate) fn take_ops(root: &mut Map<String, Value>, expected_version: Option<u64>) -> Result<Update, Rejection> {
    let invalid = |message: String| Rejection::new(400, message);
    let ops = match root.shift_remove("ops") {
        Some(Value::Array(ops)) if !ops.is_empty() && ops.len() <= OPS_MAX => ops,
        _ => return Err(invalid(format!("the member \"ops\" is not an array of 1 to {OPS_MAX} operations"))),
    };
    let read = |(at, op): (usize, Value)| read_op(op).map_err(|why| invalid(format!("operation {}: {why}", at + 1)));
    let patches = ops.into_iter().enumerate().map(read).collect::<Result<_, _>>()?;
    Ok(Update { patches, expected_version })
}

fn read_op(op: Value) -> Result<(Section, SectionPatch), String> {
    let Value::Object(mut members) = op else { return Err("is not an object".to_owned()) };
    let mut text = |name: &str| match members.shift_remove(name) {
        Some(Value::String(text)) => Ok(Some(text)),
        None => Ok(None),
        Some(_) => Err(format!("{name} is not a string")),
    };
    let (op, section, path, kind) = (text("op")?, text("section")?, text("path")?, text("kind")?);
    let section = match section.as_deref() {
        None | Some("reported") => Section::Reported,
        Some("desired") => Section::Desired,
        Some(_) => return Err("section is neither \"desired\" nor \"reported\"".to_owned()),
    };
    let path = path.as_deref().and_then(Path::parse);
    let path = path.ok_or("path is not a JSON pointer such as \"/a/b\"")?;
    let kind = match kind.as_deref() {
        None => None,
        Some("add-wins") => Some(SetKind::AddWins),
        Some("latest") => Some(SetKind::Latest),
        Some(_) => return Err("kind is neither \"add-wins\" nor \"latest\"".to_owned()),
    };
    let by = members.shift_remove("by");
    let element = members.shift_remove("value").map(|value| {
        Element::of(&value).ok_or_else(|| "value is no text, number or boolean, as elements of sets are".to_owned())
    });
    let element = element.transpose()?;
    if let Some(name) = members.keys().next() {
        return Err(format!("has an unknown member {name:?}"));
    }
    let deed = match (op.as_deref(), by, element, kind) {
        (Some("inc"), by, None, None) => OpDeed::Count(match by {
            None => 1,
            Some(by) => by.as_i64().ok_or("by is not an integer of 64 bits")?,
        }),
        (Some("add"), None, Some(element), kind) => OpDeed::Add(element, kind),
        (Some("add"), None, None, _) => return Err("add needs a value".to_owned()),
        (Some("remove"), None, element, None) => OpDeed::Remove(element),
        (Some("inc" | "add" | "remove"), ..) => {
            return Err("inc has by, add value and kind, remove value, and no other of these".to_owned());
        }
        _ => return Err("op is none of \"inc\", \"add\" and \"remove\"".to_owned()),
    };
    Ok((section, SectionPatch::Op(Op { path, deed })))
}

/// What readers see of the fields that operations were for: members by section, null where nothing is.
pub(crate) fn outcome(update: &Update, after: &Twin) -> Map<String, Value> {
    let mut state = Map::new();
    for (section, patch) in &update.patches {
        let SectionPatch::Op(op) = patch else { continue };
        let sight = after.section(*section).field(&op.path).and_then(Field::sight);
        let value = sight.map_or(Value::Null, |sight| sight.shown.to_value());
        set(&mut state, section.name(), &op.path, value);
    }
    state
}

fn set(state: &mut Map<String, Value>, section: &str, path: &Path, value: Value) {
    let names: Vec<String> = std::iter::once(section.to_owned()).chain(path.segments()).collect();
    let Some((last, around)) = names.split_last() else { return };
    let mut object = state;
    for name in around {
        let member = object.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
        if !member.is_object() {
            *member = Value::Object(Map::new());
        }
        let Value::Object(inner) = member else { return };
        object = inner;
    }
    object.insert(last.clone(), value);
}

#[cfg(test)]
mod tests;
