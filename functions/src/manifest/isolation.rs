//! `isolation` and `[reuse]`: whether an instance runs one message or several, one after the other.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::ManifestError;
use super::check::Check;

/// Whether an instance runs one message or several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Each message has an instance of its own: nothing of one is seen by the next.
    #[default]
    Fresh,
    /// What an instance has in its memory stays for later messages, for a while.
    Reuse(Reuse),
}

impl Isolation {
    /// The rule by which instances are used again, if they are.
    pub(crate) fn reuse(self) -> Option<Reuse> {
        match self {
            Self::Fresh => None,
            Self::Reuse(rule) => Some(rule),
        }
    }
}

/// When an instance is not used again. It never is after a trap or at its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reuse {
    /// Messages that it runs at most.
    pub calls: u32,
    /// Time since it was made.
    pub age: Duration,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawReuse {
    calls: Option<Spanned<i64>>,
    age_s: Option<Spanned<i64>>,
}

impl Check<'_> {
    pub(super) fn isolation(
        &self,
        isolation: Option<&Spanned<String>>,
        raw: Option<&Spanned<RawReuse>>,
    ) -> Result<Isolation, ManifestError> {
        match isolation.map(|isolation| (isolation.get_ref().as_str(), isolation.span())) {
            None | Some(("fresh", _)) => match raw {
                None => Ok(Isolation::Fresh),
                Some(raw) => self.wrong(&raw.span(), "[reuse] needs isolation = \"reuse\"".to_owned()),
            },
            Some(("reuse", _)) => {
                let default = RawReuse::default();
                let raw = raw.map_or(&default, Spanned::get_ref);
                let calls = self.integer("reuse.calls", &raw.calls, 1000, 1..1_000_001)?;
                let age_s = self.integer("reuse.age_s", &raw.age_s, 60, 1..86_401)?;
                Ok(Isolation::Reuse(Reuse { calls: calls as u32, age: Duration::from_secs(age_s) }))
            }
            Some((other, span)) => {
                self.wrong(&span, format!("isolation = {other:?}: allowed are \"fresh\" and \"reuse\""))
            }
        }
    }
}
