//! Decides whether a function may do what it asks for, and says which grant is missing when not. Pure; deny by default.

use crate::host::TwinSection;
use crate::topic;

/// What a function may do; nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Topic filters that it may publish to, also by returning messages.
    pub publish: Vec<String>,
    /// Things whose twins it may read; `*` stands for any run of characters.
    pub twin_read: Vec<String>,
    /// Things whose twins it may patch; the same patterns.
    pub twin_write: Vec<String>,
    /// It may stand in the way of messages.
    pub intercept: bool,
    /// Scheme, host and port of what it may ask over HTTP.
    pub http: Vec<String>,
    /// Keys of its own bucket that it may read and write; `*` stands for any run of characters. `None`: all of them, because nobody
    /// else has that bucket.
    pub keys: Option<Vec<String>>,
}

impl Grants {
    /// May the function publish to `topic`? The error names the grant to add.
    pub(crate) fn check_publish(&self, topic: &str) -> Result<(), String> {
        if self.publish.iter().any(|filter| topic::filter_matches(filter, topic)) {
            return Ok(());
        }
        Err(format!(
            "publishing to {topic:?} is not granted; add it to grants.publish, for example publish = [{topic:?}]"
        ))
    }

    /// May the function read this section? The error names the grant to add.
    pub(crate) fn check_twin_read(&self, device: &str, section: TwinSection) -> Result<(), String> {
        check_twin(&self.twin_read, "twin_read", "reading", device, section)
    }

    /// May the function patch this section? The error names the grant to add.
    pub(crate) fn check_twin_write(&self, device: &str, section: TwinSection) -> Result<(), String> {
        check_twin(&self.twin_write, "twin_write", "patching", device, section)
    }

    /// May the function use this key of its own? The error names the grant to add.
    pub(crate) fn check_key(&self, key: &str) -> Result<(), String> {
        let Some(keys) = &self.keys else { return Ok(()) };
        if keys.iter().any(|pattern| pattern_matches(pattern, key)) {
            return Ok(());
        }
        Err(format!("key {key:?} is not granted; add it to grants.keys, for example keys = [{key:?}]"))
    }

    /// May the function list its own keys with this prefix: is every one of them granted?
    pub(crate) fn check_key_prefix(&self, prefix: &str) -> Result<(), String> {
        let Some(keys) = &self.keys else { return Ok(()) };
        let beginnings = keys.iter().filter_map(|pattern| pattern.strip_suffix('*'));
        if beginnings.filter(|beginning| !beginning.contains('*')).any(|beginning| prefix.starts_with(beginning)) {
            return Ok(());
        }
        let wanted = format!("{prefix}*");
        Err(format!(
            "listing keys with prefix {prefix:?} is not granted; add it to grants.keys, for example keys = [{wanted:?}]"
        ))
    }
}

fn check_twin(patterns: &[String], key: &str, verb: &str, device: &str, section: TwinSection) -> Result<(), String> {
    if patterns.iter().any(|pattern| pattern_matches(pattern, device)) {
        return Ok(());
    }
    let section = section.as_str();
    Err(format!(
        "{verb} the {section} section of twin {device:?} is not granted; add it to grants.{key}, for example {key} = [{device:?}]"
    ))
}

/// `*` stands for any run of characters, everything else for itself.
pub(crate) fn pattern_matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn star_stands_for_any_run_of_characters() {
        for (pattern, name, expected) in [
            ("pump-1", "pump-1", true),
            ("pump-1", "pump-12", false),
            ("pump-*", "pump-", true),
            ("pump-*", "pum", false),
            ("*", "", true),
            ("*", "anything", true),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("", "x", false),
        ] {
            assert_eq!(pattern_matches(pattern, name), expected, "{pattern} against {name}");
        }
    }

    #[test]
    fn nothing_is_granted_by_default_and_the_refusal_names_the_grant() {
        let grants = Grants::default();
        assert_eq!(
            grants.check_publish("a/b").unwrap_err(),
            "publishing to \"a/b\" is not granted; add it to grants.publish, for example publish = [\"a/b\"]"
        );
        assert!(grants.check_twin_read("x", TwinSection::Desired).unwrap_err().contains("grants.twin_read"));
        assert!(grants.check_twin_write("x", TwinSection::Reported).unwrap_err().contains("grants.twin_write"));
    }

    #[test]
    fn a_grant_opens_what_it_names_and_nothing_beside_it() {
        let grants = Grants {
            publish: vec!["out/#".into()],
            twin_read: vec!["pump-*".into()],
            twin_write: vec!["pump-1".into()],
            keys: Some(vec!["count-*".into()]),
            ..Grants::default()
        };
        assert!(grants.check_key("count-1").is_ok());
        assert!(grants.check_key_prefix("count-").is_ok() && grants.check_key_prefix("count-1").is_ok());
        assert!(grants.check_key_prefix("count").unwrap_err().contains("keys = [\"count*\"]"));
        assert!(grants.check_key("other").unwrap_err().contains("keys = [\"other\"]"));
        assert!(grants.check_publish("out/a/b").is_ok());
        assert!(grants.check_publish("in/a").is_err());
        assert!(grants.check_twin_read("pump-2", TwinSection::Reported).is_ok());
        assert!(grants.check_twin_write("pump-2", TwinSection::Reported).is_err());
    }
}
