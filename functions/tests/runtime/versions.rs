//! Versions: published, given messages by weight, taken back, removed.

use std::collections::BTreeMap;
use std::sync::mpsc::channel;

use selvedge_functions::{
    Alias, CatalogError, Config, DeployError, FunctionState, InvocationContext, InvocationResult, LIVE, Sticky, Target,
};

use crate::fixture::{Fixture, PATIENCE, message};
use crate::guest::{self, NOTHING, component, manifest, transform};

fn alias(text: &str, sticky: Option<Sticky>) -> Alias {
    Alias::new(text.split_whitespace().map(|share| share.parse().unwrap()).collect(), sticky).unwrap()
}

/// A component that differs from those of other numbers and does the same.
fn numbered(number: u32) -> Vec<u8> {
    component("transform", &format!("(data (i32.const 100) \"{number}\")"), NOTHING)
}

/// A function of which versions 1 to `count` are published and nothing is live.
fn published(fixture: &Fixture, count: u32) {
    for number in 1..=count {
        let published = fixture.runtime().publish(&manifest("f", ""), numbered(number)).unwrap();
        assert_eq!(published.version.to_string(), format!("v{number}"));
    }
}

/// How many of 200 clients get each version.
fn shared_out(fixture: &Fixture) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for client in 0..200 {
        *counts.entry(fixture.version_for("f", &client.to_string())).or_default() += 1;
    }
    counts
}

fn call_at(fixture: &Fixture, target: &Target) -> Result<InvocationResult, DeployError> {
    let (sender, receiver) = channel();
    let done = Box::new(move |result| drop(sender.send(result)));
    fixture.runtime().invoke_at("f", target, message("in/a", ""), InvocationContext::default(), done)?;
    Ok(receiver.recv_timeout(PATIENCE).unwrap())
}

#[test]
fn what_is_only_published_is_started_by_nothing_and_can_be_called() {
    let mut fixture = Fixture::new();
    published(&fixture, 1);
    for _ in 0..2 {
        let status = fixture.status("f");
        assert_eq!((status.state, status.triggers, status.live), (FunctionState::Idle, Some(vec![]), vec![]));
        let ran = call_at(&fixture, &Target::Version("v1".parse().unwrap())).unwrap().unwrap();
        assert_eq!(ran.version.unwrap().to_string(), "v1");
        fixture.reopen();
    }
}

#[test]
fn publishing_the_same_again_gives_the_version_that_is_there() {
    let fixture = Fixture::new();
    published(&fixture, 2);
    assert_eq!(fixture.runtime().publish(&manifest("f", ""), numbered(1)).unwrap().version.to_string(), "v1");
    assert_eq!(fixture.deploy(&manifest("f", ""), numbered(1)).version.to_string(), "v1");
    assert_eq!(fixture.deploy(&manifest("f", "[config]\na = 1"), numbered(1)).version.to_string(), "v3");
}

#[test]
fn an_alias_shares_messages_out_and_clients_stay_over_a_restart() {
    let mut fixture = Fixture::new();
    published(&fixture, 2);
    let pointed = fixture.runtime().point("f", LIVE, alias("v1=50 v2=50", Some(Sticky::Client))).unwrap();
    assert!(pointed.changed && pointed.triggers.unwrap()[0].mqtt == "in/#");
    let before: Vec<String> = (0..50).map(|client| fixture.version_for("f", &client.to_string())).collect();
    let counts = shared_out(&fixture);
    assert!((60..=140).contains(&counts["v1"]) && counts["v1"] + counts["v2"] == 200, "{counts:?}");
    fixture.reopen();
    let after: Vec<String> = (0..50).map(|client| fixture.version_for("f", &client.to_string())).collect();
    assert_eq!(before, after);
    let status = fixture.status("f");
    assert_eq!((status.versions.len(), status.sticky), (2, Some(Sticky::Client)));
    assert_eq!(status.versions.iter().map(|version| version.counters.ok).sum::<u64>(), 50);
}

#[test]
fn a_version_gets_only_what_its_own_triggers_bring() {
    let fixture = Fixture::new();
    published(&fixture, 1);
    fixture.runtime().publish(&manifest("f", "").replace("in/#", "other/#"), numbered(1)).unwrap();
    let triggers = fixture.runtime().point("f", LIVE, alias("v1=1 v2=1000", None)).unwrap().triggers.unwrap();
    assert_eq!(triggers.iter().map(|trigger| trigger.mqtt.as_str()).collect::<Vec<_>>(), ["in/#", "other/#"]);
    assert_eq!(shared_out(&fixture), BTreeMap::from([("v1".to_owned(), 200)]));
}

