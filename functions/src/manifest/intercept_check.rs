//! Triggers in the way of messages: `mode`, `on_failure`, `timeout_ms`, `order`.

use toml::Spanned;

use super::check::Check;
use super::{Grants, ManifestError, RawTrigger, Source, Trigger};
use crate::config::Config;
use crate::passage::{InterceptRule, OnFailure};

/// How long a message is held where the manifest does not say. Milliseconds.
const TIMEOUT_MS: u64 = 100;
const ORDER_MAX: u64 = 1_000_000;

impl Check<'_> {
    /// How a trigger on messages intercepts, if it does.
    pub(super) fn intercept(&self, raw: &RawTrigger, config: &Config) -> Result<Option<InterceptRule>, ManifestError> {
        match raw.mode.as_ref().map(|mode| (mode.get_ref().as_str(), mode.span())) {
            None | Some(("observe", _)) => self.no_intercept(raw).map(|()| None),
            Some(("intercept", span)) if raw.mqtt.is_none() => {
                self.wrong(&span, "trigger.mode = \"intercept\" belongs to trigger.mqtt".to_owned())
            }
            Some(("intercept", span)) if raw.window.is_some() => {
                let words = "trigger.mode = \"intercept\" cannot have a window: each message waits for the function";
                self.wrong(&span, words.to_owned())
            }
            Some(("intercept", span)) => {
                let timeout_max = config.intercept_timeout_ms_max;
                Ok(Some(InterceptRule {
                    order: self.integer("trigger.order", &raw.order, 0, 0..ORDER_MAX + 1)? as u32,
                    timeout_ms: self.integer(
                        "trigger.timeout_ms",
                        &raw.timeout_ms,
                        TIMEOUT_MS.min(timeout_max),
                        1..timeout_max.saturating_add(1),
                    )?,
                    on_failure: self.on_failure(raw.on_failure.as_ref(), &span)?,
                }))
            }
            Some((other, span)) => {
                let words = format!(
                    "trigger.mode = {other:?}: allowed are \"observe\" (a copy of each message) and \"intercept\" (before anybody gets it)"
                );
                self.wrong(&span, words)
            }
        }
    }

    fn no_intercept(&self, raw: &RawTrigger) -> Result<(), ManifestError> {
        let spans = [
            raw.on_failure.as_ref().map(Spanned::span),
            raw.order.as_ref().map(Spanned::span),
            raw.timeout_ms.as_ref().filter(|_| raw.http.is_none()).map(Spanned::span),
        ];
        match spans.into_iter().flatten().next() {
            None => Ok(()),
            Some(span) => self.wrong(&span, "this belongs to trigger.mode = \"intercept\"".to_owned()),
        }
    }

    /// What happens then is for its author to say.
    fn on_failure(
        &self,
        on_failure: Option<&Spanned<String>>,
        span: &std::ops::Range<usize>,
    ) -> Result<OnFailure, ManifestError> {
        match on_failure.map(|text| (text.get_ref().as_str(), text.span())) {
            Some(("pass", _)) => Ok(OnFailure::Pass),
            Some(("drop", _)) => Ok(OnFailure::Drop),
            Some((other, span)) => {
                self.wrong(&span, format!("trigger.on_failure = {other:?}: allowed are \"pass\" and \"drop\""))
            }
            None => {
                let words = "trigger.on_failure is needed: \"pass\" (the message goes on as it came) or \"drop\" (nobody gets it)";
                self.wrong(span, words.to_owned())
            }
        }
    }

    /// Standing in the way of messages is a right.
    pub(super) fn intercept_granted(&self, triggers: &[Trigger], grants: &Grants) -> Result<(), ManifestError> {
        match triggers.iter().find(|trigger| trigger.intercept_rule().is_some() && !grants.intercept) {
            None => Ok(()),
            Some(trigger) => {
                let message =
                    format!("intercepting {:?} is not granted; add intercept = true to [grants]", trigger.mqtt);
                Err(ManifestError { line: None, message })
            }
        }
    }
}

impl Trigger {
    /// How it intercepts, if it does.
    pub fn intercept_rule(&self) -> Option<&InterceptRule> {
        match &self.source {
            Source::Intercept(rule) => Some(rule),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::manifest::{Manifest, ManifestError};
    use crate::passage::{InterceptRule, OnFailure};

    fn parse(more: &str) -> Result<Manifest, ManifestError> {
        let text = format!("name = \"f\"\n[[trigger]]\nmqtt = \"a/#\"\n{more}\n[grants]\nintercept = true");
        Manifest::parse(&text, &Config::default())
    }

    #[test]
    fn an_interceptor_says_what_happens_when_it_fails() {
        let manifest = parse("mode = \"intercept\"\non_failure = \"drop\"").unwrap();
        let expected = InterceptRule { order: 0, timeout_ms: 100, on_failure: OnFailure::Drop };
        assert_eq!(manifest.triggers[0].intercept_rule(), Some(&expected));
        assert_eq!(manifest.triggers[0].to_string(), "a/# before anybody gets it, 100 ms, then drop");
        let manifest = parse("mode = \"intercept\"\non_failure = \"pass\"\norder = 7\ntimeout_ms = 1000").unwrap();
        let expected = InterceptRule { order: 7, timeout_ms: 1000, on_failure: OnFailure::Pass };
        assert_eq!(manifest.triggers[0].intercept_rule(), Some(&expected));
        assert!(parse("mode = \"observe\"").unwrap().triggers[0].intercept_rule().is_none());
    }

    #[test]
    fn what_does_not_fit_is_said() {
        for (more, words) in [
            ("mode = \"intercept\"", "\"pass\" (the message goes on"),
            ("mode = \"intercept\"\non_failure = \"retry\"", "allowed are \"pass\" and \"drop\""),
            ("mode = \"intercept\"\non_failure = \"pass\"\ntimeout_ms = 1001", "allowed are 1 to 1000"),
            ("mode = \"intercept\"\non_failure = \"pass\"\nwindow = \"session\"\ngap_s = 1", "cannot have a window"),
            ("mode = \"both\"", "before anybody gets it"),
            ("order = 1", "belongs to trigger.mode"),
            ("timeout_ms = 1", "belongs to trigger.mode"),
        ] {
            let error = parse(more).unwrap_err();
            assert!(error.message.contains(words), "{more}: {error}");
        }
    }

    #[test]
    fn standing_in_the_way_of_messages_needs_a_grant() {
        let text = "name = \"f\"\n[[trigger]]\nmqtt = \"a/#\"\nmode = \"intercept\"\non_failure = \"pass\"";
        let error = Manifest::parse(text, &Config::default()).unwrap_err();
        assert!(error.message.contains("add intercept = true to [grants]"), "{error}");
    }
}
