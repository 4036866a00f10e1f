//! Numbers of published versions: `v1`, `v2`, … per function, never used twice.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// A published version of a function. Written `v3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionNumber(u32);

/// A text is no version.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is not a version: expected v and a number from 1, such as v3")]
pub struct VersionNumberError(String);

impl VersionNumber {
    /// The first version of a function.
    pub const FIRST: Self = Self(1);

    /// The version after this one; `None` when the numbers are used up.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl fmt::Display for VersionNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "v{}", self.0)
    }
}

impl FromStr for VersionNumber {
    type Err = VersionNumberError;

    fn from_str(text: &str) -> Result<Self, VersionNumberError> {
        let digits = text.strip_prefix('v').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        match digits.and_then(|digits| digits.parse().ok()) {
            Some(number @ 1..) => Ok(Self(number)),
            _ => Err(VersionNumberError(crate::log_ring::cut(text, 40).to_owned())),
        }
    }
}

impl Serialize for VersionNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for VersionNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_nothing_else_is() {
        for text in ["v1", "v4294967295"] {
            assert_eq!(text.parse::<VersionNumber>().unwrap().to_string(), text);
        }
        for text in ["", "v", "v0", "3", "v-1", "v+1", "v4294967296", "V1", "v1 "] {
            assert!(text.parse::<VersionNumber>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn numbers_end() {
        assert_eq!(VersionNumber::FIRST.next(), Some(VersionNumber(2)));
        assert_eq!(VersionNumber(u32::MAX).next(), None);
    }
}
