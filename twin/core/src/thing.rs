//! Names of things. A name is one level of a topic, one segment of a URL and part of a key, unescaped in all three,
//! so it has letters, digits, `:`, `_`, `-` and `.` only, as AWS has (plus the dot), and does not begin with a dot.

use thiserror::Error;

/// Longest name in bytes (and characters: names are ASCII).
pub const THING_BYTES_MAX: usize = 128;

/// What is wrong with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ThingNameError {
    /// It has no characters.
    #[error("the thing name is empty")]
    Empty,
    /// It is longer than [`THING_BYTES_MAX`].
    #[error("the thing name has {bytes} bytes, at most {THING_BYTES_MAX} are allowed")]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// It has a character that is not allowed, or begins with a dot.
    #[error(
        "the thing name has {found:?} at byte {at}: allowed are letters, digits, ':', '_', '-' and, not first, '.'"
    )]
    Character {
        /// The first character that is not allowed.
        found: char,
        /// Its position in bytes.
        at: usize,
    },
}

/// Checks a name.
pub fn check(name: &str) -> Result<(), ThingNameError> {
    if name.is_empty() {
        return Err(ThingNameError::Empty);
    }
    if name.len() > THING_BYTES_MAX {
        return Err(ThingNameError::TooLong { bytes: name.len() });
    }
    let refused =
        |&(at, c): &(usize, char)| !(c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '-') || (c == '.' && at > 0));
    match name.char_indices().find(refused) {
        Some((at, found)) => Err(ThingNameError::Character { found, at }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_1_to_128_allowed_characters_pass_and_others_do_not() {
        for good in ["a", "pump-7", "urn:dev:mac:0024befffe804ff1", "a_b.c", &"x".repeat(THING_BYTES_MAX)] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        assert_eq!(check(""), Err(ThingNameError::Empty));
        let long = "x".repeat(THING_BYTES_MAX + 1);
        assert_eq!(check(&long), Err(ThingNameError::TooLong { bytes: 129 }));
    }

    #[test]
    fn wildcards_separators_and_what_needs_escaping_are_refused_by_position() {
        for bad in ["a+", "#", "a/b", "a b", "a\0", "ä", "$x", "a%2f", "..", ".hidden", "a\n"] {
            assert!(matches!(check(bad), Err(ThingNameError::Character { .. })), "{bad:?}");
        }
        assert_eq!(check("ab/c"), Err(ThingNameError::Character { found: '/', at: 2 }));
    }
}
