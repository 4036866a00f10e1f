//! Functions that misbehave: each ends alone, with a reason, and the next message is served.

use std::time::{Duration, Instant};

use selvedge_functions::{Config, InvocationError, InvocationResult, Limits, MemoryProfile};

use crate::fixture::{Fixture, PATIENCE, eventually, message};
use crate::guest::{self, NOTHING, component, manifest, transform};

/// Bodies look at the payload's first byte: `x` means misbehave.
fn only_when_asked(body: &str) -> String {
    format!(
        "(if (i32.eq (i32.load8_u (i32.load offset=8 (local.get $message))) (i32.const 120)) (then {body})) {NOTHING}"
    )
}

const LIMITS: &str = "[limits]\nmemory_bytes = \"1MiB\"\ntimeout_ms = 50\noutput_bytes = \"64KiB\"\n[retry]\nattempts = 1\n[grants]\npublish = [\"#\"]\n";

/// Deploys, misbehaves once, and checks that the next message is served. Gives the misbehaviour's end.
#[track_caller]
fn misbehave(component: Vec<u8>) -> (Fixture, InvocationResult) {
    let fixture = Fixture::new();
    fixture.deploy(&manifest("bad", LIMITS), component);
    let result = fixture.send("bad", message("in/a", "x")).recv_timeout(PATIENCE).unwrap();
    let next = fixture.call("bad");
    assert!(next.is_ok(), "the next invocation works: {next:?}");
    (fixture, result)
}

#[track_caller]
fn trap_reason(result: &InvocationResult) -> &str {
    match result {
        Err(InvocationError::Trapped { reason, .. }) => reason,
        other => panic!("not a trap: {other:?}"),
    }
}

#[test]
fn an_endless_loop_is_stopped_at_its_deadline() {
    let (fixture, result) = misbehave(transform(&only_when_asked("(loop (br 0))")));
    assert_eq!(result, Err(InvocationError::TimedOut { limit_ms: 50, attempts: 1 }));
    assert_eq!(fixture.status("bad").counters.timed_out, 1);
    assert!(fixture.logs("bad").iter().any(|line| line.text.contains("time limit of 50 ms")));
}

#[test]
fn an_endless_loop_in_the_allocator_is_stopped_too() {
    let module = r#"(module (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (loop (br 0)) unreachable)
        (func (export "selvedge:function/handler@0.1.0#handle") (param i32) (result i32) (i32.const 16)))"#;
    let fixture = Fixture::new();
    fixture.deploy(&manifest("bad", LIMITS), guest::encode("transform", module));
    assert_eq!(fixture.call("bad"), Err(InvocationError::TimedOut { limit_ms: 50, attempts: 1 }));
}

#[test]
fn one_that_loops_does_not_hold_up_the_others() {
    let mut config = Fixture::new().config;
    config.workers = 1;
    let fixture = Fixture::with(config);
    let slow = "[limits]\ntimeout_ms = 60000\n[retry]\nattempts = 1\n";
    fixture.deploy(&manifest("loops", slow), transform(&only_when_asked("(loop (br 0))")));
    fixture.deploy(&manifest("good", ""), transform(NOTHING));
    let looping = fixture.send("loops", message("in/a", "x"));
    let start = Instant::now();
    for _ in 0..20 {
        assert!(fixture.call("good").is_ok());
    }
    assert!(start.elapsed() < Duration::from_secs(50), "the one worker was given away long before the loop's limit");
    assert!(looping.try_recv().is_err(), "the loop still runs");
}

#[test]
fn a_memory_bomb_meets_the_limit() {
    let (fixture, result) = misbehave(transform(&only_when_asked(
        "(loop (br_if 0 (i32.ge_s (memory.grow (i32.const 1)) (i32.const 0)))) unreachable",
    )));
    match result {
        Err(InvocationError::LimitExceeded { reason }) => {
            assert!(reason.contains("limits.memory_bytes is 1048576"), "{reason}")
        }
        other => panic!("{other:?}"),
    }
    assert!(fixture.status("bad").counters.memory_peak_bytes <= 1 << 20);
}

#[test]
fn a_table_bomb_meets_the_same_limit() {
    let bomb = component(
        "transform",
        "(table $t 0 funcref)",
        &only_when_asked(
            "(loop (br_if 0 (i32.ge_s (table.grow $t (ref.null func) (i32.const 1000)) (i32.const 0)))) unreachable",
        ),
    );
    let (_, result) = misbehave(bomb);
    assert!(
        matches!(&result, Err(InvocationError::LimitExceeded { .. } | InvocationError::Trapped { .. })),
        "{result:?}"
    );
}

#[test]
fn a_component_that_starts_above_the_limit_is_not_deployed() {
    let module = r#"(module (memory (export "memory") 17)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export "selvedge:function/handler@0.1.0#handle") (param i32) (result i32) (i32.const 16)))"#;
    let error = Fixture::new().try_deploy(&manifest("bad", LIMITS), guest::encode("transform", module)).unwrap_err();
    assert!(error.to_string().contains("limits.memory_bytes is 1048576"), "{error}");
}

