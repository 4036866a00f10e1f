//! Path patterns of delegations (TUF PATHPATTERN): shell wildcards that do not reach across `/`.
//!
//! `*` any characters, `?` one, `[abc]`, `[a-z]`, `[!a]` one of a set; a `[` without its `]` is itself. The meaning is that
//! of Python's `fnmatchcase` for each part between slashes, which is what python-tuf uses. Matching takes about as many steps
//! as path and pattern have characters; their product where a part has several `*`, so only some of these are taken from a file.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::path::TargetPath;

/// Longest pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 256;

/// Which paths a delegation is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct PathPattern(String);

/// Why a text is no pattern.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PatternError {
    /// Nothing, or too much.
    #[error("a path pattern has 1 to {PATTERN_BYTES_MAX} bytes, this one has {0}")]
    Length(usize),
    /// Would never match.
    #[error("the path pattern {0:?} begins with a slash and would match nothing; paths of targets are relative")]
    Absolute(String),
}

enum Element<'a> {
    Star,
    One(char),
    Any,
    Set { content: &'a str, negated: bool },
}

impl PathPattern {
    /// Checks a pattern.
    ///
    /// # Errors
    /// If it is too long, empty or could never match.
    pub fn new(pattern: impl Into<String>) -> Result<Self, PatternError> {
        let pattern = pattern.into();
        if pattern.is_empty() || pattern.len() > PATTERN_BYTES_MAX {
            return Err(PatternError::Length(pattern.len()));
        }
        if pattern.starts_with('/') {
            return Err(PatternError::Absolute(pattern));
        }
        Ok(Self(pattern))
    }

    /// The pattern.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a part of it has several `*`, so that it takes long to match.
    pub(crate) fn is_costly(&self) -> bool {
        let stars = |part| elements(part).filter(|element| matches!(element, Element::Star)).count();
        self.0.split('/').any(|part| stars(part) > 1)
    }

    /// Whether a path is meant.
    pub fn matches(&self, path: &TargetPath) -> bool {
        let (mut parts, mut patterns) = (path.as_str().split('/'), self.0.split('/'));
        loop {
            match (parts.next(), patterns.next()) {
                (None, None) => return true,
                (Some(part), Some(pattern)) if part_matches(part, pattern) => {}
                _ => return false,
            }
        }
    }
}

impl TryFrom<String> for PathPattern {
    type Error = PatternError;

    fn try_from(pattern: String) -> Result<Self, PatternError> {
        Self::new(pattern)
    }
}

/// Goes back to the last `*` only: an earlier one never has to take more than it did.
fn part_matches(part: &str, pattern: &str) -> bool {
    let (mut part, mut pattern) = (part, pattern);
    let mut last_star: Option<(&str, &str)> = None;
    while let Some((element, after)) = next_element(pattern) {
        let mut rest = part.chars();
        if matches!(element, Element::Star) {
            let Some(characters) = length_without_star(after) else {
                last_star = Some((part, after));
                pattern = after;
                continue;
            };
            // What follows the last star is the end of the part.
            let Some(skipped) = part.chars().count().checked_sub(characters) else { return false };
            let end = part.char_indices().nth(skipped).and_then(|(at, _)| part.get(at..)).unwrap_or_default();
            (part, pattern, last_star) = (end, after, None);
        } else if rest.next().is_some_and(|character| element.matches(character)) {
            (part, pattern) = (rest.as_str(), after);
        } else {
            let Some((taken_until, after_star)) = last_star else { return false };
            let mut longer = taken_until.chars();
            if longer.next().is_none() {
                return false;
            }
            last_star = Some((longer.as_str(), after_star));
            (part, pattern) = (longer.as_str(), after_star);
        }
    }
    part.is_empty()
}

/// How many characters a pattern matches, if it has no `*`.
fn length_without_star(pattern: &str) -> Option<usize> {
    elements(pattern).try_fold(0, |sum, element| (!matches!(element, Element::Star)).then_some(sum + 1))
}

fn elements(pattern: &str) -> impl Iterator<Item = Element<'_>> {
    let mut left = pattern;
    std::iter::from_fn(move || {
        let (element, after) = next_element(left)?;
        left = after;
        Some(element)
    })
}

