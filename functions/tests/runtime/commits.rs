//! Commits that conflict, fail, come late or never, and failures that are tried again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use selvedge_functions::{CommitFailure, InvocationError, OnEnded};

use crate::fixture::{Fixture, PATIENCE, eventually, message};
use crate::guest::{self, ECHO, NOTHING, component, manifest, transform};

fn counter() -> Vec<u8> {
    let body = format!("(call $increment (i32.const 100) (i32.const 5) (i64.const 1) (i32.const 304)) {NOTHING}");
    component("function", &format!("{} (data (i32.const 100) \"count\")", guest::INCREMENT), &body)
}

/// Fails the first `failures` commits.
fn fail_first(fixture: &Fixture, failures: u32, failure: CommitFailure) -> Arc<AtomicU32> {
    let asked = Arc::new(AtomicU32::new(0));
    let verdict_asked = asked.clone();
    *fixture.host.verdict.lock().unwrap() = Some(Box::new(move |_| {
        if verdict_asked.fetch_add(1, Ordering::SeqCst) < failures { Err(failure.clone()) } else { Ok(()) }
    }));
    asked
}

#[test]
fn a_conflict_runs_the_message_again() {
    let fixture = Fixture::new();
    fixture.deploy(&manifest("count", ""), counter());
    fail_first(&fixture, 3, CommitFailure::Conflict("count".into()));
    assert_eq!(fixture.call("count").unwrap().attempts, 1, "a conflict is not the function's failure");
    let counters = fixture.status("count").counters;
    assert_eq!((counters.invocations, counters.ok, counters.commit_failed), (4, 1, 3));
    assert_eq!(fixture.host.kv_text("count", "count").as_deref(), Some("1"));
}

#[test]
fn endless_conflicts_end_with_the_attempts() {
    let fixture = Fixture::new();
    fixture.deploy(&manifest("count", "[retry]\nattempts = 2\nbackoff_ms = 1\n"), counter());
    let asked = fail_first(&fixture, u32::MAX, CommitFailure::Conflict("count".into()));
    assert_eq!(fixture.call("count"), Err(InvocationError::Conflict { reason: "count".into(), attempts: 16 }));
    assert_eq!(asked.load(Ordering::SeqCst), 16);
}

#[test]
fn eight_conflicts_are_a_failed_attempt_and_not_the_end() {
    let fixture = Fixture::new();
    fixture.deploy(&manifest("count", "[retry]\nattempts = 2\nbackoff_ms = 1\n"), counter());
    fail_first(&fixture, 8, CommitFailure::Conflict("count".into()));
    assert_eq!(fixture.call("count").unwrap().attempts, 2);
    assert_eq!(fixture.host.kv_text("count", "count").as_deref(), Some("1"));
}

#[test]
fn refused_effects_drop_the_message_and_an_unavailable_store_keeps_it() {
    let fixture = Fixture::new();
    fixture.deploy(&manifest("count", ""), counter());
    fail_first(&fixture, 1, CommitFailure::Refused("too large".into()));
    let refused = fixture.call("count").unwrap_err();
    assert!(matches!(&refused, InvocationError::CommitRefused { .. }) && !refused.deliver_again(), "{refused:?}");
    fail_first(&fixture, 1, CommitFailure::Unavailable("disk".into()));
    let unavailable = fixture.call("count").unwrap_err();
    assert!(
        matches!(&unavailable, InvocationError::CommitUnavailable { .. }) && unavailable.deliver_again(),
        "{unavailable:?}"
    );
    let counters = fixture.status("count").counters;
    assert_eq!((counters.dropped, counters.commit_failed, counters.ok), (1, 2, 0));
}

#[test]
fn a_function_with_state_waits_for_its_commit() {
    let fixture = Fixture::new();
    fixture.deploy(&manifest("count", ""), counter());
    *fixture.host.held.lock().unwrap() = Some(Vec::new());
    let results: Vec<_> = (0..3).map(|_| fixture.send("count", message("in/a", ""))).collect();
    for (number, result) in results.into_iter().enumerate() {
        eventually("the commit", || fixture.host.held.lock().unwrap().as_ref().unwrap().len() == 1);
        let (effects, done) = fixture.host.held.lock().unwrap().as_mut().unwrap().remove(0);
        fixture.host.answer(effects, done);
        result.recv_timeout(PATIENCE).unwrap().unwrap();
        assert_eq!(fixture.host.kv_text("count", "count"), Some((number + 1).to_string()));
    }
}

