//! Who may publish and subscribe what. The rules live outside; the core asks before it acts.

use std::{fmt::Debug, sync::Arc};

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Principal<'a> {
    /// Client identifier of the session.
    pub client_id: &'a str,
    /// Authenticated user, if any.
    pub user: Option<&'a Arc<str>>,
}

/// Access rules. Called on the path of every message: keep it cheap.
pub trait Authorize: Debug + Send {
    /// May `who` publish to `topic` (also asked for a will)?
    fn may_publish(&self, who: Principal<'_>, topic: &str, retain: bool) -> bool;
    /// May `who` subscribe to `filter` (without its `$share/{group}/` prefix)?
    fn may_subscribe(&self, who: Principal<'_>, filter: &str) -> bool;
}

/// The rule of a node without users: everything but writing what only the node itself says: `$SYS/…`, and the replies
/// under `$twin/{thing}/{operation}/…`. Publishing to any other topic that begins with `$` is refused as well, so
/// that a typing error is not swallowed (MQTT 5, 4.7.2: such topics are the server's).
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenAccess;

impl Authorize for OpenAccess {
    fn may_publish(&self, _who: Principal<'_>, topic: &str, _retain: bool) -> bool {
        if !topic.starts_with('$') {
            return true;
        }
        let mut levels = topic.split('/');
        levels.next() == Some("$twin")
            && levels.next().is_some_and(|thing| !thing.is_empty())
            && matches!(levels.next(), Some("get" | "update" | "delete"))
            && levels.next().is_none()
    }

    fn may_subscribe(&self, _who: Principal<'_>, _filter: &str) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_node_writes_system_topics_and_twin_replies() {
        let who = Principal { client_id: "c", user: None };
        let may = |topic| OpenAccess.may_publish(who, topic, false);
        assert!(may("a/b") && may("$twin/t/update") && may("$twin/t/get") && may("$twin/t/delete"));
        assert!(!may("$SYS/uptime") && !may("$twin/t/update/accepted") && !may("$twin//update") && !may("$other"));
    }
}
