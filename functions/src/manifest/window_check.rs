//! Windows of a trigger: `window`, `size_s`, `step_s`, `gap_s`, `by`, `messages_max`.

use toml::Spanned;

use super::check::Check;
use super::{ManifestError, RawTrigger};
use crate::window::{WindowBy, WindowKind, WindowRule};

/// Longest window and gap, seconds.
const SECONDS_MAX: u64 = 86_400;
/// Windows that one message can be in.
const OVERLAP_MAX: i64 = 60;
/// Messages of one window, unless the manifest says otherwise, and at most.
const MESSAGES_DEFAULT: u64 = 200;
const MESSAGES_MAX: u64 = 1000;
/// Levels of a topic that can be a key.
const LEVEL_MAX: usize = 128;

impl Check<'_> {
    pub(super) fn window(&self, raw: &RawTrigger) -> Result<Option<WindowRule>, ManifestError> {
        let Some(wanted) = &raw.window else { return self.no_window(raw).map(|()| None) };
        let kind = match wanted.get_ref().as_str() {
            "tumbling" => WindowKind::Tumbling { size_ms: self.seconds(wanted, "size_s", &raw.size_s)? },
            "sliding" => self.sliding(wanted, raw)?,
            "session" => WindowKind::Session { gap_ms: self.seconds(wanted, "gap_s", &raw.gap_s)? },
            other => {
                let words =
                    format!("trigger.window = {other:?}: allowed are \"tumbling\", \"sliding\" and \"session\"");
                return self.wrong(&wanted.span(), words);
            }
        };
        let messages_max =
            self.integer("trigger.messages_max", &raw.messages_max, MESSAGES_DEFAULT, 1..MESSAGES_MAX + 1)? as usize;
        Ok(Some(WindowRule { kind, by: self.window_by(raw.by.as_ref())?, messages_max }))
    }

    fn no_window(&self, raw: &RawTrigger) -> Result<(), ManifestError> {
        let numbers = [&raw.size_s, &raw.step_s, &raw.gap_s, &raw.messages_max].into_iter().flatten();
        let spans = numbers.map(Spanned::span).chain(raw.by.as_ref().map(Spanned::span));
        match spans.into_iter().next() {
            None => Ok(()),
            Some(span) => self
                .wrong(&span, "this belongs to trigger.window = \"tumbling\", \"sliding\" or \"session\"".to_owned()),
        }
    }

    fn sliding(&self, wanted: &Spanned<String>, raw: &RawTrigger) -> Result<WindowKind, ManifestError> {
        let size_ms = self.seconds(wanted, "size_s", &raw.size_s)?;
        let step_ms = self.seconds(wanted, "step_s", &raw.step_s)?;
        if size_ms % step_ms != 0 || size_ms / step_ms > OVERLAP_MAX {
            let words = format!("trigger.size_s must be trigger.step_s, or up to {OVERLAP_MAX} times that");
            return self.wrong(&wanted.span(), words);
        }
        Ok(WindowKind::Sliding { size_ms, step_ms })
    }

    fn seconds(&self, wanted: &Spanned<String>, key: &str, value: &Option<Spanned<i64>>) -> Result<i64, ManifestError> {
        if value.is_none() {
            return self.wrong(&wanted.span(), format!("trigger.window = {:?} needs trigger.{key}", wanted.get_ref()));
        }
        let seconds = self.integer(&format!("trigger.{key}"), value, 1, 1..SECONDS_MAX + 1)?;
        Ok(seconds as i64 * 1000)
    }

    fn window_by(&self, by: Option<&Spanned<String>>) -> Result<WindowBy, ManifestError> {
        let Some(by) = by else { return Ok(WindowBy::All) };
        let level = |text: &str| text.strip_prefix("level:").and_then(|number| number.parse().ok());
        match by.get_ref().as_str() {
            "all" => Ok(WindowBy::All),
            "topic" => Ok(WindowBy::Topic),
            "client" => Ok(WindowBy::Client),
            "key" => Ok(WindowBy::Key),
            other => match level(other) {
                Some(number @ 1..=LEVEL_MAX) => Ok(WindowBy::Level(number)),
                _ => {
                    let words = format!(
                        "trigger.by = {other:?}: allowed are \"all\", \"topic\", \"level:1\" to \"level:{LEVEL_MAX}\", \"client\" and \"key\""
                    );
                    self.wrong(&by.span(), words)
                }
            },
        }
    }
}
