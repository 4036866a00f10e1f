//! The rules of the house that no compiler checks.
//!
//! Every rule is a pure function from the repository's files to findings, and has a test in
//! which a planted violation is found. Nothing here changes a file.

mod forgotten;
mod lengths;
mod manifests;
mod named_paths;
mod names;
mod rust_source;
mod statements;
mod text;
mod wiring;

use std::fmt;

use anyhow::bail;

use crate::repository::{self, Tree};

/// Whether a finding fails the check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weight {
    Error,
    Warning,
}

/// A place where a rule is not kept.
#[derive(Debug, Clone)]
struct Finding {
    weight: Weight,
    /// Relative path, with `:line` where there is one.
    place: String,
    text: String,
}

impl Finding {
    fn error(place: impl Into<String>, text: impl Into<String>) -> Self {
        Self { weight: Weight::Error, place: place.into(), text: text.into() }
    }

    fn warning(place: impl Into<String>, text: impl Into<String>) -> Self {
        Self { weight: Weight::Warning, place: place.into(), text: text.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weight = match self.weight {
            Weight::Error => "error",
            Weight::Warning => "warning",
        };
        write!(f, "{weight}: {}: {}", self.place, self.text)
    }
}

/// Checks the repository; findings are printed, errors among them fail.
pub fn run() -> anyhow::Result<()> {
    let findings = check(&Tree::read(repository::root())?);
    for finding in &findings {
        println!("{finding}");
    }
    match findings.iter().filter(|finding| finding.weight == Weight::Error).count() {
        0 => Ok(()),
        errors => bail!("the rules of the house are not kept in {errors} places"),
    }
}

fn check(tree: &Tree) -> Vec<Finding> {
    let workspace = match manifests::Workspace::read(tree) {
        Ok(workspace) => workspace,
        Err(finding) => return vec![finding],
    };
    let mut findings = Vec::new();
    findings.extend(lengths::check(tree));
    findings.extend(manifests::check_arrows(&workspace));
    findings.extend(manifests::check_lints(&workspace));
    findings.extend(manifests::check_dependency_sources(&workspace));
    findings.extend(manifests::check_dependency_reasons(&workspace, tree));
    findings.extend(wiring::check(tree));
    findings.extend(named_paths::check(tree));
    findings.extend(forgotten::check(tree, &workspace));
    findings.extend(names::check(tree));
    findings.extend(text::check(tree));
    findings.extend(statements::check(tree));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_keeps_the_rules_of_the_house() {
        let findings = check(&Tree::read(repository::root()).unwrap());
        let errors: Vec<String> =
            findings.iter().filter(|finding| finding.weight == Weight::Error).map(ToString::to_string).collect();
        assert!(errors.is_empty(), "{}", errors.join("\n"));
    }

    #[test]
    fn a_workspace_that_cannot_be_read_is_a_finding() {
        assert_eq!(check(&Tree::of(&[("Cargo.toml", "[workspace")])).len(), 1);
    }
}
