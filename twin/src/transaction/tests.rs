use std::sync::mpsc::channel;

use selvedge_store::{Space, Store};
use serde_json::json;

use super::*;
use crate::clock::{BUILD_FLOOR_MS, NodeId};
use crate::config::Config;

const NOW: u64 = BUILD_FLOOR_MS + 1;

struct Node {
    _dir: tempfile::TempDir,
    store: Store,
    twins: Twins,
}

fn node() -> Node {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), selvedge_store::Config::default()).unwrap();
    let config = Config { twins_max: 70, ..Config::default() };
    let twins = Twins::open(store.clone(), NodeId(1), config).unwrap();
    Node { _dir: dir, store, twins }
}

fn commit(transaction: Transaction, batch: Batch) -> Result<Vec<Publication>, PatchError> {
    let (sender, result) = channel();
    transaction.commit(batch, move |result| sender.send(result.unwrap()).unwrap())?;
    Ok(result.recv().unwrap())
}

fn reported(node: &Node, thing: &str) -> Option<Value> {
    node.twins.get(thing).unwrap().map(|view| Value::Object(view.reported))
}

#[test]
fn patches_and_other_writes_become_durable_together() {
    let node = node();
    let mut transaction = node.twins.begin(NOW);
    assert_eq!(transaction.patch("a", Section::Reported, br#"{"x": 1}"#, None).unwrap(), 1);
    assert_eq!(transaction.patch("a", Section::Desired, br#"{"x": 2}"#, Some(1)).unwrap(), 2);
    assert_eq!(transaction.patch("b", Section::Reported, br#"{"y": 1}"#, Some(0)).unwrap(), 1);
    assert_eq!(Value::Object(transaction.get("a").unwrap().unwrap().delta), json!({"x": 2}), "own writes are seen");
    assert_eq!(node.twins.get("a").unwrap(), None, "by nobody else yet");
    let mut batch = Batch::new();
    batch.put(Space::KeyValue, b"counter", b"7").unwrap();
    let published = commit(transaction, batch).unwrap();
    let topics: Vec<_> = published
        .iter()
        .map(|p| (p.thing.as_str(), p.replies.iter().map(|reply| reply.suffix).collect::<Vec<_>>()))
        .collect();
    assert_eq!(topics, [("a", vec!["update/delta", "update/documents"]), ("b", vec!["update/documents"])]);
    assert_eq!(node.store.get(Space::KeyValue, b"counter"), Ok(Some(b"7".to_vec())));
    assert_eq!(node.twins.get("a").unwrap().unwrap().version, 2);
}

#[test]
fn a_twin_that_changed_meanwhile_is_a_conflict_and_nothing_is_written() {
    let node = node();
    let mut first = node.twins.begin(NOW);
    first.patch("read", Section::Reported, b"{}", None).unwrap();
    commit(first, Batch::new()).unwrap();

    let mut slow = node.twins.begin(NOW);
    slow.get("read").unwrap();
    slow.patch("written", Section::Reported, br#"{"slow": 1}"#, None).unwrap();
    let mut quick = node.twins.begin(NOW);
    quick.patch("read", Section::Reported, br#"{"quick": 1}"#, None).unwrap();
    commit(quick, Batch::new()).unwrap();

    let mut batch = Batch::new();
    batch.put(Space::KeyValue, b"k", b"v").unwrap();
    let error = commit(slow, batch).unwrap_err();
    assert!(matches!(&error, PatchError::Conflict { thing, current: 2 } if thing == "read"), "{error}");
    assert_eq!((reported(&node, "written"), node.store.get(Space::KeyValue, b"k")), (None, Ok(None)));
}

#[test]
fn patches_of_different_twins_do_not_disturb_each_other() {
    let node = node();
    let mut one = node.twins.begin(NOW);
    let mut two = node.twins.begin(NOW);
    one.patch("a", Section::Reported, br#"{"x": 1}"#, None).unwrap();
    two.patch("b", Section::Reported, br#"{"x": 2}"#, None).unwrap();
    commit(two, Batch::new()).unwrap();
    commit(one, Batch::new()).unwrap();
    assert_eq!((reported(&node, "a"), reported(&node, "b")), (Some(json!({"x": 1})), Some(json!({"x": 2}))));
}

#[test]
fn a_write_after_a_conflicting_one_has_the_greater_stamp_and_wins() {
    let node = node();
    let early = node.twins.begin(NOW);
    let mut other = node.twins.begin(NOW + 5_000);
    other.patch("a", Section::Reported, br#"{"x": "other"}"#, None).unwrap();
    commit(other, Batch::new()).unwrap();
    let mut early = early;
    early.patch("a", Section::Reported, br#"{"x": "early"}"#, None).unwrap();
    commit(early, Batch::new()).unwrap();
    assert_eq!(reported(&node, "a"), Some(json!({"x": "early"})));
}

#[test]
fn a_dropped_transaction_and_a_refused_patch_leave_nothing() {
    let node = node();
    let mut dropped = node.twins.begin(NOW);
    dropped.patch("a", Section::Reported, br#"{"x": 1}"#, None).unwrap();
    drop(dropped);
    let mut transaction = node.twins.begin(NOW);
    let mut refused = |merge: &[u8], expected| transaction.patch("a", Section::Reported, merge, expected).unwrap_err();
    assert!(matches!(refused(b"{", None), PatchError::Json(_)));
    assert!(matches!(refused(b"[1]", None), PatchError::NotAnObject));
    assert!(matches!(refused(b"{}", Some(4)), PatchError::Refused(Refusal::VersionConflict { current: 0, .. })));
    assert!(matches!(refused(&[b' '; 200_000], None), PatchError::Refused(Refusal::SectionTooLarge { .. })));
    assert!(matches!(transaction.get("a/b"), Err(PatchError::Name(_))));
    assert_eq!(commit(transaction, Batch::new()).unwrap(), []);
    assert_eq!(reported(&node, "a"), None);
}

#[test]
fn null_empties_a_section_and_reading_alone_commits_the_batch() {
    let node = node();
    let mut transaction = node.twins.begin(NOW);
    transaction.patch("a", Section::Reported, br#"{"x": {"y": 1}}"#, None).unwrap();
    transaction.patch("a", Section::Reported, b"null", None).unwrap();
    commit(transaction, Batch::new()).unwrap();
    assert_eq!(reported(&node, "a"), Some(json!({})));
    let mut transaction = node.twins.begin(NOW);
    assert!(transaction.get("a").unwrap().is_some() && transaction.get("never").unwrap().is_none());
    let mut batch = Batch::new();
    batch.put(Space::KeyValue, b"k", b"v").unwrap();
    assert_eq!(commit(transaction, batch).unwrap(), []);
    assert!(node.store.get(Space::KeyValue, b"k").unwrap().is_some());
}

#[test]
fn the_number_of_things_in_a_transaction_and_of_twins_is_bounded() {
    let node = node();
    let mut transaction = node.twins.begin(NOW);
    for index in 0..THINGS_MAX {
        transaction.patch(&format!("thing-{index}"), Section::Reported, b"{}", None).unwrap();
    }
    let error = transaction.patch("one-more", Section::Reported, b"{}", None).unwrap_err();
    assert!(matches!(error, PatchError::TooManyThings));
    commit(transaction, Batch::new()).unwrap();
    let mut transaction = node.twins.begin(NOW);
    for index in 0..7 {
        transaction.patch(&format!("more-{index}"), Section::Reported, b"{}", None).unwrap();
    }
    assert!(matches!(commit(transaction, Batch::new()), Err(PatchError::Refused(Refusal::TooManyTwins { max: 70 }))));
    assert_eq!(node.twins.metrics().twins, THINGS_MAX as u64);
}
