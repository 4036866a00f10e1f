//! Access rules and credentials that a script can choose.

use std::sync::Arc;

use selvedge_codec::{Connect, ReasonCode};
use selvedge_core::{Action, Authentication, Authorize, Moment, Peer, Permit, Principal, Reauthentication};

/// Forbids what the bits of `choice` say.
#[derive(Debug)]
pub struct Forbidding {
    pub choice: u8,
}

impl Authorize for Forbidding {
    fn may_connect(&self, who: Principal<'_>) -> bool {
        self.choice & 0x02 == 0 || who.user.is_some()
    }

    fn may(&self, who: Principal<'_>, action: Action, topic: &str) -> bool {
        let forbidden = match action {
            Action::Publish { retain } => self.choice & 0x04 != 0 || (retain && self.choice & 0x08 != 0),
            Action::Will { .. } => self.choice & 0x10 != 0,
            Action::Subscribe => self.choice & 0x20 != 0 && topic.contains('#'),
        };
        !forbidden && who.permit.is_none_or(|permit| permit.allows(who.client_id, action, topic) != Some(false))
    }
}

/// Credentials that can be withdrawn, and allow one first level only.
#[derive(Debug)]
struct Narrow {
    revoked: bool,
}

impl Permit for Narrow {
    fn allows(&self, _client_id: &str, _action: Action, topic: &str) -> Option<bool> {
        Some(topic.starts_with('a') || topic == "#")
    }

    fn is_revoked(&self) -> bool {
        self.revoked
    }
}

/// Who connects, as the shell might have found out: the keep-alive decides, so that a script can choose.
pub fn peer(connect: &Connect<'_>, now: Moment) -> Peer {
    let choice = connect.keep_alive_s;
    let authentication = connect.authentication_method.map(|method| Authentication {
        method: method.into(),
        data: connect.authentication_data.unwrap_or_default().into(),
    });
    Peer {
        user: (choice & 1 != 0).then(|| Arc::from("somebody")),
        permit: (choice & 2 != 0).then(|| Arc::new(Narrow { revoked: false }) as Arc<dyn Permit>),
        expires_in_ms: (choice & 4 != 0).then(|| 1 + now.as_millis() % 3000),
        authentication,
        ..Peer::default()
    }
}

/// How a step of a re-authentication went.
pub fn outcome(choice: u8) -> Reauthentication {
    match choice >> 1 & 3 {
        0 => Reauthentication::Continue { data: Box::new([choice]) },
        1 => Reauthentication::Failure { reason: ReasonCode::NotAuthorized },
        _ => Reauthentication::Success {
            peer: Peer {
                user: (choice & 8 != 0).then(|| Arc::from("somebody")),
                permit: (choice & 16 != 0).then(|| Arc::new(Narrow { revoked: choice & 32 != 0 }) as Arc<dyn Permit>),
                expires_in_ms: (choice & 64 != 0).then_some(500),
                ..Peer::default()
            },
        },
    }
}