fn next_element(pattern: &str) -> Option<(Element<'_>, &str)> {
    let mut rest = pattern.chars();
    let first = rest.next()?;
    let rest = rest.as_str();
    match first {
        '*' => Some((Element::Star, rest)),
        '?' => Some((Element::Any, rest)),
        '[' => {
            let (negated, inside) = rest.strip_prefix('!').map_or((false, rest), |inside| (true, inside));
            // A `]` that comes first is a member.
            let from = usize::from(inside.starts_with(']'));
            let end = inside.get(from..).and_then(|tail| tail.find(']')).map(|at| at + from);
            match end.and_then(|end| Some((inside.get(..end)?, inside.get(end + 1..)?))) {
                Some((content, after)) => Some((Element::Set { content, negated }, after)),
                None => Some((Element::One('['), rest)),
            }
        }
        _ => Some((Element::One(first), rest)),
    }
}

impl Element<'_> {
    fn matches(&self, character: char) -> bool {
        match self {
            Self::One(one) => *one == character,
            Self::Any | Self::Star => true,
            Self::Set { content, negated } => set_contains(content, character) != *negated,
        }
    }
}

fn set_contains(content: &str, character: char) -> bool {
    let mut rest = content.chars();
    while let Some(low) = rest.next() {
        let mut after = rest.clone();
        if after.next() == Some('-')
            && let Some(high) = after.next()
        {
            rest = after;
            if (low..=high).contains(&character) {
                return true;
            }
        } else if low == character {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        PathPattern::new(pattern).unwrap().matches(&TargetPath::new(path).unwrap())
    }

    #[test]
    fn wildcards_mean_what_a_shell_means() {
        for (pattern, path) in [
            ("functions/*", "functions/a"),
            ("functions/*", "functions/.hidden"),
            ("*", "a"),
            ("**", "a"),
            ("a*b*c", "a__b_bc"),
            ("a?c", "abc"),
            ("a?c", "aéc"),
            ("[a-c]x", "bx"),
            ("[!a-c]x", "dx"),
            ("[]]", "]"),
            ("[!]]", "a"),
            ("[a-]", "-"),
            ("[-a]", "-"),
            ("[ab", "[ab"),
            ("a/*/c.*", "a/b/c.tar"),
            ("*a*a*a*b", "aaaaaaaaaaaab"),
        ] {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("functions/*", "functions/a/b"),
            ("functions/*", "functions2/a"),
            ("*", "a/b"),
            ("a?c", "ac"),
            ("[a-c]x", "dx"),
            ("[!a-c]x", "bx"),
            ("[]", "]"),
            ("A", "a"),
            ("a*b*c", "acb"),
            ("a", "ab"),
            ("*ab", "b"),
            ("a*a", "a"),
            ("ab", "a"),
            ("*a*a*a*b", "aaaaaaaaaaaaa"),
        ] {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn only_several_stars_in_one_part_are_costly() {
        for pattern in ["a", "*", "*/*", "*a/b*c/[*]*"] {
            assert!(!PathPattern::new(pattern).unwrap().is_costly(), "{pattern}");
        }
        for pattern in ["**", "*a*", "a/*b*/c"] {
            assert!(PathPattern::new(pattern).unwrap().is_costly(), "{pattern}");
        }
    }

    #[test]
    fn the_worst_pattern_ends_soon() {
        let pattern = format!("{}b", "*a".repeat(127));
        assert!(!matches(&pattern, &"a".repeat(256)));
    }

    #[test]
    fn patterns_are_bounded_and_relative() {
        assert!(PathPattern::new("a".repeat(256)).is_ok());
        assert_eq!(
            PathPattern::new("a".repeat(257)).unwrap_err().to_string(),
            "a path pattern has 1 to 256 bytes, this one has 257"
        );
        assert_eq!(PathPattern::new("").unwrap_err(), PatternError::Length(0));
        assert_eq!(
            PathPattern::new("/a").unwrap_err().to_string(),
            "the path pattern \"/a\" begins with a slash and would match nothing; paths of targets are relative"
        );
    }
}
