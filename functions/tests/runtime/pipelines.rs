//! Functions that hand on what they return, in one commit.

use std::time::Instant;

use selvedge_functions::{InvocationError, InvocationMessage};

use crate::fixture::{Fixture, PATIENCE, eventually, message};
use crate::guest::{self, ECHO, NOTHING, component, failure, manifest, transform};

const GRANTS: &str = "[grants]\npublish = [\"#\"]\n";

/// A manifest with `then`.
fn first(name: &str, then: &str, more: &str) -> String {
    manifest(name, more).replacen('\n', &format!("\nthen = \"{then}\"\n"), 1)
}

/// A manifest of a function that others hand on to, with or without a next one.
fn later(name: &str, then: Option<&str>, more: &str) -> String {
    let then = then.map_or_else(String::new, |then| format!("then = \"{then}\"\n"));
    format!("name = \"{name}\"\n{then}[[trigger]]\npipeline = true\n{more}")
}

/// Adds one to `count`, then does what `body` does.
fn counts(body: &str) -> Vec<u8> {
    let body = format!(
        "(drop (i32.const 0)) (call $increment (i32.const 100) (i32.const 5) (i64.const 1) (i32.const 304)) {body}"
    );
    component("function", &format!("{} (data (i32.const 100) \"count\")", guest::INCREMENT), &body)
}

/// Returns the message twice.
fn twice() -> Vec<u8> {
    let one = "(memory.copy (local.get $i) (local.get $message) (i32.const 76))";
    transform(&format!(
        "(local.set $i (call $alloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 152))) (local.set $j (local.get $i))
         {one} (local.set $i (i32.add (local.get $i) (i32.const 76))) {one}
         (i32.store (i32.const 36) (local.get $j)) (i32.store (i32.const 40) (i32.const 2)) (i32.const 32)"
    ))
}

#[test]
fn what_one_returns_the_next_gets_and_both_are_one_commit() {
    let fixture = Fixture::new();
    let missing = fixture.deploy(&first("a", "b", ""), counts(ECHO));
    assert!(missing.warnings.iter().any(|warning| warning.contains("\"b\"")), "{:?}", missing.warnings);
    fixture.deploy(&later("b", None, GRANTS), counts(ECHO));
    fixture.send_from("a", "someone", message("in/a", "7")).recv_timeout(PATIENCE).unwrap().unwrap();
    let committed = fixture.host.committed.lock().unwrap();
    let [commit] = committed.as_slice() else { panic!("{} commits", committed.len()) };
    let sent = InvocationMessage { topic: "in/a".into(), payload: b"7".to_vec(), ..InvocationMessage::default() };
    assert_eq!((commit.function.as_str(), commit.publish.as_slice(), commit.depth), ("a", [sent].as_slice(), 2));
    assert_eq!((commit.kv_writes.len(), commit.others.len()), (1, 1));
    assert_eq!((commit.others[0].function.as_str(), commit.others[0].kv_writes[0].key.as_str()), ("b", "count"));
    drop(committed);
    let (a, b) = (fixture.status("a").counters, fixture.status("b").counters);
    assert_eq!((a.ok, a.invocations, b.ok, b.invocations), (1, 1, 1, 1));
}

#[test]
fn later_runs_see_what_earlier_ones_wrote() {
    let fixture = Fixture::new();
    fixture.deploy(&first("a", "b", ""), twice());
    fixture.deploy(&later("b", Some("c"), ""), twice());
    fixture.deploy(&later("c", None, ""), counts(NOTHING));
    fixture.call("a").unwrap();
    assert_eq!(fixture.host.kv_text("c", "count").as_deref(), Some("4"), "two by two, in one commit");
    assert_eq!(fixture.host.committed.lock().unwrap().len(), 1);
    fixture.call("a").unwrap();
    assert_eq!(fixture.host.kv_text("c", "count").as_deref(), Some("8"));
}

#[test]
fn a_failure_in_the_middle_leaves_nothing_and_says_where_it_was() {
    let (head, body) = failure(1, "not mine");
    let fixture = Fixture::new();
    fixture.deploy(&first("a", "b", ""), counts(ECHO));
    fixture.deploy(&later("b", None, ""), component("transform", &head, &body));
    let rejected = fixture.call("a").unwrap_err();
    assert_eq!(rejected, InvocationError::Rejected { reason: "in b: not mine".into() });
    assert_eq!(fixture.host.kv_text("a", "count"), None);
    assert!(fixture.host.committed.lock().unwrap().is_empty());
    assert_eq!((fixture.status("b").counters.failed, fixture.status("a").counters.dropped), (1, 1));
}

