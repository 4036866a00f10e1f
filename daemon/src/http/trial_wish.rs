//! What somebody wants to know of a version before it is live.

use selvedge_functions::{CanaryPolicy, PolicyWish, Recording, VersionNumber};
use serde::Deserialize;
use serde_json::Value;

/// A wish about the recordings of a function, or about a version on trial.
#[derive(Clone, Debug, PartialEq)]
pub enum TrialWish {
    /// The recorded messages.
    Recordings,
    /// Forget them.
    Forget,
    /// Run one of them again.
    Replay {
        /// The run that was recorded.
        invocation_id: String,
        /// The version; `None`: the one that ran then.
        version: Option<VersionNumber>,
    },
    /// Run a version on all of them, and make it live if nothing speaks against it.
    Promote(Box<PromotionWish>),
    /// Let a version see the messages without effects, or none.
    Shadow(Option<VersionNumber>),
    /// Give a version part of the messages until its guard has a verdict.
    Canary(CanaryWish),
    /// What the shadow and the canary came to.
    Watch,
}

/// `{"version": "v4", "dry_run": true, "policy": {"changed_percent": 5}, "recordings": […]}`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromotionWish {
    /// The version.
    pub version: VersionNumber,
    /// Only say what would be.
    #[serde(default)]
    pub dry_run: bool,
    /// What is asked otherwise than the manifest says.
    #[serde(default)]
    pub policy: PolicyWish,
    /// Messages to judge by; without them, those that the node has recorded.
    pub recordings: Option<Vec<Recording>>,
}

/// `{"version": "v4", "percent": 10, …}`
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "serde_json::Map<String, Value>")]
pub struct CanaryWish {
    /// The version.
    pub version: VersionNumber,
    /// How it is judged.
    pub policy: CanaryPolicy,
}

impl TryFrom<serde_json::Map<String, Value>> for CanaryWish {
    type Error = serde_json::Error;

    /// The policy refuses keys that it does not know.
    fn try_from(mut wish: serde_json::Map<String, Value>) -> Result<Self, serde_json::Error> {
        let version = wish.remove("version").unwrap_or_default();
        Ok(Self { version: serde_json::from_value(version)?, policy: serde_json::from_value(Value::Object(wish))? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_is_a_version_with_a_policy_and_nothing_else() {
        let wish: CanaryWish = serde_json::from_str(r#"{"version": "v4", "percent": 5}"#).unwrap();
        assert_eq!((wish.version.to_string().as_str(), wish.policy.percent), ("v4", 5));
        assert_eq!(wish.policy.for_s, CanaryPolicy::default().for_s);
        for wrong in [r#"{"percent": 5}"#, r#"{"version": "v4", "colour": 1}"#, r#"{"version": 4}"#, "[]"] {
            assert!(serde_json::from_str::<CanaryWish>(wrong).is_err(), "{wrong}");
        }
    }
}
