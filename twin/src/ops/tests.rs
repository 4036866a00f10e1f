use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::merge_patch::tests::pen;
use crate::message::{Operation, Reply, parse_request, update_replies};

fn apply(twin: &Twin, ops: &Value, time: u64) -> Result<(Twin, Vec<Reply>), String> {
    apply_within(twin, ops, time, &Config::default())
}

fn apply_within(twin: &Twin, ops: &Value, time: u64, limits: &Config) -> Result<(Twin, Vec<Reply>), String> {
    let request = parse_request(Operation::Ops, json!({ "ops": ops }).to_string().as_bytes(), limits);
    let request = request.map_err(|rejection| rejection.message)?;
    let (after, _) = twin.updated(&request.update, &mut pen(time), limits).map_err(|refusal| refusal.to_string())?;
    let replies = update_replies(&request, twin, &after, time);
    Ok((after, replies))
}

fn patch(twin: &Twin, members: Value) -> Twin {
    let Value::Object(members) = members else { panic!("an object") };
    let update = Update { patches: vec![(Section::Reported, SectionPatch::Merge(members))], expected_version: None };
    twin.updated(&update, &mut pen(1 << 20), &Config::default()).unwrap().0
}

fn reported(twin: &Twin) -> Value {
    Value::Object(twin.reported.to_json())
}

fn refused(twin: &Twin, op: Value) -> String {
    apply(twin, &json!([op]), 1 << 21).unwrap_err()
}

#[test]
fn a_counter_is_a_number_and_a_set_an_array_in_order() {
    let ops = json!([
        {"op": "inc", "path": "/starts"},
        {"op": "inc", "section": "reported", "path": "/starts", "by": 4},
        {"op": "inc", "path": "/balance", "by": -3},
        {"op": "add", "path": "/alarms/open", "value": "high"},
        {"op": "add", "path": "/alarms/open", "value": 7},
        {"op": "add", "path": "/alarms/open", "value": 7.0},
        {"op": "add", "path": "/alarms/open", "value": true},
        {"op": "inc", "section": "desired", "path": "/a~1b"},
    ]);
    let (twin, replies) = apply(&Twin::default(), &ops, 1).unwrap();
    let expected = json!({"alarms": {"open": ["high", 7, true]}, "balance": -3, "starts": 5});
    assert_eq!(reported(&twin), expected);
    assert_eq!((Value::Object(twin.desired.to_json()), twin.version), (json!({"a/b": 1}), 1));
    let suffixes: Vec<&str> = replies.iter().map(|reply| reply.suffix).collect();
    assert_eq!(suffixes, ["ops/accepted", "update/delta", "update/documents"]);
    let accepted: Value = serde_json::from_slice(&replies[0].payload).unwrap();
    assert_eq!(accepted["state"]["reported"], expected);

    let ops = json!([
        {"op": "remove", "path": "/alarms/open", "value": "high"},
        {"op": "remove", "path": "/alarms/open", "value": "never"},
        {"op": "remove", "path": "/balance"},
        {"op": "inc", "path": "/starts", "by": -5},
    ]);
    let (twin, replies) = apply(&twin, &ops, 2).unwrap();
    assert_eq!(reported(&twin), json!({"alarms": {"open": [7, true]}, "starts": 0}));
    let accepted: Value = serde_json::from_slice(&replies[0].payload).unwrap();
    assert_eq!(accepted["state"]["reported"]["balance"], Value::Null);

    let both = json!([
        {"op": "remove", "path": "/alarms/open", "value": 7},
        {"op": "remove", "path": "/alarms/open", "value": true},
    ]);
    assert_eq!(reported(&apply(&twin, &both, 3).unwrap().0), json!({"starts": 0}), "an empty set is not there");
}

