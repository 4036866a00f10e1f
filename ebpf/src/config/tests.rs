use super::*;

fn read(text: &str) -> Result<Config, String> {
    toml::from_str::<Config>(text).map_err(|error| error.message().to_owned())
}

fn checked(text: &str) -> Result<(), ConfigError> {
    read(text).unwrap().check()
}

#[test]
fn an_empty_configuration_is_the_default_and_is_allowed() {
    assert_eq!(read(""), Ok(Config::default()));
    assert_eq!(Config::default().check(), Ok(()));
    assert_eq!(Config::default().interfaces.len(), 6);
    assert_eq!(Config::default().guard.mode, GuardMode::Off);
}

#[test]
fn a_configuration_is_read_as_it_is_written() {
    let text = "interfaces = [\"eth0\", \"wwan*\"]\nattach = \"clsact\"\nflows_max = 100\n[ports]\nmqtt = [1883, 1884]\n\
        [guard]\nmode = \"dry-run\"\nattach = \"tc\"\nallow = [\"192.0.2.0/24\"]\n[events]\nnew_peers = true\n\
        [[events.thresholds]]\nname = \"flood\"\nmeasure = \"mqtt-attempts\"\nclass = \"mqtts\"\nabove_per_s = 50\n";
    let config = read(text).unwrap();
    assert_eq!(config.check(), Ok(()));
    assert_eq!(config.guard.mode, GuardMode::DryRun);
    assert_eq!(config.events.thresholds[0].scope, ThresholdScope::Peer);
    assert_eq!(config.events.thresholds[0].class, Some(PortClass::MqttTls));
    assert_eq!(read(&toml::to_string(&config).unwrap()), Ok(config));
}

#[test]
fn a_key_that_does_not_exist_is_refused_at_every_level() {
    for text in ["interface = []", "[ports]\nmqqt = []", "[guard]\nmod = \"off\"", "[events]\nnew = true"] {
        assert!(read(text).unwrap_err().contains("unknown field"), "{text}");
    }
    let threshold = "[[events.thresholds]]\nname = \"a\"\nmeasure = \"syn\"\nabove_per_s = 1\nbelow = 1";
    assert!(read(threshold).unwrap_err().contains("unknown field"));
}

#[test]
fn a_pattern_or_network_that_is_wrong_says_what_is_right() {
    assert!(read("interfaces = [\"eth 0\"]").unwrap_err().contains("no name of an interface has"));
    assert!(read("[guard]\nallow = [\"192.0.2.1/24\"]").unwrap_err().contains("192.0.2.0/24"));
}

#[test]
fn numbers_are_allowed_up_to_their_limits_and_not_beyond() {
    for (text, key, allowed) in [
        ("flows_max = 63", "flows_max", false),
        ("flows_max = 64", "flows_max", true),
        ("flows_max = 65536", "flows_max", true),
        ("flows_max = 65537", "flows_max", false),
        ("[guard]\nattempts_per_s = 0", "guard.attempts_per_s", false),
        ("[guard]\nattempts_per_s = 1", "guard.attempts_per_s", true),
        ("[guard]\nattempts_burst = 0", "guard.attempts_burst", false),
        ("[guard]\nattempts_burst = 1000000", "guard.attempts_burst", true),
        ("[guard]\nattempts_burst = 1000001", "guard.attempts_burst", false),
        ("[guard]\ndenied_max = 0", "guard.denied_max", false),
        ("[guard]\nbuckets_max = 63", "guard.buckets_max", false),
        ("[ports]\nmqtt = [0]", "ports.mqtt", false),
        ("[ports]\nmqtt = [65535]", "ports.mqtt", true),
    ] {
        match checked(text) {
            Ok(()) => assert!(allowed, "{text}"),
            Err(error) => assert!(!allowed && error.to_string().starts_with(key), "{text}: {error}"),
        }
    }
}

#[test]
fn a_port_has_one_use() {
    let error = checked("[ports]\nmqtt = [53]").unwrap_err();
    assert_eq!(error.to_string(), "port 53 stands in ports.mqtt and in ports.dns; it can have one use only");
    assert!(matches!(checked("[ports]\nmqtt = [1, 1]"), Err(ConfigError::PortTwice { .. })));
}

#[test]
fn without_interfaces_there_is_nothing_to_count() {
    assert_eq!(checked("interfaces = []"), Err(ConfigError::NoInterfaces));
}

#[test]
fn lists_have_a_longest_length() {
    let patterns = |length| Config { interfaces: vec!["eth0".parse().unwrap(); length], ..Config::default() };
    assert_eq!(patterns(PATTERNS_MAX).check(), Ok(()));
    assert!(matches!(patterns(PATTERNS_MAX + 1).check(), Err(ConfigError::TooMany { key: "interfaces", .. })));
}

#[test]
fn thresholds_have_names_of_their_own() {
    let threshold = |name: &str| Threshold {
        name: name.to_owned(),
        measure: Measure::Bytes,
        scope: ThresholdScope::Interface,
        class: None,
        above_per_s: 1,
    };
    let with = |names: &[&str]| EventsConfig {
        new_peers: false,
        thresholds: names.iter().map(|name| threshold(name)).collect(),
    };
    assert_eq!(with(&["a", "b"]).check(), Ok(()));
    assert!(matches!(with(&["a", "a"]).check(), Err(ConfigError::ThresholdTwice(_))));
    assert!(matches!(with(&[""]).check(), Err(ConfigError::ThresholdName(_))));
}
