use super::*;
use crate::rate::Rate;
use crate::window::{WindowBy, WindowKind};

const FULL: &str = r#"
name = "unit-alarm"
version = "1.2.0"
component = "unit_alarm.wasm"
isolation = "reuse"

[[trigger]]
mqtt = "sensors/+/temperature"

[[trigger]]
mqtt = "other/#"
qos = 0

[limits]
memory_bytes = "16MiB"
timeout_ms = 50
output_messages = 3
output_bytes = 4096
log_lines = 7
kv_keys = 2
kv_bytes = "1KiB"
twin_patches = 1
rate_per_s = 50
burst = 5
cpu_percent = 20
concurrency = 4
concurrency_min = 2
depth = 2

[reuse]
calls = 50
age_s = 20

[retry]
attempts = 5
backoff_ms = 20
dead_letter = "dead/unit-alarm"

[circuit]
failures = 4
failure_percent = 50
window_s = 10
probe_after_s = 5
per = "client"
fallback = "reply"
reply_topic = "alarms/none"
reply_payload = "no alarm today"

[grants]
publish = ["alarms/#"]
twin_read = ["pump-*"]
twin_write = ["pump-1"]
keys = ["count-*"]

[recording]
messages = 7
per_s = 3

[promote]
changed_percent = 1.5

[config]
threshold = 30
unit = "celsius"
exact = true
factor = 1.5
"#;

fn parse(text: &str) -> Result<Manifest, ManifestError> {
    Manifest::parse(text, &Config::default())
}

fn with(lines: &str) -> Result<Manifest, ManifestError> {
    parse(&format!("name = \"f\"\n[[trigger]]\nmqtt = \"a\"\n{lines}"))
}

#[track_caller]
fn check_refused(lines: &str, line: usize, needles: &[&str]) {
    let error = with(lines).unwrap_err();
    assert_eq!(error.line, Some(line), "{error}");
    for needle in needles {
        assert!(error.message.contains(needle), "{needle:?} is not in: {error}");
    }
}

#[test]
fn every_key_is_read() {
    let manifest = parse(FULL).unwrap();
    assert_eq!((manifest.name.as_str(), manifest.version.as_str()), ("unit-alarm", "1.2.0"));
    assert_eq!(manifest.component.as_deref(), Some("unit_alarm.wasm"));
    let trigger = |mqtt: &str, qos| Trigger { mqtt: mqtt.into(), qos, source: Source::Messages, window: None };
    assert_eq!(
        manifest.triggers,
        [trigger("sensors/+/temperature", Qos::AtLeastOnce), trigger("other/#", Qos::AtMostOnce)]
    );
    let limits = Limits {
        memory_bytes: 16 << 20,
        timeout_ms: 50,
        output_messages: 3,
        output_bytes: 4096,
        log_lines: 7,
        kv_keys: 2,
        kv_bytes: 1024,
        twin_patches: 1,
        rate: Some(Rate { per_s: 50, burst: 5 }),
        concurrency: Concurrency { floor: 2, ceiling: 4 },
        cpu_percent: Some(20),
        depth: Some(2),
    };
    assert_eq!(manifest.limits, limits);
    let reuse = Reuse { calls: 50, age: std::time::Duration::from_secs(20) };
    assert_eq!(manifest.isolation, Isolation::Reuse(reuse));
    assert_eq!(manifest.grants.keys.as_deref(), Some(["count-*".to_owned()].as_slice()));
    let dead_letter = Some("dead/unit-alarm".to_owned());
    assert_eq!(manifest.retry, Retry { attempts: 5, backoff_ms: 20, dead_letter });
    let circuit = CircuitPolicy {
        rule: CircuitRule { failures: 4, failure_percent: 50, window_s: 10, probe_after_s: 5 },
        per: CircuitPer::Client,
        fallback: Fallback::Reply { topic: Some("alarms/none".to_owned()), payload: "no alarm today".to_owned() },
    };
    assert_eq!(manifest.circuit, Some(circuit));
    assert_eq!(manifest.grants.twin_read, ["pump-*"]);
    assert_eq!(manifest.recording, RecordingPolicy { messages: 7, per_s: 3 });
    assert_eq!(manifest.promote, PromotionPolicy { changed_percent: 1.5, ..PromotionPolicy::default() });
    let config: Vec<_> = manifest.config.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(config, [("exact", "true"), ("factor", "1.5"), ("threshold", "30"), ("unit", "celsius")]);
}

