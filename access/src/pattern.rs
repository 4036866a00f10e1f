//! Patterns over whole names, with `*` for any run of characters. Not for topics: those have filters.
//!
//! Matching takes time in the length of name times pattern at worst; both are bounded.

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// Matches one name.
    Exact(Box<str>),
    /// `*`.
    Any,
    /// `prefix*`.
    Prefix(Box<str>),
    /// More.
    Pieces { first: Box<str>, middle: Box<[Box<str>]>, last: Box<str> },
}

impl Pattern {
    pub fn new(text: &str) -> Self {
        let Some((first, rest)) = text.split_once('*') else { return Self::Exact(text.into()) };
        if rest.bytes().all(|byte| byte == b'*') {
            return if first.is_empty() { Self::Any } else { Self::Prefix(first.into()) };
        }
        let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        let middle = middle.split('*').filter(|piece| !piece.is_empty()).map(Into::into).collect();
        Self::Pieces { first: first.into(), middle, last: last.into() }
    }

    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(text) => **text == *name,
            Self::Any => true,
            Self::Prefix(prefix) => name.starts_with(&**prefix),
            Self::Pieces { first, middle, last } => {
                let Some(mut rest) = name.strip_prefix(&**first).and_then(|rest| rest.strip_suffix(&**last)) else {
                    return false;
                };
                for piece in middle {
                    let Some((_, after)) = rest.split_once(&**piece) else { return false };
                    rest = after;
                }
                true
            }
        }
    }

    /// The one name that it matches, if it is only one.
    pub fn exact(&self) -> Option<&str> {
        match self {
            Self::Exact(name) => Some(name),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Pattern;

    /// Textbook definition, exponential at worst.
    fn matches(pattern: &[char], name: &[char]) -> bool {
        match pattern {
            [] => name.is_empty(),
            ['*', rest @ ..] => (0..=name.len()).any(|skipped| matches(rest, &name[skipped..])),
            [character, rest @ ..] => name.first() == Some(character) && matches(rest, &name[1..]),
        }
    }

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("*", "anything", true),
            ("sensor-*", "sensor-7", true),
            ("sensor-*", "sensor-", true),
            ("sensor-*", "actor-7", false),
            ("*-7", "sensor-7", true),
            ("a*b*c", "aXbYc", true),
            ("a*a", "a", false),
            ("bob", "bob", true),
            ("bob", "bobby", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(name), expected, "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn compiled_patterns_match_what_the_definition_matches(pattern in "[ab*]{0,6}", name in "[ab]{0,8}") {
            let characters = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(Pattern::new(&pattern).matches(&name), matches(&characters(&pattern), &characters(&name)));
        }
    }
}
