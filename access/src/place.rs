//! Where in a file something stands, for messages that lead a person to it.

use std::fmt;

/// A line and the key in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// Dotted key as it would be written, such as `users.bob.password`.
    pub key: String,
}

impl Place {
    pub(crate) fn new(text: &str, offset: usize, key: impl Into<String>) -> Self {
        Self { line: line_of(text, offset), key: key.into() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}: {}", self.line, self.key)
    }
}

/// Line of the byte at `offset`, from 1.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset.min(text.len())).unwrap_or_default();
    before.iter().filter(|&&byte| byte == b'\n').count() + 1
}

/// Line of a syntax error, and its message without the excerpt that would repeat what may be a secret.
pub(crate) fn syntax(text: &str, error: &toml::de::Error) -> (usize, String) {
    let line = error.span().map_or(1, |span| line_of(text, span.start));
    (line, error.message().replace('\n', "; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_from_one() {
        assert_eq!(line_of("a\nb\nc", 0), 1);
        assert_eq!(line_of("a\nb\nc", 2), 2);
        assert_eq!(line_of("a\nb\nc", 100), 3);
    }
}
