//! What a command line means.

use super::*;
use crate::arguments::broker_client::ProtocolVersion;
use clap::CommandFactory;

mod manual;

fn parse(line: &str) -> Result<Command, clap::Error> {
    let words = std::iter::once("selvedge").chain(line.split_whitespace()).map(Into::into);
    Cli::from_arguments(words).map(|cli| cli.command)
}

fn subscribe(line: &str) -> Box<SubscribeArguments> {
    match parse(line) {
        Ok(Command::Sub(arguments)) => arguments,
        other => panic!("{other:?}"),
    }
}

fn publish(line: &str) -> Box<PublishArguments> {
    match parse(line) {
        Ok(Command::Pub(arguments)) => arguments,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn nothing_means_run_with_defaults() {
    assert!(matches!(parse(""), Ok(Command::Run(_))));
}

#[test]
fn options_without_a_command_are_those_of_run() {
    let Ok(Command::Run(run)) = parse("--data /d --ws off") else { panic!("not run") };
    assert_eq!(
        (run.data.as_deref(), run.overrides().websocket),
        (Some("/d".as_ref()), Some(crate::config::Listen::Off))
    );
    let wrong = parse("--retain").unwrap_err();
    assert_eq!(wrong.exit_code(), 2);
    assert!(wrong.to_string().contains("selvedge run"), "{wrong}");
}

#[test]
fn run_takes_three_listeners() {
    let Ok(Command::Run(run)) = parse("run --data /d --mqtt 127.0.0.1:0 --ws off --http [::1]:7883 --json") else {
        panic!("not run");
    };
    let overrides = run.overrides();
    assert_eq!(overrides.mqtt, Some("127.0.0.1:0".parse().unwrap()));
    assert_eq!(overrides.websocket, Some(crate::config::Listen::Off));
    assert_eq!(overrides.http, Some("[::1]:7883".parse().unwrap()));
    assert!(run.json);
}

#[test]
fn wrong_usage_is_exit_code_2_and_help_is_0() {
    for line in
        ["fly", "run --mqtt nonsense", "pub -t a", "pub -m b", "pub -t a -m b -q 3", "sub", "sub -t a -V 4", "check"]
    {
        assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
    }
    for line in ["--help", "--version", "run --help", "pub --help", "sub --help", "twin --help", "fn --help"] {
        assert_eq!(parse(line).unwrap_err().exit_code(), 0, "{line}");
    }
}

#[test]
fn every_command_that_is_shown_has_examples() {
    for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
        let after_help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(after_help.contains("selvedge"), "{}", command.get_name());
    }
}

#[test]
fn mosquitto_pubs_flags_are_taken() {
    let arguments = publish("pub -h gw -p 1884 -t a/b -m -5 -q 2 -r -i me -u joe -P secret -V mqttv311 -k 10 -c");
    let connection = &arguments.connection;
    assert_eq!((connection.host.as_str(), connection.port), ("gw", Some(1884)));
    assert_eq!(connection.version, ProtocolVersion::V311);
    assert_eq!(connection.keep_alive_s, 10);
    assert!(connection.disable_clean_session && arguments.retain);
    assert_eq!(arguments.message.as_deref(), Some("-5"));
    assert_eq!(arguments.qos, 2);
}

#[test]
fn a_payload_has_exactly_one_source() {
    assert!(parse("pub -t a -m b -n").is_err());
    assert!(parse("pub -t a -l -s").is_err());
    assert!(publish("pub -t a -n").null_message);
    assert!(publish("pub -t a -l").stdin_lines);
}

#[test]
fn properties_keep_their_grouping() {
    let arguments = publish(
        "pub -D publish user-property unit celsius -D connect receive-maximum 3 -t a -m b -D publish content-type text/plain",
    );
    let list = &arguments.connection.properties.list;
    assert_eq!(list.len(), 3);
    assert_eq!(list[0], ["publish", "user-property", "unit", "celsius"]);
    assert_eq!(list[1], ["connect", "receive-maximum", "3"]);
    assert_eq!(list[2], ["publish", "content-type", "text/plain"]);
}

#[test]
fn mosquitto_subs_flags_are_taken() {
    let arguments = subscribe(
        "sub -t a -t b/# -T b/c -U d -q 1 -C 5 -W 3 -v -N -R -x -1 --retain-as-published --will-topic w --will-payload p --will-qos 1 --will-retain",
    );
    assert_eq!(arguments.topics, ["a", "b/#"]);
    assert_eq!(arguments.filter_out, ["b/c"]);
    assert_eq!(arguments.unsubscribe, ["d"]);
    assert_eq!((arguments.count, arguments.timeout_s), (Some(5), Some(3)));
    assert_eq!(arguments.connection.session_expiry_s, Some(-1));
    assert_eq!(arguments.connection.will_qos, 1);
    assert!(subscribe("sub -t a --retained-only").retained_only);
    assert!(parse("sub -t a --retained-only -R").is_err());
    assert!(parse("sub -t a -C 0").is_err());
}

#[test]
fn a_twin_value_may_be_negative() {
    let Ok(Command::Twin(TwinCommand::Set(set))) = parse("twin set pump desired.offset -3 --data /d") else {
        panic!("not set");
    };
    assert_eq!(set.value, "-3");
    assert_eq!(set.name.socket.data.as_deref(), Some(std::path::Path::new("/d")));
}
