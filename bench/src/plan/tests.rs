//! What the command line accepts, and what it says about the rest.

use clap::Parser;

use super::*;
use crate::options::{Options, Scenario};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    options: Options,
}

fn parse(line: &str) -> Result<Scenario, clap::Error> {
    Command::try_parse_from(std::iter::once("bench").chain(line.split_whitespace()))
        .map(|command| command.options.scenario)
}

fn plan(line: &str) -> Result<LoadPlan, OptionsError> {
    match parse(line).expect("the line parses") {
        Scenario::Pair(options) => LoadPlan::pair(&options),
        Scenario::Pairs(options) => LoadPlan::pairs(&options),
        Scenario::FanOut(options) => LoadPlan::fan_out(&options),
        Scenario::FanIn(options) => LoadPlan::fan_in(&options),
        Scenario::Wildcard(options) => LoadPlan::wildcard(&options),
        other => panic!("{other:?} moves no messages"),
    }
}

#[test]
fn defaults_are_one_pair_with_a_window_of_a_hundred_for_five_seconds() {
    let plan = plan("pair").expect("defaults are valid");
    assert_eq!(plan.topology, Topology { shape: Shape::Pairs, publishers: 1, subscribers: 1 });
    assert_eq!((plan.pace, plan.amount), (Pace::Window(100), Amount::For(Duration::from_secs(5))));
    assert_eq!((plan.qos, plan.payload_bytes, plan.warmup), (0, 64, 10_000));
}

#[test]
fn warm_up_is_a_tenth_of_the_messages_up_to_ten_thousand() {
    assert_eq!(plan("pair --messages 500").unwrap().warmup, 50);
    assert_eq!(plan("pair --messages 5000000").unwrap().warmup, 10_000);
    assert_eq!(plan("pair --messages 500 --warmup 0").unwrap().warmup, 0);
}

#[test]
fn numbers_are_accepted_on_their_limit_and_refused_beyond_it() {
    for (allowed, refused, option) in [
        ("pair --payload-bytes 24", "pair --payload-bytes 23", "payload-bytes"),
        ("pair --payload-bytes 1048576", "pair --payload-bytes 1048577", "payload-bytes"),
        ("pair --window 1", "pair --window 0", "window"),
        ("pair --window 100000", "pair --window 100001", "window"),
        ("pair --messages 1", "pair --messages 0", "messages"),
        ("pair --seconds 3000", "pair --seconds 3000.5", "seconds"),
        ("pair --seconds 1", "pair --seconds nan", "seconds"),
        ("pair --rate 0.1", "pair --rate 0", "rate"),
        ("pairs --publishers 60000", "pairs --publishers 60001", "publishers"),
        ("fan-out --subscribers 1", "fan-out --subscribers 0", "subscribers"),
        ("wildcard --filters 100000", "wildcard --filters 100001", "filters"),
    ] {
        plan(allowed).unwrap_or_else(|error| panic!("{allowed}: {error}"));
        match plan(refused) {
            Err(OptionsError::OutOfRange { option: named, .. }) => assert_eq!(named, option, "{refused}"),
            other => panic!("{refused}: {other:?}"),
        }
    }
}

#[test]
fn shapes_that_a_scenario_does_not_have_are_refused_with_what_it_has() {
    for line in [
        "pair --publishers 2",
        "pairs --publishers 2 --subscribers 3",
        "fan-in --subscribers 2",
        "wildcard --filters 2 --subscribers 3",
    ] {
        let error = plan(line).expect_err(line);
        assert!(error.to_string().contains("allowed is"), "{line}: {error}");
    }
    assert!(plan("wildcard --bare-relay").is_err());
    assert!(plan("fan-out --publishers 1001 --subscribers 1000").is_err());
    assert!(plan("fan-out --publishers 1000 --subscribers 1000").is_ok());
}

#[test]
fn options_that_contradict_each_other_are_refused_by_the_parser() {
    for line in [
        "pair --window 5 --rate 5",
        "pair --messages 5 --seconds 5",
        "pair --qos 3",
        "pair --protocol 3",
        "pair --bare-relay --pid 5",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn an_out_of_range_message_names_option_value_and_limits() {
    let error = plan("pair --payload-bytes 1").unwrap_err();
    assert_eq!(error.to_string(), "--payload-bytes is 1, allowed is 24 to 1048576");
}
