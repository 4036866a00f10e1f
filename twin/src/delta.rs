//! The delta of a twin: the fields of `desired` that `reported` does not have or has with another value. Fields that
//! only `reported` has are no difference: nobody desired anything of them.

use serde_json::{Map, Value};

/// The part of `desired` that differs from `reported`; empty if nothing does.
#[must_use]
pub fn delta(desired: &Map<String, Value>, reported: &Map<String, Value>) -> Map<String, Value> {
    let mut different = Map::new();
    for (key, wanted) in desired {
        match (wanted, reported.get(key)) {
            (Value::Object(wanted), Some(Value::Object(found))) => {
                let inner = delta(wanted, found);
                if !inner.is_empty() {
                    different.insert(key.clone(), Value::Object(inner));
                }
            }
            (wanted, Some(found)) if same(wanted, found) => {}
            (wanted, _) => {
                different.insert(key.clone(), wanted.clone());
            }
        }
    }
    different
}

/// The part of `metadata` that belongs to the fields of `of`.
#[must_use]
pub fn restrict(metadata: &Map<String, Value>, of: &Map<String, Value>) -> Map<String, Value> {
    let mut part = Map::new();
    for (key, value) in of {
        match (metadata.get(key), value) {
            (Some(Value::Object(inner)), Value::Object(of)) => {
                part.insert(key.clone(), Value::Object(restrict(inner, of)));
            }
            (Some(found), _) => {
                part.insert(key.clone(), found.clone());
            }
            (None, _) => {}
        }
    }
    part
}

/// Equality of JSON values, where 21 and 21.0 are one number: a device need not repeat the notation.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || ((a.is_f64() || b.is_f64()) && a.as_f64() == b.as_f64()),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::merge_patch::tests::any_object;

    fn delta_of(desired: Value, reported: Value) -> Value {
        Value::Object(delta(desired.as_object().unwrap(), reported.as_object().unwrap()))
    }

    #[test]
    fn only_fields_of_desired_that_differ_are_in_the_delta() {
        let cases = [
            (json!({"a": 1}), json!({"a": 1}), json!({})),
            (json!({"a": 1}), json!({"a": 2}), json!({"a": 1})),
            (json!({"a": 1}), json!({}), json!({"a": 1})),
            (json!({}), json!({"a": 1}), json!({})),
            (json!({"a": {"b": 1, "c": 2}}), json!({"a": {"b": 1, "c": 3}}), json!({"a": {"c": 2}})),
            (json!({"a": {"b": 1}}), json!({"a": 5}), json!({"a": {"b": 1}})),
            (json!({"a": 5}), json!({"a": {"b": 1}}), json!({"a": 5})),
            (json!({"a": [1, 2]}), json!({"a": [2, 1]}), json!({"a": [1, 2]})),
            (json!({"a": {}}), json!({}), json!({"a": {}})),
            (json!({"a": {}}), json!({"a": {"b": 1}}), json!({})),
        ];
        for (desired, reported, expected) in cases {
            assert_eq!(delta_of(desired.clone(), reported.clone()), expected, "{desired} {reported}");
        }
    }

    #[test]
    fn numbers_are_compared_by_value_and_not_by_notation() {
        assert_eq!(delta_of(json!({"t": 21}), json!({"t": 21.0})), json!({}));
        assert_eq!(delta_of(json!({"t": [{"x": 1.0}]}), json!({"t": [{"x": 1}]})), json!({}));
        assert_eq!(delta_of(json!({"t": 21}), json!({"t": 21.5})), json!({"t": 21}));
        let (a, b) = (9_007_199_254_740_993_u64, 9_007_199_254_740_992_u64);
        assert_eq!(delta_of(json!({"t": a}), json!({"t": b})), json!({"t": a}));
    }

    #[test]
    fn metadata_is_cut_to_the_fields_of_the_delta() {
        let metadata = json!({"a": {"b": {"timestamp": 1}, "c": {"timestamp": 2}}, "d": {"timestamp": 3}});
        let part = restrict(metadata.as_object().unwrap(), json!({"a": {"c": 9}}).as_object().unwrap());
        assert_eq!(Value::Object(part), json!({"a": {"c": {"timestamp": 2}}}));
    }

    proptest! {
        #[test]
        fn nothing_differs_from_itself(object in any_object()) {
            prop_assert_eq!(delta_of(object.clone(), object), json!({}));
        }
    }
}
