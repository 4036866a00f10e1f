//! Every mistake is named with its line, its key, its value and what is allowed.

use std::collections::BTreeSet;

use super::*;
use std::io::Write as _;

const EXAMPLE: &str = include_str!("../../../selvedge.example.toml");
const DOCUMENTATION: &str = include_str!("../../../../docs/configuration.md");

fn load_text(text: &str) -> Result<Config, LoadError> {
    load_with(text, &Overrides::default())
}

fn load_with(text: &str, overrides: &Overrides) -> Result<Config, LoadError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    load(Some(file.path()), overrides)
}

fn problems(text: &str) -> Vec<Problem> {
    match load_text(text) {
        Err(LoadError::Invalid { problems, .. }) => problems,
        other => panic!("{text}: {other:?}"),
    }
}

fn one(text: &str) -> Problem {
    let mut problems = problems(text);
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.remove(0)
}

/// `text` has one mistake, in `line`, at `key`, and the message contains all of `parts`.
#[track_caller]
fn check(text: &str, line: usize, key: &str, parts: &[&str]) {
    let problem = one(text);
    assert_eq!((problem.line, problem.key.as_str()), (line, key), "{problem}");
    for part in parts {
        assert!(problem.what.contains(part), "{part:?} is missing in: {problem}");
    }
}

#[test]
fn no_file_and_an_empty_file_are_the_defaults() {
    assert_eq!(load(None, &Overrides::default()).unwrap(), Config::default());
    assert_eq!(load_text("").unwrap(), Config::default());
}

