//! Functions that fail: dead letters, circuits and what falls back, rates, room at deployment.

use std::sync::mpsc::Receiver;
use std::time::Duration;

use selvedge_functions::{
    CircuitState, CommitFailure, DeployError, InvocationContext, InvocationError, InvocationMessage, InvocationResult,
    NoRoom, Qos, Settlement,
};

use crate::fixture::{Fixture, PATIENCE, eventually, message};
use crate::guest::{self, ECHO, NOTHING, failure, manifest, transform};

const GRANTS: &str = "[grants]\npublish = [\"#\"]\n";
const ONCE: &str = "[retry]\nattempts = 1\n";

/// Traps on a payload that begins with `x`, returns the message otherwise.
fn moody() -> Vec<u8> {
    transform(&format!(
        "(if (i32.eq (i32.load8_u (i32.load offset=8 (local.get $message))) (i32.const 120)) (then unreachable)) {ECHO}"
    ))
}

fn send(fixture: &Fixture, client: &str, payload: &str) -> Receiver<InvocationResult> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let context = InvocationContext { client_id: Some(client.to_owned()), delivery: Some(9), ..Default::default() };
    let mut message = message("in/a", payload);
    message.properties.response_topic = Some("answers".to_owned());
    let done = Box::new(move |result| drop(sender.send(result)));
    fixture.runtime().invoke("f", message, context, done);
    receiver
}

fn end(fixture: &Fixture, client: &str, payload: &str) -> InvocationResult {
    send(fixture, client, payload).recv_timeout(PATIENCE).unwrap()
}

fn fails(fixture: &Fixture, client: &str) {
    assert!(matches!(end(fixture, client, "x").unwrap_err(), InvocationError::Trapped { .. }));
}

fn user_property<'a>(message: &'a InvocationMessage, name: &str) -> &'a str {
    let properties = &message.properties.user_properties;
    properties.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str()).unwrap_or_default()
}

#[test]
fn a_message_that_is_given_up_becomes_a_dead_letter_with_its_acknowledgement() {
    let fixture = Fixture::new();
    let more = "[retry]\nattempts = 2\nbackoff_ms = 1\ndead_letter = \"dead/f\"\n";
    fixture.deploy(&manifest("f", more), moody());
    let error = end(&fixture, "c1", "xyz").unwrap_err();
    assert!(matches!(&error, InvocationError::Settled { by: Settlement::DeadLetter, .. }), "{error}");
    assert!(error.is_acknowledged() && !error.deliver_again());
    let effects = fixture.host.committed.lock().unwrap().clone();
    assert_eq!((effects.len(), effects[0].delivery, effects[0].depth), (1, Some(9), 1));
    let letter = &effects[0].publish[0];
    assert_eq!(
        (letter.topic.as_str(), letter.payload.as_slice(), letter.qos),
        ("dead/f", &b"xyz"[..], Qos::AtLeastOnce)
    );
    for (name, value) in [("topic", "in/a"), ("client", "c1"), ("attempts", "2"), ("version", "v1"), ("function", "f")]
    {
        assert_eq!(user_property(letter, &format!("dead-letter-{name}")), value);
    }
    assert!(user_property(letter, "dead-letter-reason").contains("unreachable"));
    let counters = fixture.status("f").counters;
    assert_eq!((counters.dropped, counters.dead_letters, counters.invocations), (1, 1, 2));
}

#[test]
fn a_dead_letter_that_cannot_be_committed_now_is_tried_again_with_its_message() {
    let fixture = Fixture::new();
    fixture.deploy(&manifest("f", &format!("{ONCE}dead_letter = \"dead/f\"\n")), moody());
    *fixture.host.verdict.lock().unwrap() = Some(Box::new(|_| Err(CommitFailure::Unavailable("full".into()))));
    assert!(end(&fixture, "c", "x").unwrap_err().deliver_again());
    *fixture.host.verdict.lock().unwrap() = Some(Box::new(|_| Err(CommitFailure::Refused("no".into()))));
    let error = end(&fixture, "c", "x").unwrap_err();
    assert!(matches!(&error, InvocationError::Trapped { .. }) && !error.is_acknowledged(), "{error}");
}