#[test]
fn what_is_not_given_has_its_default() {
    let manifest = with("").unwrap();
    assert_eq!(
        (manifest.limits, manifest.retry, manifest.circuit, manifest.grants),
        (Limits::default(), Retry::default(), None, Grants::default())
    );
}

#[test]
fn unknown_keys_are_named_with_line_and_what_is_allowed() {
    check_refused("[limits]\nmemory = 1", 5, &["unknown field `memory`", "memory_bytes"]);
    check_refused("colour = \"x\"", 4, &["unknown field `colour`", "mqtt"]);
    check_refused("[grants]\nsubscribe = []", 5, &["unknown field `subscribe`", "publish"]);
    let error = parse("nam = \"f\"").unwrap_err();
    assert!(error.message.contains("unknown field `nam`, expected one of `name`"), "{error}");
}

#[test]
fn wrong_values_are_named_with_line_and_what_is_allowed() {
    check_refused("[limits]\ntimeout_ms = 0", 5, &["limits.timeout_ms = 0", "1 to 60000"]);
    check_refused("[limits]\ntimeout_ms = -5", 5, &["limits.timeout_ms = -5"]);
    check_refused("[limits]\nmemory_bytes = \"64MB\"", 5, &["limits.memory_bytes = \"64MB\"", "\"64MiB\""]);
    check_refused("[limits]\n\nmemory_bytes = 1.5", 6, &["a number of bytes"]);
    check_refused("qos = 3", 4, &["trigger.qos = 3", "0, 1 and 2"]);
    check_refused("[retry]\nattempts = 0", 5, &["1 to 20"]);
    check_refused("[grants]\npublish = [\n\"a/#/b\"]", 6, &["a/#/b", "last level"]);
    check_refused("[grants]\ntwin_read = [\"\"]", 5, &["1 to 256 bytes"]);
    check_refused("[config]\nx = [1]", 5, &["text, a number or a boolean"]);
}

#[test]
fn both_sides_of_a_limit() {
    let memory = |bytes: usize| with(&format!("[limits]\nmemory_bytes = {bytes}"));
    assert!(memory(64 << 10).is_ok() && memory(128 << 20).is_ok());
    assert!(memory((64 << 10) - 1).is_err() && memory((128 << 20) + 1).is_err());
    assert!(with("[limits]\ntimeout_ms = 60000").is_ok() && with("[limits]\ntimeout_ms = 60001").is_err());
}

#[test]
fn a_circuit_has_the_defaults_of_its_rule_and_waits() {
    let circuit = with("[circuit]").unwrap().circuit.unwrap();
    assert_eq!((circuit.rule, circuit.per), (CircuitRule::default(), CircuitPer::Function));
    assert_eq!(circuit.fallback, Fallback::Wait);
    let fallback = |lines: &str| with(&format!("[circuit]\n{lines}")).unwrap().circuit.unwrap().fallback;
    assert_eq!(fallback("per = \"client\""), Fallback::Drop);
    assert_eq!(fallback("fallback = \"v3\""), Fallback::Version("v3".parse().unwrap()));
    let reply = Fallback::Reply { topic: None, payload: "no".to_owned() };
    assert_eq!(fallback("fallback = \"reply\"\nreply_payload = \"no\""), reply);
}

