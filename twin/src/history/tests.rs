use std::path::Path as FilePath;
use std::sync::mpsc::channel;

use proptest::prelude::*;
use selvedge_store::{Batch, Space, Store};
use serde_json::json;

use super::*;
use crate::clock::BUILD_FLOOR_MS;
use crate::config::Config;
use crate::message::Operation;

/// When the tests begin; each request is a second later than the one before.
const START: u64 = BUILD_FLOOR_MS + 1_000_000;

fn open_with(dir: &FilePath, config: Config) -> Twins {
    let store = Store::open(dir, selvedge_store::Config::default()).unwrap();
    Twins::open(store, NodeId(1), config).unwrap()
}

fn open(dir: &FilePath) -> Twins {
    open_with(dir, Config::default())
}

fn ask(twins: &Twins, thing: &str, operation: Operation, payload: &Value, wall_ms: u64) {
    let (sender, replies) = channel();
    let payload = if payload.is_null() { String::new() } else { payload.to_string() };
    twins.handle(thing, operation, payload.as_bytes(), wall_ms, move |replies| sender.send(replies).unwrap());
    let replies = replies.recv().unwrap();
    assert!(replies[0].suffix.ends_with("/accepted"), "{}", String::from_utf8_lossy(&replies[0].payload));
}

fn update(twins: &Twins, state: Value, second: u64) {
    ask(twins, "pump", Operation::Update, &json!({ "state": state }), START + second * 1000);
}

fn delete(twins: &Twins, second: u64) {
    ask(twins, "pump", Operation::Delete, &Value::Null, START + second * 1000);
}

fn history(twins: &Twins) -> History {
    twins.history("pump").unwrap().expect("a history")
}

fn reported_at(history: &History, moment: Moment) -> Value {
    Value::Object(history.at(moment).unwrap().reported)
}

/// Keys of the history of all twins in the store.
fn keys(twins: &Twins) -> usize {
    twins.inner.store.scan(Space::Twin, b"v", None, usize::MAX).count()
}

#[test]
fn each_revision_is_shown_as_it_was_and_each_change_with_what_it_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let twins = open(dir.path());
    update(&twins, json!({"reported": {"a": 1, "b": {"c": "x"}}}), 1);
    update(&twins, json!({"reported": {"a": 2, "b": null}, "desired": {"a": 3}}), 2);
    delete(&twins, 3);
    update(&twins, json!({"desired": {"z": {}}}), 4);
    let check = |history: &History| {
        assert_eq!((history.version(), history.oldest()), (4, 0));
        let first = history.at(Moment::Revision(1)).unwrap();
        assert_eq!(Value::Object(first.reported), json!({"a": 1, "b": {"c": "x"}}));
        assert_eq!((first.version, first.updated_ms), (1, Some(START + 1000)));
        let second = history.at(Moment::Revision(2)).unwrap();
        assert_eq!((Value::Object(second.reported), Value::Object(second.delta)), (json!({"a": 2}), json!({"a": 3})));
        assert_eq!(Value::Object(history.at(Moment::Revision(4)).unwrap().desired), json!({"z": {}}));
        let changes = history.changes(0, 100);
        let deeds: Vec<_> = changes.iter().map(|change| (change.revision, change.deed)).collect();
        assert_eq!(deeds, [(1, Deed::Create), (2, Deed::Update), (3, Deed::Delete), (4, Deed::Create)]);
        let replaced = json!([
            {"section": "desired", "path": "/a", "from": null, "to": 3},
            {"section": "reported", "path": "/a", "from": 1, "to": 2},
            {"section": "reported", "path": "/b/c", "from": "x", "to": null},
        ]);
        assert_eq!(serde_json::to_value(&changes[1].fields).unwrap(), replaced);
        assert_eq!((changes[1].node.as_str(), changes[1].cause), ("0000000000000001", Cause::Request));
        assert_eq!(history.changes(2, 1)[0].revision, 3);
        assert_eq!(history.changes(4, 1), []);
    };
    check(&history(&twins));
    drop(twins);
    check(&history(&open(dir.path())));
}

#[test]
fn a_time_means_what_was_there_then() {
    let dir = tempfile::tempdir().unwrap();
    let twins = open(dir.path());
    (1..=3).for_each(|second| update(&twins, json!({"reported": {"a": second}}), second));
    let history = history(&twins);
    for (ms, expected) in [(3_500, 3), (3_000, 3), (2_999, 2), (1_000, 1)] {
        assert_eq!(reported_at(&history, Moment::Time(START + ms)), json!({"a": expected}), "{ms}");
    }
    assert_eq!(history.at(Moment::Time(START + 999)), Err(MomentError::DidNotExist { revision: 0 }));
}

