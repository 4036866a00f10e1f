//! Instances that run more than one message.

use selvedge_functions::{InvocationError, InvocationResult};

use crate::fixture::{Fixture, PATIENCE, eventually, message};
use crate::guest::{ECHO, manifest, transform};

/// Answers with how many messages its instance ran; traps on "x".
fn counts_its_messages() -> Vec<u8> {
    let payload = "(i32.load offset=8 (local.get $message))";
    transform(&format!(
        "(if (i32.eq (i32.load8_u {payload}) (i32.const 120)) (then unreachable))
         (i32.store (i32.const 60) (i32.add (i32.load (i32.const 60)) (i32.const 1)))
         (i32.store8 {payload} (i32.add (i32.const 48) (i32.load (i32.const 60)))) {ECHO}"
    ))
}

fn with(more: &str) -> String {
    let grants = "[grants]\npublish = [\"#\"]\n";
    manifest("f", &format!("[retry]\nattempts = 1\n{grants}{more}")).replacen('\n', "\nisolation = \"reuse\"\n", 1)
}

fn answers(fixture: &Fixture, payloads: &str) -> Vec<String> {
    let before = fixture.host.published().len();
    for payload in payloads.chars() {
        let result: InvocationResult =
            fixture.send("f", message("in/a", &payload.to_string())).recv_timeout(PATIENCE).unwrap();
        assert!(
            matches!((&result, payload), (Ok(_), '0') | (Err(InvocationError::Trapped { .. }), 'x')),
            "{payload}: {result:?}"
        );
    }
    let published = fixture.host.published();
    published[before..].iter().map(|message| String::from_utf8(message.payload.clone()).unwrap()).collect()
}

#[test]
fn a_fresh_instance_knows_nothing_of_earlier_messages_and_a_kept_one_does() {
    let fixture = Fixture::new();
    fixture.deploy(&manifest("f", "[grants]\npublish = [\"#\"]\n"), counts_its_messages());
    assert_eq!(answers(&fixture, "000"), ["1", "1", "1"]);
    assert_eq!(fixture.status("f").counters.reused, 0);
    fixture.deploy(&with(""), counts_its_messages());
    assert_eq!(answers(&fixture, "000"), ["1", "2", "3"]);
    assert_eq!(fixture.status("f").counters.reused, 2);
}

#[test]
fn an_instance_ends_after_so_many_messages_and_with_a_trap() {
    let fixture = Fixture::new();
    fixture.deploy(&with("[reuse]\ncalls = 3\n"), counts_its_messages());
    assert_eq!(answers(&fixture, "00000"), ["1", "2", "3", "1", "2"]);
    assert_eq!(answers(&fixture, "x00"), ["1", "2"], "what trapped is not used again");
}

#[test]
fn an_instance_that_is_too_old_goes_by_itself_and_makes_room() {
    let mut config = Fixture::new().config;
    config.kept_instances_max = 1;
    let fixture = Fixture::with(config);
    fixture.deploy(&with("[reuse]\nage_s = 1\n"), counts_its_messages());
    fixture.call("f").unwrap();
    fixture.deploy(&with("").replace("\"f\"", "\"g\""), counts_its_messages());
    // Nothing more comes for f: what it keeps goes because its time is over.
    eventually("room for an instance of g", || {
        fixture.call("g").unwrap();
        fixture.status("g").counters.reused > 0
    });
}

#[test]
fn another_version_has_instances_of_its_own_and_more_are_kept_only_while_there_is_room() {
    let mut config = Fixture::new().config;
    config.kept_instances_max = 1;
    let fixture = Fixture::with(config);
    fixture.deploy(&with(""), counts_its_messages());
    assert_eq!(answers(&fixture, "00"), ["1", "2"]);
    fixture.deploy(&with("[config]\nchanged = true\n"), counts_its_messages());
    assert_eq!(answers(&fixture, "00"), ["1", "2"], "the former version's instance has given its place back");
    let second = with("").replace("\"f\"", "\"g\"");
    fixture.deploy(&second, counts_its_messages());
    for _ in 0..2 {
        fixture.call("g").unwrap();
    }
    assert_eq!(fixture.status("g").counters.reused, 0, "there is room for one");
}
