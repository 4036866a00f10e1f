//! Several messages at once: what keeps its order, what waits, and that nothing is lost where commits conflict.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use selvedge_functions::{CommitFailure, Effects};

use crate::fixture::{Fixture, MemoryHost, PATIENCE, eventually, message};
use crate::guest::{self, ECHO, NOTHING, component, failure, manifest, transform};

fn counter() -> Vec<u8> {
    let body = format!("(call $increment (i32.const 100) (i32.const 5) (i64.const 1) (i32.const 304)) {NOTHING}");
    component("function", &format!("{} (data (i32.const 100) \"count\")", guest::INCREMENT), &body)
}

/// What a store does: a write based on another revision than the stored one is a conflict.
fn check_revisions(host: &Arc<MemoryHost>) -> Arc<AtomicU32> {
    let (conflicts, counted) = (Arc::new(AtomicU32::new(0)), Arc::downgrade(host));
    let verdict_conflicts = conflicts.clone();
    *host.verdict.lock().unwrap() = Some(Box::new(move |effects: &Effects| {
        let host = counted.upgrade().unwrap();
        let kv = host.kv.lock().unwrap();
        let stored = |key: &str| kv.get(&(effects.function.clone(), key.to_owned())).map(|entry| entry.revision);
        let stale = effects.kv_writes.iter().find(|write| stored(&write.key) != write.expected);
        let Some(stale) = stale else { return Ok(()) };
        verdict_conflicts.fetch_add(1, Ordering::SeqCst);
        Err(CommitFailure::Conflict(stale.key.clone()))
    }));
    conflicts
}

#[test]
fn messages_of_several_publishers_run_beside_each_other_and_those_of_one_do_not() {
    let fixture = Fixture::new();
    fixture.deploy(&manifest("count", "[limits]\nconcurrency = 3\nconcurrency_min = 3\n"), counter());
    *fixture.host.held.lock().unwrap() = Some(Vec::new());
    let results: Vec<_> =
        ["a", "a", "b", "c"].map(|client| fixture.send_from("count", client, message("in/a", ""))).into();
    // A run is counted a little before its place is free.
    eventually("three runs", || {
        let status = fixture.status("count");
        (status.counters.invocations, status.running) == (3, 0)
    });
    let queued = fixture.status("count").queued;
    assert_eq!(queued, 1, "the second of publisher a waits for the first one's commit");
    assert_eq!(fixture.host.held.lock().unwrap().as_ref().unwrap().len(), 1, "commits that can conflict go one by one");
    for result in results {
        eventually("the next commit", || !fixture.host.held.lock().unwrap().as_ref().unwrap().is_empty());
        // Not the order of the results: those of several publishers have none.
        let (effects, done) = fixture.host.held.lock().unwrap().as_mut().unwrap().remove(0);
        fixture.host.answer(effects, done);
        drop(result);
    }
    eventually("all commits", || fixture.status("count").counters.ok == 4);
}

#[test]
fn nothing_is_counted_twice_or_lost_where_commits_conflict() {
    let mut config = Fixture::new().config;
    config.workers = 4;
    let fixture = Fixture::with(config);
    fixture.deploy(&manifest("count", "[limits]\nconcurrency = 8\nconcurrency_min = 8\n"), counter());
    let conflicts = check_revisions(&fixture.host);
    let results: Vec<_> = (0..400)
        .map(|number| fixture.send_from("count", &format!("client-{}", number % 10), message("in/a", "")))
        .collect();
    for result in results {
        result.recv_timeout(PATIENCE).unwrap().unwrap();
    }
    assert_eq!(fixture.host.kv_text("count", "count").as_deref(), Some("400"));
    let counters = fixture.status("count").counters;
    let conflicts = u64::from(conflicts.load(Ordering::SeqCst));
    assert_eq!((counters.ok, counters.commit_failed, counters.invocations), (400, conflicts, 400 + conflicts));
}

