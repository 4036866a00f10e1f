//! Invocations that somebody waits for: what they return, how long they may take, and that nothing runs on for nobody.

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use selvedge_functions::{
    Caller, InvocationContext, InvocationError, InvocationResult, RESPONSE_TOPIC, Waiting, Wanted,
};

use crate::fixture::{Fixture, PATIENCE, eventually, message};
use crate::guest::{ECHO, failure, manifest, transform};

const LONG: &str = "[limits]\ntimeout_ms = 60000\n[retry]\nattempts = 1\n";

/// Loops on a payload that begins with `l`, traps on `x`, returns the message otherwise.
fn moody() -> Vec<u8> {
    transform(&format!(
        "(local.set $i (i32.load8_u (i32.load offset=8 (local.get $message))))
         (if (i32.eq (local.get $i) (i32.const 108)) (then (loop $again (br $again))))
         (if (i32.eq (local.get $i) (i32.const 120)) (then unreachable)) {ECHO}"
    ))
}

fn call(fixture: &Fixture, payload: &str, time: Duration, wanted: Wanted) -> (Receiver<InvocationResult>, Waiting) {
    let (caller, waiting) = Caller::new(Instant::now() + time, wanted);
    let (sender, receiver) = std::sync::mpsc::channel();
    let context = InvocationContext { caller: Some(caller), ..InvocationContext::default() };
    let topic = if wanted == Wanted::HttpResponse { RESPONSE_TOPIC } else { "in/a" };
    fixture.runtime().invoke("f", message(topic, payload), context, Box::new(move |result| drop(sender.send(result))));
    (receiver, waiting)
}

fn ended(fixture: &Fixture, payload: &str, time: Duration) -> InvocationResult {
    let (receiver, _waiting) = call(fixture, payload, time, Wanted::Everything);
    receiver.recv_timeout(PATIENCE).unwrap()
}

#[test]
fn what_is_returned_for_a_caller_needs_no_grant_and_no_commit() {
    let fixture = Fixture::new();
    fixture.deploy(&manifest("f", ""), moody());
    for wanted in [Wanted::Everything, Wanted::HttpResponse] {
        let (receiver, _waiting) = call(&fixture, "1", PATIENCE, wanted);
        let success = receiver.recv_timeout(PATIENCE).unwrap().unwrap();
        assert_eq!((success.outputs, success.replies.len()), (0, 1));
        assert_eq!(success.replies[0].payload, b"1");
    }
    assert!(fixture.host.committed.lock().unwrap().is_empty());
    assert!(
        matches!(fixture.call("f").unwrap_err(), InvocationError::OutputRefused { .. }),
        "without a caller it does"
    );
}

#[test]
fn an_answer_waits_for_what_the_function_wrote_before_it() {
    let fixture = Fixture::new();
    fixture.deploy(&manifest("f", ""), moody());
    // Something that it wrote is on its way.
    *fixture.host.ordered.lock().unwrap() = Some(vec![Box::new(drop)]);
    let (receiver, _waiting) = call(&fixture, "1", PATIENCE, Wanted::Everything);
    eventually("the host to have it", || fixture.host.ordered.lock().unwrap().as_ref().unwrap().len() == 2);
    assert!(receiver.try_recv().is_err(), "it is not told before");
    let ended = fixture.host.ordered.lock().unwrap().as_mut().unwrap().remove(1);
    ended(Ok(()));
    assert_eq!(receiver.recv_timeout(PATIENCE).unwrap().unwrap().replies.len(), 1);
}

#[test]
fn who_leaves_stops_what_runs_and_what_waits_does_not_run() {
    let fixture = Fixture::new();
    fixture.deploy(&manifest("f", LONG), moody());
    let (runs, waiting) = call(&fixture, "loop", Duration::from_secs(50), Wanted::Everything);
    let (waits, waiting_too) = call(&fixture, "1", Duration::from_secs(50), Wanted::Everything);
    eventually("the first to run", || fixture.status("f").queued == 1);
    drop((waiting, waiting_too));
    for receiver in [runs, waits] {
        assert_eq!(receiver.recv_timeout(PATIENCE).unwrap().unwrap_err(), InvocationError::CallerLeft);
    }
    let counters = fixture.status("f").counters;
    assert_eq!((counters.invocations, counters.abandoned, counters.ok), (1, 2, 0));
    assert!(ended(&fixture, "1", PATIENCE).is_ok(), "it goes on");
}

#[test]
fn the_time_of_the_caller_is_the_limit_of_the_run() {
    let fixture = Fixture::new();
    fixture.deploy(&manifest("f", LONG), moody());
    let error = ended(&fixture, "loop", Duration::from_millis(50)).unwrap_err();
    assert!(matches!(error, InvocationError::TimedOut { .. }), "{error}");
    assert_eq!(ended(&fixture, "1", Duration::ZERO).unwrap_err(), InvocationError::CallerLeft);
}

#[test]
fn no_attempt_begins_that_the_caller_would_not_wait_for() {
    let fixture = Fixture::new();
    let (head, body) = failure(0, "later");
    let more = "[retry]\nattempts = 3\nbackoff_ms = 60000\n";
    fixture.deploy(&manifest("f", more), crate::guest::component("transform", &head, &body));
    let error = ended(&fixture, "1", Duration::from_secs(20)).unwrap_err();
    assert_eq!(error, InvocationError::Failed { reason: "later".to_owned(), attempts: 1 });
}

#[test]
fn a_function_that_cannot_run_now_says_so_at_once() {
    let fixture = Fixture::new();
    fixture.runtime().publish(&manifest("f", ""), moody()).unwrap();
    assert!(matches!(ended(&fixture, "1", PATIENCE).unwrap_err(), InvocationError::NotReady { .. }));
}

#[test]
fn nobody_waits_for_an_open_circuit_and_who_left_does_not_open_it() {
    let fixture = Fixture::new();
    let more = format!("{LONG}dead_letter = \"dead\"\n[circuit]\nfailures = 2\n");
    fixture.deploy(&manifest("f", &more), moody());
    for _ in 0..3 {
        let (receiver, waiting) = call(&fixture, "loop", PATIENCE, Wanted::Everything);
        drop(waiting);
        assert_eq!(receiver.recv_timeout(PATIENCE).unwrap().unwrap_err(), InvocationError::CallerLeft);
    }
    for _ in 0..2 {
        assert!(matches!(ended(&fixture, "x", PATIENCE).unwrap_err(), InvocationError::Trapped { .. }));
    }
    assert!(matches!(ended(&fixture, "1", PATIENCE).unwrap_err(), InvocationError::CircuitOpen { .. }));
    assert!(fixture.host.committed.lock().unwrap().is_empty(), "who is told needs no dead letter");
}
