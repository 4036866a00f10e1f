//! The RFC's own cases, and documents of cells against the RFC's algorithm on plain JSON.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::clock::{HybridTime, NodeId};
use selvedge_twin_core::dot::Origin;
use selvedge_twin_core::event::PolicyVersion;

/// The algorithm of RFC 7396, section 2, as written there.
fn reference(target: Value, patch: &Value) -> Value {
    let Value::Object(members) = patch else { return patch.clone() };
    let mut target = match target {
        Value::Object(target) => target,
        _ => Map::new(),
    };
    for (key, value) in members {
        if value.is_null() {
            target.remove(key);
        } else {
            let old = target.remove(key).unwrap_or(Value::Null);
            target.insert(key.clone(), reference(old, value));
        }
    }
    Value::Object(target)
}

/// RFC 7396, appendix A: original, patch, result.
fn appendix_a() -> Vec<(Value, Value, Value)> {
    vec![
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
        (json!({"a": "b"}), json!({"a": null}), json!({})),
        (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
        (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
        (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
        (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
        (json!({"a": "b"}), json!(["c"]), json!(["c"])),
        (json!({"a": "foo"}), Value::Null, Value::Null),
        (json!({"a": "foo"}), json!("bar"), json!("bar")),
        (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
        (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
        (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
    ]
}

/// For what node 1 writes at `time`.
pub(crate) fn pen(time: u64) -> Pen {
    let (time, policy) = (HybridTime(time), PolicyVersion(0));
    Pen { origin: Origin::first(NodeId(1)), next_seq: time.0.saturating_mul(100), time, policy }
}

fn patched(document: &mut Document, patch: &Value, time: u64) -> BTreeSet<Path> {
    let mut touched = BTreeSet::new();
    apply(document, patch.as_object().unwrap(), &mut pen(time), &mut touched);
    touched
}

fn read(document: &Document) -> Value {
    Value::Object(document.to_json())
}

#[test]
fn the_reference_passes_the_cases_of_the_rfc() {
    for (original, patch, result) in appendix_a() {
        assert_eq!(reference(original.clone(), &patch), result, "{original} {patch}");
    }
}

#[test]
fn documents_pass_the_cases_of_the_rfc_whose_roots_are_objects_without_nulls() {
    let mut passed = 0;
    for (original, patch, result) in appendix_a() {
        // A document's root is an object, and it is made by patches, so it cannot hold a null member.
        if !original.is_object() || !patch.is_object() || original.get("e").is_some() {
            continue;
        }
        let mut document = Document::default();
        patched(&mut document, &original, 1);
        patched(&mut document, &patch, 2);
        assert_eq!(read(&document), result, "{original} {patch}");
        passed += 1;
    }
    assert_eq!(passed, 9);
}

#[test]
fn an_object_that_loses_its_last_member_stays_as_an_empty_object() {
    let mut document = Document::default();
    patched(&mut document, &json!({"a": {"b": {"c": 1}}}), 1);
    patched(&mut document, &json!({"a": {"b": {"c": null}}}), 2);
    assert_eq!(read(&document), json!({"a": {"b": {}}}));
    patched(&mut document, &json!({"a": null}), 3);
    assert_eq!(read(&document), json!({}));
}

#[test]
fn arrays_are_one_value_with_the_nulls_and_objects_in_them() {
    let mut document = Document::default();
    let touched = patched(&mut document, &json!({"a": [1, null, {"b": null}]}), 1);
    assert_eq!(touched.len(), 1);
    assert_eq!(read(&document), json!({"a": [1, null, {"b": null}]}));
}

#[test]
fn what_a_patch_does_not_name_keeps_its_cell() {
    let mut document = Document::default();
    patched(&mut document, &json!({"a": 1, "b": 2}), 1);
    let touched = patched(&mut document, &json!({"a": 1}), 2);
    assert_eq!(touched.into_iter().collect::<Vec<_>>(), [Path::root_member("a")]);
    assert_eq!(document.field(&Path::root_member("b")).unwrap().sight().unwrap().rank.0, HybridTime(1));
    assert_eq!(document.field(&Path::root_member("a")).unwrap().sight().unwrap().rank.0, HybridTime(2));
}

#[test]
fn clearing_removes_every_field_and_touches_each_once() {
    let mut document = Document::default();
    patched(&mut document, &json!({"a": 1, "b": {"c": 2}, "d": {}}), 1);
    let mut touched = BTreeSet::new();
    clear(&mut document, &mut pen(2), &mut touched);
    assert_eq!((read(&document), touched.len(), document.tombstones().count()), (json!({}), 3, 3));
    touched.clear();
    clear(&mut document, &mut pen(3), &mut touched);
    assert!(touched.is_empty());
}

/// Objects with few different keys, so that patches hit what is there.
pub(crate) fn any_object() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        3 => (0..4).prop_map(Value::from),
        1 => Just(Value::Null),
        1 => Just(json!([1, {"a": null}])),
        1 => Just(json!({})),
    ];
    let value = leaf.prop_recursive(3, 20, 4, |inner| {
        proptest::collection::btree_map(prop::sample::select(vec!["a", "b", "a-b", "~/"]), inner, 0..4)
            .prop_map(|members| members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
            .prop_map(Value::Object)
    });
    proptest::collection::btree_map(prop::sample::select(vec!["a", "b", "c"]), value, 0..4)
        .prop_map(|members| members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
        .prop_map(Value::Object)
}

proptest! {
    #[test]
    fn a_document_after_patches_reads_as_the_rfc_says(patches in proptest::collection::vec(any_object(), 0..8)) {
        let mut document = Document::default();
        let mut expected = json!({});
        for (time, patch) in patches.iter().enumerate() {
            patched(&mut document, patch, time as u64 + 1);
            expected = reference(expected, patch);
            prop_assert_eq!(read(&document), expected.clone());
        }
    }

    #[test]
    fn cells_that_were_not_touched_are_as_before(first in any_object(), second in any_object()) {
        let mut document = Document::default();
        patched(&mut document, &first, 1);
        let before = document.clone();
        let touched = patched(&mut document, &second, 2);
        for (path, field) in document.fields() {
            prop_assert_eq!(touched.contains(path), before.field(path) != Some(field), "{}", path);
        }
    }
}
