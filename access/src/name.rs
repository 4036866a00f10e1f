//! Names of users: which are taken at all, and which may stand in a level of a topic.
//!
//! Not for client identifiers as such, which clients choose and the protocol bounds. A name that is accepted here never holds
//! a control character, so it can be logged and shown as it is.

use thiserror::Error;

/// Longest name in a users file, in bytes.
pub const USER_NAME_BYTES_MAX: usize = 128;

/// Longest name that a token or a certificate may bring, in bytes.
pub const OUTSIDE_NAME_BYTES_MAX: usize = 256;

/// Why a name is not taken.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NameProblem {
    /// It has no characters.
    #[error("the name is empty")]
    Empty,
    /// It is longer than the limit.
    #[error("the name is longer than {0} bytes")]
    TooLong(usize),
    /// It holds a character that topics or terminals give a meaning.
    #[error("the name holds {0:?}, which a name cannot hold")]
    Character(char),
    /// It begins with `$`, as the topics of the node do.
    #[error("the name begins with '$', as only the node's own topics do")]
    Dollar,
}

/// Whether `name` may stand in a users file: 1 to [`USER_NAME_BYTES_MAX`] bytes without `/`, `+`, `#`, control characters and
/// leading `$`, so that it can stand for `%u` in every filter.
pub fn check_user_name(name: &str) -> Result<(), NameProblem> {
    check_outside_name(name)?;
    if name.len() > USER_NAME_BYTES_MAX {
        return Err(NameProblem::TooLong(USER_NAME_BYTES_MAX));
    }
    if let Some(character) = name.chars().find(|&character| has_meaning_in_topics(character)) {
        return Err(NameProblem::Character(character));
    }
    if name.starts_with('$') {
        return Err(NameProblem::Dollar);
    }
    Ok(())
}

/// Whether `name` may come from a token or a certificate: bounded and printable. It may hold `/`, `+` and `#` (a URI does);
/// rules that would put it into a topic then do not apply.
pub(crate) fn check_outside_name(name: &str) -> Result<(), NameProblem> {
    if name.is_empty() {
        return Err(NameProblem::Empty);
    }
    if name.len() > OUTSIDE_NAME_BYTES_MAX {
        return Err(NameProblem::TooLong(OUTSIDE_NAME_BYTES_MAX));
    }
    match name.chars().find(|character| character.is_control()) {
        Some(character) => Err(NameProblem::Character(character)),
        None => Ok(()),
    }
}

/// Whether `text` can be put into a level of a topic without becoming more than one level or a wildcard.
pub(crate) fn fits_a_level(text: &str) -> bool {
    !text.is_empty() && !text.bytes().any(|byte| matches!(byte, b'/' | b'+' | b'#') || byte.is_ascii_control())
}

fn has_meaning_in_topics(character: char) -> bool {
    matches!(character, '/' | '+' | '#')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_topics_would_misread_are_refused() {
        for name in ["a/b", "+", "a#", "a\0b", "a\nb", "\u{85}", "$SYS", ""] {
            assert!(check_user_name(name).is_err(), "{name:?}");
        }
        for name in ["alice", "sensor-7", "a.b@example.org", "é", "name with space", "a$"] {
            assert_eq!(check_user_name(name), Ok(()), "{name:?}");
        }
    }

    #[test]
    fn the_length_of_a_name_is_bounded() {
        assert_eq!(check_user_name(&"a".repeat(USER_NAME_BYTES_MAX)), Ok(()));
        assert!(check_user_name(&"a".repeat(USER_NAME_BYTES_MAX + 1)).is_err());
        assert_eq!(check_outside_name(&"a".repeat(OUTSIDE_NAME_BYTES_MAX)), Ok(()));
        assert!(check_outside_name(&"a".repeat(OUTSIDE_NAME_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn a_uri_is_a_name_of_a_certificate_but_fits_no_level() {
        let name = "spiffe://edge/sensor";
        assert_eq!(check_outside_name(name), Ok(()));
        assert!(check_user_name(name).is_err() && !fits_a_level(name));
        assert!(fits_a_level("sensor-7") && !fits_a_level(""));
    }
}
