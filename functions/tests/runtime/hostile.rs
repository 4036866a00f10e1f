//! A compiled Rust guest that does what the payload says: every capability once, every misbehaviour once, and after each the
//! next message finds a fresh instance.

use std::fs;
use std::path::PathBuf;

use selvedge_functions::{InvocationError, InvocationResult, TwinDoc, TwinSection};

use crate::fixture::{Fixture, PATIENCE, message};

fn deployed() -> Fixture {
    let directory: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/guests/hostile"].iter().collect();
    let manifest = fs::read_to_string(directory.join("function.toml")).unwrap();
    let fixture = Fixture::new();
    let once = format!("{manifest}\n[retry]\nattempts = 1\n");
    fixture.deploy(&once, fs::read(directory.join("hostile.wasm")).unwrap());
    fixture
}

fn tell(fixture: &Fixture, command: &str) -> InvocationResult {
    fixture.host.committed.lock().unwrap().clear();
    fixture.send("hostile", message("hostile/in/a", command)).recv_timeout(PATIENCE).unwrap()
}

/// The reply's text.
#[track_caller]
fn reply(fixture: &Fixture, command: &str) -> String {
    tell(fixture, command).unwrap_or_else(|error| panic!("{command}: {error}"));
    let published = fixture.host.published();
    assert_eq!(published.len(), 1, "{command}");
    String::from_utf8(published[0].payload.clone()).unwrap()
}

#[test]
fn every_misbehaviour_ends_alone_and_leaves_nothing() {
    let fixture = deployed();
    type Expected = fn(&InvocationError) -> bool;
    let timed_out: Expected = |error| matches!(error, InvocationError::TimedOut { limit_ms: 100, .. });
    let over_limit: Expected = |error| matches!(error, InvocationError::LimitExceeded { .. });
    let trapped: Expected = |error| matches!(error, InvocationError::Trapped { .. });
    let commands = [
        ("loop", timed_out),
        ("loop-host", timed_out),
        ("grow", over_limit),
        ("trap", trapped),
        ("stack", trapped),
        ("return 65 10", over_limit),
        ("return 10 200000", over_limit),
        ("random 65537", trapped),
        ("publish-then-trap", trapped),
        ("retry", |error| matches!(error, InvocationError::Failed { reason, .. } if reason == "as told")),
        ("reject", |error| matches!(error, InvocationError::Rejected { reason } if reason == "as told")),
    ];
    for (command, is_expected) in commands {
        let error = tell(&fixture, command).expect_err(command);
        assert!(is_expected(&error), "{command}: {error}");
        assert_eq!(fixture.host.committed.lock().unwrap().len(), 0, "{command} left effects");
        assert_eq!(reply(&fixture, "fresh"), "0", "after {command}");
    }
    assert!(fixture.host.kv.lock().unwrap().is_empty());
    let counters = fixture.status("hostile").counters;
    assert_eq!((counters.timed_out, counters.ok, counters.dropped), (2, 11, 11));
}

#[test]
fn floods_meet_their_quota_and_the_function_is_told() {
    let fixture = deployed();
    assert_eq!(reply(&fixture, "kv 64 10"), "set 64");
    for command in ["kv 65 10", "kv 64 8000", "publish 64 10", "publish 63 20000"] {
        let text = reply_after_flood(&fixture, command);
        assert!(text.starts_with("quota"), "{command}: {text}");
    }
    assert_eq!(reply(&fixture, "log 1000 10"), "logged 1000");
    assert_eq!(fixture.status("hostile").counters.log_lines_dropped, 900);
    assert_eq!(reply(&fixture, "random 65536"), "65536");
}

/// The last message that came out, or the reason why none did.
fn reply_after_flood(fixture: &Fixture, command: &str) -> String {
    match tell(fixture, command) {
        Ok(_) => String::from_utf8(fixture.host.published().pop().unwrap().payload).unwrap(),
        // The messages published filled the limit, so that the reply itself had no room.
        Err(InvocationError::LimitExceeded { reason }) => format!("quota {reason}"),
        Err(other) => panic!("{command}: {other}"),
    }
}

#[test]
fn key_values_live_from_message_to_message() {
    let fixture = deployed();
    for (command, expected) in [
        ("get a", "none"),
        ("set a one", "1000"),
        ("get a", "1000 one"),
        ("cas a two 1000", "1001"),
        ("get a", "1001 two"),
        ("add n 5", "5"),
        ("add n -7", "-2"),
        ("list n 10", "n"),
        ("delete a", "deleted"),
        ("get a", "none"),
    ] {
        assert_eq!(reply(&fixture, command), expected, "{command}");
    }
    assert!(reply(&fixture, "cas n x 1").starts_with("conflict"), "a wrong revision conflicts");
    assert!(reply(&fixture, "set n x").parse::<u64>().is_ok());
    assert!(reply(&fixture, "add n 1").starts_with("invalid"), "x is no number");
}

#[test]
fn grants_open_what_they_name_only() {
    let fixture = deployed();
    let doc = TwinDoc { json: "{\"on\":true}".into(), revision: 4 };
    fixture.host.twins.lock().unwrap().insert(("hostile-1".into(), TwinSection::Reported), doc);
    assert_eq!(reply(&fixture, "twin-get hostile-1 reported"), "4 {\"on\":true}");
    assert!(reply(&fixture, "twin-get other reported").contains("grants.twin_read"));
    assert_eq!(reply(&fixture, "twin-patch hostile-1 reported {\"on\":false} 4"), "5");
    assert!(reply(&fixture, "twin-patch hostile-1 reported {\"on\":false} 3").starts_with("conflict"));
    assert!(reply(&fixture, "twin-patch other reported {}").contains("grants.twin_write"));
    assert!(reply(&fixture, "publish-to elsewhere").contains("grants.publish"));
    tell(&fixture, "publish-to hostile/allowed").unwrap();
    let topics: Vec<_> = fixture.host.published().into_iter().map(|message| message.topic).collect();
    assert_eq!(topics, ["hostile/allowed", "hostile/reply"]);
}

#[test]
fn configuration_and_context_are_given() {
    let fixture = deployed();
    assert_eq!(reply(&fixture, "config colour"), "green");
    assert_eq!(reply(&fixture, "config other"), "none");
    assert!(reply(&fixture, "context").contains("hostile"));
    let remaining_us: u64 = reply(&fixture, "remaining").parse().unwrap();
    assert!(remaining_us <= 100_000);
    assert!(reply(&fixture, "clock").starts_with("1000 "));
}
