//! A login from credentials to identity, in two halves: what is decided at once, and what must be computed first.
//!
//! Between the halves nothing is locked; the second looks again at the newest snapshot.

use std::{net::IpAddr, sync::Arc, time::Duration};

use zeroize::Zeroizing;

use super::{Access, Identity, Loaded, Refusal, grant::Credentials, refusal::Needed};
use crate::{
    certificate::{ClientCertificate, NameFrom},
    logins::{Logins, Origin},
    password::{self, PASSWORD_BYTES_MAX, PasswordCost, StoredPassword},
    token::{self, Keys, TokenRefusal, TokenRules, VerifiedToken},
};

/// User name that may stand beside a token instead of the token's user, for clients that must send one.
pub const TOKEN_USER_NAME: &str = "jwt";

/// The time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since 1970. None: the clock is not trusted, and what has a date is refused.
    pub wall_ms: Option<u64>,
    /// Milliseconds since any moment; never goes back.
    pub monotonic_ms: u64,
}

/// What a client shows.
#[derive(Clone, Copy)]
pub struct Login<'a> {
    /// Where it comes from.
    pub address: IpAddr,
    /// As in CONNECT; None over HTTP.
    pub client_id: Option<&'a str>,
    /// User name.
    pub username: Option<&'a str>,
    /// Password or token.
    pub password: Option<&'a [u8]>,
    /// The client's own certificate in DER, which TLS has verified.
    pub certificate: Option<&'a [u8]>,
    /// Whether the listener lets in clients without a user.
    pub anonymous_allowed: bool,
}

/// Where a login stands.
#[derive(Debug)]
pub enum Step {
    /// It is decided.
    Done(Result<Identity, Refusal>),
    /// Something that takes long must be computed before.
    Compute(Computation),
}

/// A password or a signature to be checked. Holds all that it needs.
pub struct Computation {
    origin: Origin,
    work: Work,
}

/// A finished [`Computation`].
pub struct Computed {
    origin: Origin,
    result: Worked,
}

enum Work {
    Password {
        user: Box<str>,
        password: Zeroizing<Vec<u8>>,
        against: Against,
    },
    Token {
        token: Zeroizing<String>,
        keys: Arc<Keys>,
        rules: Arc<TokenRules>,
        wall_ms: Option<u64>,
        client_id: Option<Box<str>>,
    },
}

enum Against {
    Stored(StoredPassword),
    /// There is no such user: the work is done all the same.
    Nothing(PasswordCost),
}

enum Worked {
    Password { user: Box<str>, password: Zeroizing<Vec<u8>>, right: Option<[u8; 32]> },
    Token { result: Result<VerifiedToken, TokenRefusal>, client_id: Option<Box<str>> },
}

impl Access {
    /// Decides what can be decided within microseconds. A failure counts against the address.
    pub fn login(&self, logins: &mut Logins, login: &Login<'_>, now: Now) -> Step {
        match self.begin(logins, login, now) {
            Ok(step) => step,
            Err(refusal) => {
                if refusal.is_guess() {
                    logins.failed(&origin(login), now);
                }
                Step::Done(Err(refusal))
            }
        }
    }

    fn begin(&self, logins: &mut Logins, login: &Login<'_>, now: Now) -> Result<Step, Refusal> {
        if self.is_open() {
            let anonymous = if login.anonymous_allowed { Ok(Identity::anonymous()) } else { Err(Refusal::Anonymous) };
            return anonymous.map(|identity| Step::Done(Ok(identity)));
        }
        if self.rules.is_broken() {
            return Err(Refusal::Unavailable(Needed::Rules));
        }
        if let (Some(certificate), Some(from)) = (login.certificate, self.certificate_name) {
            return Ok(Step::Done(self.by_certificate(login, certificate, from)));
        }
        let Some(password) = login.password else {
            return match login.username {
                None | Some("") if login.anonymous_allowed => Ok(Step::Done(Ok(Identity::anonymous()))),
                None | Some("") => Err(Refusal::Anonymous),
                Some(_) => {
                    logins.admit(&origin(login), now)?;
                    Err(Refusal::Credentials)
                }
            };
        };
        logins.admit(&origin(login), now)?;
        if !self.keys.is_absent() && token::looks_like_token(password) {
            self.by_token(login, password, now).map(Step::Compute)
        } else {
            self.by_password(logins, login, password)
        }
    }

