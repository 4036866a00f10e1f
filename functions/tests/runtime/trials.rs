//! Versions on trial with a real component: what is recorded runs again byte for byte, and three broken versions are caught by the gate,
//! by a shadow and by a canary.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use selvedge_functions::{
    CanaryPolicy, Config, DeployError, InvocationMessage, Judgement, PolicyWish, Recording, RunResult, Verdict,
    VersionNumber, replay_offline,
};

use crate::fixture::{Fixture, PATIENCE, compile_child, eventually, message};

fn guest(file: &str) -> Vec<u8> {
    let directory: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/guests/celsius"].iter().collect();
    fs::read(directory.join(file)).unwrap()
}

fn manifest(fault: &str) -> String {
    let text = String::from_utf8(guest("function.toml")).unwrap();
    if fault.is_empty() { text } else { format!("{text}\n[config]\nfault = \"{fault}\"\n") }
}

fn reading(number: usize) -> InvocationMessage {
    message("fahrenheit", &format!("oven {}.5", 50 + number))
}

fn send(fixture: &Fixture, readings: usize) {
    for number in 0..readings {
        let _ = fixture.send("celsius", reading(number)).recv_timeout(PATIENCE).unwrap();
    }
}

/// A good version is live and has run on some readings.
fn with_readings(readings: usize) -> Fixture {
    let fixture = Fixture::new();
    fixture.deploy(&manifest(""), guest("celsius.wasm"));
    send(&fixture, readings);
    fixture
}

fn publish(fixture: &Fixture, fault: &str) -> VersionNumber {
    fixture.runtime().publish(&manifest(fault), guest("celsius.wasm")).unwrap().version
}

fn recordings(fixture: &Fixture) -> Vec<Recording> {
    fixture.runtime().recordings("celsius").unwrap().iter().map(|recording| (**recording).clone()).collect()
}

#[test]
fn what_was_recorded_runs_again_to_the_same_bytes_here_and_without_a_node() {
    let fixture = with_readings(20);
    let recorded = recordings(&fixture);
    assert_eq!(recorded.len(), 20);
    let committed = fixture.host.committed.lock().unwrap().len();
    for recording in &recorded {
        let replay = fixture.runtime().replay("celsius", &recording.invocation_id, None).unwrap();
        assert!(replay.is_same && replay.differences.is_empty(), "{:?}", replay.differences);
        assert_eq!((replay.unrecorded_reads, &replay.result), (0, &recording.result));
    }
    assert_eq!(fixture.host.committed.lock().unwrap().len(), committed, "a replay has no effects");
    assert_eq!(fixture.host.kv_text("celsius", "readings").unwrap(), "20");

    let directory = tempfile::tempdir().unwrap();
    let (config, child) = (Config::default(), compile_child());
    let offline = |fault: &str| {
        replay_offline(directory.path(), &child, &config, &manifest(fault), &guest("celsius.wasm"), &recorded).unwrap()
    };
    assert!(offline("").iter().zip(&recorded).all(|(run, recording)| run.result == recording.result));
    assert!(offline("unit").iter().all(|run| run.differences.told[0].place == "message 1 payload /celsius"));
}

#[test]
fn the_gate_catches_each_broken_version_and_lets_a_good_one_go_live() {
    let fixture = with_readings(30);
    for (fault, place) in [("unit", "message 1 payload /celsius"), ("field", "message 1 payload /sensor")] {
        let promoted =
            fixture.runtime().promote("celsius", publish(&fixture, fault), None, PolicyWish::default(), false).unwrap();
        let report = &promoted.report;
        assert_eq!((report.messages, report.changed, report.unsteady), (30, 30, 0), "{fault}");
        assert_eq!(report.places.get(place), Some(&30), "{fault}: {:?}", report.places);
        assert!(report.refusals[0].starts_with("100.0 % of the messages have another output"), "{:?}", report.refusals);
        assert_eq!((report.promoted, promoted.pointed), (false, None));
    }
    let trap = publish(&fixture, "trap");
    let report = fixture.runtime().promote("celsius", trap, None, PolicyWish::default(), false).unwrap().report;
    assert_eq!(report.newly_failed, 10);
    let slow = publish(&fixture, "slow");
    let report = fixture.runtime().promote("celsius", slow, None, PolicyWish::default(), false).unwrap().report;
    assert_eq!(report.changed, 0);
    assert!(report.refusals[0].starts_with("median of a run"), "{:?}", report.refusals);
    assert_eq!(fixture.status("celsius").live[0].version.to_string(), "v1", "none of them is live");

    let good = fixture.runtime().publish(&format!("{}\n# again", manifest("")), guest("celsius.wasm")).unwrap().version;
    // Whether it is as fast is another test's: a busy machine can be slow for one and not for the other.
    let any_time = PolicyWish { slower: Some(1000.0), ..PolicyWish::default() };
    let dry = fixture.runtime().promote("celsius", good, None, any_time, true).unwrap();
    assert_eq!((dry.report.refusals.len(), dry.report.promoted), (0, false));
    let promoted = fixture.runtime().promote("celsius", good, None, any_time, false).unwrap();
    assert!(promoted.report.promoted && promoted.report.refusals.is_empty(), "{:?}", promoted.report.refusals);
    assert_eq!(fixture.status("celsius").live[0].version, good);
    fixture.runtime().roll_back("celsius", "live").unwrap();
    assert_eq!(fixture.status("celsius").live[0].version.to_string(), "v1");
}

