//! The list of normative statements of MQTT and the conformance tests agree, as far as text can tell.
//!
//! The tests check it themselves, against the tests that were compiled; here it is seen without building them.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::Finding;
use crate::repository::Tree;

const LIST: &str = "tests/conformance/statements.toml";
const FOLDER: &str = "tests/conformance/";

pub fn check(tree: &Tree) -> Vec<Finding> {
    let Some(text) = tree.text(LIST) else {
        return match tree.exists(FOLDER) {
            true => vec![Finding::error(LIST, "is missing")],
            false => Vec::new(),
        };
    };
    let list = match text.parse::<Table>() {
        Ok(list) => list,
        Err(error) => return vec![Finding::error(LIST, error.message().to_owned())],
    };
    let tests = listed_tests(tree);
    let mut findings = Vec::new();
    let mut named = BTreeSet::new();
    for (version, statements) in list.iter().filter_map(|(version, table)| Some((version, table.as_table()?))) {
        for (id, statement) in statements {
            let shown = statement.get("tests").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let reason = statement.get("reason").and_then(Value::as_str).is_some_and(|reason| !reason.is_empty());
            if shown.is_empty() && !reason {
                findings.push(Finding::error(LIST, format!("{version} {id} has neither test nor reason")));
            }
            for test in shown.iter().filter_map(Value::as_str) {
                named.insert(test.to_owned());
                if !tests.contains(test) {
                    findings.push(Finding::error(LIST, format!("{version} {id} names {test}, which does not exist")));
                }
            }
        }
    }
    findings
        .extend(tests.difference(&named).map(|test| Finding::error(LIST, format!("nothing names the test {test}"))));
    findings
}

/// `section_…::function` for each `function => …;` of a `section!` whose function is in the same file.
fn listed_tests(tree: &Tree) -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for (path, text) in tree.with_extension("rs") {
        let Some(module) = path.strip_prefix(FOLDER).and_then(|rest| rest.strip_suffix(".rs")) else { continue };
        let module = module.rsplit('/').next().unwrap_or(module);
        let Some((_, rest)) = text.split_once("section! {") else { continue };
        let list = rest.split_once("\n}").map_or(rest, |(list, _)| list);
        let entries = list.split(';').filter_map(|entry| entry.split_once("=>"));
        for function in entries.filter_map(|(before, _)| before.split_whitespace().last()) {
            if text.contains(&format!("fn {function}(")) {
                tests.insert(format!("{module}::{function}"));
            }
        }
    }
    tests
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "section! {\n    \"1 A\";\n    it_holds => V5[\"MQTT-1-1\"];\n}\nfn it_holds(t: &T) {}\n";

    fn found(list: &str) -> Vec<String> {
        let tree = Tree::of(&[(LIST, list), ("tests/conformance/section_1.rs", FILE)]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_statement_needs_a_test_or_a_reason() {
        assert_eq!(found("[v5.\"MQTT-1-1\"]\ntests = [\"section_1::it_holds\"]"), Vec::<String>::new());
        let two = "[v5.\"MQTT-1-1\"]\ntests = [\"section_1::it_holds\"]\n[v5.\"MQTT-1-2\"]\n";
        assert_eq!(found(two).len(), 1);
        assert_eq!(found(&format!("{two}reason = \"binds only clients\"")).len(), 0);
    }

    #[test]
    fn a_test_that_is_only_on_one_side_is_found() {
        assert_eq!(found("[v5.\"MQTT-1-1\"]\ntests = [\"section_1::it_holds\", \"section_1::gone\"]").len(), 1);
        assert_eq!(found("[v5.\"MQTT-1-1\"]\nreason = \"r\"").len(), 1, "nothing names the test");
    }
}