#[test]
fn three_failures_open_the_circuit_and_messages_wait_for_the_probe_in_order() {
    let fixture = Fixture::new();
    fixture.deploy(&manifest("f", &format!("{GRANTS}{ONCE}[circuit]\nprobe_after_s = 1\n")), moody());
    for _ in 0..3 {
        assert_eq!(fixture.status("f").circuit, CircuitState::Closed);
        fails(&fixture, "c");
    }
    assert_eq!((fixture.status("f").circuit, fixture.status("f").circuits_open), (CircuitState::Open, 1));
    let waiting: Vec<_> = ["1", "2", "3"].map(|payload| send(&fixture, "c", payload)).into();
    assert!(waiting[0].recv_timeout(Duration::from_millis(100)).is_err(), "it waits");
    waiting.into_iter().for_each(|result| drop(result.recv_timeout(PATIENCE).unwrap().unwrap()));
    let payloads: Vec<_> = fixture.host.published().into_iter().map(|message| message.payload).collect();
    assert_eq!(payloads, [b"1", b"2", b"3"]);
    assert_eq!(fixture.status("f").circuit, CircuitState::Closed);
    let events = fixture.host.events.lock().unwrap().clone();
    assert_eq!(events, [("f".into(), "circuit-opened".to_owned()), ("f".into(), "circuit-closed".to_owned())]);
    assert_eq!(fixture.status("f").counters.circuit_opened, 1);
    assert!(fixture.logs("f").iter().any(|line| line.text.contains("3 messages in a row failed")));
}

#[test]
fn what_waits_for_an_open_circuit_runs_when_another_version_is_live() {
    let fixture = Fixture::new();
    fixture.deploy(&manifest("f", &format!("{GRANTS}{ONCE}[circuit]\nprobe_after_s = 3600\n")), moody());
    (0..3).for_each(|_| fails(&fixture, "c"));
    let waiting = send(&fixture, "c", "x");
    fixture.deploy(&manifest("f", GRANTS), transform(NOTHING));
    assert_eq!(waiting.recv_timeout(PATIENCE).unwrap().unwrap().version.unwrap().to_string(), "v2");
    assert_eq!(fixture.status("f").circuit, CircuitState::Closed);
}

#[test]
fn a_circuit_per_client_stops_the_bad_one_only() {
    let fixture = Fixture::new();
    fixture.deploy(&manifest("f", &format!("{GRANTS}{ONCE}[circuit]\nper = \"client\"\n")), moody());
    (0..3).for_each(|_| fails(&fixture, "bad"));
    let error = end(&fixture, "bad", "1").unwrap_err();
    assert_eq!(error, InvocationError::CircuitOpen { function: "f".to_owned() });
    assert_eq!(end(&fixture, "good", "1").unwrap().outputs, 1);
}

#[test]
fn what_an_open_circuit_stops_is_answered_with_the_static_reply() {
    let fixture = Fixture::new();
    let circuit = "[circuit]\nfallback = \"reply\"\nreply_payload = \"later\"\n";
    fixture.deploy(&manifest("f", &format!("{GRANTS}{ONCE}{circuit}")), moody());
    (0..3).for_each(|_| fails(&fixture, "c"));
    let error = end(&fixture, "c", "1").unwrap_err();
    assert!(matches!(&error, InvocationError::Settled { by: Settlement::Reply, .. }), "{error}");
    let replies = fixture.host.published();
    assert_eq!(
        (replies.len(), replies[0].topic.as_str(), replies[0].payload.as_slice()),
        (1, "answers", &b"later"[..])
    );
    assert_eq!(fixture.status("f").counters.static_replies, 1);
}

#[test]
fn another_version_takes_the_messages_of_an_open_circuit_also_after_a_restart() {
    let mut fixture = Fixture::new();
    fixture.runtime().publish(&manifest("f", GRANTS), transform(NOTHING)).unwrap();
    fixture.deploy(&manifest("f", &format!("{GRANTS}{ONCE}[circuit]\nfallback = \"v1\"\n")), moody());
    for _ in 0..2 {
        (0..3).for_each(|_| fails(&fixture, "c"));
        let version = end(&fixture, "c", "x").unwrap().version.unwrap();
        assert_eq!(version.to_string(), "v1");
        assert_eq!(fixture.runtime().collect("f", 0).unwrap(), [], "v1 is needed");
        fixture.reopen();
    }
    let missing = manifest("f", "[circuit]\nfallback = \"v7\"\n");
    assert_eq!(fixture.try_deploy(&missing, moody()).unwrap_err().to_string(), "there is no v7; there are v1, v2");
}

