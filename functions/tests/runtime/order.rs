//! Order, bounds of queues, and the end of the runtime.

use selvedge_functions::{InvocationError, InvocationResult};

use crate::fixture::{Fixture, PATIENCE, eventually, message};
use crate::guest::{self, ECHO, NOTHING, component, manifest, transform};

#[test]
fn messages_of_a_function_keep_their_order_through_retries_and_deployments() {
    let fixture = Fixture::new();
    let grants = "[grants]\npublish = [\"#\"]\n";
    fixture.deploy(&manifest("echo", grants), transform(ECHO));
    let results: Vec<_> = (0..500_u32)
        .map(|number| {
            if number == 250 {
                fixture
                    .deploy(&manifest("echo", grants), component("transform", "(data (i32.const 100) \"v2\")", ECHO));
            }
            fixture.send("echo", message("in/a", &number.to_string()))
        })
        .collect();
    results.into_iter().for_each(|result| assert!(result.recv_timeout(PATIENCE).unwrap().is_ok()));
    let numbers: Vec<u32> = fixture
        .host
        .published()
        .iter()
        .map(|message| std::str::from_utf8(&message.payload).unwrap().parse().unwrap())
        .collect();
    assert_eq!(numbers, (0..500).collect::<Vec<_>>());
}

#[test]
fn a_full_queue_refuses_at_once_and_takes_messages_again_later() {
    let mut config = Fixture::new().config;
    (config.queue_messages_max, config.commits_in_flight_max) = (2, 1);
    let fixture = Fixture::with(config);
    fixture.deploy(&manifest("f", ""), transform(NOTHING));
    *fixture.host.held.lock().unwrap() = Some(Vec::new());
    let first = fixture.send("f", message("in/a", ""));
    eventually("the first commit", || fixture.host.held.lock().unwrap().as_ref().unwrap().len() == 1);
    let waiting: Vec<_> = (0..2).map(|_| fixture.send("f", message("in/a", ""))).collect();
    let refused = fixture.send("f", message("in/a", "")).recv_timeout(PATIENCE).unwrap().unwrap_err();
    assert!(matches!(&refused, InvocationError::Overloaded { .. }) && refused.deliver_again());
    assert_eq!((fixture.status("f").queued, fixture.status("f").counters.overloaded), (2, 1));
    let held = fixture.host.held.lock().unwrap().take().unwrap();
    held.into_iter().for_each(|(effects, done)| fixture.host.answer(effects, done));
    for result in [first].into_iter().chain(waiting) {
        result.recv_timeout(PATIENCE).unwrap().unwrap();
    }
    fixture.call("f").unwrap();
}

#[test]
fn bytes_in_the_queue_are_bounded_but_one_large_message_passes() {
    let mut config = Fixture::new().config;
    (config.queue_bytes_max, config.commits_in_flight_max) = (1000, 1);
    let fixture = Fixture::with(config);
    fixture.deploy(&manifest("f", ""), transform(NOTHING));
    *fixture.host.held.lock().unwrap() = Some(Vec::new());
    let first = fixture.send("f", message("in/a", ""));
    eventually("the first commit", || fixture.host.held.lock().unwrap().as_ref().unwrap().len() == 1);
    let large = fixture.send("f", message("in/a", &"x".repeat(5000)));
    let refused = fixture.send("f", message("in/a", "")).recv_timeout(PATIENCE).unwrap();
    assert!(matches!(refused, Err(InvocationError::Overloaded { .. })));
    let held = fixture.host.held.lock().unwrap().take().unwrap();
    held.into_iter().for_each(|(effects, done)| fixture.host.answer(effects, done));
    first.recv_timeout(PATIENCE).unwrap().unwrap();
    large.recv_timeout(PATIENCE).unwrap().unwrap();
}

#[test]
fn a_function_that_is_not_there_is_named() {
    let result = Fixture::new().call("nobody");
    assert_eq!(result, Err(InvocationError::NotDeployed { function: "nobody".into() }));
}

/// Holds the function's first commit, so that later messages wait, and gives the ends of all lines.
fn with_messages_waiting(fixture: &Fixture) -> Vec<std::sync::mpsc::Receiver<InvocationResult>> {
    let body = format!("(call $increment (i32.const 100) (i32.const 5) (i64.const 1) (i32.const 304)) {NOTHING}");
    fixture.deploy(&manifest("f", ""), component("function", guest::INCREMENT, &body));
    *fixture.host.held.lock().unwrap() = Some(Vec::new());
    let results = (0..3).map(|_| fixture.send("f", message("in/a", ""))).collect();
    eventually("the first commit", || fixture.host.held.lock().unwrap().as_ref().unwrap().len() == 1);
    results
}

#[test]
fn removing_ends_what_waits_and_finishes_what_runs() {
    let fixture = Fixture::new();
    let mut results = with_messages_waiting(&fixture);
    assert!(fixture.runtime().remove("f").unwrap());
    assert!(!fixture.runtime().remove("f").unwrap());
    for result in results.drain(1..) {
        assert_eq!(result.recv_timeout(PATIENCE).unwrap(), Err(InvocationError::Removed { function: "f".into() }));
    }
    let (effects, done) = fixture.host.held.lock().unwrap().take().unwrap().remove(0);
    fixture.host.answer(effects, done);
    assert!(results[0].recv_timeout(PATIENCE).unwrap().is_ok());
    assert!(fixture.runtime().list().is_empty());
}

#[test]
fn stopping_gives_waiting_messages_back() {
    let mut fixture = Fixture::new();
    let mut results = with_messages_waiting(&fixture);
    fixture.stop();
    for result in results.drain(1..) {
        assert_eq!(result.recv_timeout(PATIENCE).unwrap(), Err(InvocationError::Stopping));
    }
    drop(fixture.host.held.lock().unwrap().take());
    assert!(matches!(results[0].recv_timeout(PATIENCE).unwrap(), Err(error) if error.deliver_again()));
}