#[test]
fn a_change_that_is_meant_is_allowed_by_who_promotes_or_by_the_manifest() {
    let fixture = with_readings(10);
    let wish = PolicyWish { changed_percent: Some(100.0), slower: Some(1000.0), ..PolicyWish::default() };
    let unit = publish(&fixture, "unit");
    assert!(fixture.runtime().promote("celsius", unit, None, wish, false).unwrap().report.promoted);
    let text = format!("{}\n[promote]\nchanged_percent = 100\nslower = 1000\n", manifest("field"));
    let field = fixture.runtime().publish(&text, guest("celsius.wasm")).unwrap().version;
    assert!(fixture.runtime().promote("celsius", field, None, PolicyWish::default(), false).unwrap().report.promoted);
}

#[test]
fn too_few_recordings_or_a_policy_that_is_none_are_refused() {
    let fixture = with_readings(3);
    let good = publish(&fixture, "trap");
    let report = fixture.runtime().promote("celsius", good, None, PolicyWish::default(), false).unwrap().report;
    assert!(report.refusals[0].starts_with("3 recorded messages to judge by, 10 are needed"), "{:?}", report.refusals);
    let wrong = PolicyWish { slower: Some(0.5), ..PolicyWish::default() };
    let refused = fixture.runtime().promote("celsius", good, None, wrong, false);
    assert!(matches!(refused, Err(DeployError::Policy(_))), "{refused:?}");
    let missing = fixture.runtime().replay("celsius", "celsius-99999999", None);
    assert!(matches!(missing, Err(DeployError::NotRecorded(_))), "{missing:?}");
}

#[test]
fn a_shadow_sees_live_messages_has_no_effects_and_survives_a_restart() {
    let mut fixture = with_readings(1);
    let unit = publish(&fixture, "unit");
    fixture.runtime().set_shadow("celsius", Some(unit)).unwrap();
    for _ in 0..2 {
        send(&fixture, 5);
        eventually("the shadow", || fixture.runtime().watch("celsius").unwrap().shadow.unwrap().compared == 5);
        let shadow = fixture.runtime().watch("celsius").unwrap().shadow.unwrap();
        assert_eq!((shadow.version, shadow.changed, shadow.newly_failed), (unit, 5, 0));
        assert_eq!(shadow.places.get("message 1 payload /celsius"), Some(&5));
        fixture.reopen();
    }
    assert_eq!(fixture.host.kv_text("celsius", "readings").unwrap(), "11", "only the live version counts");
    assert_eq!(fixture.host.published().len(), 11);
    assert_eq!(fixture.runtime().collect("celsius", 1).unwrap(), [], "it is needed");
    fixture.runtime().set_shadow("celsius", None).unwrap();
    assert_eq!(fixture.runtime().collect("celsius", 1).unwrap(), [unit]);
}

/// Sends readings until the guard has judged; gives the verdict, carried out, and how many readings that took.
fn judged(fixture: &Fixture, fault: &str, policy: CanaryPolicy) -> (Judgement, usize) {
    let judgements = fixture.runtime().judgements().unwrap();
    let version = publish(fixture, fault);
    fixture.runtime().start_canary("celsius", version, policy).unwrap();
    assert_eq!(fixture.status("celsius").live.len(), 2);
    for sent in 1..2000 {
        let _ = fixture.send("celsius", reading(sent % 100)).recv_timeout(PATIENCE).unwrap();
        if let Ok(judgement) = judgements.try_recv() {
            fixture.runtime().conclude(&judgement).unwrap().expect("the canary is still there");
            return (judgement, sent);
        }
    }
    let judgement = judgements.recv_timeout(Duration::from_secs(30)).expect("a verdict after 2,000 readings");
    fixture.runtime().conclude(&judgement).unwrap();
    (judgement, 2000)
}

