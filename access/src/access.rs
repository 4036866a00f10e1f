//! The snapshot: everything that is configured about access, read once and then only asked.
//!
//! A part that cannot be read leaves the last good one to judge who is connected already, and lets nobody in who would need it.
//! Nothing here changes after [`Access::parse`]; a new snapshot takes the place of the old.

use std::sync::Arc;

use thiserror::Error;

use crate::{
    certificate::{NameFrom, Revoked, RevokedError},
    filter::Subject,
    rules::{ApiRight, Operation, Rules, RulesError},
    token::{KeyFormat, Keys, KeysError, TokenRules},
    users::{Users, UsersError},
};

mod grant;
mod login;
mod refusal;
mod scram_login;

pub use grant::{Grant, Identity};
pub use login::{Computation, Computed, Login, Now, Step};
pub use refusal::{Answer, Refusal};
pub use scram_login::ScramExchange;

/// What is known of a file.
#[derive(Clone, Copy, Debug)]
pub enum FileState<'a> {
    /// It is not configured and was never there.
    Absent,
    /// It should be there and cannot be read: why.
    Unreadable(&'a str),
    /// Its content.
    Read(&'a [u8]),
}

/// Keys for tokens.
#[derive(Clone, Copy, Debug)]
pub struct KeySource<'a> {
    /// How they are written.
    pub format: KeyFormat,
    /// Where they stand. A set that was fetched counts as a file.
    pub content: FileState<'a>,
}

/// All that a snapshot is made of.
#[derive(Clone)]
pub struct Sources<'a> {
    /// `users.toml`.
    pub users: FileState<'a>,
    /// `rules.toml`.
    pub rules: FileState<'a>,
    /// Certificate revocation lists, PEM or DER.
    pub revoked: FileState<'a>,
    /// Keys for tokens; none: tokens are not accepted.
    pub keys: Vec<KeySource<'a>>,
    /// What is asked of tokens.
    pub tokens: TokenRules,
    /// Which name of a client's certificate is its user. None: certificates are no logins.
    pub certificate_name: Option<NameFrom>,
    /// Secret of the node that outlives restarts; salts of users that do not exist are made of it.
    pub node_key: [u8; 32],
}

/// Which source a fault is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// [`Sources::users`].
    Users,
    /// [`Sources::rules`].
    Rules,
    /// [`Sources::revoked`].
    Revoked,
    /// One of [`Sources::keys`].
    Keys(usize),
}

/// A source that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which.
    pub part: Part,
    /// Why; with line and key where there are such.
    pub problem: FaultProblem,
}

/// Why a source cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FaultProblem {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// It is not UTF-8.
    #[error("line {line}: is not UTF-8")]
    Utf8 {
        /// From 1.
        line: usize,
    },
    /// The users file.
    #[error(transparent)]
    Users(#[from] UsersError),
    /// The rules file.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// Revocation lists.
    #[error(transparent)]
    Revoked(#[from] RevokedError),
    /// Keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.problem.fmt(formatter)
    }
}

/// Who may log in and what each may do.
#[derive(Clone)]
pub struct Access {
    users: Loaded<Users>,
    rules: Loaded<Rules>,
    revoked: Loaded<Revoked>,
    keys: Loaded<Keys>,
    tokens: Arc<TokenRules>,
    certificate_name: Option<NameFrom>,
    node_key: [u8; 32],
}

/// A source as it is now.
#[derive(Clone, Debug)]
enum Loaded<T> {
    Absent,
    Good(Arc<T>),
    /// With the last good one, if there was one.
    Broken(Option<Arc<T>>),
}

impl Access {
    /// A node without users, rules, keys and certificates.
    pub fn open() -> Self {
        Self {
            users: Loaded::Absent,
            rules: Loaded::Absent,
            revoked: Loaded::Absent,
            keys: Loaded::Absent,
            tokens: Arc::default(),
            certificate_name: None,
            node_key: [0; 32],
        }
    }

    /// Reads everything. Each source that cannot be used is in the list of faults; it keeps what `last_good`, the snapshot
    /// before, knew, and no login that needs it succeeds until it can be read again.
    pub fn parse(sources: &Sources<'_>, last_good: Option<&Self>) -> (Self, Vec<Fault>) {
        let mut faults = Vec::new();
        let mut note = |part, problem| faults.push(Fault { part, problem });
        let users =
            Loaded::read(sources.users, last_good.map(|last| &last.users), |content| Ok(Users::parse(text(content)?)?));
        let rules =
            Loaded::read(sources.rules, last_good.map(|last| &last.rules), |content| Ok(Rules::parse(text(content)?)?));
        let revoked =
            Loaded::read(sources.revoked, last_good.map(|last| &last.revoked), |content| Ok(Revoked::parse(content)?));
        let users = users.unwrap_or_else(|(users, problem)| {
            note(Part::Users, problem);
            users
        });
        let rules = rules.unwrap_or_else(|(rules, problem)| {
            note(Part::Rules, problem);
            rules
        });
        let revoked = revoked.unwrap_or_else(|(revoked, problem)| {
            note(Part::Revoked, problem);
            revoked
        });
        let keys = read_keys(&sources.keys, last_good, note);
        let access = Self {
            users,
            rules,
            revoked,
            keys,
            tokens: Arc::new(sources.tokens.clone()),
            certificate_name: sources.certificate_name,
            node_key: sources.node_key,
        };
        (access, faults)
    }

