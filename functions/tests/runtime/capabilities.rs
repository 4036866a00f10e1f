//! What a function can reach, as seen by the host.

use selvedge_functions::{
    InvocationContext, InvocationError, InvocationMessage, Properties, Qos, TwinDoc, TwinPatch, TwinSection, World,
};

use crate::fixture::{Fixture, PATIENCE, message};
use crate::guest::{self, ECHO, NOTHING, component, manifest, transform};

#[test]
fn a_message_comes_back_with_every_property() {
    let fixture = Fixture::new();
    let deployed = fixture.deploy(&manifest("echo", "[grants]\npublish = [\"in/#\"]\n"), transform(ECHO));
    assert_eq!(deployed.world, World::Transform);
    let sent = InvocationMessage {
        topic: "in/ä".into(),
        payload: vec![0, 255, 1],
        qos: Qos::ExactlyOnce,
        retain: true,
        properties: Properties {
            utf8_payload: false,
            content_type: Some("text/plain".into()),
            response_topic: Some("answer".into()),
            correlation_data: Some(vec![7, 0]),
            message_expiry_s: Some(60),
            user_properties: vec![("a".into(), "1".into()), ("a".into(), "2".into()), (String::new(), String::new())],
        },
    };
    let success = fixture.send("echo", sent.clone()).recv_timeout(PATIENCE).unwrap().unwrap();
    assert_eq!((success.outputs, success.attempts), (1, 1));
    assert_eq!(fixture.host.published(), [sent]);
}

#[test]
fn a_large_payload_comes_back_whole() {
    let fixture = Fixture::new();
    fixture.deploy(&manifest("echo", "[grants]\npublish = [\"#\"]\n"), transform(ECHO));
    let sent = InvocationMessage {
        topic: "in".into(),
        payload: (0..300_000).map(|n| n as u8).collect(),
        ..InvocationMessage::default()
    };
    fixture.send("echo", sent.clone()).recv_timeout(PATIENCE).unwrap().unwrap();
    assert_eq!(fixture.host.published(), [sent]);
}

