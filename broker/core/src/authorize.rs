//! Who may be connected, publish and subscribe what. The rules live outside; the core asks before it acts.

use std::{fmt::Debug, sync::Arc};

use smallvec::SmallVec;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// To publish a message now.
    Publish {
        /// With the RETAIN flag: it is to be kept for later subscribers.
        retain: bool,
    },
    /// To have a will published later: asked at CONNECT, and again when it is due.
    Will {
        /// With the RETAIN flag.
        retain: bool,
    },
    /// To subscribe, and to get what was queued for the subscription.
    Subscribe,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Principal<'a> {
    /// Client identifier of the session.
    pub client_id: &'a str,
    /// Authenticated user, if any.
    pub user: Option<&'a Arc<str>>,
    /// What the credentials of the client say themselves, if they say anything.
    pub permit: Option<&'a Arc<dyn Permit>>,
}

/// What the credentials of one client themselves allow (claims of a token, a certificate that may be revoked). Opaque to
/// the core, which keeps it with the session; the [`Authorize`] implementation asks it.
pub trait Permit: Debug + Send + Sync {
    /// `None`: the credentials say nothing about it, the rules of the node decide. `Some`: they decide (a rule of the node
    /// that denies still wins).
    fn allows(&self, client_id: &str, action: Action, topic: &str) -> Option<bool>;

    /// The credentials were withdrawn since (certificate in the revocation list, key gone). Asked by the core itself: at
    /// CONNECT, and of every session when the rules changed.
    fn is_revoked(&self) -> bool {
        false
    }
}

/// Access rules. Called on the path of every message: keep it cheap.
pub trait Authorize: Debug + Send {
    /// May `who` be connected under this client identifier? Asked at CONNECT, and again of every session when the rules
    /// changed: a false ends session and connection.
    fn may_connect(&self, who: Principal<'_>) -> bool;

    /// May `who` do this? For [`Action::Subscribe`], `topic` is a filter, without its `$share/{group}/` prefix.
    fn may(&self, who: Principal<'_>, action: Action, topic: &str) -> bool;
}

/// The rule of a node without users: everybody may do everything but write the node's own topics (see
/// [`client_may_write`]), as far as their credentials do not say otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenAccess;

impl Authorize for OpenAccess {
    fn may_connect(&self, _who: Principal<'_>) -> bool {
        true
    }

    fn may(&self, who: Principal<'_>, action: Action, topic: &str) -> bool {
        (action == Action::Subscribe || client_may_write(topic))
            && who.permit.and_then(|permit| permit.allows(who.client_id, action, topic)).unwrap_or(true)
    }
}

/// Whether `topic` is one that clients may write at all: requests about twins (as shadows of AWS, too) and pieces of updates, not what
/// only the node itself says, `$SYS/…`, `$net/…`, `$ota/status` and the replies under `$twin/{thing}/{operation}/…` and
/// `$ota/push/{id}/state`. Publishing to any other topic that begins with `$` is refused as well, so that a typing error is not
/// swallowed (MQTT 5, 4.7.2: such topics are the server's).
pub fn client_may_write(topic: &str) -> bool {
    if !topic.starts_with('$') {
        return true;
    }
    let levels: SmallVec<[&str; 8]> = topic.split('/').take(8).collect();
    match levels.as_slice() {
        ["$twin", thing, "get" | "update" | "delete" | "ops"] => !thing.is_empty(),
        ["$aws", "things", thing, "shadow", "get" | "update" | "delete"] => !thing.is_empty(),
        ["$aws", "things", thing, "shadow", "name", name, "get" | "update" | "delete"] => {
            !thing.is_empty() && !name.is_empty()
        }
        ["$ota", "push", id, "begin"] => !id.is_empty(),
        ["$ota", "push", id, "data", offset] => !id.is_empty() && !offset.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct OnlyReads;

    impl Permit for OnlyReads {
        fn allows(&self, _client_id: &str, action: Action, topic: &str) -> Option<bool> {
            (topic != "unmentioned").then_some(action == Action::Subscribe)
        }
    }

    #[test]
    fn only_the_node_writes_system_topics_and_twin_replies() {
        let who = Principal { client_id: "c", user: None, permit: None };
        for action in [Action::Publish { retain: false }, Action::Will { retain: true }] {
            let may = |topic| OpenAccess.may(who, action, topic);
            assert!(may("a/b") && may("$twin/t/update") && may("$twin/t/get") && may("$twin/t/delete"));
            assert!(may("$twin/t/ops") && !may("$twin/t/ops/accepted") && !may("$aws/things/t/shadow/ops"));
            assert!(may("$aws/things/t/shadow/update") && may("$aws/things/t/shadow/name/n/get"));
            assert!(!may("$aws/things/t/shadow/update/accepted") && !may("$aws/things/t/shadow/name//get"));
            assert!(!may("$aws/things/t/shadow/name/n/update/delta") && !may("$aws/rules/x"));
            assert!(may("$ota/push/7/begin") && may("$ota/push/7/data/0") && !may("$ota/push/7/state"));
            assert!(!may("$ota/status") && !may("$ota/push//begin") && !may("$ota/push/7/data/0/1"));
            assert!(!may("$SYS/uptime") && !may("$twin/t/update/accepted") && !may("$twin//update") && !may("$other"));
        }
        assert!(OpenAccess.may(who, Action::Subscribe, "$SYS/#"));
    }

    #[test]
    fn credentials_limit_where_the_rules_are_open() {
        let permit: Arc<dyn Permit> = Arc::new(OnlyReads);
        let who = Principal { client_id: "c", user: None, permit: Some(&permit) };
        assert!(
            OpenAccess.may(who, Action::Subscribe, "t") && !OpenAccess.may(who, Action::Will { retain: false }, "t")
        );
        assert!(OpenAccess.may(who, Action::Publish { retain: false }, "unmentioned"));
    }
}
