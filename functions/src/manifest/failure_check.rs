//! The parts of a manifest about what happens when there is too much, or it fails: `limits.rate_per_s`, `[retry]`, `[circuit]`.

use toml::Spanned;

use super::check::Check;
use super::{
    CircuitPer, CircuitPolicy, Fallback, Grants, ManifestError, RawCircuit, RawLimits, RawRetry, Retry, Trigger,
};
use crate::circuit::CircuitRule;
use crate::rate::Rate;
use crate::topic;

/// Greatest rate and burst.
const RATE_MAX: u64 = 1_000_000;
/// Longest static reply, bytes.
const REPLY_BYTES_MAX: usize = 64 << 10;

impl Check<'_> {
    pub(super) fn rate(&self, raw: &RawLimits) -> Result<Option<Rate>, ManifestError> {
        self.rate_of("limits", &raw.rate_per_s, &raw.burst)
    }

    pub(super) fn rate_of(
        &self,
        table: &str,
        rate_per_s: &Option<Spanned<i64>>,
        burst: &Option<Spanned<i64>>,
    ) -> Result<Option<Rate>, ManifestError> {
        let Some(per_s) = rate_per_s else {
            return match burst {
                None => Ok(None),
                Some(burst) => self.wrong(&burst.span(), format!("{table}.burst needs {table}.rate_per_s")),
            };
        };
        let rate = self.integer(&format!("{table}.rate_per_s"), rate_per_s, 1, 1..RATE_MAX + 1)?;
        let usual = u64::try_from(*per_s.get_ref()).unwrap_or(1);
        let burst = self.integer(&format!("{table}.burst"), burst, usual, 1..RATE_MAX + 1)?;
        Ok(Some(Rate { per_s: rate as u32, burst: burst as u32 }))
    }

    pub(super) fn retry(&self, raw: &RawRetry, triggers: &[Trigger]) -> Result<Retry, ManifestError> {
        let default = Retry::default();
        if let Some(letter) = &raw.dead_letter {
            self.topic_name("retry.dead_letter", letter)?;
            let own = triggers
                .iter()
                .find(|trigger| trigger.is_subscription() && topic::filter_matches(&trigger.mqtt, letter.get_ref()));
            if let Some(own) = own {
                let words = format!(
                    "retry.dead_letter {:?} would start the function again: its trigger {:?} matches it",
                    letter.get_ref(),
                    own.mqtt
                );
                return self.wrong(&letter.span(), words);
            }
        }
        Ok(Retry {
            attempts: self.integer("retry.attempts", &raw.attempts, u64::from(default.attempts), 1..21)? as u32,
            backoff_ms: self.integer("retry.backoff_ms", &raw.backoff_ms, default.backoff_ms, 1..60_001)?,
            dead_letter: raw.dead_letter.as_ref().map(|letter| letter.get_ref().clone()),
        })
    }

    pub(super) fn circuit(&self, raw: &RawCircuit, grants: &Grants) -> Result<CircuitPolicy, ManifestError> {
        let default = CircuitRule::default();
        let number = |key, value, default, allowed| self.integer(key, value, default, allowed);
        let rule = CircuitRule {
            failures: number("circuit.failures", &raw.failures, u64::from(default.failures), 1..1001)? as u32,
            failure_percent: number(
                "circuit.failure_percent",
                &raw.failure_percent,
                u64::from(default.failure_percent),
                1..101,
            )? as u32,
            window_s: number("circuit.window_s", &raw.window_s, default.window_s, 1..86_401)?,
            probe_after_s: number("circuit.probe_after_s", &raw.probe_after_s, default.probe_after_s, 1..86_401)?,
        };
        let per = match &raw.per {
            None => CircuitPer::Function,
            Some(per) => match per.get_ref().as_str() {
                "function" => CircuitPer::Function,
                "client" => CircuitPer::Client,
                other => {
                    let words = format!("circuit.per = {other:?}: allowed are \"function\" and \"client\"");
                    return self.wrong(&per.span(), words);
                }
            },
        };
        let fallback = self.fallback(raw, per, grants)?;
        Ok(CircuitPolicy { rule, per, fallback })
    }

    fn fallback(&self, raw: &RawCircuit, per: CircuitPer, grants: &Grants) -> Result<Fallback, ManifestError> {
        let Some(wanted) = &raw.fallback else {
            // Waiting would hold up the clients whose circuit is closed.
            return Ok(if per == CircuitPer::Client { Fallback::Drop } else { Fallback::Wait });
        };
        match wanted.get_ref().as_str() {
            "wait" if per == CircuitPer::Client => self.wrong(
                &wanted.span(),
                "circuit.fallback = \"wait\" with circuit.per = \"client\" would hold up every client".to_owned(),
            ),
            "wait" => Ok(Fallback::Wait),
            "drop" => Ok(Fallback::Drop),
            "reply" => self.reply(wanted, raw, grants),
            version => match version.parse() {
                Ok(version) => Ok(Fallback::Version(version)),
                Err(_) => self.wrong(
                    &wanted.span(),
                    format!(
                        "circuit.fallback = {version:?}: allowed are \"wait\", \"drop\", \"reply\" and a version such as \"v3\""
                    ),
                ),
            },
        }
    }

    fn reply(&self, wanted: &Spanned<String>, raw: &RawCircuit, grants: &Grants) -> Result<Fallback, ManifestError> {
        let Some(payload) = &raw.reply_payload else {
            let words = "circuit.fallback = \"reply\" needs circuit.reply_payload, and circuit.reply_topic where messages have no response topic";
            return self.wrong(&wanted.span(), words.to_owned());
        };
        if payload.len() > REPLY_BYTES_MAX {
            let words = format!("circuit.reply_payload has {} bytes, allowed are {REPLY_BYTES_MAX}", payload.len());
            return self.wrong(&wanted.span(), words);
        }
        if let Some(reply_topic) = &raw.reply_topic {
            self.topic_name("circuit.reply_topic", reply_topic)?;
            if let Err(words) = grants.check_publish(reply_topic.get_ref()) {
                return self.wrong(&reply_topic.span(), format!("circuit.reply_topic: {words}"));
            }
        }
        let topic = raw.reply_topic.as_ref().map(|topic| topic.get_ref().clone());
        Ok(Fallback::Reply { topic, payload: payload.clone() })
    }

    fn topic_name(&self, key: &str, name: &Spanned<String>) -> Result<(), ManifestError> {
        if topic::is_valid_name(name.get_ref()) {
            return Ok(());
        }
        self.wrong(
            &name.span(),
            format!("{key} {:?} is not a topic name: 1 to 65,535 bytes, no + or #", name.get_ref()),
        )
    }
}
