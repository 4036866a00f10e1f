//! A place in a twin, and the merge patch (RFC 7396) that changes what is there. Pure.

use serde_json::{Map, Value};

use crate::http::answer::ApiError;

/// Objects within each other that a patch may make; twins have bounds of their own below this.
const DEPTH_MAX: usize = 64;

/// A section, and the names of members on the way down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    section: String,
    names: Vec<String>,
}

impl Place {
    /// From the segments of a request. What is only computed, the delta, cannot be changed.
    pub fn parse(section: &str, path: &str, changes: bool) -> Result<Self, ApiError> {
        let is_known =
            matches!(section, "desired" | "reported") || (!changes && matches!(section, "delta" | "metadata"));
        if !is_known {
            let allowed = if changes {
                "desired or reported"
            } else {
                "desired, reported, delta, metadata, events, explain or history"
            };
            return Err(ApiError::not_found(format!("{section:?} is no part of a twin: expected {allowed}")));
        }
        let names: Vec<String> = if path.is_empty() { Vec::new() } else { path.split('/').map(unescaped).collect() };
        if names.len() > DEPTH_MAX {
            return Err(ApiError::invalid(format!(
                "the path has {} names, at most {DEPTH_MAX} are allowed",
                names.len()
            )));
        }
        Ok(Self { section: section.to_owned(), names })
    }

    /// What is there.
    pub fn find<'a>(&self, twin: &'a Value) -> Option<&'a Value> {
        self.names.iter().try_fold(twin.get(&self.section)?, |value, name| value.as_object()?.get(name))
    }

    /// Nothing is there.
    pub fn not_there(&self, thing: &str) -> ApiError {
        ApiError::not_found(format!("the twin of {thing:?} has nothing at {}/{}", self.section, self.names.join("/")))
    }

    /// A patch of the whole twin that applies `patch` at this place.
    pub fn around(&self, patch: Value) -> Result<Map<String, Value>, ApiError> {
        if self.names.is_empty() && !(patch.is_object() || patch.is_null()) {
            return Err(ApiError::invalid(format!(
                "{} is an object; put a single value at a path in it",
                self.section
            )));
        }
        let whole =
            self.names.iter().rev().fold(patch, |inner, name| Value::Object(Map::from_iter([(name.clone(), inner)])));
        Ok(Map::from_iter([(self.section.clone(), whole)]))
    }
}

/// A reference token (RFC 6901, 4).
fn unescaped(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}

/// The merge patch that makes `wanted` of `current`, and leaves nothing else.
pub fn replacement(current: Option<&Value>, wanted: &Value) -> Result<Value, ApiError> {
    replacement_within(current, wanted, 0)
}

fn replacement_within(current: Option<&Value>, wanted: &Value, depth: usize) -> Result<Value, ApiError> {
    if depth > DEPTH_MAX {
        return Err(ApiError::invalid(format!("the body has more than {DEPTH_MAX} objects within each other")));
    }
    let members = match wanted {
        Value::Null => return Err(ApiError::invalid("null is no value of a twin; DELETE removes what is there")),
        Value::Object(members) => members,
        single => return Ok(single.clone()),
    };
    let before = current.and_then(Value::as_object);
    let mut patch = Map::new();
    for name in before.into_iter().flat_map(Map::keys).filter(|name| !members.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    for (name, wanted) in members {
        let current = before.and_then(|members| members.get(name));
        patch.insert(name.clone(), replacement_within(current, wanted, depth + 1)?);
    }
    Ok(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_place_is_found_by_its_names_with_slashes_and_tildes_in_them() {
        let twin = json!({ "desired": { "a/b": { "c~d": 1 } }, "delta": { "x": 2 } });
        assert_eq!(Place::parse("desired", "a~1b/c~0d", true).unwrap().find(&twin), Some(&json!(1)));
        assert_eq!(Place::parse("delta", "x", false).unwrap().find(&twin), Some(&json!(2)));
        assert_eq!(Place::parse("desired", "", true).unwrap().find(&twin), Some(&twin["desired"]));
        assert_eq!(Place::parse("desired", "a~1b/e", true).unwrap().find(&twin), None);
        assert_eq!(Place::parse("delta", "x", true).unwrap_err().status, 404);
        assert_eq!(Place::parse("tags", "x", false).unwrap_err().status, 404);
    }

    #[test]
    fn what_is_put_replaces_all_that_was_there() {
        let current = json!({ "keep": 1, "gone": 2, "inner": { "old": 1, "same": 2 }, "was-object": { "x": 1 } });
        let wanted = json!({ "keep": 1, "inner": { "same": 3 }, "was-object": [1], "new": { "y": {} } });
        let patch = replacement(Some(&current), &wanted).unwrap();
        let expected = json!({ "gone": null, "keep": 1, "inner": { "old": null, "same": 3 }, "was-object": [1], "new": { "y": {} } });
        assert_eq!(patch, expected);
    }

    #[test]
    fn null_is_refused_and_a_section_is_an_object() {
        assert_eq!(replacement(None, &json!({ "a": { "b": null } })).unwrap_err().status, 400);
        assert_eq!(Place::parse("desired", "", true).unwrap().around(json!(5)).unwrap_err().status, 400);
        let patch = Place::parse("desired", "a/b", true).unwrap().around(json!(5)).unwrap();
        assert_eq!(Value::Object(patch), json!({ "desired": { "a": { "b": 5 } } }));
    }
}
