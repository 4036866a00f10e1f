//! Access rules and credentials for transcripts.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use selvedge_codec::topic;
use selvedge_core::{Action, Authorize, Permit, Principal, client_may_write};

/// Everything is allowed but what is listed: `who:connect` or `who:action:filter`, where `who` is a user, `-` for clients
/// without one or `*` for all, and the action one of publish, retain, will, subscribe.
#[derive(Debug, Default)]
pub struct Rules {
    denied: Vec<(String, String, String)>,
}

impl Rules {
    pub fn read(words: &[&str]) -> Self {
        let rule = |word: &&str| {
            let mut parts = word.splitn(3, ':').map(str::to_owned);
            let mut part = || parts.next().unwrap_or_default();
            (part(), part(), part())
        };
        Self { denied: words.iter().map(rule).collect() }
    }

    fn denies(&self, who: Principal<'_>, asked: &str, topic: &str) -> bool {
        self.denied.iter().any(|(user, action, filter)| {
            let about_him = user == "*" || user == who.user.map_or("-", |user| user);
            about_him && action == asked && (topic == filter || topic::matches(filter, topic))
        })
    }
}

impl Authorize for Rules {
    fn may_connect(&self, who: Principal<'_>) -> bool {
        !self.denies(who, "connect", "")
    }

    fn may(&self, who: Principal<'_>, action: Action, topic: &str) -> bool {
        let denied = match action {
            Action::Publish { retain } => {
                self.denies(who, "publish", topic) || (retain && self.denies(who, "retain", topic))
            }
            Action::Will { .. } => self.denies(who, "will", topic),
            Action::Subscribe => self.denies(who, "subscribe", topic),
        };
        let permitted = who.permit.and_then(|permit| permit.allows(who.client_id, action, topic)).unwrap_or(true);
        !denied && permitted && (action == Action::Subscribe || client_may_write(topic))
    }
}

/// Credentials that allow one filter only, or can be withdrawn.
#[derive(Debug)]
pub struct TestPermit {
    pub only: Option<String>,
    pub revoked: Arc<AtomicBool>,
}

impl Permit for TestPermit {
    fn allows(&self, _client_id: &str, _action: Action, topic: &str) -> Option<bool> {
        self.only.as_deref().map(|only| only == topic || topic::matches(only, topic))
    }

    fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Relaxed)
    }
}
