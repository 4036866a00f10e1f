//! The rules as the core asks for them, and what credentials allow themselves.

use std::sync::Arc;

use selvedge_access::{Access, Grant, Operation, Subject};
use selvedge_core::{Action, Authorize, Permit, Principal, client_may_write};

use super::Gate;

/// One snapshot's rules. The core is given a new one when they change.
#[derive(Debug)]
pub struct Rules(pub Arc<Access>);

/// What a client came in by; whether it still counts is asked of the newest snapshot.
#[derive(Debug)]
pub struct GrantPermit {
    grant: Arc<Grant>,
    gate: Arc<Gate>,
}

impl GrantPermit {
    /// For a client that `gate` has let in.
    pub fn shared(grant: Arc<Grant>, gate: Arc<Gate>) -> Arc<dyn Permit> {
        Arc::new(Self { grant, gate })
    }
}

fn operation(action: Action) -> Operation {
    match action {
        Action::Publish { retain } => Operation::Publish { retain },
        Action::Will { retain } => Operation::Will { retain },
        Action::Subscribe => Operation::Subscribe,
    }
}

impl Permit for GrantPermit {
    fn allows(&self, client_id: &str, action: Action, topic: &str) -> Option<bool> {
        self.grant.allows(client_id, operation(action), topic)
    }

    fn is_revoked(&self) -> bool {
        !self.gate.access().stands(&self.grant)
    }
}

impl Authorize for Rules {
    fn may_connect(&self, who: Principal<'_>) -> bool {
        self.0.may_connect(who.user.map(AsRef::as_ref))
    }

    fn may(&self, who: Principal<'_>, action: Action, topic: &str) -> bool {
        // No rule opens what only the node itself says.
        if action != Action::Subscribe && !client_may_write(topic) {
            return false;
        }
        let subject = Subject { user: who.user.map(AsRef::as_ref), client_id: who.client_id };
        let said = who.permit.and_then(|permit| permit.allows(who.client_id, action, topic));
        self.0.may_with(subject, said, operation(action), topic)
    }
}
