//! Names of interfaces, written with `*` for any number of characters and `?` for one.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Bytes of an interface's name in the kernel, without the final zero.
const NAME_BYTES_MAX: usize = 15;
/// A pattern may have stars besides.
const PATTERN_BYTES_MAX: usize = 32;

/// A name or a pattern of names: `eth0`, `en*`, `wwan?`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InterfacePattern(String);

/// What is wrong with a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing there.
    #[error("a name of an interface cannot be empty; write `*` for all of them")]
    Empty,
    /// Longer than anything it could match.
    #[error("{0:?} is longer than a name of an interface can be ({NAME_BYTES_MAX} characters)")]
    TooLong(String),
    /// A character that no interface has in its name.
    #[error(
        "{pattern:?} contains {character:?}, which no name of an interface has; allowed besides it are `*` and `?`"
    )]
    Character {
        /// The pattern.
        pattern: String,
        /// The first such character.
        character: char,
    },
}

impl InterfacePattern {
    /// Whether an interface of this name is meant.
    pub fn matches(&self, name: &str) -> bool {
        matches(self.0.as_bytes(), name.as_bytes())
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Goes back to the last star when a character does not fit: time is the product of both lengths at most.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at_pattern, mut at_name) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while let Some(character) = name.get(at_name) {
        match pattern.get(at_pattern) {
            Some(b'*') => {
                retry = Some((at_pattern, at_name));
                at_pattern += 1;
            }
            Some(b'?') => {
                at_pattern += 1;
                at_name += 1;
            }
            Some(expected) if expected == character => {
                at_pattern += 1;
                at_name += 1;
            }
            _ => {
                let Some((star, taken)) = retry else {
                    return false;
                };
                retry = Some((star, taken + 1));
                at_pattern = star + 1;
                at_name = taken + 1;
            }
        }
    }
    pattern.get(at_pattern..).unwrap_or_default().iter().all(|character| *character == b'*')
}

impl FromStr for InterfacePattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        let fixed = text.bytes().filter(|character| *character != b'*').count();
        if fixed > NAME_BYTES_MAX || text.len() > PATTERN_BYTES_MAX {
            return Err(PatternError::TooLong(text.chars().take(PATTERN_BYTES_MAX).collect()));
        }
        match text.chars().find(|character| !character.is_ascii_graphic() || "/:\\".contains(*character)) {
            Some(character) => Err(PatternError::Character { pattern: text.to_owned(), character }),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl TryFrom<String> for InterfacePattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, PatternError> {
        text.parse()
    }
}

impl From<InterfacePattern> for String {
    fn from(pattern: InterfacePattern) -> Self {
        pattern.0
    }
}

impl fmt::Display for InterfacePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fits(pattern: &str, name: &str) -> bool {
        pattern.parse::<InterfacePattern>().unwrap().matches(name)
    }

    #[test]
    fn a_name_means_itself_only() {
        assert!(fits("eth0", "eth0"));
        assert!(!fits("eth0", "eth01") && !fits("eth0", "eth") && !fits("eth0", ""));
    }

    #[test]
    fn a_star_is_any_number_of_characters_and_a_question_mark_is_one() {
        assert!(fits("en*", "enp3s0") && fits("en*", "en") && fits("*", "wlan0") && fits("*.10", "eth0.10"));
        assert!(fits("w*n?", "wwan0") && fits("a*b*c", "aXbYbZc"));
        assert!(!fits("en*", "eth0") && !fits("wwan?", "wwan") && !fits("wwan?", "wwan10") && !fits("a*b*c", "aXbYcZ"));
    }

    #[test]
    fn patterns_that_match_nothing_are_refused() {
        assert_eq!("".parse::<InterfacePattern>(), Err(PatternError::Empty));
        assert!("a".repeat(15).parse::<InterfacePattern>().is_ok());
        assert!(matches!("a".repeat(16).parse::<InterfacePattern>(), Err(PatternError::TooLong(_))));
        assert!("*".repeat(32).parse::<InterfacePattern>().is_ok());
        assert!(matches!("*".repeat(33).parse::<InterfacePattern>(), Err(PatternError::TooLong(_))));
        for text in ["eth 0", "eth/0", "eth0\n", "ethü"] {
            assert!(matches!(text.parse::<InterfacePattern>(), Err(PatternError::Character { .. })), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_pattern_agrees_with_a_slow_definition_of_it(pattern in "[ab*?]{1,8}", name in "[ab]{0,8}") {
            fn slow(pattern: &[u8], name: &[u8]) -> bool {
                match (pattern.split_first(), name.split_first()) {
                    (None, None) => true,
                    (Some((b'*', rest)), _) => (0..=name.len()).any(|taken| slow(rest, &name[taken..])),
                    (Some((b'?', rest)), Some((_, name))) => slow(rest, name),
                    (Some((first, rest)), Some((character, name))) => first == character && slow(rest, name),
                    _ => false,
                }
            }
            prop_assert_eq!(fits(&pattern, &name), slow(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
