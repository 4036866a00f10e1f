use std::collections::BTreeSet;

use proptest::prelude::*;
use selvedge_twin_core::cell::Pen;
use selvedge_twin_core::dot::Origin;
use selvedge_twin_core::event::PolicyVersion;
use serde_json::json;

use super::*;
use crate::clock::{HybridTime, NodeId, Stamp};
use crate::document::Document;
use crate::merge_patch;

/// Its delta is `{"interval": 5}`.
fn twin() -> Twin {
    let document = |members: Value, seq| {
        let (time, policy) = (HybridTime::from_ms(1000), PolicyVersion(0));
        let mut pen = Pen { origin: Origin::first(NodeId(1)), next_seq: seq, time, policy };
        let mut document = Document::default();
        merge_patch::apply(&mut document, members.as_object().unwrap(), &mut pen, &mut BTreeSet::new());
        document
    };
    let reported = json!({
        "temp": 51.5, "count": 9_007_199_254_740_993_u64, "room 1": { "temp": 20 }, "list": [1, 2], "site": "a", "on": true
    });
    Twin {
        desired: document(json!({ "interval": 5, "site": "a", "on": true }), 1),
        reported: document(reported, 100),
        version: 7,
        updated: Stamp { time: HybridTime::from_ms(1000), node: NodeId(1) },
        exists: true,
        ..Twin::default()
    }
}

#[track_caller]
fn check(text: &str, expected: bool) {
    let query = Query::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(query.holds(&Subject::new("pump-1", &twin())), expected, "{text}");
}

#[test]
fn values_are_compared_by_kind_and_size() {
    for (text, expected) in [
        ("reported.temp > 50", true),
        ("reported.temp > 51.5", false),
        ("reported.temp >= 51.5", true),
        ("desired.interval = 5.0", true),
        ("desired.site = \"a\"", true),
        ("desired.site < \"b\"", true),
        ("desired.on = true", true),
        ("desired.on != false", true),
        ("desired.site = 5", false),
        ("desired.site < 5", false),
        ("desired.site != 5", true),
        ("reported.\"room 1\".temp = 20", true),
        ("version = 7 and thing = \"pump-1\" and updated <= 1000", true),
        // One more than floating point can tell apart.
        ("reported.count = 9007199254740993", true),
        ("reported.count = 9007199254740992", false),
    ] {
        check(text, expected);
    }
}

#[test]
fn a_path_that_is_not_there_is_in_no_relation_and_can_be_asked_for() {
    for (text, expected) in [
        ("reported.humidity > 0", false),
        ("reported.humidity != 0", false),
        ("reported.temp.deep = 1", false),
        ("exists reported.humidity", false),
        ("not exists reported.humidity", true),
        ("exists reported.\"room 1\"", true),
        ("exists delta", true),
        ("exists delta.site", false),
    ] {
        check(text, expected);
    }
}

#[test]
fn and_binds_closer_than_or_and_parentheses_bind_closest() {
    for (text, expected) in [
        ("version = 7 or version = 8 and version = 9", true),
        ("(version = 7 or version = 8) and version = 9", false),
        ("not version = 8 AND not (version = 9 OR version = 10)", true),
    ] {
        check(text, expected);
    }
}

#[test]
fn a_mistake_is_told_with_its_place_and_what_was_expected() {
    for (text, at, part) in [
        ("", 0, "expected desired, reported"),
        ("reported.temp", 13, "expected =, !="),
        ("reported.temp > ", 16, "a JSON number"),
        ("reported.temp > [1]", 16, "'[' has no meaning"),
        ("temp > 1", 0, "expected desired, reported"),
        ("reported. > 1", 10, "a member"),
        ("(version = 1", 12, "a closing parenthesis"),
        ("version = 1 version = 2", 12, "expected the end, and or or"),
        ("version = 1 or", 14, "expected desired"),
        ("version.x = 1", 7, "expected =, !="),
    ] {
        let error = Query::parse(text).unwrap_err();
        assert!(error.at == at && error.message.contains(part), "{text}: {error}");
    }
}

#[test]
fn both_sides_of_the_bounds() {
    let deep = |depth: usize| format!("{}version = 7{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Query::parse(&deep(DEPTH_MAX - 1)).is_ok());
    assert!(Query::parse(&deep(DEPTH_MAX)).unwrap_err().message.contains("fewer than 32"));
    let long = |bytes: usize| format!("thing = \"{}\"", "a".repeat(bytes - 10));
    assert!(Query::parse(&long(QUERY_BYTES_MAX)).is_ok());
    assert!(Query::parse(&long(QUERY_BYTES_MAX + 1)).is_err());
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,200}") {
        if let Ok(query) = Query::parse(&text) {
            let _ = query.holds(&Subject::new("pump-1", &twin()));
        }
    }

    #[test]
    fn no_text_of_its_own_words_panics(words in prop::collection::vec(
        prop::sample::select(vec!["reported", "desired", ".", "temp", "\"a\"", "(", ")", "not", "and", "or", "exists", "=", "<", "1", "-", "1e999", "é"]),
        0..40,
    )) {
        if let Ok(query) = Query::parse(&words.join(" ")) {
            let _ = query.holds(&Subject::new("pump-1", &twin()));
        }
    }
}
