//! Names of targets: paths below the repository's `targets/`, written so that they cannot lead anywhere else.

use std::borrow::Borrow;
use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::key::hex;

/// Longest path of a target, in bytes.
pub const PATH_BYTES_MAX: usize = 256;

/// The path of a target: relative, with `/` between names, none of them empty, `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct TargetPath(String);

/// Why a text is no path of a target.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PathError {
    /// Nothing, or too much.
    #[error("the path of a target has 1 to {PATH_BYTES_MAX} bytes, this one has {0}")]
    Length(usize),
    /// From the root of something.
    #[error("the path {0:?} begins with a slash; write it relative to the targets folder")]
    Absolute(String),
    /// `..`, `.` or nothing between slashes.
    #[error("the path {0:?} has a part that is empty, `.` or `..`")]
    Part(String),
    /// A control character or a backslash.
    #[error("the path {0:?} has a control character or a backslash")]
    Character(String),
}

impl TargetPath {
    /// Checks a path.
    ///
    /// # Errors
    /// If it could lead out of the targets folder, or mean two things on two systems.
    pub fn new(path: impl Into<String>) -> Result<Self, PathError> {
        let path = path.into();
        if path.is_empty() || path.len() > PATH_BYTES_MAX {
            return Err(PathError::Length(path.len()));
        }
        if path.starts_with('/') {
            return Err(PathError::Absolute(path));
        }
        if path.chars().any(|character| character.is_control() || character == '\\') {
            return Err(PathError::Character(path));
        }
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(PathError::Part(path));
        }
        Ok(Self(path))
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path under which a repository with consistent snapshots keeps the content: `folder/<sha256>.name` (TUF 6.1).
    pub fn hashed_path(&self, sha256: &[u8; 32]) -> String {
        let hash = hex(sha256);
        match self.0.rsplit_once('/') {
            Some((folder, name)) => format!("{folder}/{hash}.{name}"),
            None => format!("{hash}.{}", self.0),
        }
    }
}

impl TryFrom<String> for TargetPath {
    type Error = PathError;

    fn try_from(path: String) -> Result<Self, PathError> {
        Self::new(path)
    }
}

impl fmt::Display for TargetPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Borrow<str> for TargetPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_paths_are_taken() {
        for path in ["a", "daemon/selvedge-1.2.3-aarch64", "a/b/c", "..a", "a..b/.c", "fi?le", "Дж", &"a".repeat(256)]
        {
            assert_eq!(TargetPath::new(path).unwrap().as_str(), path);
        }
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        let text = |path: &str| TargetPath::new(path).unwrap_err().to_string();
        assert_eq!(
            text("/etc/passwd"),
            "the path \"/etc/passwd\" begins with a slash; write it relative to the targets folder"
        );
        for path in ["..", "a/../b", "a/..", "./a", "a//b", "a/"] {
            assert!(text(path).ends_with("has a part that is empty, `.` or `..`"), "{path}");
        }
        for path in ["a\\b", "a\0b", "a\nb", "a\u{7f}", "a\u{85}"] {
            assert!(text(path).ends_with("has a control character or a backslash"), "{path}");
        }
        assert_eq!(text(""), "the path of a target has 1 to 256 bytes, this one has 0");
        assert_eq!(text(&"a".repeat(257)), "the path of a target has 1 to 256 bytes, this one has 257");
    }

    #[test]
    fn the_hash_goes_before_the_last_name() {
        let hash = "00".repeat(32);
        assert_eq!(TargetPath::new("a/b/c").unwrap().hashed_path(&[0; 32]), format!("a/b/{hash}.c"));
        assert_eq!(TargetPath::new("c").unwrap().hashed_path(&[0; 32]), format!("{hash}.c"));
    }
}
