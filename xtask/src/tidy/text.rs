//! Text that may not stay in the repository: unfinished code, skipped tests, paths of one machine.

use super::Finding;
use crate::repository::Tree;

/// Text that is refused in Rust source, and why. Written in two halves so that this file passes.
const RUST: &[(&str, &str)] = &[
    (concat!("todo", "!("), "unfinished code"),
    (concat!("unimplemented", "!("), "unfinished code"),
    (concat!("dbg", "!("), "left from debugging"),
    (concat!("#[", "ignore"), "a test that is skipped silently"),
];

/// Text that is refused in every file, and why.
const ANYWHERE: &[(&str, &str)] =
    &[(concat!("/wo", "rk/"), "a path of one machine"), (concat!("/ro", "ot/"), "a path of one machine")];

/// Text that is refused in lock files of other package managers.
const LOCKS: &[(&str, &str)] = &[(concat!("\"resol", "ved\""), "names a registry host")];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.files() {
        let mut refused: Vec<(&str, &str)> = ANYWHERE.to_vec();
        if path.ends_with(".rs") {
            refused.extend(RUST);
        }
        if path.ends_with("package-lock.json") {
            refused.extend(LOCKS);
        }
        for (index, line) in text.lines().enumerate() {
            for (needle, reason) in refused.iter().filter(|(needle, _)| contains_word(line, needle)) {
                findings.push(Finding::error(format!("{path}:{}", index + 1), format!("`{needle}`: {reason}")));
            }
        }
    }
    findings
}

/// Whether `needle` is in `line` and does not continue a longer path or name.
fn contains_word(line: &str, needle: &str) -> bool {
    line.match_indices(needle)
        .any(|(start, _)| !line[..start].ends_with(|c: char| c.is_ascii_alphanumeric() || "_.-".contains(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, line: &str) -> usize {
        check(&Tree::of(&[(path, line)])).len()
    }

    #[test]
    fn unfinished_code_and_skipped_tests_are_found() {
        for (needle, _) in RUST {
            assert_eq!(found("a/src/b.rs", &format!("    {needle} x")), 1, "{needle}");
        }
        assert_eq!(found("notes.md", RUST[0].0), 0, "only source is searched for it");
    }

    #[test]
    fn a_path_of_one_machine_is_found_in_any_file() {
        let path = ANYWHERE[0].0;
        assert_eq!(found("README.md", &format!("see {path}x")), 1);
        assert_eq!(found("a.json", &format!("\"{path}x\"")), 1);
        assert_eq!(found("a.md", &format!("net{path}x and docs{path}x")), 0, "a relative path is fine");
    }

    #[test]
    fn a_registry_host_in_a_lock_file_is_found() {
        let line = format!("{}: \"https://registry.example/a.tgz\"", LOCKS[0].0);
        assert_eq!(found("tests/package-lock.json", &line), 1);
    }
}