#[test]
fn wrong_circuits_rates_and_dead_letters_are_named() {
    check_refused("[circuit]\nfallback = \"hope\"", 5, &["\"wait\", \"drop\", \"reply\"", "\"v3\""]);
    check_refused("[circuit]\nper = \"topic\"", 5, &["\"function\" and \"client\""]);
    check_refused("[circuit]\nper = \"client\"\nfallback = \"wait\"", 6, &["hold up every client"]);
    check_refused("[circuit]\nfallback = \"reply\"", 5, &["circuit.reply_payload"]);
    let reply = "[circuit]\nfallback = \"reply\"\nreply_payload = \"no\"\n";
    check_refused(&format!("{reply}reply_topic = \"out\""), 7, &["grants.publish", "\"out\""]);
    check_refused(&format!("{reply}reply_topic = \"out/#\""), 7, &["not a topic name"]);
    check_refused("[circuit]\nfailure_percent = 0", 5, &["1 to 100"]);
    check_refused("[limits]\nburst = 3", 5, &["limits.rate_per_s"]);
    check_refused("[limits]\nrate_per_s = 0", 5, &["1 to 1000000"]);
    check_refused("[limits]\ndepth = 17", 5, &["0 to 16"]);
    check_refused("[retry]\ndead_letter = \"a/+\"", 5, &["not a topic name"]);
    check_refused("[retry]\ndead_letter = \"a\"", 5, &["start the function again"]);
    assert_eq!(with("[limits]\nrate_per_s = 9").unwrap().limits.rate, Some(Rate { per_s: 9, burst: 9 }));
}

#[test]
fn names_are_safe_file_names() {
    for name in ["", "A", "1a", "-a", "a/b", "..", "a.b", "ä", &"a".repeat(65)] {
        assert!(parse(&format!("name = {name:?}\n[[trigger]]\nmqtt = \"a\"")).is_err(), "{name:?}");
    }
    for name in ["a", "unit-alarm-2", &"a".repeat(64)] {
        assert!(parse(&format!("name = {name:?}\n[[trigger]]\nmqtt = \"a\"")).is_ok(), "{name:?}");
    }
}

#[test]
fn a_function_without_trigger_and_a_huge_manifest_are_refused() {
    assert!(parse("name = \"f\"").unwrap_err().message.contains("[[trigger]]"));
    assert!(parse(&"#".repeat(MANIFEST_BYTES_MAX + 1)).unwrap_err().message.contains("allowed are"));
    assert!(parse("name = ").unwrap_err().line.is_some());
}

#[test]
fn events_of_the_network_are_topics_of_the_node() {
    let started_by = |line: &str| parse(&format!("name = \"f\"\n[[trigger]]\n{line}"));
    for (event, topic) in [
        ("new-peer", "$net/event/new-peer"),
        ("above/flood", "$net/event/above/flood"),
        ("below/+", "$net/event/below/+"),
        ("#", "$net/event/#"),
    ] {
        let manifest = started_by(&format!("net = {event:?}")).unwrap();
        assert_eq!(
            manifest.triggers,
            [Trigger { mqtt: topic.to_owned(), qos: Qos::AtLeastOnce, source: Source::Messages, window: None }]
        );
    }
    for event in ["", "new", "above", "above/", "above/a/b", "beside/a", "above/#", "+"] {
        let error = started_by(&format!("net = {event:?}")).unwrap_err();
        assert!(error.line == Some(3) && error.message.contains("allowed are new-peer"), "{event}: {error}");
    }
    assert!(started_by("net = \"#\"\nmqtt = \"a\"").unwrap_err().message.contains("write one for each"));
    let neither = started_by("qos = 1").unwrap_err();
    assert!(neither.line == Some(2) && neither.message.contains("net = "), "{neither}");
}