#[test]
fn files_of_updates_have_names_of_their_own() {
    let config = load_text(
        "[ota.files.settings]\npath = \"/etc/a\"\n[ota.files.site]\npath = \"/etc/b\"\nafter = [\"/bin/true\"]",
    )
    .unwrap();
    assert_eq!(config.ota.files["settings"].path, "/etc/a");
    assert_eq!(config.ota.files["site"].after, ["/bin/true"]);
    for (text, part) in [
        ("[ota.files.settings]\npaht = \"/etc/a\"", "did you mean path?"),
        ("[ota.files]\nsettings = 1", "write [ota.files.settings]"),
        ("[ota.files.settings]\nafter = []", "expected an absolute path"),
        ("[ota.files.settings]\npath = \"/a\"\nafter = [\"reload\"]", "expected a program by its absolute path"),
    ] {
        let error = load_text(text).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn the_shipped_example_names_every_key_with_its_default() {
    assert_eq!(load_text(EXAMPLE).unwrap(), Config::default());
    let example: Table = toml::from_str(EXAMPLE).unwrap();
    let defaults = Table::try_from(Config::default()).unwrap();
    assert_eq!(keys(&example, ""), keys(&defaults, ""));
}

#[test]
fn the_documentation_names_every_key_with_its_default() {
    let documented: BTreeSet<(String, String)> = DOCUMENTATION
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | `"))
        .filter_map(|(key, rest)| Some((key.to_owned(), rest.split_once("` |")?.0.to_owned())))
        .filter(|(key, _)| !key.starts_with("--"))
        .collect();
    let mut defaults = BTreeMap::new();
    flatten(&Table::try_from(Config::default()).unwrap(), "", &mut defaults);
    let defaults: BTreeSet<(String, String)> = defaults.into_iter().collect();
    assert_eq!(documented.symmetric_difference(&defaults).collect::<Vec<_>>(), Vec::<&(String, String)>::new());
}

fn flatten(table: &Table, prefix: &str, into: &mut BTreeMap<String, String>) {
    for (name, value) in table {
        let key = format!("{prefix}{name}");
        match value {
            Value::Table(inner) => flatten(inner, &format!("{key}."), into),
            value => drop(into.insert(key, value.to_string())),
        }
    }
}

fn keys(table: &Table, prefix: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (name, value) in table {
        let key = format!("{prefix}{name}");
        match value {
            Value::Table(inner) => found.extend(keys(inner, &format!("{key}."))),
            _ => {
                found.insert(key);
            }
        }
    }
    found
}

#[test]
fn values_of_the_file_are_taken() {
    let config = load_text("data = '/d'\n[mqtt]\nlisten = \"127.0.0.1:0\"\n[limits]\noverflow = \"disconnect\"\npacket_bytes_max = \"64KiB\"\n").unwrap();
    assert_eq!(config.data, "/d");
    assert_eq!(config.mqtt.listen, Listen::loopback(0));
    assert_eq!(config.limits.overflow, super::super::limits::Overflow::Disconnect);
    assert_eq!(config.limits.packet_bytes_max, super::super::quantity::ByteSize::kib(64));
    assert_eq!(config.websocket, Config::default().websocket);
}

#[test]
fn overrides_go_over_the_file() {
    let overrides = Overrides { mqtt: Some(Listen::Off), data: Some("/flag".into()), ..Overrides::default() };
    let config =
        load_with("data = '/file'\n[mqtt]\nlisten = '127.0.0.1:9'\n[http]\nlisten = '127.0.0.1:8'", &overrides)
            .unwrap();
    assert_eq!(
        (config.data.as_str(), config.mqtt.listen, config.http.listen),
        ("/flag", Listen::Off, Listen::loopback(8))
    );
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_known_one() {
    check(
        "\n[mqtt]\nlisen = \"127.0.0.1:1\"\n",
        3,
        "mqtt.lisen",
        &["unknown key", "did you mean listen?", "allow_anonymous, durability, listen"],
    );
    check("[mqqt]\nlisten = 'off'", 1, "mqqt", &["unknown key", "did you mean mqtt?"]);
    check("colour = 1", 1, "colour", &["unknown key", "allowed here: access, data, durability, functions, http"]);
    check("mqtt.port = 1883", 1, "mqtt.port", &["unknown key"]);
}

#[test]
fn a_wrong_value_is_named_with_what_is_allowed() {
    check("[mqtt]\n\nlisten = \"1883\"", 3, "mqtt.listen", &["\"1883\"", "ADDRESS:PORT", "off"]);
    check("[mqtt]\nlisten = 1883", 2, "mqtt.listen", &["1883", "ADDRESS:PORT"]);
    check("[mqtt]\nallow_anonymous = 'yes'", 2, "mqtt.allow_anonymous", &["'yes'", "true or false"]);
    check("[limits]\nhandshake_timeout = \"10\"", 2, "limits.handshake_timeout", &["\"10\"", "\"10s\""]);
    check("[limits]\nhandshake_timeout = 10", 2, "limits.handshake_timeout", &["10", "\"10s\""]);
    check("[limits]\npacket_bytes_max = \"1MB\"", 2, "limits.packet_bytes_max", &["\"1MB\"", "\"16MiB\""]);
    check("[limits]\noverflow = \"explode\"", 2, "limits.overflow", &["\"explode\"", "drop-oldest", "disconnect"]);
    check("[limits]\nreceive_maximum = \"many\"", 2, "limits.receive_maximum", &["\"many\"", "whole number"]);
    check("[limits]\nreceive_maximum = 70000", 2, "limits.receive_maximum", &["70000", "from 0 to 65535"]);
    check("[limits]\nreceive_maximum = -1", 2, "limits.receive_maximum", &["-1"]);
    check("[log]\nlevel = 3", 2, "log.level", &["text in quotes"]);
    check("[log]\nformat = \"xml\"", 2, "log.format", &["text", "json"]);
}

#[test]
fn a_value_out_of_bounds_is_named_with_the_bounds() {
    check("[limits]\nreceive_maximum = 0", 2, "limits.receive_maximum", &["0", "from 1 to 65535"]);
    check("[limits]\nhandshake_timeout = \"0s\"", 2, "limits.handshake_timeout", &["\"100ms\"", "\"5m\""]);
    check("[limits]\nkeep_alive_max = \"1500ms\"", 2, "limits.keep_alive_max", &["whole seconds"]);
    check("[limits]\nclient_id_bytes_max = \"22B\"", 2, "limits.client_id_bytes_max", &["\"23B\""]);
    check("[websocket]\npath = \"mqtt\"", 2, "websocket.path", &["\"mqtt\"", "slash"]);
    check("[log]\nlevel = \"selvedge=loud\"", 2, "log.level", &["selvedge=loud", "debug"]);
}

#[test]
fn both_ends_of_the_bounds_are_inside() {
    for text in [
        "receive_maximum = 1",
        "receive_maximum = 65535",
        "client_id_bytes_max = '23B'",
        "keep_alive_max = '65535s'",
        "retained_messages_max = 0",
    ] {
        assert!(load_text(&format!("[limits]\n{text}")).is_ok(), "{text}");
    }
    for text in [
        "client_id_bytes_max = '65536B'",
        "keep_alive_max = '65536s'",
        "packet_bytes_max = '268435461B'",
        "packet_bytes_max = '1023B'",
    ] {
        assert!(load_text(&format!("[limits]\n{text}")).is_err(), "{text}");
    }
}

#[test]
fn sections_and_values_are_not_confused() {
    check("mqtt = 3", 1, "mqtt", &["section", "[mqtt]"]);
    check("[mqtt.listen]\nport = 1", 1, "mqtt.listen", &["one value"]);
}

#[test]
fn a_syntax_error_has_its_line() {
    let problem = one("[mqtt]\nlisten = = 3\n");
    assert_eq!(problem.line, 2);
    assert_eq!(one("[mqtt]\nlisten = 'off'\nlisten = 'off'\n").line, 3);
}

#[test]
fn all_mistakes_are_listed_in_the_order_of_the_file() {
    let lines: Vec<_> = problems("dta = 'x'\n[mqtt]\nlisten = 1\nfoo = 2\n[limits]\noverflow = 'x'")
        .iter()
        .map(|problem| problem.line)
        .collect();
    assert_eq!(lines, [1, 3, 4, 6]);
}

#[test]
fn an_address_that_others_reach_needs_consent_in_so_many_words() {
    // Who runs the tests may have a node with users in the usual place.
    let nobody = "data = \"/nonexistent/selvedge\"";
    check(
        &format!("{nobody}\n[mqtt]\nlisten = \"0.0.0.0:1883\""),
        3,
        "mqtt.listen",
        &["0.0.0.0:1883", "selvedge user add", "allow_anonymous = true", "[mqtt]", "--allow-anonymous"],
    );
    check(&format!("{nobody}\n[http]\nlisten = \"[::]:7883\""), 3, "http.listen", &["[http]"]);
    assert!(load_text(&format!("{nobody}\n[mqtt]\nlisten = \"0.0.0.0:1883\"\nallow_anonymous = true")).is_ok());
    let flag = Overrides {
        data: Some("/nonexistent/selvedge".into()),
        mqtt: Some("0.0.0.0:1883".parse().unwrap()),
        ..Overrides::default()
    };
    let error = load_with("[mqtt]\nlisten = '127.0.0.1:1'", &flag).unwrap_err();
    let LoadError::Invalid { problems, .. } = &error else { panic!("{error}") };
    assert_eq!((problems.len(), problems[0].line), (1, 0), "a flag has no line: {error}");
    assert!(load(None, &Overrides { allow_anonymous: true, ..flag }).is_ok());
}

#[test]
fn two_listeners_on_one_port_are_refused() {
    check("[websocket]\nlisten = \"127.0.0.1:1883\"", 2, "websocket.listen", &["mqtt.listen"]);
    assert!(load_text("[mqtt]\nlisten='127.0.0.1:0'\n[websocket]\nlisten='127.0.0.1:0'").is_ok());
}

#[test]
fn the_message_begins_with_file_and_line() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"[mqtt]\nlisten = 1\n").unwrap();
    let error = load(Some(file.path()), &Overrides::default()).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}:2: mqtt.listen: 1: expected", file.path().display())), "{error}");
}

