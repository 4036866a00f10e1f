//! Name of an interface in reports: shared, because thousands of rows have the same.

use std::{borrow::Borrow, fmt, sync::Arc};

use serde::{Serialize, Serializer};

/// Name of an interface; cloning it costs no memory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceName(Arc<str>);

impl InterfaceName {
    /// A name. The kernel allows control characters in it, which would reach the terminal of whoever reads the report:
    /// they are written as escapes.
    pub fn new(name: &str) -> Self {
        if !name.contains(char::is_control) {
            return Self(Arc::from(name));
        }
        let mut readable = String::new();
        for character in name.chars() {
            if character.is_control() {
                readable.extend(character.escape_default());
            } else {
                readable.push(character);
            }
        }
        Self(Arc::from(readable))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for InterfaceName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for InterfaceName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_written_as_it_is_but_for_what_a_terminal_would_obey() {
        assert_eq!(InterfaceName::new("wlan0").as_str(), "wlan0");
        assert_eq!(InterfaceName::new("läuft-0").as_str(), "läuft-0");
        assert_eq!(InterfaceName::new("a\x1b[31m").as_str(), "a\\u{1b}[31m");
    }
}