#[test]
fn what_a_function_rejects_and_what_the_node_takes_back_open_nothing() {
    let fixture = Fixture::new();
    let (head, body) = failure(1, "not mine");
    fixture.deploy(&manifest("f", "[circuit]\n"), guest::component("transform", &head, &body));
    for _ in 0..5 {
        assert!(matches!(end(&fixture, "c", "1").unwrap_err(), InvocationError::Rejected { .. }));
    }
    fixture.deploy(&manifest("f", "[circuit]\n"), transform(NOTHING));
    *fixture.host.verdict.lock().unwrap() = Some(Box::new(|_| Err(CommitFailure::Unavailable("full".into()))));
    for _ in 0..5 {
        assert!(end(&fixture, "c", "1").unwrap_err().deliver_again());
    }
    assert_eq!(fixture.status("f").circuit, CircuitState::Closed);
}

#[test]
fn attempts_of_one_message_count_as_one() {
    let fixture = Fixture::new();
    fixture.deploy(&manifest("f", "[retry]\nattempts = 4\nbackoff_ms = 1\n[circuit]\n"), moody());
    (0..2).for_each(|_| fails(&fixture, "c"));
    assert_eq!((fixture.status("f").circuit, fixture.status("f").counters.invocations), (CircuitState::Closed, 8));
}

#[test]
fn a_rate_makes_messages_wait_and_loses_none() {
    let fixture = Fixture::new();
    fixture.deploy(&manifest("f", &format!("{GRANTS}[limits]\nrate_per_s = 50\nburst = 2\n")), transform(ECHO));
    let start = std::time::Instant::now();
    let results: Vec<_> = (0..8).map(|number| send(&fixture, "c", &number.to_string())).collect();
    results.into_iter().for_each(|result| drop(result.recv_timeout(PATIENCE).unwrap().unwrap()));
    assert!(start.elapsed() >= Duration::from_millis(119), "2 at once and 6 at 50 a second: {:?}", start.elapsed());
    let payloads: Vec<_> = fixture.host.published().into_iter().map(|message| message.payload[0] - b'0').collect();
    assert_eq!(payloads, (0..8).collect::<Vec<_>>());
    // One whose time has come before a busy machine gets to it does not wait.
    assert!(fixture.status("f").counters.rate_waits > 0);
}

#[test]
fn a_function_has_a_depth_of_its_own() {
    let fixture = Fixture::new();
    fixture.deploy(&manifest("f", "[limits]\ndepth = 1\n"), transform(NOTHING));
    let at = |depth| {
        let (sender, receiver) = std::sync::mpsc::channel();
        let context = InvocationContext { depth, ..InvocationContext::default() };
        fixture.runtime().invoke("f", message("in/a", ""), context, Box::new(move |end| drop(sender.send(end))));
        receiver.recv_timeout(PATIENCE).unwrap()
    };
    assert!(at(1).is_ok());
    let error = at(2).unwrap_err().to_string();
    assert!(error.contains("passed through 2 functions, allowed are 1"), "{error}");
}

#[test]
fn a_function_that_the_machine_has_no_room_for_is_not_deployed() {
    let fixture = Fixture::new();
    let manifest = manifest("f", "[limits]\nmemory_bytes = \"8MiB\"\n");
    *fixture.host.memory_available.lock().unwrap() = Some((8 << 20) - 1);
    let error = fixture.try_deploy(&manifest, transform(NOTHING)).unwrap_err();
    assert!(matches!(error, DeployError::NoRoom(NoRoom::Machine { .. })), "{error}");
    *fixture.host.memory_available.lock().unwrap() = Some(8 << 20);
    fixture.deploy(&manifest, transform(NOTHING));
    eventually("ready", || fixture.call("f").is_ok());
}
