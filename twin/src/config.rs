//! Limits and settings of twins. The bounds that the store's key and value sizes put on them are checked here, once.

use selvedge_store::VALUE_BYTES_MAX;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::record::PATH_BYTES_LIMIT;

/// Settings of [`crate::Twins`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Largest section (`desired` or `reported`) as JSON text without spaces, in bytes.
    pub section_bytes_max: usize,
    /// Largest request, in bytes.
    pub request_bytes_max: usize,
    /// How many objects and arrays may lie within each other in a section; the section itself counts.
    pub depth_max: usize,
    /// Most fields (values that are not objects, and empty objects) in both sections of a twin.
    pub fields_max: usize,
    /// Longest path of a field, as a JSON pointer, in bytes.
    pub path_bytes_max: usize,
    /// Most twins that exist at a time.
    pub twins_max: u64,
    /// Removed fields that a twin remembers; the ones that were removed first are forgotten first.
    pub tombstones_max: usize,
    /// Deleted twins that are remembered, so that their version goes on; the ones deleted first are forgotten first.
    pub deleted_twins_max: usize,
    /// Changes of each twin that are remembered; 0 remembers none.
    pub history_changes_max: usize,
    /// Most bytes that they take for one twin; the oldest are forgotten first.
    pub history_bytes_max: usize,
    /// Memory for twins that are kept decoded, in bytes, estimated. Twins with unfinished commits stay beyond it.
    pub cache_bytes_max: usize,
    /// A wall clock before this is not trusted. Milliseconds since 1970.
    pub clock_floor_ms: u64,
    /// How far ahead of the wall clock another node's stamp may be, in milliseconds.
    pub clock_ahead_max_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            section_bytes_max: 32 * 1024,
            request_bytes_max: 128 * 1024,
            depth_max: 8,
            fields_max: 1_024,
            path_bytes_max: 256,
            twins_max: 10_000,
            tombstones_max: 256,
            deleted_twins_max: 1_000,
            history_changes_max: 32,
            history_bytes_max: 64 * 1024,
            cache_bytes_max: 512 * 1024,
            clock_floor_ms: crate::clock::BUILD_FLOOR_MS,
            clock_ahead_max_ms: 5 * 60 * 1_000,
        }
    }
}

/// A setting that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{key} = {value} is not allowed: it must be from {min} to {max}")]
pub struct ConfigError {
    /// The setting's name.
    pub key: &'static str,
    /// What was asked for.
    pub value: usize,
    /// The smallest allowed value.
    pub min: usize,
    /// The greatest allowed value.
    pub max: usize,
}

impl Config {
    /// Checks what the store and the parser can bear.
    pub fn check(&self) -> Result<(), ConfigError> {
        let ranges = [
            ("section_bytes_max", self.section_bytes_max, 2, VALUE_BYTES_MAX - 1024),
            ("request_bytes_max", self.request_bytes_max, 64, 1024 * 1024),
            ("depth_max", self.depth_max, 1, crate::json::DEPTH_MAX - 2),
            ("fields_max", self.fields_max, 1, 4_096),
            ("path_bytes_max", self.path_bytes_max, 2, PATH_BYTES_LIMIT),
            ("tombstones_max", self.tombstones_max, 0, 4_096),
            ("deleted_twins_max", self.deleted_twins_max, 0, 100_000),
            ("history_changes_max", self.history_changes_max, 0, 1_024),
            ("history_bytes_max", self.history_bytes_max, 1_024, 1024 * 1024),
        ];
        for (key, value, min, max) in ranges {
            if !(min..=max).contains(&value) {
                return Err(ConfigError { key, value, min, max });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_allowed_and_what_the_store_cannot_hold_is_not() {
        assert_eq!(Config::default().check(), Ok(()));
        let longest = Config { path_bytes_max: PATH_BYTES_LIMIT, ..Config::default() };
        assert_eq!(longest.check(), Ok(()));
        let error = Config { path_bytes_max: PATH_BYTES_LIMIT + 1, ..longest }.check().unwrap_err();
        assert!(error.to_string().starts_with("path_bytes_max = "), "{error}");
    }

    #[test]
    fn an_unknown_key_is_refused() {
        assert!(serde_json::from_str::<Config>(r#"{"depth_max": 3}"#).is_ok());
        assert!(serde_json::from_str::<Config>(r#"{"depth": 3}"#).is_err());
    }
}