#[test]
fn a_missing_or_huge_file_is_an_error_of_its_own() {
    assert!(matches!(load(Some(Path::new("/nonexistent/x.toml")), &Overrides::default()), Err(LoadError::Read { .. })));
    let text = "#".repeat(FILE_BYTES_MAX as usize + 1);
    assert!(matches!(load_text(&text), Err(LoadError::Read { .. })));
    assert!(load_text(&text[1..]).is_ok());
}

/// A file beside an own data directory, in which `files` are.
fn in_directory(files: &[&str], text: &str) -> Result<Config, LoadError> {
    let data = tempfile::tempdir().unwrap();
    for file in files {
        let path = data.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    }
    load_with(text, &Overrides { data: Some(data.path().to_owned()), ..Overrides::default() })
}

#[test]
fn an_address_that_others_reach_is_taken_when_somebody_can_log_in() {
    let exposed = "[mqtt]\nlisten = '0.0.0.0:1883'\n[http]\nlisten = '0.0.0.0:7883'\n";
    assert!(in_directory(&[], exposed).is_err());
    assert!(in_directory(&["access/users.toml"], exposed).is_ok());
    assert!(in_directory(&["files-in-use"], exposed).is_err());
    assert!(in_directory(&[], &format!("{exposed}[access]\nusers = '/etc/users.toml'")).is_ok());
    assert!(in_directory(&[], &format!("{exposed}[access.tokens]\nkeys = '/etc/keys.json'")).is_ok());
    // A certificate is no login where there is no TLS.
    let certificates = "[tls]\nclient_certificates = 'required'\n";
    assert!(in_directory(&["tls/ca.pem"], &format!("{exposed}{certificates}")).is_err());
    let secure = format!("{certificates}[mqtts]\nlisten = '0.0.0.0:8883'");
    assert!(in_directory(&["tls/ca.pem", "tls/server.pem", "tls/server.key"], &secure).is_ok());
}

#[test]
fn a_tls_listener_without_a_certificate_says_what_makes_one() {
    let text = "[mqtts]\nlisten = '127.0.0.1:8883'";
    let said = in_directory(&["tls/server.pem"], text).unwrap_err().to_string();
    for part in ["tls.certificate", "server.key", "selvedge cert create"] {
        assert!(said.contains(part), "{said}");
    }
    let asking = format!("{text}\n[tls]\nclient_certificates = 'optional'");
    let said = in_directory(&["tls/server.pem", "tls/server.key"], &asking).unwrap_err().to_string();
    assert!(said.contains("tls.client_ca") && said.contains("selvedge cert create"), "{said}");
    assert!(in_directory(&["tls/server.pem", "tls/server.key"], text).is_ok());
}

#[test]
fn keys_of_tokens_come_from_one_place_and_secrets_not_from_an_address() {
    let key = "access.tokens.jwks_url";
    check("[access.tokens]\njwks_url = 'http://a/b'", 2, key, &["https://"]);
    check("[access.tokens]\njwks_url = 'https://a/b'\nkeys = 'x'", 2, key, &["choose one"]);
    let secret = "[access.tokens]\njwks_url = 'https://a/b'\nalgorithms = ['HS256']";
    check(secret, 3, "access.tokens.algorithms", &["secret"]);
    check("[access.tokens]\nalgorithms = ['none']", 2, "access.tokens.algorithms", &["EdDSA", "HS256"]);
    check("[access.tokens]\nalgorithms = []", 2, "access.tokens.algorithms", &["EdDSA"]);
}
