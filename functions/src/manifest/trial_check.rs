//! `[recording]` and `[promote]`: what is kept of real messages, and what a version must show on them before it goes live.

use serde::Deserialize;
use toml::Spanned;

use super::ManifestError;
use super::check::Check;
use crate::gate::PromotionPolicy;

/// What is kept of real messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordingPolicy {
    /// Messages kept; 0: none.
    pub messages: usize,
    /// Messages a second that are kept of more.
    pub per_s: u32,
}

impl Default for RecordingPolicy {
    fn default() -> Self {
        Self { messages: 100, per_s: 10 }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawRecording {
    messages: Option<Spanned<i64>>,
    per_s: Option<Spanned<i64>>,
}

impl Check<'_> {
    pub(super) fn recording(&self, raw: &RawRecording) -> Result<RecordingPolicy, ManifestError> {
        let default = RecordingPolicy::default();
        let messages = self.integer("recording.messages", &raw.messages, default.messages as u64, 0..10_001)?;
        let per_s = self.integer("recording.per_s", &raw.per_s, u64::from(default.per_s), 1..100_001)?;
        Ok(RecordingPolicy { messages: messages as usize, per_s: per_s as u32 })
    }

    pub(super) fn promotion(&self, raw: Option<&Spanned<PromotionPolicy>>) -> Result<PromotionPolicy, ManifestError> {
        let Some(raw) = raw else { return Ok(PromotionPolicy::default()) };
        match raw.get_ref().check() {
            Ok(()) => Ok(*raw.get_ref()),
            Err(error) => self.wrong(&raw.span(), error.to_string()),
        }
    }
}
