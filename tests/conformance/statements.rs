//! The list of normative statements, `statements.toml`: complete, true to the tests, and readable alone.
//!
//! The numbers of the statements stand here and nowhere else in the code, so that a statement deleted from the list is
//! missed. The lists of tests in the file are written from the `section!` of each test file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use libtest_mimic::{Failed, Trial};
use selvedge_tests::client::Version;
use serde::Deserialize;

use crate::registry::SECTIONS;

/// Statements of MQTT 5 by section: [MQTT-1.5.4-1] to [MQTT-1.5.4-3], and so on.
const V5: &[(&str, RangeInclusive<u8>)] = &[
    ("1.5.4", 1..=3),
    ("1.5.5", 1..=1),
    ("1.5.7", 1..=1),
    ("2.1.3", 1..=1),
    ("2.2.1", 2..=6),
    ("2.2.2", 1..=1),
    ("3.1.0", 1..=2),
    ("3.1.2", 1..=30),
    ("3.1.3", 1..=12),
    ("3.1.4", 1..=6),
    ("3.2.0", 1..=2),
    ("3.2.2", 1..=22),
    ("3.3.1", 1..=13),
    ("3.3.2", 1..=20),
    ("3.3.4", 1..=10),
    ("3.4.2", 1..=3),
    ("3.5.2", 1..=3),
    ("3.6.1", 1..=1),
    ("3.6.2", 1..=3),
    ("3.7.2", 1..=3),
    ("3.8.1", 1..=1),
    ("3.8.3", 1..=5),
    ("3.8.4", 1..=8),
    ("3.9.2", 1..=2),
    ("3.9.3", 1..=2),
    ("3.10.1", 1..=1),
    ("3.10.3", 1..=2),
    ("3.10.4", 1..=6),
    ("3.11.2", 1..=2),
    ("3.11.3", 1..=2),
    ("3.12.4", 1..=1),
    ("3.14.0", 1..=1),
    ("3.14.1", 1..=1),
    ("3.14.2", 1..=4),
    ("3.14.4", 1..=3),
    ("3.15.1", 1..=1),
    ("3.15.2", 1..=3),
    ("4.1.0", 1..=2),
    ("4.2", 1..=1),
    ("4.3.1", 1..=1),
    ("4.3.2", 1..=5),
    ("4.3.3", 1..=13),
    ("4.4.0", 1..=2),
    ("4.5.0", 1..=2),
    ("4.6.0", 1..=6),
    ("4.7.0", 1..=1),
    ("4.7.1", 1..=2),
    ("4.7.2", 1..=1),
    ("4.7.3", 1..=4),
    ("4.8.2", 1..=6),
    ("4.9.0", 1..=3),
    ("4.12.0", 1..=7),
    ("4.12.1", 1..=2),
    ("4.13.1", 1..=1),
    ("4.13.2", 1..=1),
    ("6.0.0", 1..=4),
];

/// Statements of MQTT 3.1.1 by section.
const V311: &[(&str, RangeInclusive<u8>)] = &[
    ("1.5.3", 1..=3),
    ("2.2.2", 1..=2),
    ("2.3.1", 1..=7),
    ("3.1.0", 1..=2),
    ("3.1.2", 1..=24),
    ("3.1.3", 1..=11),
    ("3.1.4", 1..=5),
    ("3.2.0", 1..=1),
    ("3.2.2", 1..=6),
    ("3.3.1", 1..=12),
    ("3.3.2", 1..=3),
    ("3.3.4", 1..=1),
    ("3.3.5", 1..=2),
    ("3.6.1", 1..=1),
    ("3.8.1", 1..=1),
    ("3.8.3", 1..=4),
    ("3.8.4", 1..=6),
    ("3.9.3", 1..=2),
    ("3.10.1", 1..=1),
    ("3.10.3", 1..=2),
    ("3.10.4", 1..=6),
    ("3.12.4", 1..=1),
    ("3.14.1", 1..=1),
    ("3.14.4", 1..=3),
    ("4.1.0", 1..=2),
    ("4.3.1", 1..=1),
    ("4.3.2", 1..=2),
    ("4.3.3", 1..=2),
    ("4.4.0", 1..=1),
    ("4.5.0", 1..=2),
    ("4.6.0", 1..=6),
    ("4.7.1", 1..=3),
    ("4.7.2", 1..=1),
    ("4.7.3", 1..=4),
    ("4.8.0", 1..=2),
    ("6.0.0", 1..=4),
    ("7.0.0", 1..=2),
    ("7.1.1", 1..=1),
    ("7.1.2", 1..=1),
];

const HEAD: &str = "\
# Every normative statement of MQTT 5 (OASIS Standard, Appendix B) and MQTT 3.1.1 (Appendix B) with the tests that show
# it, or the reason why a server cannot be tested for it. `tests` is written by
#   SELVEDGE_CONFORMANCE_BLESS=1 cargo test -p selvedge-tests --test conformance -- statements
# from the lists in tests/conformance/section_*.rs; `text` and `reason` are written by hand.
";

/// One statement.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// What the standard says.
    pub text: String,
    /// Why there is no test.
    pub reason: Option<String>,
    /// `section_…::function`; written by [`list_is_true`], which is all that reads it.
    #[serde(default, rename = "tests")]
    _tests: Vec<String>,
}

/// The whole list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statements {
    v5: BTreeMap<String, Statement>,
    #[serde(default)]
    v311: BTreeMap<String, Statement>,
}