#[test]
fn a_stack_overflow_is_a_trap() {
    let deep = component(
        "transform",
        "(func $deep (param i32) (result i32) (i32.add (i32.const 1) (call $deep (local.get 0))))",
        &only_when_asked("(drop (call $deep (i32.const 0)))"),
    );
    let (fixture, result) = misbehave(deep);
    assert_eq!(trap_reason(&result), "stack overflow");
    assert_eq!(fixture.status("bad").counters.trapped, 1);
}

#[test]
fn unreachable_division_and_wild_addresses_are_traps() {
    for (body, needle) in [
        ("unreachable", "unreachable"),
        ("(drop (i32.div_u (i32.const 1) (i32.const 0)))", "divide by zero"),
        ("(drop (i32.load (i32.const -4)))", "out of bounds"),
        ("(call_indirect (i32.const 99))", "undefined element"),
    ] {
        let (_, result) = misbehave(component("transform", "(table 1 funcref)", &only_when_asked(body)));
        assert!(trap_reason(&result).contains(needle), "{result:?} for {body}");
    }
}

/// Returns a list that begins at $list and has $length messages.
fn returning(list: &str, length: &str) -> String {
    only_when_asked(&format!(
        "(i32.store (i32.const 36) {list}) (i32.store (i32.const 40) {length}) (return (i32.const 32))"
    ))
}

#[test]
fn lists_and_texts_outside_of_memory_are_refused() {
    for body in [
        returning("(i32.const 0xfffffff0)", "(i32.const 1)"),
        returning("(local.get $message)", "(i32.const 0x7fffffff)"),
        returning("(i32.const 1)", "(i32.const 1)"),
        only_when_asked("(return (i32.const 0xfffffff8))"),
        only_when_asked(
            "(i32.store (local.get $message) (i32.const 0xffffff00)) (i32.store (i32.const 36) (local.get $message)) (i32.store (i32.const 40) (i32.const 1)) (return (i32.const 32))",
        ),
    ] {
        let (_, result) = misbehave(transform(&body));
        trap_reason(&result);
    }
}

#[test]
fn invalid_utf8_and_unknown_cases_are_refused() {
    for spoil in [
        "(i32.store8 (i32.load (local.get $message)) (i32.const 0xff))",
        "(i32.store8 offset=16 (local.get $message) (i32.const 3))",
        "(i32.store8 offset=24 (local.get $message) (i32.const 2))",
    ] {
        let body = only_when_asked(&format!(
            "{spoil} (i32.store (i32.const 36) (local.get $message)) (i32.store (i32.const 40) (i32.const 1)) (return (i32.const 32))"
        ));
        let (_, result) = misbehave(transform(&body));
        trap_reason(&result);
    }
    let (_, result) =
        misbehave(transform(&only_when_asked("(i32.store8 (i32.const 32) (i32.const 7)) (return (i32.const 32))")));
    trap_reason(&result);
}

/// Writes `count` messages from 70000 on, all with the incoming topic and a payload of `bytes` bytes at 0.
fn messages(count: u32, bytes: u32) -> String {
    only_when_asked(&format!(
        "(loop
           (memory.copy (i32.add (i32.const 70000) (i32.mul (local.get $i) (i32.const 76))) (local.get $message) (i32.const 76))
           (i32.store offset=8 (i32.add (i32.const 70000) (i32.mul (local.get $i) (i32.const 76))) (i32.const 0))
           (i32.store offset=12 (i32.add (i32.const 70000) (i32.mul (local.get $i) (i32.const 76))) (i32.const {bytes}))
           (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {count}))))
         (i32.store (i32.const 36) (i32.const 70000)) (i32.store (i32.const 40) (i32.const {count})) (return (i32.const 32))"
    ))
}

#[test]
fn outputs_are_bounded_in_number_and_bytes() {
    let (_, result) = misbehave(transform(&messages(64, 100)));
    assert_eq!(result.unwrap().outputs, 64);
    let (_, result) = misbehave(transform(&messages(65, 100)));
    assert!(
        matches!(&result, Err(InvocationError::LimitExceeded { reason }) if reason.contains("output_messages = 64")),
        "{result:?}"
    );
    let (_, result) = misbehave(transform(&messages(3, 30_000)));
    assert!(
        matches!(&result, Err(InvocationError::LimitExceeded { reason }) if reason.contains("output_bytes is 65536")),
        "{result:?}"
    );
}

#[test]
fn many_messages_over_the_same_bytes_do_not_grow_the_node() {
    let (_, result) = misbehave(transform(&messages(700, 65_536)));
    trap_reason(&result);
}