#[test]
fn messages_wait_for_a_function_that_is_not_there_and_one_that_takes_nothing_is_named() {
    let fixture = Fixture::new();
    fixture.deploy(&first("a", "b", "[retry]\nattempts = 1\n"), transform(ECHO));
    let waits = fixture.call("a").unwrap_err();
    assert!(matches!(&waits, InvocationError::NotReady { function } if function == "b") && waits.deliver_again());
    fixture.deploy(&manifest("b", GRANTS), transform(ECHO));
    let refused = fixture.call("a").unwrap_err();
    assert!(
        matches!(&refused, InvocationError::OutputRefused { reason } if reason.contains("b takes nothing") && reason.contains("pipeline = true")),
        "{refused:?}"
    );
    fixture.deploy(&later("b", None, GRANTS), transform(ECHO));
    fixture.call("a").unwrap();
}

#[test]
fn functions_that_hand_on_in_a_circle_end_at_the_depth() {
    let fixture = Fixture::new();
    fixture.deploy(&first("a", "b", ""), transform(ECHO));
    fixture.deploy(&later("b", Some("c"), ""), transform(ECHO));
    fixture.deploy(&later("c", Some("b"), ""), transform(ECHO));
    let ended = fixture.call("a").unwrap_err();
    assert!(
        matches!(&ended, InvocationError::LimitExceeded { reason } if reason.contains("17 functions, allowed are 16")),
        "{ended:?}"
    );
    fixture.deploy(&first("a", "b", ""), twice());
    fixture.deploy(&later("b", Some("c"), ""), twice());
    fixture.deploy(&later("c", Some("b"), ""), twice());
    let ended = fixture.call("a").unwrap_err();
    assert!(matches!(&ended, InvocationError::LimitExceeded { .. }), "{ended:?}");
    let runs = fixture.status("b").counters.invocations + fixture.status("c").counters.invocations;
    assert!(runs < 600, "{runs} runs");
}

#[test]
fn the_time_of_the_first_one_is_the_time_of_all() {
    let fixture = Fixture::new();
    fixture.deploy(&first("a", "b", "[limits]\ntimeout_ms = 50\n[retry]\nattempts = 1\n"), transform(ECHO));
    fixture.deploy(&later("b", None, "[limits]\ntimeout_ms = 60000\n"), transform("(loop (br 0)) (unreachable)"));
    let began = Instant::now();
    let ended = fixture.call("a").unwrap_err();
    assert!(matches!(ended, InvocationError::TimedOut { limit_ms: 50, .. }), "{ended:?}");
    assert!(began.elapsed() < PATIENCE / 2);
}

#[test]
fn a_commit_waits_for_another_one_on_the_key_values_of_the_later_function() {
    let fixture = Fixture::new();
    fixture.deploy(&manifest("a", "").replacen('\n', "\nthen = \"b\"\n", 1), transform(ECHO));
    fixture.deploy("name = \"b\"\n[[trigger]]\nmqtt = \"in/#\"\n[[trigger]]\npipeline = true\n", counts(NOTHING));
    *fixture.host.held.lock().unwrap() = Some(Vec::new());
    let own = fixture.send("b", message("in/a", ""));
    eventually("the own commit", || fixture.host.held.lock().unwrap().as_ref().unwrap().len() == 1);
    let handed = fixture.send("a", message("in/a", ""));
    eventually("the handed message's run", || fixture.status("b").counters.invocations == 2);
    assert_eq!(fixture.host.held.lock().unwrap().as_ref().unwrap().len(), 1, "it waits for its turn");
    let (effects, done) = fixture.host.held.lock().unwrap().as_mut().unwrap().remove(0);
    fixture.host.answer(effects, done);
    own.recv_timeout(PATIENCE).unwrap().unwrap();
    eventually("the second commit", || fixture.host.held.lock().unwrap().as_ref().unwrap().len() == 1);
    let (effects, done) = fixture.host.held.lock().unwrap().as_mut().unwrap().remove(0);
    fixture.host.answer(effects, done);
    handed.recv_timeout(PATIENCE).unwrap().unwrap();
}