impl Statements {
    /// Reads `statements.toml`.
    ///
    /// # Errors
    /// It is not as it should be; the text says where.
    pub fn read() -> anyhow::Result<Self> {
        let path = path();
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("read {}", path.display()))
    }

    /// Every statement in the order of the standard.
    pub fn all(&self) -> impl Iterator<Item = (Version, &str, &Statement)> {
        [Version::V5, Version::V311]
            .into_iter()
            .flat_map(move |version| ids(version).into_iter().map(move |id| (version, id)))
            .filter_map(move |(version, id)| {
                let (id, statement) = self.of(version).get_key_value(&id)?;
                Some((version, id.as_str(), statement))
            })
    }

    fn of(&self, version: Version) -> &BTreeMap<String, Statement> {
        match version {
            Version::V5 => &self.v5,
            Version::V311 => &self.v311,
        }
    }
}

/// The checks of the list itself, as tests.
pub fn checks() -> Vec<Trial> {
    type Check = fn() -> anyhow::Result<()>;
    let checks: [(&str, Check); 4] = [
        ("statements::the_list_has_every_statement_and_no_other", list_is_complete),
        ("statements::every_statement_has_a_test_or_a_reason", statements_are_covered),
        ("statements::the_list_names_the_tests_that_exist", list_is_true),
        ("statements::every_test_shows_a_statement_that_exists", tests_are_of_use),
    ];
    checks
        .into_iter()
        .map(|(name, check)| Trial::test(name, move || check().map_err(|error| Failed::from(format!("{error:#}")))))
        .collect()
}

fn list_is_complete() -> anyhow::Result<()> {
    let list = Statements::read()?;
    for version in [Version::V5, Version::V311] {
        let there: BTreeSet<String> = list.of(version).keys().cloned().collect();
        let expected: BTreeSet<String> = ids(version).into_iter().collect();
        let missing: Vec<_> = expected.difference(&there).collect();
        let surplus: Vec<_> = there.difference(&expected).collect();
        ensure!(missing.is_empty() && surplus.is_empty(), "{version}: missing {missing:?}, surplus {surplus:?}");
    }
    for (version, expected) in [(Version::V5, 251), (Version::V311, 141)] {
        let count = ids(version).len();
        ensure!(count == expected, "{version} has {expected} statements, not {count}");
    }
    Ok(())
}

fn statements_are_covered() -> anyhow::Result<()> {
    let registered = registered();
    let list = Statements::read()?;
    let open: Vec<String> = list
        .all()
        .filter(|(version, id, statement)| {
            let reason = statement.reason.as_deref().is_some_and(|reason| !reason.trim().is_empty());
            !reason && !registered.contains_key(&(u8::from(*version), (*id).to_owned()))
        })
        .map(|(version, id, _)| format!("{version} {id}"))
        .collect();
    ensure!(open.is_empty(), "{} statements have neither test nor reason: {}", open.len(), open.join(", "));
    Ok(())
}

/// The file is exactly what the tests and its own texts and reasons make; on request it is made so.
fn list_is_true() -> anyhow::Result<()> {
    let path = path();
    let text = std::fs::read_to_string(&path)?;
    let wanted = rendered(&Statements::read()?, &registered());
    if std::env::var_os("SELVEDGE_CONFORMANCE_BLESS").is_some() && text != wanted {
        return std::fs::write(&path, wanted).with_context(|| format!("write {}", path.display()));
    }
    let differs = text.lines().zip(wanted.lines()).position(|(line, other)| line != other);
    ensure!(
        text == wanted,
        "{}:{} is not what the tests say; see the module text of tests/conformance/main.rs for the command that writes it",
        path.display(),
        differs.map_or(0, |line| line + 1)
    );
    Ok(())
}

fn tests_are_of_use() -> anyhow::Result<()> {
    let mut names = BTreeSet::new();
    for test in SECTIONS.iter().flat_map(|section| section.tests) {
        ensure!(names.insert(test.name()), "{} is listed twice", test.name());
        let shown: usize = test.statements.iter().map(|(_, ids)| ids.len()).sum();
        ensure!(shown > 0, "{} shows no statement", test.name());
        for (version, shown) in test.statements {
            let known = ids(*version);
            for id in *shown {
                ensure!(known.iter().any(|other| other == id), "{} shows {version} {id}, which is none", test.name());
            }
        }
    }
    Ok(())
}

/// Tests by version and statement, in the order of their files.
fn registered() -> BTreeMap<(u8, String), Vec<String>> {
    let mut registered: BTreeMap<(u8, String), Vec<String>> = BTreeMap::new();
    for test in SECTIONS.iter().flat_map(|section| section.tests) {
        for (version, ids) in test.statements {
            for id in *ids {
                registered.entry((u8::from(*version), (*id).to_owned())).or_default().push(test.name());
            }
        }
    }
    registered
}

fn rendered(list: &Statements, registered: &BTreeMap<(u8, String), Vec<String>>) -> String {
    let mut text = HEAD.to_owned();
    for (version, id, statement) in list.all() {
        let table = if version == Version::V5 { "v5" } else { "v311" };
        // Writing to a string cannot fail.
        let _infallible = write!(text, "\n[{table}.{}]\ntext = {}\n", quoted(id), quoted(&statement.text));
        if let Some(reason) = &statement.reason {
            let _infallible = writeln!(text, "reason = {}", quoted(reason));
        }
        if let Some(tests) = registered.get(&(u8::from(version), id.to_owned())) {
            text.push_str("tests = [\n");
            for test in tests {
                let _infallible = writeln!(text, "    {},", quoted(test));
            }
            text.push_str("]\n");
        }
    }
    text
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn ids(version: Version) -> Vec<String> {
    let sections = if version == Version::V5 { V5 } else { V311 };
    sections
        .iter()
        .flat_map(|(section, numbers)| numbers.clone().map(move |number| format!("MQTT-{section}-{number}")))
        .collect()
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("conformance/statements.toml")
}