#[test]
fn a_roll_back_undoes_deployments_and_aliases_one_by_one() {
    let mut fixture = Fixture::new();
    fixture.deploy(&manifest("f", ""), numbered(1));
    fixture.deploy(&manifest("f", ""), numbered(2));
    fixture.runtime().point("f", LIVE, alias("v1=10 v2=90", None)).unwrap();
    let versions = |fixture: &Fixture| fixture.status("f").live.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(versions(&fixture), ["v1=10", "v2=90"]);
    fixture.runtime().roll_back("f", LIVE).unwrap();
    assert_eq!(versions(&fixture), ["v2=100"]);
    fixture.reopen();
    let back = fixture.runtime().roll_back("f", LIVE).unwrap();
    assert_eq!((back.shares[0].to_string(), fixture.version_for("f", "x")), ("v1=100".to_owned(), "v1".to_owned()));
    let error = fixture.runtime().roll_back("f", LIVE).unwrap_err();
    assert!(matches!(error, DeployError::Catalog(CatalogError::NothingBefore { .. })), "{error}");
}

#[test]
fn versions_are_kept_until_nothing_needs_them_and_their_files_go_with_them() {
    let fixture = Fixture::with(Config { versions_max: 3, ..Config::default() });
    fixture.deploy(&manifest("f", ""), numbered(1));
    (2..=5).for_each(|number| drop(fixture.runtime().publish(&manifest("f", ""), numbered(number)).unwrap()));
    let kept = |fixture: &Fixture| {
        let list = fixture.runtime().versions("f").unwrap();
        list.versions.iter().map(|entry| entry.version.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(kept(&fixture), ["v1", "v4", "v5"], "v1 is live");
    let components = fixture.directory.path().join("functions/components");
    assert_eq!(std::fs::read_dir(&components).unwrap().count(), 3);
    assert_eq!(fixture.runtime().collect("f", 2).unwrap().len(), 1);
    assert_eq!(fixture.runtime().collect("f", 0).unwrap().len(), 1);
    assert_eq!(kept(&fixture), ["v1"]);
    assert_eq!(std::fs::read_dir(&components).unwrap().count(), 1);
    fixture.call("f").unwrap();
}

#[test]
fn other_aliases_are_called_by_name_and_listed() {
    let fixture = Fixture::new();
    fixture.deploy(&manifest("f", ""), numbered(1));
    fixture.runtime().publish(&manifest("f", ""), numbered(2)).unwrap();
    fixture.runtime().point("f", "beta", alias("v2", None)).unwrap();
    let beta = Target::Alias("beta".to_owned());
    assert_eq!(call_at(&fixture, &beta).unwrap().unwrap().version.unwrap().to_string(), "v2");
    assert_eq!(fixture.version_for("f", "x"), "v1");
    let list = fixture.runtime().versions("f").unwrap();
    assert_eq!(list.versions[1].aliases, BTreeMap::from([("beta".to_owned(), 100)]));
    fixture.runtime().forget_alias("f", "beta").unwrap();
    let error = call_at(&fixture, &beta).unwrap_err();
    assert_eq!(error.to_string(), "there is no alias \"beta\"; there are live");
}

#[test]
fn an_alias_to_a_version_that_does_not_start_any_more_is_refused_and_nothing_changes() {
    let mut fixture = Fixture::new();
    published(&fixture, 1);
    fixture.runtime().publish(&manifest("f", "[limits]\ntimeout_ms = 5000"), numbered(1)).unwrap();
    fixture.runtime().point("f", LIVE, alias("v1", None)).unwrap();
    fixture.config.timeout_ms_max = 1000;
    fixture.reopen();
    let error = fixture.runtime().point("f", LIVE, alias("v2", None)).unwrap_err().to_string();
    assert!(error.contains("v2 cannot run") && error.contains("limits.timeout_ms = 5000"), "{error}");
    assert_eq!(fixture.version_for("f", "x"), "v1");
    let error = fixture.runtime().point("nobody", LIVE, alias("v2", None)).unwrap_err();
    assert_eq!(error.to_string(), "there is no function \"nobody\"");
}

#[test]
fn messages_keep_their_order_while_weights_change() {
    let fixture = Fixture::new();
    let grants = "[grants]\npublish = [\"#\"]\n";
    let echo = |number: u32| component("transform", &format!("(data (i32.const 100) \"{number}\")"), guest::ECHO);
    fixture.deploy(&manifest("f", grants), echo(1));
    fixture.runtime().publish(&manifest("f", grants), echo(2)).unwrap();
    let results: Vec<_> = (0..600_u32)
        .map(|number| {
            if number % 20 == 0 {
                let weights = if number % 40 == 0 { "v1=90 v2=10" } else { "v1=10 v2=90" };
                fixture.runtime().point("f", LIVE, alias(weights, None)).unwrap();
            }
            fixture.send("f", message("in/a", &number.to_string()))
        })
        .collect();
    results.into_iter().for_each(|result| assert!(result.recv_timeout(PATIENCE).unwrap().is_ok()));
    let payload = |message: &selvedge_functions::InvocationMessage| String::from_utf8(message.payload.clone()).unwrap();
    let numbers: Vec<u32> = fixture.host.published().iter().map(|message| payload(message).parse().unwrap()).collect();
    assert_eq!(numbers, (0..600).collect::<Vec<_>>());
}

#[test]
fn a_transform_of_one_version_alone_is_still_a_plain_deployment() {
    let fixture = Fixture::new();
    let deployed = fixture.deploy(&manifest("f", ""), transform(NOTHING));
    assert_eq!((deployed.version.to_string(), deployed.replaced), ("v1".to_owned(), false));
}