#[test]
fn changes_of_twins_schedules_and_the_start_are_topics_of_the_node_too() {
    let started_by = |lines: &str| parse(&format!("name = \"f\"\n[[trigger]]\n{lines}"));
    let only = |lines: &str| started_by(lines).unwrap().triggers.remove(0);
    assert_eq!(only("twin = \"pump-1\"").mqtt, "$twin/pump-1/update/documents");
    assert_eq!(only("twin = \"+\"").to_string(), "$twin/+/update/documents");
    assert_eq!(
        (only("start = true").mqtt.as_str(), only("start = true").to_string().as_str()),
        ("$fn/start/f", "start")
    );
    let daily = only("cron = \"0 0 6 * * *\"\nzone = \"Europe/Berlin\"");
    assert_eq!(daily.to_string(), "cron \"0 0 6 * * *\" Europe/Berlin");
    let utc = only("cron = \"0 0 6 * * *\"");
    assert!(utc.mqtt.starts_with("$fn/cron/f/") && utc.mqtt != daily.mqtt, "{utc:?}");
    assert_eq!(utc.source, Source::Schedule { cron: "0 0 6 * * *".to_owned(), zone: "UTC".to_owned() });
    for (lines, needle) in [
        ("twin = \"a/b\"", "name of a thing"),
        ("twin = \"\"", "name of a thing"),
        ("cron = \"0 0 25 * * *\"", "hour"),
        ("cron = \"* * * * * *\"\nzone = \"Mid Earth\"", "Europe/Berlin"),
        ("mqtt = \"a\"\nzone = \"UTC\"", "belongs to trigger.cron"),
        ("start = false", "leave the trigger out"),
        ("start = true\ncron = \"* * * * *\"", "write one for each"),
    ] {
        let error = started_by(lines).unwrap_err();
        assert!(error.line.is_some() && error.message.contains(needle), "{lines}: {error}");
    }
}

#[test]
fn windows_say_how_messages_become_batches() {
    let window = |lines: &str| with(lines).map(|mut manifest| manifest.triggers.remove(0).window.unwrap());
    let rule = |kind, by, messages_max| WindowRule { kind, by, messages_max };
    let tumbling = WindowKind::Tumbling { size_ms: 60_000 };
    assert_eq!(window("window = \"tumbling\"\nsize_s = 60"), Ok(rule(tumbling, WindowBy::All, 200)));
    let sliding = WindowKind::Sliding { size_ms: 60_000, step_ms: 1000 };
    let lines = "window = \"sliding\"\nsize_s = 60\nstep_s = 1\nby = \"level:2\"\nmessages_max = 7";
    assert_eq!(window(lines), Ok(rule(sliding, WindowBy::Level(2), 7)));
    let session = WindowKind::Session { gap_ms: 5000 };
    assert_eq!(window("window = \"session\"\ngap_s = 5\nby = \"client\""), Ok(rule(session, WindowBy::Client, 200)));
    check_refused("window = \"wide\"", 4, &["\"tumbling\", \"sliding\" and \"session\""]);
    check_refused("window = \"tumbling\"", 4, &["needs trigger.size_s"]);
    check_refused("window = \"sliding\"\nsize_s = 61\nstep_s = 1", 4, &["up to 60 times"]);
    check_refused("window = \"sliding\"\nsize_s = 10\nstep_s = 3", 4, &["must be trigger.step_s"]);
    check_refused("window = \"session\"\ngap_s = 0", 5, &["1 to 86400"]);
    check_refused("window = \"session\"\ngap_s = 1\nby = \"level:0\"", 6, &["level:1"]);
    check_refused("size_s = 3", 4, &["belongs to trigger.window"]);
    check_refused("by = \"topic\"", 4, &["belongs to trigger.window"]);
    let started = parse("name = \"f\"\n[[trigger]]\nstart = true\nwindow = \"session\"\ngap_s = 1").unwrap_err();
    assert!(started.message.contains("belongs to messages"), "{started}");
}

#[test]
fn a_function_that_can_start_itself_is_warned_about() {
    assert_eq!(with("[grants]\npublish = [\"b\"]").unwrap().warnings(), Vec::<String>::new());
    let warnings = with("[grants]\npublish = [\"#\"]").unwrap().warnings();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("may start itself"), "{warnings:?}");
}