/// What begins beside it could commit first, again and again, until the message is given up.
#[test]
fn a_message_that_conflicted_twice_runs_with_nothing_beside_it() {
    let fixture = Fixture::new();
    fixture.deploy(&manifest("count", "[limits]\nconcurrency = 4\nconcurrency_min = 4\n"), counter());
    fixture.deploy(&manifest("other", "[grants]\npublish = [\"#\"]\n"), transform(ECHO));
    let commits = AtomicU32::new(0);
    *fixture.host.verdict.lock().unwrap() = Some(Box::new(move |effects: &Effects| {
        let fails = effects.function == "count" && commits.fetch_add(1, Ordering::SeqCst) < 2;
        if fails { Err(CommitFailure::Conflict("count".into())) } else { Ok(()) }
    }));
    *fixture.host.held.lock().unwrap() = Some(Vec::new());
    let answer = || {
        eventually("a commit", || !fixture.host.held.lock().unwrap().as_ref().unwrap().is_empty());
        let (effects, done) = fixture.host.held.lock().unwrap().as_mut().unwrap().remove(0);
        fixture.host.answer(effects, done);
    };
    let first = fixture.send_from("count", "a", message("in/a", ""));
    (0..2).for_each(|_| answer());
    eventually("the third run", || fixture.status("count").counters.invocations == 3);
    let second = fixture.send_from("count", "b", message("in/b", ""));
    // Behind it in the scheduler: that it runs shows that the one before was looked at.
    let behind = fixture.send_from("other", "c", message("in/c", ""));
    eventually("a message of another function", || fixture.status("other").counters.invocations == 1);
    let status = fixture.status("count");
    assert_eq!((status.counters.invocations, status.queued), (3, 1), "the commit of the first one is not certain");
    (0..3).for_each(|_| answer());
    for result in [first, second, behind] {
        result.recv_timeout(PATIENCE).unwrap().unwrap();
    }
    assert_eq!(fixture.host.kv_text("count", "count").as_deref(), Some("2"));
}

#[test]
fn each_publisher_keeps_its_order() {
    let mut config = Fixture::new().config;
    config.workers = 4;
    let fixture = Fixture::with(config);
    let more = "[limits]\nconcurrency = 6\n[grants]\npublish = [\"#\"]\n";
    fixture.deploy(&manifest("echo", more), transform(ECHO));
    let results: Vec<_> = (0..1000_u32)
        .map(|number| {
            let client = format!("client-{}", number % 7);
            fixture.send_from("echo", &client, message(&format!("in/{client}"), &number.to_string()))
        })
        .collect();
    results.into_iter().for_each(|result| drop(result.recv_timeout(PATIENCE).unwrap().unwrap()));
    let mut last: BTreeMap<String, u32> = BTreeMap::new();
    for published in fixture.host.published() {
        let number: u32 = std::str::from_utf8(&published.payload).unwrap().parse().unwrap();
        let before = last.insert(published.topic.clone(), number);
        assert!(before.is_none_or(|before| before + 7 == number), "{}: {number} after {before:?}", published.topic);
    }
    assert_eq!(last.len(), 7);
}

#[test]
fn a_publisher_that_waits_for_another_attempt_holds_up_nobody_else() {
    let (head, body) = failure(0, "not now");
    let fails = format!(
        "(if (i32.eq (i32.load8_u (i32.load offset=8 (local.get $message))) (i32.const 120)) (then (return (block (result i32) {body})))) {NOTHING}"
    );
    let fixture = Fixture::new();
    let more = "[limits]\nconcurrency = 2\nconcurrency_min = 2\n[retry]\nattempts = 2\nbackoff_ms = 60000\n";
    fixture.deploy(&manifest("f", more), component("transform", &head, &fails));
    let failing = fixture.send_from("f", "bad", message("in/a", "x"));
    let behind = fixture.send_from("f", "bad", message("in/a", "y"));
    for _ in 0..20 {
        fixture.send_from("f", "good", message("in/a", "z")).recv_timeout(PATIENCE).unwrap().unwrap();
    }
    assert!(failing.try_recv().is_err() && behind.try_recv().is_err(), "both wait");
    assert_eq!(fixture.status("f").queued, 2);
}

#[test]
fn several_long_runs_take_the_time_of_one() {
    let busy = "(local.set $i (i32.const 60000000))
        (loop $again (local.set $i (i32.sub (local.get $i) (i32.const 1))) (br_if $again (local.get $i))) (i32.const 16)";
    let fixture = Fixture::new();
    let slow = "[limits]\nconcurrency = 2\nconcurrency_min = 2\ntimeout_ms = 60000\n";
    fixture.deploy(&manifest("slow", slow), transform(busy));
    let began = Instant::now();
    let results = ["a", "b"].map(|client| fixture.send_from("slow", client, message("in/a", "")));
    eventually("both run at once", || fixture.status("slow").running == 2 || began.elapsed() > PATIENCE / 2);
    results.into_iter().for_each(|result| drop(result.recv_timeout(PATIENCE).unwrap().unwrap()));
}
