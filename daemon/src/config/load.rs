//! From a file and the overrides of flags and environment to a checked `Config`, or to everything that is wrong with it.
//! Each key is tried by itself against the settings, so that one run names every mistake with its line and not only the first.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::checks::{Violation, violations};
use super::listeners::Listen;
use super::net::Counting;
use super::ota::OtaFile;
use super::problem::{LoadError, Problem, did_you_mean};
use super::{Config, LogFormat, Surroundings};

/// A configuration file is a few KiB; anything beyond this is not one.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What flags or environment set, over the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--data`.
    pub data: Option<PathBuf>,
    /// `--mqtt`.
    pub mqtt: Option<Listen>,
    /// `--mqtts`.
    pub mqtts: Option<Listen>,
    /// `--wss`.
    pub secure_websocket: Option<Listen>,
    /// `--ws`.
    pub websocket: Option<Listen>,
    /// `--http`.
    pub http: Option<Listen>,
    /// `--log`.
    pub log_format: Option<LogFormat>,
    /// `net.counters`.
    pub net: Option<Counting>,
    /// `--allow-anonymous`.
    pub allow_anonymous: bool,
}

/// Reads `file` (defaults without one), lays `overrides` over it and checks the whole.
///
/// # Errors
/// The file cannot be read, or holds something unknown, of a wrong kind or out of bounds: all of it is listed.
pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Config, LoadError> {
    finish(file, read(file)?, overrides)
}

/// As `load`, without asking whether a node could start with it: for commands that only need to know where files are.
///
/// # Errors
/// The file cannot be read, or holds something unknown or of a wrong kind.
pub fn load_unchecked(file: Option<&Path>, overrides: &Overrides) -> Result<Config, LoadError> {
    let Parsed { mut config, problems, .. } = read(file)?;
    if !problems.is_empty() {
        return Err(LoadError::Invalid { path: file.map(Path::to_owned), problems });
    }
    apply(&mut config, overrides);
    Ok(config)
}

fn read(file: Option<&Path>) -> Result<Parsed, LoadError> {
    let Some(path) = file else {
        return Ok(Parsed::default());
    };
    let read = |source| LoadError::Read { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(read)?.len() > FILE_BYTES_MAX {
        return Err(read(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "larger than 1 MiB")));
    }
    let text = std::fs::read_to_string(path).map_err(read)?;
    Ok(parse(&text))
}

/// The one section whose tables have names of their own.
const NAMED_TABLES: &str = "ota.files";

/// What a text says, as far as it is right, and what is wrong with it.
#[derive(Default)]
struct Parsed {
    config: Config,
    problems: Vec<Problem>,
    /// Dotted key → line and text of the value.
    places: BTreeMap<String, (usize, String)>,
}

fn finish(path: Option<&Path>, parsed: Parsed, overrides: &Overrides) -> Result<Config, LoadError> {
    let Parsed { mut config, mut problems, places } = parsed;
    if problems.is_empty() {
        apply(&mut config, overrides);
        let around = Surroundings::of(&config);
        problems
            .extend(violations(&config, &around).into_iter().map(|violation| located(violation, overrides, &places)));
    }
    if problems.is_empty() {
        return Ok(config);
    }
    problems.sort_by_key(|problem| problem.line);
    Err(LoadError::Invalid { path: path.map(Path::to_owned), problems })
}

fn apply(config: &mut Config, overrides: &Overrides) {
    if let Some(data) = &overrides.data {
        config.data = data.to_string_lossy().into_owned();
    }
    let listeners = [
        (&mut config.mqtt.listen, overrides.mqtt),
        (&mut config.mqtts.listen, overrides.mqtts),
        (&mut config.websocket.listen, overrides.websocket),
        (&mut config.secure_websocket.listen, overrides.secure_websocket),
        (&mut config.http.listen, overrides.http),
    ];
    for (listen, replacement) in listeners {
        *listen = replacement.unwrap_or(*listen);
    }
    if let Some(counting) = overrides.net {
        config.net.counters = counting;
    }
    if let Some(format) = overrides.log_format {
        config.log.format = format;
    }
    if overrides.allow_anonymous {
        config.mqtt.allow_anonymous = true;
        config.mqtts.allow_anonymous = true;
        config.secure_websocket.allow_anonymous = true;
        config.websocket.allow_anonymous = true;
        config.http.allow_anonymous = true;
    }
}

/// The line that set the offending key, unless a flag did.
fn located(violation: Violation, overrides: &Overrides, places: &BTreeMap<String, (usize, String)>) -> Problem {
    let overridden = match violation.key {
        "mqtt.listen" => overrides.mqtt.is_some(),
        "mqtts.listen" => overrides.mqtts.is_some(),
        "websocket.listen" => overrides.websocket.is_some(),
        "secure_websocket.listen" => overrides.secure_websocket.is_some(),
        "http.listen" => overrides.http.is_some(),
        _ => false,
    };
    let line = match places.get(violation.key) {
        Some((line, _)) if !overridden => *line,
        _ => 0,
    };
    Problem { line, key: violation.key.to_owned(), what: format!("{}: {}", violation.value, violation.allowed) }
}