#[test]
fn what_changes_nothing_raises_no_version() {
    let (twin, _) = apply(&Twin::default(), &json!([{"op": "add", "path": "/s", "value": 1}]), 1).unwrap();
    let (same, replies) = apply(&twin, &json!([{"op": "remove", "path": "/s", "value": 2}]), 2).unwrap();
    assert_eq!((same.version, replies.len()), (1, 1));
    assert_eq!(apply(&twin, &json!([{"op": "inc", "path": "/n", "by": 0}]), 2).unwrap().0.version, 1);
    let again = apply(&twin, &json!([{"op": "add", "path": "/s", "value": 1}]), 2).unwrap().0;
    assert_eq!(again.version, 2, "to add again is to insist: it survives a removal elsewhere");
}

#[test]
fn an_operation_for_another_kind_of_value_is_refused_and_nothing_is_lost() {
    let twin = patch(&Twin::default(), json!({"n": 5, "list": [1], "o": {"x": 1}, "empty": {}}));
    let (twin, _) =
        apply(&twin, &json!([{"op": "inc", "path": "/c"}, {"op": "add", "path": "/s", "value": 1}]), 1 << 20).unwrap();
    for (op, why) in [
        (json!({"op": "inc", "path": "/n"}), "reported/n is a value, not a counter: remove it first"),
        (json!({"op": "add", "path": "/list", "value": 2}), "reported/list is a value, not a set"),
        (json!({"op": "inc", "path": "/s"}), "reported/s is a set, not a counter"),
        (json!({"op": "inc", "path": "/s", "by": 0}), "reported/s is a set, not a counter"),
        (json!({"op": "add", "path": "/c", "value": 2}), "reported/c is a counter, not a set"),
        (json!({"op": "remove", "path": "/c", "value": 2}), "reported/c is a counter, not a set"),
        (json!({"op": "remove", "path": "/n"}), "reported/n is a value, not a counter or a set"),
        (json!({"op": "inc", "path": "/o"}), "reported/o is an object"),
        (json!({"op": "add", "path": "/empty", "value": 1}), "reported/empty is an object, not a set"),
        (json!({"op": "inc", "path": "/n/x"}), "reported/n is a value, not an object"),
        (json!({"op": "inc", "path": "/c/x"}), "reported/c is a value, not an object"),
    ] {
        let refusal = refused(&twin, op);
        assert!(refusal.starts_with(why), "{refusal}");
    }
    let plain = patch(&twin, json!({"c": 9, "s": [3]}));
    assert_eq!(reported(&plain)["c"], 9);
    assert!(refused(&plain, json!({"op": "inc", "path": "/c"})).contains("is a value"));
    assert_eq!(reported(&patch(&twin, json!({"c": null, "s": null}))).get("c"), None);
}

#[test]
fn requests_that_make_no_sense_are_refused_with_the_reason() {
    let (twin, op) = (Twin::default(), |op: Value| refused(&Twin::default(), op));
    assert!(apply(&twin, &json!([]), 1).unwrap_err().contains("1 to 256"));
    let many = Value::Array(vec![json!({"op": "inc", "path": "/a"}); OPS_MAX + 1]);
    assert!(apply(&twin, &many, 1).is_err());
    assert!(apply(&twin, &Value::Array(many.as_array().unwrap()[1..].to_vec()), 1).is_ok());
    assert_eq!(op(json!(5)), "operation 1: is not an object");
    assert!(op(json!({"op": "dec", "path": "/a"})).contains("none of"));
    assert!(op(json!({"op": "inc", "path": "a"})).contains("JSON pointer"));
    assert!(op(json!({"op": "inc", "path": ""})).contains("JSON pointer"));
    assert!(op(json!({"op": "inc", "path": "/a", "by": 1.5})).contains("not an integer"));
    assert!(op(json!({"op": "inc", "path": "/a", "value": 1})).contains("no other"));
    assert!(op(json!({"op": "add", "path": "/a"})).contains("needs a value"));
    assert!(op(json!({"op": "add", "path": "/a", "value": [1]})).contains("no text, number or boolean"));
    assert!(op(json!({"op": "add", "path": "/a", "value": 1, "kind": "x"})).contains("kind is neither"));
    assert!(op(json!({"op": "inc", "path": "/a", "section": "delta"})).contains("neither \"desired\""));
    assert!(op(json!({"op": "inc", "path": "/a", "extra": 1})).contains("\"extra\""));
}