#[test]
fn a_canary_takes_each_broken_version_back_and_says_why() {
    for (fault, words) in [
        ("unit", "had another output than v1's"),
        ("field", "had another output than v1's"),
        ("slow", "median of a run"),
        ("trap", "failed"),
    ] {
        let fixture = with_readings(1);
        let slower = if fault == "slow" { CanaryPolicy::default().slower } else { 1000.0 };
        let policy = CanaryPolicy { percent: 30, slower, ..CanaryPolicy::default() };
        let (judgement, readings) = judged(&fixture, fault, policy);
        let Verdict::RollBack(reason) = &judgement.verdict else { panic!("{fault}: {judgement:?}") };
        assert!(reason.contains(words), "{fault}: {reason}");
        let live = fixture.status("celsius").live;
        assert_eq!((live.len(), live[0].version.to_string().as_str()), (1, "v1"), "{fault} after {readings}");
        assert!(fixture.logs("celsius").iter().any(|line| line.text.contains(reason.as_str())));
        let events = fixture.host.events.lock().unwrap().clone();
        assert_eq!(events.last().unwrap().1, "canary-rolled-back");
        assert_eq!(fixture.runtime().conclude(&judgement).unwrap(), None, "only once");
    }
}

#[test]
fn a_good_canary_goes_live_and_the_way_back_leads_to_before_it() {
    let fixture = Fixture::new();
    fixture.deploy(&manifest(""), guest("celsius.wasm"));
    let judgements = fixture.runtime().judgements().unwrap();
    let good = fixture.runtime().publish(&format!("{}\n# again", manifest("")), guest("celsius.wasm")).unwrap().version;
    let policy = CanaryPolicy { percent: 50, for_s: 1, messages: 20, slower: 1000.0, ..CanaryPolicy::default() };
    fixture.runtime().start_canary("celsius", good, policy).unwrap();
    let mut verdict = None;
    eventually("a verdict", || {
        send(&fixture, 10);
        verdict = judgements.try_recv().ok();
        verdict.is_some()
    });
    let judgement = verdict.unwrap();
    assert_eq!(judgement.verdict, Verdict::Promote);
    fixture.runtime().conclude(&judgement).unwrap();
    let live = || fixture.status("celsius").live.iter().map(|share| share.version.to_string()).collect::<Vec<_>>();
    assert_eq!(live(), [good.to_string()]);
    fixture.runtime().roll_back("celsius", "live").unwrap();
    assert_eq!(live(), ["v1"]);
}

#[test]
fn a_canary_survives_a_restart_and_ends_with_any_other_change_of_live() {
    let mut fixture = with_readings(1);
    let unit = publish(&fixture, "unit");
    let policy = CanaryPolicy { percent: 30, ..CanaryPolicy::default() };
    fixture.runtime().start_canary("celsius", unit, policy).unwrap();
    fixture.reopen();
    let canary = fixture.status("celsius").canary.unwrap();
    assert_eq!((canary.canary.candidate, canary.canary.policy), (unit, policy));
    fixture.runtime().roll_back("celsius", "live").unwrap();
    assert_eq!(fixture.status("celsius").canary, None);
    let judgement = Judgement { function: "celsius".into(), canary: canary.canary, verdict: Verdict::Promote };
    assert_eq!(fixture.runtime().conclude(&judgement).unwrap(), None, "it has ended");
    let again = fixture.runtime().start_canary("celsius", "v1".parse().unwrap(), policy);
    assert!(again.unwrap_err().to_string().contains("v1 is live already"));
}

#[test]
fn recordings_are_bounded_can_be_forgotten_and_switched_off() {
    let text = manifest("").replace("messages = 200", "messages = 5");
    let fixture = Fixture::new();
    fixture.deploy(&text, guest("celsius.wasm"));
    send(&fixture, 8);
    let recorded = recordings(&fixture);
    assert_eq!(recorded.len(), 5);
    assert!(matches!(&recorded[4].result, RunResult::Ok { published, .. } if published.len() == 1));
    assert!(fixture.runtime().recording_bytes() > 0);
    fixture.runtime().forget_recordings("celsius").unwrap();
    assert_eq!((recordings(&fixture).len(), fixture.runtime().recording_bytes()), (0, 0));
    fixture.deploy(&manifest("").replace("messages = 200", "messages = 0"), guest("celsius.wasm"));
    send(&fixture, 3);
    assert_eq!(recordings(&fixture).len(), 0);
}