#[test]
fn a_configuration_without_bounds_refuses_nothing_and_does_not_overflow() {
    let unbounded = Config { memory_bytes_max: usize::MAX, timeout_ms_max: u64::MAX, ..Config::default() };
    let text = "name = \"f\"\n[[trigger]]\nmqtt = \"a\"\n[limits]\nmemory_bytes = \"64GiB\"\ntimeout_ms = 999999999\n";
    let limits = Manifest::parse(text, &unbounded).unwrap().limits;
    assert_eq!((limits.memory_bytes, limits.timeout_ms), (64 << 30, 999_999_999));
}

#[test]
fn messages_at_once_are_one_by_default_and_within_their_bounds() {
    let of = |lines: &str| with(&format!("[limits]\n{lines}")).map(|manifest| manifest.limits.concurrency);
    assert_eq!(of(""), Ok(Concurrency { floor: 1, ceiling: 1 }));
    assert_eq!(of("concurrency = 64"), Ok(Concurrency { floor: 1, ceiling: 64 }));
    check_refused("[limits]\nconcurrency = 65", 5, &["limits.concurrency = 65", "1 to 64"]);
    check_refused("[limits]\nconcurrency = 0", 5, &["limits.concurrency = 0"]);
    check_refused("[limits]\nconcurrency = 2\nconcurrency_min = 3", 6, &["limits.concurrency_min = 3", "1 to 2"]);
    check_refused("[limits]\nconcurrency_min = 2", 5, &["limits.concurrency_min = 2", "1 to 1"]);
}

#[test]
fn an_instance_is_used_again_only_where_the_manifest_says_so() {
    let of = |lines: &str| parse(&format!("name = \"f\"\n{lines}\n[[trigger]]\nmqtt = \"a\"")).map(|it| it.isolation);
    assert_eq!(of(""), Ok(Isolation::Fresh));
    assert_eq!(of("isolation = \"fresh\""), Ok(Isolation::Fresh));
    let usual = Reuse { calls: 1000, age: std::time::Duration::from_secs(60) };
    assert_eq!(of("isolation = \"reuse\""), Ok(Isolation::Reuse(usual)));
    for (lines, needle) in [
        ("isolation = \"shared\"", "\"fresh\" and \"reuse\""),
        ("[reuse]\ncalls = 5", "needs isolation"),
        ("isolation = \"reuse\"\n[reuse]\ncalls = 0", "reuse.calls = 0"),
        ("isolation = \"reuse\"\n[reuse]\nage_s = 86401", "reuse.age_s = 86401"),
    ] {
        let error = of(lines).unwrap_err();
        assert!(error.message.contains(needle), "{lines}: {error}");
    }
}

#[test]
fn a_pipeline_is_named_at_both_ends() {
    let handing = parse("name = \"f\"\nthen = \"g\"\n[[trigger]]\nmqtt = \"a\"").unwrap();
    assert_eq!(handing.then.as_deref(), Some("g"));
    let taking = parse("name = \"g\"\n[[trigger]]\npipeline = true").unwrap();
    assert_eq!((&taking.triggers[0].source, taking.triggers[0].mqtt.as_str()), (&Source::Pipeline, "$fn/pipeline/g"));
    assert!(!taking.triggers[0].is_subscription());
    for (text, needle) in [
        ("name = \"f\"\nthen = \"f\"\n[[trigger]]\nmqtt = \"a\"", "does not hand on to itself"),
        ("name = \"f\"\nthen = \"G/\"\n[[trigger]]\nmqtt = \"a\"", "is not the name of a function"),
        ("name = \"f\"\n[[trigger]]\npipeline = false", "leave the trigger out"),
        ("name = \"f\"\n[[trigger]]\npipeline = true\nqos = 1", "trigger.qos"),
        ("name = \"f\"\n[[trigger]]\npipeline = true\nwindow = \"tumbling\"\nsize_s = 5", "trigger.window"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.message.contains(needle), "{text}: {error}");
    }
}