#[test]
fn limits_hold_for_operations_too() {
    let limits = Config { depth_max: 2, path_bytes_max: 6, section_bytes_max: 60, fields_max: 3, ..Config::default() };
    let apply = |ops: Value| apply_within(&Twin::default(), &ops, 1, &limits);
    assert!(apply(json!([{"op": "inc", "path": "/a/b"}])).is_ok());
    assert!(apply(json!([{"op": "inc", "path": "/a/b/c"}])).unwrap_err().contains("3 levels"));
    assert!(apply(json!([{"op": "add", "path": "/a", "value": 1}])).is_ok());
    assert!(apply(json!([{"op": "add", "path": "/a/b", "value": 1}])).unwrap_err().contains("3 levels"));
    assert!(apply(json!([{"op": "inc", "path": "/abcde"}])).is_ok());
    assert!(apply(json!([{"op": "inc", "path": "/abcdef"}])).unwrap_err().contains("7 bytes"));
    assert!(apply(json!([{"op": "add", "path": "/a", "value": "x".repeat(50)}])).is_ok());
    assert!(apply(json!([{"op": "add", "path": "/a", "value": "x".repeat(51)}])).unwrap_err().contains("61 bytes"));
    let elements =
        |count: u64| -> Value { (0..count).map(|n| json!({"op": "add", "path": "/a", "value": n})).collect() };
    assert!(apply(elements(3)).is_ok());
    assert!(apply(elements(4)).unwrap_err().contains("4 fields and elements"));
    let full = json!([{"op": "inc", "path": "/a", "by": i64::MAX}, {"op": "inc", "path": "/a"}]);
    assert_eq!(apply(full).unwrap_err(), "reported/a would pass what 64 bits hold");
}

#[test]
fn a_set_keeps_the_kind_that_it_began_with() {
    let add = |value: u8, kind: Option<&str>| {
        let mut op = json!({"op": "add", "path": "/s", "value": value});
        kind.into_iter().for_each(|kind| op["kind"] = kind.into());
        json!([op])
    };
    for (kind, is_latest) in [(Some("latest"), true), (Some("add-wins"), false), (None, false)] {
        let (twin, _) = apply(&Twin::default(), &add(1, kind), 1).unwrap();
        let (twin, _) = apply(&twin, &add(2, None), 2).unwrap();
        let parts = twin.reported.cells().filter(|(_, part, _)| matches!(part, Part::Latest(_))).count();
        assert_eq!(parts, if is_latest { 2 } else { 0 });
        assert_eq!(reported(&twin), json!({"s": [1, 2]}));
    }
}

proptest! {
    #[test]
    fn a_counter_is_the_sum_and_a_set_what_was_added_last_and_not_removed(
        steps in proptest::collection::vec((0_u8..4, -9_i64..9, 0_u8..3), 1..30),
    ) {
        let (mut twin, mut sum, mut set) = (Twin::default(), None, std::collections::BTreeSet::new());
        for (time, (deed, by, element)) in (1..).zip(steps) {
            let op = match deed {
                0 | 1 => {
                    sum = if by == 0 { sum } else { Some(sum.unwrap_or(0) + by) };
                    json!({"op": "inc", "path": "/n", "by": by})
                }
                2 => {
                    set.insert(element);
                    json!({"op": "add", "path": "/s", "value": element})
                }
                _ => {
                    set.remove(&element);
                    json!({"op": "remove", "path": "/s", "value": element})
                }
            };
            twin = apply(&twin, &json!([op]), time).unwrap().0;
            let expected: Vec<u8> = set.iter().copied().collect();
            let shown = reported(&twin);
            prop_assert_eq!(shown.get("n").and_then(Value::as_i64), sum);
            prop_assert_eq!(shown.get("s").cloned(), (!expected.is_empty()).then(|| json!(expected)));
        }
    }
}
