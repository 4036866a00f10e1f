//! Which rule lets somebody do something, or keeps them from it: for people who write rules.

use std::path::Path;

use selvedge_access::rules::Rules;
use selvedge_access::{Operation, Subject};
use selvedge_core::client_may_write;
use thiserror::Error;
use toml::{Table, Value};

use super::sources::SourceFiles;
use crate::config::Config;
use crate::config::surroundings::FilePlaces;

/// What is decided, and by what.
#[derive(Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it is allowed.
    pub is_allowed: bool,
    /// The rule, or why none was asked, for a person.
    pub because: String,
}

/// Why nothing can be said.
#[derive(Debug, Error)]
pub enum ExplainError {
    /// A file is missing or damaged: nobody gets in who would need it.
    #[error("nobody who needs this gets in now: {0}")]
    Problems(String),
}

/// Decides by the files as they are now. Credentials that narrow what they allow (tokens) are not known here.
///
/// # Errors
/// A file is missing or damaged.
pub fn explain(
    config: &Config,
    data: &Path,
    rules_file: &Path,
    subject: Subject<'_>,
    operation: Operation,
    topic: &str,
) -> Result<Decision, ExplainError> {
    let files = SourceFiles::new(config, FilePlaces::new(config, data), [0; 32]);
    let snapshot = files.read(None, None);
    let problems: Vec<_> = snapshot.problems.into_iter().filter(|problem| !problem.starts_with("http")).collect();
    if !problems.is_empty() {
        return Err(ExplainError::Problems(problems.join("; ")));
    }
    let decided = |is_allowed, because: &str| Ok(Decision { is_allowed, because: because.to_owned() });
    if operation != Operation::Subscribe && !client_may_write(topic) {
        return decided(false, "only the node itself writes topics that begin with $, but for requests to twins");
    }
    if !snapshot.access.may_connect(subject.user) {
        return decided(false, "the user does not exist or is disabled");
    }
    let is_allowed = snapshot.access.may(subject, operation, topic);
    let text = std::fs::read_to_string(rules_file).unwrap_or_default();
    let by = deciding_rule(&text, is_allowed, |rules| match is_allowed {
        true => rules.allows(subject, operation, topic),
        false => rules.denies(subject, operation, topic),
    });
    let because = match by {
        Some(rule) => rule,
        None if text.is_empty() => "there are no rules".to_owned(),
        None if is_allowed => "several rules together".to_owned(),
        None => "no rule allows it".to_owned(),
    };
    Ok(Decision { is_allowed, because })
}

/// The first rule that by itself has the effect: `rule 2, "name" (allows)`.
fn deciding_rule(text: &str, is_allowed: bool, has_effect: impl Fn(&Rules) -> bool) -> Option<String> {
    let file: Table = text.parse().ok()?;
    let Some(Value::Array(rules)) = file.get("rule") else { return None };
    rules.iter().enumerate().find_map(|(index, rule)| {
        let alone = Table::from_iter([("rule".to_owned(), Value::Array(vec![rule.clone()]))]);
        let parsed = Rules::parse(&alone.to_string()).ok()?;
        has_effect(&parsed).then(|| {
            let name = rule.get("name").and_then(Value::as_str).map_or_else(String::new, |name| format!(", {name:?},"));
            format!("rule {}{name} {}", index + 1, if is_allowed { "allows it" } else { "denies it" })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = "[[rule]]\nname = \"own\"\npublish = [\"s/%u/#\"]\n[[rule]]\ndeny_publish = [\"s/+/secret\"]\n";

    fn decide(user: Option<&str>, topic: &str) -> Result<Decision, ExplainError> {
        let data = tempfile::tempdir().unwrap();
        let config = Config::default();
        let places = FilePlaces::new(&config, data.path());
        std::fs::create_dir(data.path().join("access")).unwrap();
        std::fs::write(&places.users, "[users.a]\n").unwrap();
        std::fs::write(&places.rules, RULES).unwrap();
        let subject = Subject { user, client_id: "c" };
        explain(&config, data.path(), &places.rules, subject, Operation::Publish { retain: false }, topic)
    }

    #[test]
    fn the_rule_that_decides_is_named() {
        let said = |user, topic| {
            let decision = decide(user, topic).unwrap();
            (decision.is_allowed, decision.because)
        };
        assert_eq!(said(Some("a"), "s/a/t"), (true, "rule 1, \"own\", allows it".to_owned()));
        assert_eq!(said(Some("a"), "s/a/secret"), (false, "rule 2 denies it".to_owned()));
        assert_eq!(said(Some("a"), "x"), (false, "no rule allows it".to_owned()));
        assert_eq!(said(None, "s/a/t"), (false, "no rule allows it".to_owned()));
        assert!(said(Some("nobody"), "x").1.contains("does not exist"));
        assert!(said(Some("a"), "$SYS/x").1.contains("only the node"));
    }
}
