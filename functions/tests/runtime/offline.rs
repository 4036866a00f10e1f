//! `run_offline`: a function on messages without a node.

use std::collections::BTreeMap;

use selvedge_functions::{Config, InvocationContext, InvocationMessage, OfflineReport, OfflineState, run_offline};

use crate::fixture::{compile_child, message};
use crate::guest::{self, ECHO, NOTHING, component, manifest, transform};

fn run(manifest: &str, component: &[u8], messages: Vec<InvocationMessage>, state: OfflineState) -> OfflineReport {
    let directory = tempfile::tempdir().unwrap();
    let messages = messages.into_iter().map(|message| (message, InvocationContext::default())).collect();
    run_offline(directory.path(), &compile_child(), &Config::default(), manifest, component, messages, state).unwrap()
}

#[test]
fn outputs_failures_and_state_are_reported() {
    let body = format!("(call $increment (i32.const 100) (i32.const 5) (i64.const 1) (i32.const 304)) {ECHO}");
    let head = format!("{} (data (i32.const 100) \"count\")", guest::INCREMENT);
    let state = OfflineState { kv: BTreeMap::from([("count".into(), "41".into())]), ..OfflineState::default() };
    let function = component("function", &head, &body);
    let report = run(
        &manifest("f", "[grants]\npublish = [\"in/#\"]\n"),
        &function,
        vec![message("in/a", "x"), message("else", "y")],
        state,
    );
    assert_eq!(report.runs[0].published, [message("in/a", "x")]);
    assert_eq!(report.runs[0].failure, None);
    assert!(report.runs[1].failure.as_ref().unwrap().contains("grants.publish"), "{report:?}");
    assert_eq!(report.state.kv["count"], "42", "the failed run left nothing");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["runs"][0]["published"][0]["payload"], "x");
}

#[test]
fn a_failure_is_not_tried_again() {
    let report = run(&manifest("f", ""), &transform("unreachable"), vec![message("in/a", "")], OfflineState::default());
    assert!(report.runs[0].failure.as_ref().unwrap().starts_with("trap: "), "{report:?}");
}

#[test]
fn the_same_input_gives_the_same_report() {
    let reports: Vec<_> = (0..2)
        .map(|_| {
            let mut report =
                run(&manifest("f", ""), &transform(NOTHING), vec![message("in/a", "")], OfflineState::default());
            report.runs.iter_mut().for_each(|run| run.run_ns = 0);
            report
        })
        .collect();
    assert_eq!(reports[0], reports[1]);
}

#[test]
fn what_is_wrong_is_told_as_at_a_deployment() {
    let directory = tempfile::tempdir().unwrap();
    let refused = |manifest: &str, component: &[u8]| {
        run_offline(
            directory.path(),
            &compile_child(),
            &Config::default(),
            manifest,
            component,
            vec![],
            OfflineState::default(),
        )
        .unwrap_err()
    };
    assert!(refused("nam = 1", &[]).to_string().contains("function.toml line 1"));
    assert!(refused(&manifest("f", ""), b"garbage").to_string().contains("not a valid component"));
}

#[test]
fn an_instance_is_used_again_as_in_a_node() {
    let counts = transform(&format!(
        "(i32.store (i32.const 60) (i32.add (i32.load (i32.const 60)) (i32.const 1)))
         (i32.store8 (i32.load offset=8 (local.get $message)) (i32.add (i32.const 48) (i32.load (i32.const 60)))) {ECHO}"
    ));
    let of = |isolation: &str| {
        let manifest = format!("isolation = \"{isolation}\"\n{}", manifest("f", "[grants]\npublish = [\"#\"]\n"));
        let messages = (0..3).map(|_| message("in/a", "0")).collect();
        let report = run(&manifest, &counts, messages, OfflineState::default());
        report.runs.iter().map(|run| run.published[0].payload[0] - b'0').collect::<Vec<_>>()
    };
    assert_eq!((of("fresh"), of("reuse")), (vec![1, 1, 1], vec![1, 2, 3]));
}