    /// Whether nothing about access is configured: whoever a listener lets in may do everything.
    pub fn is_open(&self) -> bool {
        self.has_no_rules_yet() && self.keys.is_absent() && self.certificate_name.is_none()
    }

    /// Whether a client may do this, by the rules of the node alone. What only the node itself may publish is not known here.
    pub fn may(&self, subject: Subject<'_>, operation: Operation, topic: &str) -> bool {
        self.may_with(subject, None, operation, topic)
    }

    /// As [`Access::may`], where the credentials of the client said something themselves ([`Grant::allows`]): a rule that denies
    /// still wins, and rules that allow are not asked.
    pub fn may_with(&self, subject: Subject<'_>, said: Option<bool>, operation: Operation, topic: &str) -> bool {
        if said == Some(false) {
            return false;
        }
        if self.has_no_rules_yet() {
            return said.unwrap_or_else(|| self.is_open() || subject.user.is_none());
        }
        let Some(rules) = self.rules.last_good() else { return false };
        !rules.denies(subject, operation, topic) && said.unwrap_or_else(|| rules.allows(subject, operation, topic))
    }

    /// Whether a client may use the HTTP interface so.
    pub fn may_use_api(&self, grant: &Grant, right: ApiRight) -> bool {
        if let Some(said) = grant.allows_api(right) {
            return said;
        }
        if self.has_no_rules_yet() {
            return self.is_open() || grant.user().is_none();
        }
        let rights = self.rules.last_good().map(|rules| rules.api_rights(grant.user())).unwrap_or_default();
        match right {
            ApiRight::Read => rights.read,
            ApiRight::Write => rights.write,
        }
    }

    /// Whether a session of this user may go on, as far as that can be known without its credentials, as of a session that was
    /// kept over a restart: not if the user is disabled, or removed where users come from the users file only.
    pub fn may_connect(&self, user: Option<&str>) -> bool {
        let (Some(user), Some(users)) = (user, self.users.last_good()) else { return true };
        match users.get(user) {
            Some(user) => !user.disabled,
            None => !self.keys.is_absent() || self.certificate_name.is_some(),
        }
    }

    /// Neither users nor rules: clients without a user may still do everything.
    fn has_no_rules_yet(&self) -> bool {
        self.users.is_absent() && self.rules.is_absent()
    }

    /// Whether logins of this user are refused whatever the credentials. None: it cannot be known now.
    fn is_disabled(&self, user: &str) -> Option<bool> {
        match &self.users {
            Loaded::Absent => Some(false),
            loaded => loaded.last_good().map(|users| users.get(user).is_some_and(|user| user.disabled)),
        }
    }
}

impl std::fmt::Debug for Access {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("Access");
        shown.field("users", &self.users).field("rules", &self.rules).field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl<T> Loaded<T> {
    /// Reads a source. A file that was there and is not any more is as bad as a broken one.
    fn read(
        state: FileState<'_>,
        last: Option<&Self>,
        parse: impl FnOnce(&[u8]) -> Result<T, FaultProblem>,
    ) -> Result<Self, (Self, FaultProblem)> {
        let problem = match (state, last) {
            (FileState::Absent, None | Some(Self::Absent)) => return Ok(Self::Absent),
            (FileState::Absent, Some(_)) => FaultProblem::Unreadable("was there and is gone".to_owned()),
            (FileState::Unreadable(why), _) => FaultProblem::Unreadable(why.to_owned()),
            (FileState::Read(content), _) => match parse(content) {
                Ok(value) => return Ok(Self::Good(Arc::new(value))),
                Err(problem) => problem,
            },
        };
        Err((Self::Broken(last.and_then(Self::last_good).cloned()), problem))
    }

    fn last_good(&self) -> Option<&Arc<T>> {
        match self {
            Self::Absent => None,
            Self::Good(value) => Some(value),
            Self::Broken(value) => value.as_ref(),
        }
    }

    fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    fn is_broken(&self) -> bool {
        matches!(self, Self::Broken(_))
    }
}

/// All keys together: if one source is broken no token is accepted, because nobody knows which keys would be missing.
fn read_keys(
    sources: &[KeySource<'_>],
    last_good: Option<&Access>,
    mut note: impl FnMut(Part, FaultProblem),
) -> Loaded<Keys> {
    let mut all = Keys::default();
    let (mut is_absent, mut is_broken) = (true, false);
    for (index, source) in sources.iter().enumerate() {
        let read = Loaded::read(source.content, None, |content| {
            let keys = Keys::parse(source.format, content)?;
            all.add(&keys)?;
            Ok(keys)
        });
        match read {
            Ok(Loaded::Absent) => {}
            Ok(_) => is_absent = false,
            Err((_, problem)) => {
                (is_absent, is_broken) = (false, true);
                note(Part::Keys(index), problem);
            }
        }
    }
    let last = last_good.map(|last| &last.keys);
    match (is_absent, is_broken) {
        (_, true) => Loaded::Broken(last.and_then(Loaded::last_good).cloned()),
        (true, false) => Loaded::Absent,
        (false, false) => Loaded::Good(Arc::new(all)),
    }
}

fn text(content: &[u8]) -> Result<&str, FaultProblem> {
    std::str::from_utf8(content).map_err(|error| {
        let before = content.get(..error.valid_up_to()).unwrap_or_default();
        FaultProblem::Utf8 { line: before.iter().filter(|&&byte| byte == b'\n').count() + 1 }
    })
}

#[cfg(test)]
mod tests;