/// The end of a commit that was ordered.
fn take_ended(fixture: &Fixture) -> OnEnded {
    eventually("a commit", || fixture.host.ordered.lock().unwrap().as_ref().is_some_and(|ended| !ended.is_empty()));
    fixture.host.ordered.lock().unwrap().as_mut().unwrap().remove(0)
}

#[test]
fn a_function_with_state_goes_on_when_its_commit_is_ordered_but_only_so_far() {
    let mut config = Fixture::new().config;
    config.commits_in_flight_max = 3;
    for concurrency in ["", "[limits]\nconcurrency = 2\nconcurrency_min = 2\n"] {
        let fixture = Fixture::with(config.clone());
        fixture.deploy(&manifest("count", concurrency), counter());
        *fixture.host.ordered.lock().unwrap() = Some(Vec::new());
        let results: Vec<_> = (0..5).map(|_| fixture.send("count", message("in/a", ""))).collect();
        eventually("three commits", || fixture.host.committed.lock().unwrap().len() == 3);
        assert_eq!(fixture.host.kv_text("count", "count").as_deref(), Some("3"), "each saw what the one before wrote");
        // Behind it in the scheduler: that it ends shows that the fourth one was looked at.
        fixture.deploy(&manifest("other", "[grants]\npublish = [\"#\"]\n"), transform(ECHO));
        let other = fixture.send("other", message("in/b", ""));
        eventually("a run of another function", || fixture.status("other").counters.invocations == 1);
        assert_eq!(fixture.status("count").counters.invocations, 3, "the fourth waits for the end of a commit");
        assert!(results[0].try_recv().is_err(), "nobody is told before it is durable");
        for _ in 0..6 {
            take_ended(&fixture)(Ok(()));
        }
        for result in results.into_iter().chain([other]) {
            result.recv_timeout(PATIENCE).unwrap().unwrap();
        }
        assert_eq!(fixture.host.kv_text("count", "count").as_deref(), Some("5"));
    }
}

#[test]
fn an_ordered_commit_that_does_not_become_durable_leaves_its_message_to_come_again() {
    let fixture = Fixture::new();
    fixture.deploy(&manifest("count", ""), counter());
    *fixture.host.ordered.lock().unwrap() = Some(Vec::new());
    let results: Vec<_> = (0..2).map(|_| fixture.send("count", message("in/a", ""))).collect();
    take_ended(&fixture)(Err(CommitFailure::Unavailable("disk".into())));
    drop(take_ended(&fixture));
    for result in results {
        let error = result.recv_timeout(PATIENCE).unwrap().unwrap_err();
        assert!(error.deliver_again(), "{error:?}");
    }
    let counters = fixture.status("count").counters;
    assert_eq!((counters.ok, counters.commit_failed, counters.dropped), (0, 2, 0));
    // The turn was passed on once for each: the function still runs one message at a time.
    let results: Vec<_> = (0..3).map(|_| fixture.send("count", message("in/a", ""))).collect();
    results.iter().for_each(|_| take_ended(&fixture)(Ok(())));
    results.into_iter().for_each(|result| drop(result.recv_timeout(PATIENCE).unwrap().unwrap()));
    assert_eq!(fixture.host.kv_text("count", "count").as_deref(), Some("5"));
}

