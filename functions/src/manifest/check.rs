//! The values of a manifest, checked one by one, with errors that name the line.

use std::ops::Range;

use toml::Spanned;

use super::quantity::Bytes;
use super::{GRANTS_MAX, Grants, ManifestError, NAME_BYTES_MAX, RawGrants, is_valid_function_name, line_of, texts};
use crate::outgoing::Origin;
use crate::topic;

/// Checks values and knows the text they came from, for the line.
pub(super) struct Check<'a> {
    pub(super) text: &'a str,
}

impl Check<'_> {
    pub(super) fn wrong<T>(&self, span: &Range<usize>, message: String) -> Result<T, ManifestError> {
        Err(ManifestError { line: Some(line_of(self.text, span)), message })
    }

    pub(super) fn name(&self, name: &Spanned<String>) -> Result<(), ManifestError> {
        if is_valid_function_name(name.get_ref()) {
            return Ok(());
        }
        let message = format!(
            "name = {:?}: allowed are 1 to {NAME_BYTES_MAX} lower-case letters, digits and '-', beginning with a letter",
            name.get_ref()
        );
        self.wrong(&name.span(), message)
    }

    pub(super) fn count(&self, key: &str, count: usize, max: usize) -> Result<(), ManifestError> {
        if count <= max {
            return Ok(());
        }
        Err(ManifestError { line: None, message: format!("{key} has {count} entries, allowed are {max}") })
    }

    pub(super) fn filter(&self, key: &str, filter: &Spanned<String>) -> Result<(), ManifestError> {
        match topic::filter_problem(filter.get_ref()) {
            None => Ok(()),
            Some(problem) => self.wrong(
                &filter.span(),
                format!("{key} {:?} is not an MQTT topic filter: it {problem}", filter.get_ref()),
            ),
        }
    }

    pub(super) fn integer(
        &self,
        key: &str,
        value: &Option<Spanned<i64>>,
        default: u64,
        allowed: Range<u64>,
    ) -> Result<u64, ManifestError> {
        let Some(value) = value else { return Ok(default) };
        match u64::try_from(*value.get_ref()) {
            Ok(number) if allowed.contains(&number) => Ok(number),
            _ => {
                let message =
                    format!("{key} = {}: allowed are {} to {}", value.get_ref(), allowed.start, allowed.end - 1);
                self.wrong(&value.span(), message)
            }
        }
    }

    pub(super) fn optional(
        &self,
        key: &str,
        value: &Option<Spanned<i64>>,
        allowed: Range<u64>,
    ) -> Result<Option<u32>, ManifestError> {
        let number = value.as_ref().map(|_| self.integer(key, value, 0, allowed)).transpose()?;
        Ok(number.map(|number| number as u32))
    }

    pub(super) fn bytes(
        &self,
        key: &str,
        value: &Option<Spanned<Bytes>>,
        default: usize,
        allowed: Range<usize>,
    ) -> Result<usize, ManifestError> {
        let Some(value) = value else { return Ok(default.min(allowed.end - 1)) };
        match value.get_ref() {
            Bytes::Number(number) if usize::try_from(*number).is_ok_and(|number| allowed.contains(&number)) => {
                Ok(*number as usize)
            }
            wrong => {
                let message = format!(
                    "{key} = {wrong}: allowed are {} to {} bytes, as a number or with a unit such as \"64MiB\"",
                    allowed.start,
                    allowed.end - 1
                );
                self.wrong(&value.span(), message)
            }
        }
    }

    pub(super) fn grants(&self, raw: &RawGrants) -> Result<Grants, ManifestError> {
        self.count("grants.publish", raw.publish.len(), GRANTS_MAX)?;
        raw.publish.iter().try_for_each(|filter| self.filter("grants.publish", filter))?;
        let patterns_of = |key: &str, patterns: &[Spanned<String>]| {
            self.count(key, patterns.len(), GRANTS_MAX)?;
            match patterns.iter().find(|pattern| pattern.get_ref().is_empty() || pattern.get_ref().len() > 256) {
                Some(pattern) => self.wrong(&pattern.span(), format!("{key}: a pattern has 1 to 256 bytes")),
                None => Ok(texts(patterns)),
            }
        };
        Ok(Grants {
            publish: texts(&raw.publish),
            twin_read: patterns_of("grants.twin_read", &raw.twin_read)?,
            twin_write: patterns_of("grants.twin_write", &raw.twin_write)?,
            intercept: raw.intercept,
            http: self.http_grants(&raw.http)?,
            keys: raw.keys.as_ref().map(|keys| patterns_of("grants.keys", keys)).transpose()?,
        })
    }

    fn http_grants(&self, origins: &[Spanned<String>]) -> Result<Vec<String>, ManifestError> {
        self.count("grants.http", origins.len(), GRANTS_MAX)?;
        for origin in origins {
            if let Err(problem) = Origin::parse(origin.get_ref()) {
                let words = format!(
                    "grants.http {:?} {problem}: expected scheme, host and port if it is not the usual one, such as \"https://api.example.org\"",
                    origin.get_ref()
                );
                return self.wrong(&origin.span(), words);
            }
        }
        Ok(texts(origins))
    }
}