#[test]
fn a_returned_message_without_grant_is_refused_and_the_grant_named() {
    let fixture = Fixture::new();
    fixture.deploy(&manifest("echo", "[grants]\npublish = [\"out/#\"]\n"), transform(ECHO));
    match fixture.call("echo") {
        Err(InvocationError::OutputRefused { reason }) => assert!(reason.contains("publish = [\"in/a\"]"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(fixture.host.committed.lock().unwrap().len(), 0);
}

#[test]
fn a_returned_topic_with_a_wildcard_is_no_message() {
    let fixture = Fixture::new();
    fixture.deploy(&manifest("echo", "[grants]\npublish = [\"#\"]\n"), transform(ECHO));
    for topic in ["a/+", "#", "", "a\0"] {
        let result = fixture.send("echo", message(topic, "")).recv_timeout(PATIENCE).unwrap();
        assert!(matches!(result, Err(InvocationError::OutputRefused { .. })), "{topic:?}: {result:?}");
    }
}

#[test]
fn published_messages_go_before_returned_ones() {
    let body = format!(
        "(call $publish (local.get $message) (i32.const 304)) (i32.store8 (i32.load (local.get $message)) (i32.const 65)) {ECHO}"
    );
    let fixture = Fixture::new();
    fixture.deploy(&manifest("both", "[grants]\npublish = [\"#\"]\n"), component("function", guest::PUBLISH, &body));
    fixture.call("both").unwrap();
    let topics: Vec<_> = fixture.host.published().into_iter().map(|message| message.topic).collect();
    assert_eq!(topics, ["in/a", "An/a"]);
}

#[test]
fn publishing_without_grant_is_denied_and_the_function_goes_on() {
    let denied = "(call $publish (local.get $message) (i32.const 304))
        (if (i32.ne (i32.load8_u (i32.const 304)) (i32.const 1)) (then unreachable))
        (if (i32.ne (i32.load8_u (i32.const 312)) (i32.const 0)) (then unreachable))";
    let fixture = Fixture::new();
    fixture.deploy(&manifest("denied", ""), component("function", guest::PUBLISH, &format!("{denied} {NOTHING}")));
    assert_eq!(fixture.call("denied").unwrap().outputs, 0);
}

#[test]
fn a_counter_counts_in_its_own_bucket() {
    let body = format!("(call $increment (i32.const 100) (i32.const 5) (i64.const 2) (i32.const 304)) {NOTHING}");
    let head = format!("{} (data (i32.const 100) \"count\")", guest::INCREMENT);
    let fixture = Fixture::new();
    for name in ["one", "two"] {
        fixture.deploy(&manifest(name, ""), component("function", &head, &body));
    }
    for _ in 0..3 {
        fixture.call("one").unwrap();
    }
    fixture.call("two").unwrap();
    assert_eq!(fixture.host.kv_text("one", "count").as_deref(), Some("6"));
    assert_eq!(fixture.host.kv_text("two", "count").as_deref(), Some("2"));
}

/// Reads `/` of the twin `pump-1`; traps unless the result's first byte and the option's or error's case are as given.
fn twin_reader(first: u32, second: u32) -> Vec<u8> {
    let head = format!("{} (data (i32.const 100) \"pump-1\")", guest::TWIN_GET);
    let body = format!(
        "(call $twin_get (i32.const 100) (i32.const 6) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 304))
         (if (i32.ne (i32.load8_u (i32.const 304)) (i32.const {first})) (then unreachable))
         (if (i32.ne (i32.load8_u (i32.const 312)) (i32.const {second})) (then unreachable)) {NOTHING}"
    );
    component("function", &head, &body)
}

#[test]
fn a_twin_is_read_with_a_grant_only() {
    let fixture = Fixture::new();
    let doc = TwinDoc { json: "{}".into(), revision: 3 };
    fixture.host.twins.lock().unwrap().insert(("pump-1".into(), TwinSection::Reported), doc);
    fixture.deploy(&manifest("reader", "[grants]\ntwin_read = [\"pump-*\"]\n"), twin_reader(0, 1));
    fixture.call("reader").unwrap();
    let committed = fixture.host.committed.lock().unwrap().pop().unwrap();
    assert_eq!((committed.twin_reads[0].device.as_str(), committed.twin_reads[0].revision), ("pump-1", Some(3)));
    fixture.deploy(&manifest("reader", "[grants]\ntwin_read = [\"valve-*\"]\n"), twin_reader(1, 0));
    fixture.call("reader").unwrap();
}

#[test]
fn a_twin_is_patched_at_the_commit() {
    let head = format!(
        "{} (data (i32.const 100) \"pump-1\") (data (i32.const 120) \"{{\\22on\\22:true}}\")",
        guest::TWIN_PATCH
    );
    let body = format!(
        "(call $twin_patch (i32.const 100) (i32.const 6) (i32.const 0) (i32.const 120) (i32.const 11) (i32.const 0) (i64.const 0) (i32.const 304))
         (if (i32.load8_u (i32.const 304)) (then unreachable)) {NOTHING}"
    );
    let fixture = Fixture::new();
    fixture.deploy(&manifest("writer", "[grants]\ntwin_write = [\"pump-1\"]\n"), component("function", &head, &body));
    fixture.call("writer").unwrap();
    let patch = TwinPatch {
        device: "pump-1".into(),
        section: TwinSection::Desired,
        merge: "{\"on\":true}".into(),
        expected: None,
    };
    assert_eq!(fixture.host.committed.lock().unwrap()[0].twin_patches, [patch]);
}

#[test]
fn the_delivery_and_the_depth_come_back_with_the_effects() {
    let fixture = Fixture::new();
    fixture.deploy(&manifest("f", ""), transform(NOTHING));
    let (sender, receiver) = std::sync::mpsc::channel();
    let context = InvocationContext { delivery: Some(77), depth: 16, ..InvocationContext::default() };
    fixture.runtime().invoke(
        "f",
        message("in/a", ""),
        context.clone(),
        Box::new(move |result| sender.send(result).unwrap()),
    );
    receiver.recv_timeout(PATIENCE).unwrap().unwrap();
    let effects = fixture.host.committed.lock().unwrap().pop().unwrap();
    assert_eq!((effects.delivery, effects.depth), (Some(77), 17));
}

#[test]
fn a_message_that_passed_through_too_many_functions_is_dropped() {
    let fixture = Fixture::new();
    fixture.deploy(&manifest("f", ""), transform(NOTHING));
    let (sender, receiver) = std::sync::mpsc::channel();
    let context = InvocationContext { depth: 17, ..InvocationContext::default() };
    fixture.runtime().invoke("f", message("in/a", ""), context, Box::new(move |result| sender.send(result).unwrap()));
    let result = receiver.recv_timeout(PATIENCE).unwrap();
    assert!(
        matches!(&result, Err(error @ InvocationError::LimitExceeded { .. }) if !error.deliver_again()),
        "{result:?}"
    );
}

#[test]
fn followers_of_the_log_get_lines_as_they_are_written() {
    let head = format!("{} (data (i32.const 100) \"hello\")", guest::LOG);
    let body =
        format!("(call $log (i32.const 3) (i32.const 100) (i32.const 2) (i32.const 100) (i32.const 5)) {NOTHING}");
    let fixture = Fixture::new();
    fixture.deploy(&manifest("talks", ""), component("function", &head, &body));
    let (sender, receiver) = std::sync::mpsc::channel();
    let sink = Box::new(move |line: &selvedge_functions::LogLine| {
        sender.send(line.clone()).unwrap();
        std::ops::ControlFlow::Continue(())
    });
    let kept = fixture.runtime().logs("talks", Some(sink)).unwrap();
    assert!(kept.iter().any(|line| line.text.starts_with("deployed")), "{kept:?}");
    fixture.call("talks").unwrap();
    let line = receiver.recv_timeout(PATIENCE).unwrap();
    assert_eq!((line.context.as_str(), line.text.as_str()), ("he", "hello"));
    assert!(line.invocation_id.starts_with("talks-"));
    assert!(fixture.runtime().logs("other", None).is_none());
}

#[test]
fn a_key_without_grant_is_denied_where_the_manifest_names_keys() {
    let body = format!(
        "(call $increment (i32.const 100) (i32.const 5) (i64.const 1) (i32.const 304))
         (if (i32.eq (i32.load8_u (i32.const 304)) (i32.const 1)) (then (unreachable))) {NOTHING}"
    );
    let counter = component("function", &format!("{} (data (i32.const 100) \"count\")", guest::INCREMENT), &body);
    let fixture = Fixture::new();
    fixture.deploy(&manifest("f", "[grants]\nkeys = [\"c*\"]\n"), counter.clone());
    fixture.call("f").unwrap();
    assert_eq!(fixture.host.kv_text("f", "count").as_deref(), Some("1"));
    fixture.deploy(&manifest("f", "[retry]\nattempts = 1\n[grants]\nkeys = [\"other\"]\n"), counter);
    assert!(matches!(fixture.call("f"), Err(InvocationError::Trapped { .. })), "the call failed");
    assert_eq!(fixture.host.kv_text("f", "count").as_deref(), Some("1"));
}