#[test]
fn a_log_flood_is_cut_and_counted() {
    let flood = format!(
        "(loop (call $log (i32.const 2) (i32.const 0) (i32.const 3) (i32.const 0) (i32.const 3))
           (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000)))) {NOTHING}"
    );
    let fixture = Fixture::new();
    fixture.deploy(&manifest("bad", "[limits]\nlog_lines = 5\n"), component("function", guest::LOG, &flood));
    assert!(fixture.call("bad").is_ok());
    assert_eq!(fixture.status("bad").counters.log_lines_dropped, 995);
    assert_eq!(fixture.logs("bad").iter().filter(|line| line.context != "runtime").count(), 5);
}

#[test]
fn a_log_line_longer_than_memory_traps() {
    let body =
        only_when_asked("(call $log (i32.const 2) (i32.const 0) (i32.const 3) (i32.const 0) (i32.const 0x7fffffff))");
    let (_, result) = misbehave(component("function", guest::LOG, &body));
    trap_reason(&result);
}

#[test]
fn a_key_value_flood_meets_its_quota() {
    let body = format!(
        "(loop
           (i32.store (i32.const 200) (i32.add (i32.const 0x41414141) (local.get $i)))
           (call $set (i32.const 200) (i32.const 4) (i32.const 0) (i32.const 10) (i32.const 0) (i32.const 0) (i32.const 304))
           (local.set $j (i32.add (local.get $j) (i32.eqz (i32.load8_u (i32.const 304)))))
           (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 50))))
         (if (i32.ne (local.get $j) (i32.const 7)) (then unreachable)) {NOTHING}"
    );
    let fixture = Fixture::new();
    fixture.deploy(&manifest("bad", "[limits]\nkv_keys = 7\n"), component("function", guest::SET, &body));
    fixture.call("bad").unwrap();
    assert_eq!(fixture.host.kv.lock().unwrap().len(), 7);
}

#[test]
fn effects_of_a_run_that_traps_are_dropped() {
    let head = format!("{} {}", guest::INCREMENT, guest::PUBLISH);
    let body = "(call $increment (i32.const 0) (i32.const 1) (i64.const 1) (i32.const 304)) (call $publish (local.get $message) (i32.const 320)) unreachable";
    let fixture = Fixture::new();
    fixture.deploy(&manifest("bad", LIMITS), component("function", &head, body));
    assert!(fixture.call("bad").is_err());
    assert_eq!(fixture.host.kv.lock().unwrap().len(), 0);
    assert_eq!(fixture.host.committed.lock().unwrap().len(), 0);
}

#[test]
fn without_a_pool_everything_is_stopped_as_well() {
    let fixture = Fixture::with(Config { memory_profile: MemoryProfile::OnDemand, ..Config::default() });
    for (body, is_expected) in [
        ("(loop (br 0))", (|error| matches!(error, InvocationError::TimedOut { .. })) as fn(&InvocationError) -> bool),
        ("(loop (br_if 0 (i32.ge_s (memory.grow (i32.const 1)) (i32.const 0)))) unreachable", |error| {
            matches!(error, InvocationError::LimitExceeded { .. })
        }),
        ("(drop (i32.load (i32.const -4)))", |error| matches!(error, InvocationError::Trapped { .. })),
    ] {
        fixture.deploy(&manifest("bad", LIMITS), transform(&only_when_asked(body)));
        let error = fixture.send("bad", message("in/a", "x")).recv_timeout(PATIENCE).unwrap().unwrap_err();
        assert!(is_expected(&error), "{error} for {body}");
        fixture.call("bad").unwrap();
    }
}

#[test]
fn all_functions_together_have_a_memory_limit() {
    let config = Config { memory_total_bytes: 4 << 20, memory_bytes_max: 4 << 20, ..Config::default() };
    let fixture = Fixture::with(config);
    let grow = "(if (i32.lt_s (memory.grow (i32.const 40)) (i32.const 0)) (then unreachable))";
    let say = "(call $log (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1))";
    let limits = "[limits]\nmemory_bytes = \"4MiB\"\ntimeout_ms = 60000\n[retry]\nattempts = 1\n";
    let holder = component("function", guest::LOG, &format!("{grow} {say} (loop (br 0)) unreachable"));
    fixture.deploy(&manifest("holder", limits), holder);
    fixture.deploy(&manifest("other", limits), transform(&only_when_asked(grow)));
    let _held = fixture.send("holder", message("in/a", ""));
    eventually("the holder's memory", || fixture.logs("holder").iter().any(|line| line.context == "\\u{0}"));
    let result = fixture.send("other", message("in/a", "x")).recv_timeout(PATIENCE).unwrap();
    assert!(trap_reason(&result).contains("memory_total_bytes = 4194304"), "{result:?}");
    fixture.call("other").unwrap();
}

#[test]
fn the_default_limits_are_finite() {
    let limits = Limits::default();
    assert!(limits.timeout_ms <= 1000 && limits.memory_bytes <= 64 << 20 && limits.log_lines <= 100);
}