fn parse(text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    let (document, errors) = DeTable::parse_recoverable(text);
    if let Some(error) = errors.first() {
        let line = error.span().map_or(0, |span| line_of(text, span.start));
        parsed.problems.push(Problem { line, key: String::new(), what: error.message().replace('\n', ", ") });
        return parsed;
    }
    let known = match Table::try_from(Config::default()) {
        Ok(table) => table,
        Err(error) => {
            parsed.problems.push(Problem { line: 0, key: String::new(), what: error.to_string() });
            return parsed;
        }
    };
    let mut leaves = Vec::new();
    let mut walk = Walk { text, leaves: &mut leaves, problems: &mut parsed.problems };
    walk.table(document.get_ref(), &known, &mut Vec::new());

    let mut accepted = Table::new();
    for leaf in leaves {
        match try_leaf(&leaf, text) {
            Ok(value) => {
                parsed.places.insert(leaf.path.join("."), (leaf.line, leaf.value(text).to_owned()));
                merge(&mut accepted, nested(&leaf.path, value));
            }
            Err(what) => parsed.problems.push(Problem { line: leaf.line, key: leaf.path.join("."), what }),
        }
    }
    match accepted.try_into() {
        Ok(config) => parsed.config = config,
        Err(error) => parsed.problems.push(Problem { line: 0, key: String::new(), what: error.message().to_owned() }),
    }
    parsed
}

/// One `key = value` of the file whose key is known.
struct Leaf {
    path: Vec<String>,
    line: usize,
    span: Range<usize>,
}

impl Leaf {
    fn value<'a>(&self, text: &'a str) -> &'a str {
        text.get(self.span.clone()).unwrap_or_default()
    }
}

struct Walk<'a> {
    text: &'a str,
    leaves: &'a mut Vec<Leaf>,
    problems: &'a mut Vec<Problem>,
}

impl Walk<'_> {
    fn table(&mut self, document: &DeTable<'_>, known: &Table, path: &mut Vec<String>) {
        for (name, value) in document {
            let line = line_of(self.text, name.span().start);
            path.push(name.get_ref().to_string());
            let key = path.join(".");
            match (known.get(name.get_ref().as_ref()), value.get_ref()) {
                (None, _) => {
                    let what = unknown(name.get_ref(), known);
                    self.problems.push(Problem { line, key, what });
                }
                (Some(Value::Table(_)), DeValue::Table(document)) if key == NAMED_TABLES => {
                    self.named_tables(document, path);
                }
                (Some(Value::Table(known)), DeValue::Table(document)) => self.table(document, known, path),
                (Some(Value::Table(known)), _) => {
                    let what = format!("is a section with the keys {}: write [{key}]", listed(known));
                    self.problems.push(Problem { line, key, what });
                }
                (Some(default), DeValue::Table(_)) => {
                    let what = format!("is one value and no section: write {} = {default}", name.get_ref());
                    self.problems.push(Problem { line, key, what });
                }
                (Some(_), _) => self.leaves.push(Leaf { path: path.clone(), line, span: value.span() }),
            }
            path.pop();
        }
    }
}

impl Walk<'_> {
    /// Tables whose names are the operator's own.
    fn named_tables(&mut self, document: &DeTable<'_>, path: &mut Vec<String>) {
        let known = Table::try_from(OtaFile::default()).unwrap_or_default();
        for (name, value) in document {
            path.push(name.get_ref().to_string());
            match value.get_ref() {
                DeValue::Table(inner) => self.table(inner, &known, path),
                _ => {
                    let (line, key) = (line_of(self.text, name.span().start), path.join("."));
                    let what = format!("is a section with the keys {}: write [{key}]", listed(&known));
                    self.problems.push(Problem { line, key, what });
                }
            }
            path.pop();
        }
    }
}

fn unknown(name: &str, known: &Table) -> String {
    let hint = did_you_mean(name, known.keys().map(String::as_str))
        .map_or_else(String::new, |near| format!(": did you mean {near}?"));
    format!("unknown key{hint} (allowed here: {})", listed(known))
}

fn listed(known: &Table) -> String {
    known.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// The value, if the settings take it at its place; otherwise what they would take.
fn try_leaf(leaf: &Leaf, text: &str) -> Result<Value, String> {
    let written = leaf.value(text);
    let mut table: Table = toml::from_str(&format!("value = {written}")).map_err(|error| error.message().to_owned())?;
    let value = table.remove("value").unwrap_or(Value::Boolean(false));
    match nested(&leaf.path, value.clone()).try_into::<Config>() {
        Ok(_) => Ok(value),
        Err(error) => Err(format!("{written}: {}", in_words(error.message()))),
    }
}

/// serde's wording without the names of Rust's types.
fn in_words(message: &str) -> String {
    let first_line = message.lines().next().unwrap_or_default();
    let expected = match first_line.rsplit_once("expected ") {
        Some((_, expected)) => expected,
        None => return first_line.to_owned(),
    };
    let expected = match expected {
        "u8" => "a whole number from 0 to 255, without quotes",
        "u16" => "a whole number from 0 to 65535, without quotes",
        "u32" => "a whole number from 0 to 4294967295, without quotes",
        "u64" | "usize" => "a whole number, 0 or more, without quotes",
        "a boolean" => "true or false, without quotes",
        "a string" => "a text in quotes",
        "a sequence" => "a list in brackets: [\"one\", \"another\"]",
        other => other,
    };
    format!("expected {expected}")
}

fn nested(path: &[String], value: Value) -> Table {
    let mut value = value;
    for name in path.iter().rev() {
        value = Value::Table(Table::from_iter([(name.clone(), value)]));
    }
    match value {
        Value::Table(table) => table,
        _ => Table::new(),
    }
}

fn merge(into: &mut Table, from: Table) {
    for (name, value) in from {
        match (into.get_mut(&name), value) {
            (Some(Value::Table(into)), Value::Table(from)) => merge(into, from),
            (_, value) => {
                into.insert(name, value);
            }
        }
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests;