    fn by_certificate(&self, login: &Login<'_>, der: &[u8], from: NameFrom) -> Result<Identity, Refusal> {
        if self.revoked.is_broken() {
            return Err(Refusal::Unavailable(Needed::Revoked));
        }
        let certificate = ClientCertificate::read(der, from)?;
        if self.revoked.last_good().is_some_and(|revoked| revoked.contains(certificate.id)) {
            return Err(Refusal::Revoked);
        }
        if login.username.is_some_and(|name| !name.is_empty() && name != certificate.user) {
            return Err(Refusal::OtherUser);
        }
        self.check_enabled(&certificate.user)?;
        Ok(Identity::named(&certificate.user, Credentials::Certificate(certificate.id)))
    }

    fn by_token(&self, login: &Login<'_>, token: &[u8], now: Now) -> Result<Computation, Refusal> {
        let Loaded::Good(keys) = &self.keys else { return Err(Refusal::Unavailable(Needed::Keys)) };
        if token.len() > token::TOKEN_BYTES_MAX {
            return Err(TokenRefusal::TooLong.into());
        }
        let token = std::str::from_utf8(token).map_err(|_| TokenRefusal::Malformed)?;
        let work = Work::Token {
            token: Zeroizing::new(token.to_owned()),
            keys: Arc::clone(keys),
            rules: Arc::clone(&self.tokens),
            wall_ms: now.wall_ms,
            client_id: login.client_id.map(Into::into),
        };
        Ok(Computation { origin: origin(login), work })
    }