#[test]
fn what_is_to_come_what_is_forgotten_and_what_never_was_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let twins = open_with(dir.path(), Config { history_changes_max: 3, ..Config::default() });
    assert!(twins.history("never").unwrap().is_none());
    (1..=9).for_each(|second| update(&twins, json!({"reported": {"a": second}}), second));
    let history = history(&twins);
    assert_eq!(history.oldest(), 6);
    assert_eq!(reported_at(&history, Moment::Revision(6)), json!({"a": 6}));
    assert_eq!(history.at(Moment::Revision(6)).unwrap().updated_ms, None, "what led to it is forgotten");
    assert_eq!(history.at(Moment::Revision(5)), Err(MomentError::Forgotten { oldest: 6 }));
    assert_eq!(history.at(Moment::Time(START + 6_999)), Err(MomentError::Forgotten { oldest: 6 }));
    assert_eq!(history.at(Moment::Revision(10)), Err(MomentError::NotYet { wanted: 10, newest: 9 }));
}

#[test]
fn with_the_history_off_nothing_is_kept_and_what_was_kept_goes_with_the_next_change() {
    let dir = tempfile::tempdir().unwrap();
    let twins = open(dir.path());
    update(&twins, json!({"reported": {"a": 1}}), 1);
    assert_eq!(keys(&twins), 1);
    drop(twins);
    let twins = open_with(dir.path(), Config { history_changes_max: 0, ..Config::default() });
    update(&twins, json!({"reported": {"a": 2}}), 2);
    assert_eq!((keys(&twins), history(&twins).oldest()), (0, 2));
    drop(twins);
    let twins = open(dir.path());
    update(&twins, json!({"reported": {"a": 3}}), 3);
    assert_eq!(reported_at(&history(&twins), Moment::Revision(2)), json!({"a": 2}));
    assert_eq!(history(&twins).oldest(), 2);
}

#[test]
fn a_twin_that_is_forgotten_leaves_no_history() {
    for remembered in [0, 1] {
        let dir = tempfile::tempdir().unwrap();
        let twins = open_with(dir.path(), Config { deleted_twins_max: remembered, ..Config::default() });
        update(&twins, json!({"reported": {"a": 1}}), 1);
        delete(&twins, 2);
        assert_eq!(keys(&twins), remembered);
        assert_eq!(twins.history("pump").unwrap().is_some(), remembered == 1);
        update(&twins, json!({"reported": {"a": 2}}), 3);
        assert_eq!(history(&twins).oldest(), 0);
    }
}

#[test]
fn a_damaged_segment_ends_the_history_and_the_next_change_begins_another() {
    let dir = tempfile::tempdir().unwrap();
    let twins = open(dir.path());
    (1..=20).for_each(|second| update(&twins, json!({"reported": {"a": second}}), second));
    let (key, _) = twins.inner.store.scan(Space::Twin, b"v", None, 2).last().unwrap().unwrap();
    let mut batch = Batch::new();
    batch.put(Space::Twin, &key, &[1, 200, 1]).unwrap();
    twins.inner.store.commit_blocking(batch).unwrap();
    drop(twins);
    let twins = open(dir.path());
    assert_eq!(history(&twins).oldest(), 16, "the third segment is whole");
    update(&twins, json!({"reported": {"a": 21}}), 21);
    assert_eq!(history(&twins).oldest(), 16);
}

#[test]
fn a_transaction_is_one_change() {
    let dir = tempfile::tempdir().unwrap();
    let twins = open(dir.path());
    update(&twins, json!({"reported": {"a": 1}}), 1);
    let mut transaction = twins.begin(START + 2_000);
    transaction.patch("pump", Section::Reported, br#"{"a": 2}"#, None).unwrap();
    transaction.patch("pump", Section::Desired, br#"{"b": 3}"#, None).unwrap();
    let (sender, done) = channel();
    transaction.commit(Batch::new(), move |result| sender.send(result.is_ok()).unwrap()).unwrap();
    assert!(done.recv().unwrap());
    let history = history(&twins);
    let revisions: Vec<u64> = history.changes(0, 9).iter().map(|change| change.revision).collect();
    assert_eq!(revisions, [1, 3]);
    assert_eq!(history.at(Moment::Revision(2)).unwrap().version, 1, "nobody saw a second one");
    assert_eq!(history.at(Moment::Revision(3)).unwrap().version, 3);
}

fn any_patch() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(Value::Null), (0..5).prop_map(Value::from), Just(json!([1])), Just(json!({}))];
    let inner = proptest::collection::btree_map("[ab]", leaf.clone(), 0..3)
        .prop_map(|members| Value::Object(members.into_iter().collect()));
    let member = prop_oneof![leaf, inner];
    proptest::collection::btree_map("[a-c]", member, 0..3)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]
    #[test]
    fn every_revision_that_is_kept_is_shown_as_readers_saw_it(
        patches in proptest::collection::vec((any_patch(), any::<bool>()), 1..14), reopened in 0_usize..14,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut twins = open(dir.path());
        let mut seen = Vec::new();
        for (at, (patch, wanted)) in patches.into_iter().enumerate() {
            if at == reopened {
                drop(twins);
                twins = open(dir.path());
            }
            let section = if wanted { "desired" } else { "reported" };
            update(&twins, json!({ section: patch }), at as u64);
            let view = twins.get("pump").unwrap().unwrap();
            seen.push((view.version, view.desired, view.reported));
        }
        let history = history(&twins);
        for (version, desired, reported) in seen {
            let past = history.at(Moment::Revision(version)).unwrap();
            prop_assert_eq!((past.desired, past.reported), (desired, reported));
        }
    }
}
