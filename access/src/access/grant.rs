//! What a login leaves behind: who it is, by which credentials, and what they allow themselves.

use std::{fmt, sync::Arc, time::Duration};

use super::Access;
use crate::{
    certificate::CertificateId,
    filter::Subject,
    rules::{ApiRight, Operation},
    token::TokenGrants,
};

/// A login that succeeded.
#[derive(Clone, Debug)]
pub struct Identity {
    /// User. None: the client is anonymous.
    pub user: Option<Arc<str>>,
    /// To be kept with the session and shown to newer snapshots.
    pub grant: Arc<Grant>,
    /// How long the credentials are good for. None: until they are withdrawn.
    pub expires_in: Option<Duration>,
    /// What goes back to the client as authentication data: the server's final message of SCRAM.
    pub data: Vec<u8>,
}

/// By what a client came in. Says nothing of the rules, which may change.
pub struct Grant {
    user: Option<Arc<str>>,
    pub(super) credentials: Credentials,
}

pub(super) enum Credentials {
    Anonymous,
    /// Fingerprint of the stored hash.
    Password([u8; 32]),
    /// Fingerprint of the verifier.
    Scram([u8; 32]),
    Token {
        key: [u8; 32],
        grants: Option<Box<TokenGrants>>,
    },
    Certificate(CertificateId),
}

impl Grant {
    /// The user, if the client is not anonymous.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// What the credentials themselves say about it: the claims of a token. None: the rules decide.
    pub fn allows(&self, client_id: &str, operation: Operation, topic: &str) -> Option<bool> {
        let subject = Subject { user: self.user(), client_id };
        match &self.credentials {
            Credentials::Token { grants: Some(grants), .. } => Some(grants.allows(subject, operation, topic)),
            _ => None,
        }
    }

    pub(super) fn allows_api(&self, right: ApiRight) -> Option<bool> {
        match &self.credentials {
            Credentials::Token { grants: Some(grants), .. } => Some(grants.allows_api(right)),
            _ => None,
        }
    }
}

impl Identity {
    pub(super) fn anonymous() -> Self {
        Self::of(None, Credentials::Anonymous)
    }

    pub(super) fn named(user: &str, credentials: Credentials) -> Self {
        Self::of(Some(user.into()), credentials)
    }

    fn of(user: Option<Arc<str>>, credentials: Credentials) -> Self {
        let grant = Arc::new(Grant { user: user.clone(), credentials });
        Self { user, grant, expires_in: None, data: Vec::new() }
    }
}

impl Access {
    /// Whether what a client came in by still counts: false if the user was removed or disabled, the password changed, the key of
    /// the token taken away or the certificate revoked. Where a file is broken, its last good content decides.
    pub fn stands(&self, grant: &Grant) -> bool {
        let Some(name) = grant.user() else { return true };
        if self.is_disabled(name) == Some(true) {
            return false;
        }
        let users = self.users.last_good();
        let user = users.and_then(|users| users.get(name));
        match &grant.credentials {
            Credentials::Anonymous => true,
            Credentials::Password(fingerprint) => {
                let stored = user.and_then(|user| user.password.as_ref());
                stored.is_some_and(|stored| stored.fingerprint() == *fingerprint)
            }
            Credentials::Scram(fingerprint) => {
                let stored = user.and_then(|user| user.scram.as_ref());
                stored.is_some_and(|stored| stored.fingerprint() == *fingerprint)
            }
            Credentials::Token { key, .. } => self.keys.last_good().is_some_and(|keys| keys.has(key)),
            Credentials::Certificate(id) => {
                self.certificate_name.is_some()
                    && !self.revoked.last_good().is_some_and(|revoked| revoked.contains(*id))
            }
        }
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = match &self.credentials {
            Credentials::Anonymous => "nothing",
            Credentials::Password(_) => "password",
            Credentials::Scram(_) => "scram",
            Credentials::Token { .. } => "token",
            Credentials::Certificate(_) => "certificate",
        };
        formatter.debug_struct("Grant").field("user", &self.user).field("by", &by).finish()
    }
}