#[test]
fn a_function_without_state_does_not_wait_but_only_so_far() {
    let mut config = Fixture::new().config;
    config.commits_in_flight_max = 3;
    let fixture = Fixture::with(config);
    fixture.deploy(&manifest("echo", "[grants]\npublish = [\"#\"]\n"), transform(ECHO));
    *fixture.host.held.lock().unwrap() = Some(Vec::new());
    let results: Vec<_> = (0..5).map(|number| fixture.send("echo", message("in/a", &number.to_string()))).collect();
    eventually("three commits", || fixture.host.held.lock().unwrap().as_ref().unwrap().len() == 3);
    assert_eq!(fixture.status("echo").counters.invocations, 3, "the fourth waits for a commit");
    // One by one and with the rest still held: an answer lets the next commit in behind those that wait.
    for _ in 0..results.len() {
        eventually("a commit", || !fixture.host.held.lock().unwrap().as_ref().unwrap().is_empty());
        let (effects, done) = fixture.host.held.lock().unwrap().as_mut().unwrap().remove(0);
        fixture.host.answer(effects, done);
    }
    results.into_iter().for_each(|result| assert!(result.recv_timeout(PATIENCE).unwrap().is_ok()));
    let payloads: Vec<_> = fixture.host.published().into_iter().map(|message| message.payload).collect();
    assert_eq!(payloads, [b"0", b"1", b"2", b"3", b"4"]);
}

#[test]
fn a_commit_that_the_host_forgets_counts_as_unavailable() {
    let fixture = Fixture::new();
    fixture.deploy(&manifest("count", ""), counter());
    *fixture.host.held.lock().unwrap() = Some(Vec::new());
    let result = fixture.send("count", message("in/a", ""));
    eventually("the commit", || fixture.host.held.lock().unwrap().as_ref().unwrap().len() == 1);
    drop(fixture.host.held.lock().unwrap().take());
    assert!(matches!(result.recv_timeout(PATIENCE).unwrap(), Err(InvocationError::CommitUnavailable { .. })));
    fixture.call("count").unwrap();
}

#[test]
fn retry_is_tried_again_with_a_pause_and_then_dropped_with_a_word_in_the_log() {
    let (head, body) = guest::failure(0, "not yet");
    let fixture = Fixture::new();
    fixture.deploy(&manifest("later", "[retry]\nattempts = 3\nbackoff_ms = 1\n"), component("transform", &head, &body));
    assert_eq!(fixture.call("later"), Err(InvocationError::Failed { reason: "not yet".into(), attempts: 3 }));
    let counters = fixture.status("later").counters;
    assert_eq!((counters.invocations, counters.failed, counters.dropped), (3, 3, 1));
    let texts: Vec<_> = fixture.logs("later").into_iter().map(|line| line.text).collect();
    assert!(texts.iter().any(|text| text.contains("attempt 2 of 3") && text.contains("; next in ")), "{texts:?}");
    assert!(texts.iter().any(|text| text.contains("message dropped: function failed 3 times: not yet")), "{texts:?}");
}

#[test]
fn reject_is_final() {
    let (head, body) = guest::failure(1, "no number");
    let fixture = Fixture::new();
    fixture.deploy(&manifest("picky", ""), component("transform", &head, &body));
    assert_eq!(fixture.call("picky"), Err(InvocationError::Rejected { reason: "no number".into() }));
    assert_eq!(fixture.status("picky").counters.invocations, 1);
}

#[test]
fn the_next_attempt_begins_with_a_fresh_instance() {
    // Traps unless a global that it sets is still 0.
    let body = format!("(if (global.get $used) (then unreachable)) (global.set $used (i32.const 1)) {NOTHING}");
    let fixture = Fixture::new();
    fixture.deploy(&manifest("fresh", ""), component("transform", "(global $used (mut i32) (i32.const 0))", &body));
    for _ in 0..50 {
        fixture.call("fresh").unwrap();
    }
}

#[test]
fn nothing_of_one_message_is_left_in_memory_for_the_next() {
    // Traps unless the page that it fills is still zero.
    let body = format!(
        "(if (i32.load (i32.const 100000)) (then unreachable)) (memory.fill (i32.const 70000) (i32.const 255) (i32.const 50000))
         (drop (memory.grow (i32.const 1))) (i32.store (i32.const 131072) (i32.const 1)) {NOTHING}"
    );
    let fixture = Fixture::new();
    fixture.deploy(&manifest("fresh", ""), transform(&body));
    for _ in 0..50 {
        fixture.call("fresh").unwrap();
    }
}