    fn by_password(&self, logins: &mut Logins, login: &Login<'_>, password: &[u8]) -> Result<Step, Refusal> {
        let name =
            login.username.filter(|name| name.len() <= crate::name::USER_NAME_BYTES_MAX).ok_or(Refusal::Credentials)?;
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(Refusal::Credentials);
        }
        let users = match &self.users {
            Loaded::Absent => return Err(Refusal::Credentials),
            Loaded::Broken(_) => return Err(Refusal::Unavailable(Needed::Users)),
            Loaded::Good(users) => users,
        };
        let stored = users.get(name).filter(|user| !user.disabled).and_then(|user| user.password.as_ref());
        if let Some(stored) = stored {
            let fingerprint = stored.fingerprint();
            if logins.remembers(name, password, &fingerprint) {
                logins.succeeded(&origin(login));
                return Ok(Step::Done(Ok(Identity::named(name, Credentials::Password(fingerprint)))));
            }
        }
        let against = stored.cloned().map_or_else(|| Against::Nothing(users.usual_password_cost()), Against::Stored);
        let work = Work::Password { user: name.into(), password: Zeroizing::new(password.to_vec()), against };
        Ok(Step::Compute(Computation { origin: origin(login), work }))
    }

    /// Decides what was computed. Successes and failures are remembered.
    ///
    /// # Errors
    /// If it was wrong, or is not right any more.
    pub fn conclude(&self, logins: &mut Logins, computed: Computed, now: Now) -> Result<Identity, Refusal> {
        let Computed { origin, result } = computed;
        let decided = match result {
            Worked::Password { user, password, right } => self.conclude_password(logins, &user, &password, right),
            Worked::Token { result, client_id } => self.conclude_token(result, &origin, client_id.as_deref(), now),
        };
        match &decided {
            Ok(identity) => {
                // Known is who was right, whatever name stood beside a token.
                let name = identity.user.as_deref().map(Into::into);
                logins.succeeded(&Origin { name, ..origin });
            }
            Err(refusal) if refusal.is_guess() => logins.failed(&origin, now),
            Err(_) => {}
        }
        decided
    }

    fn conclude_password(
        &self,
        logins: &mut Logins,
        name: &str,
        password: &[u8],
        right: Option<[u8; 32]>,
    ) -> Result<Identity, Refusal> {
        let fingerprint = right.ok_or(Refusal::Credentials)?;
        let identity = Identity::named(name, Credentials::Password(fingerprint));
        if self.users.is_broken() {
            return Err(Refusal::Unavailable(Needed::Users));
        }
        if !self.stands(&identity.grant) {
            return Err(Refusal::Credentials); // changed while it was computed
        }
        let tag = logins.tag(name, password, &fingerprint);
        logins.remember(name, tag);
        Ok(identity)
    }

    fn conclude_token(
        &self,
        result: Result<VerifiedToken, TokenRefusal>,
        origin: &Origin,
        client_id: Option<&str>,
        now: Now,
    ) -> Result<Identity, Refusal> {
        let token = result?;
        let is_same_user = match origin.name.as_deref() {
            None | Some("" | TOKEN_USER_NAME) => true,
            Some(name) => name == token.user,
        };
        if !is_same_user {
            return Err(Refusal::OtherUser);
        }
        if let (Some(client_id), Some(bound)) = (client_id, &token.client_id)
            && client_id != bound
        {
            return Err(Refusal::OtherClient);
        }
        self.check_enabled(&token.user)?;
        let credentials = Credentials::Token { key: token.key, grants: token.grants };
        let mut identity = Identity::named(&token.user, credentials);
        if !self.stands(&identity.grant) {
            return Err(TokenRefusal::UnknownKey.into()); // taken away while it was computed
        }
        if let (Some(expires_at_ms), Some(now_ms)) = (token.expires_at_ms, now.wall_ms) {
            identity.expires_in = Some(Duration::from_millis(expires_at_ms.saturating_sub(now_ms)));
        }
        Ok(identity)
    }

    /// Whether a user of a token or certificate is not switched off in the users file.
    fn check_enabled(&self, user: &str) -> Result<(), Refusal> {
        match self.is_disabled(user) {
            Some(false) => Ok(()),
            Some(true) => Err(Refusal::Disabled),
            None => Err(Refusal::Unavailable(Needed::Users)),
        }
    }
}

impl Computation {
    /// Computes: tens of milliseconds for a password, a tenth of one for a token. Needs nothing and changes nothing.
    pub fn run(self) -> Computed {
        let result = match self.work {
            Work::Password { user, password, against } => {
                let right = match against {
                    Against::Stored(stored) => stored.matches(&password).then(|| stored.fingerprint()),
                    Against::Nothing(cost) => {
                        password::pretend(&password, cost);
                        None
                    }
                };
                Worked::Password { user, password, right }
            }
            Work::Token { token, keys, rules, wall_ms, client_id } => {
                Worked::Token { result: token::verify(&token, &keys, &rules, wall_ms), client_id }
            }
        };
        Computed { origin: self.origin, result }
    }

    /// Whether it takes argon2id, for which there is a budget.
    pub fn is_expensive(&self) -> bool {
        matches!(self.work, Work::Password { .. })
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl std::fmt::Debug for Login<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("Login");
        shown.field("address", &self.address).field("client_id", &self.client_id).field("username", &self.username);
        shown.finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Computation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Computation").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Computed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Computed").field("origin", &self.origin).finish_non_exhaustive()
    }
}

fn origin(login: &Login<'_>) -> Origin {
    let name = login.username.filter(|name| !name.is_empty() && name.len() <= crate::name::OUTSIDE_NAME_BYTES_MAX);
    Origin { address: login.address, name: name.map(Into::into) }
}
