//! The users of a node, as their file says: `users.toml`.
//!
//! ```toml
//! [users.alice]
//! password = "$argon2id$v=19$m=19456,t=2,p=1$…"
//! scram = "SCRAM-SHA-256$15000:…"   # only with --scram
//! comment = "dashboard"
//! disabled = false
//! ```
//!
//! Only reads; what writes the file is in [`edit`]. No login is decided here.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use serde::Deserialize;
use thiserror::Error;
use toml::Spanned;

use crate::{
    name::{NameProblem, check_user_name},
    password::{PasswordCost, StoredPassword, StoredPasswordProblem},
    place::{self, Place},
    scram::{Verifier, VerifierProblem},
};

pub mod edit;

/// Largest users file, in bytes.
pub const USERS_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Most users in a file.
pub const USERS_MAX: usize = 100_000;

/// Longest comment of a user, in bytes.
pub const COMMENT_BYTES_MAX: usize = 256;

/// Why a users file is not taken.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum UsersError {
    /// Zero bytes, or nothing but white space: more likely a failed write than a wish.
    #[error("the file is empty; a comment line makes it valid, and then nobody can log in")]
    Empty,
    /// More than [`USERS_BYTES_MAX`].
    #[error("the file has {0} bytes, and {USERS_BYTES_MAX} are the most")]
    TooLarge(usize),
    /// More than [`USERS_MAX`].
    #[error("the file has {0} users, and {USERS_MAX} are the most")]
    TooMany(usize),
    /// Not TOML, or a key that users do not have.
    #[error("line {line}: {message}")]
    Syntax {
        /// From 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// A value that makes no user.
    #[error("{at}: {problem}")]
    User {
        /// Where.
        at: Place,
        /// Why.
        problem: UserProblem,
    },
}

/// Why a value makes no user.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum UserProblem {
    /// The name.
    #[error(transparent)]
    Name(NameProblem),
    /// `password`.
    #[error(transparent)]
    Password(StoredPasswordProblem),
    /// `scram`.
    #[error(transparent)]
    Scram(VerifierProblem),
    /// `comment`.
    #[error("is longer than {COMMENT_BYTES_MAX} bytes or holds a control character")]
    Comment,
}

/// The users of a file.
#[derive(Clone, Default)]
pub struct Users {
    by_name: HashMap<Box<str>, User, foldhash::fast::RandomState>,
    /// In the order of the names.
    names: Vec<Box<str>>,
    usual_password_cost: PasswordCost,
    usual_scram_iterations: Option<u32>,
}

/// One user.
#[derive(Clone, Debug)]
pub struct User {
    /// What a password is compared with. None: this user cannot log in with one.
    pub password: Option<StoredPassword>,
    /// For SCRAM-SHA-256. None: this user cannot log in so.
    pub scram: Option<Verifier>,
    /// Refused with every kind of credentials.
    pub disabled: bool,
    /// For people.
    pub comment: Option<Box<str>>,
}

/// What can be shown of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserSummary<'a> {
    /// Name.
    pub name: &'a str,
    /// Whether there is a password.
    pub password: bool,
    /// Whether there is a verifier for SCRAM.
    pub scram: bool,
    /// Whether every login is refused.
    pub disabled: bool,
    /// For people.
    pub comment: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UsersFile {
    #[serde(default)]
    users: BTreeMap<Spanned<String>, UserEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserEntry {
    password: Option<Spanned<String>>,
    scram: Option<Spanned<String>>,
    #[serde(default)]
    disabled: bool,
    comment: Option<Spanned<String>>,
}

impl Users {
    /// The users of the text of a users file.
    ///
    /// # Errors
    /// The first mistake, with its line and key. Values, which may be secrets, are not repeated.
    pub fn parse(text: &str) -> Result<Self, UsersError> {
        if text.trim().is_empty() {
            return Err(UsersError::Empty);
        }
        if text.len() > USERS_BYTES_MAX {
            return Err(UsersError::TooLarge(text.len()));
        }
        let file: UsersFile = toml::from_str(text).map_err(|error| {
            let (line, message) = place::syntax(text, &error);
            UsersError::Syntax { line, message }
        })?;
        if file.users.len() > USERS_MAX {
            return Err(UsersError::TooMany(file.users.len()));
        }
        let mut users = Self::default();
        for (name, entry) in file.users {
            let offset = name.span().start;
            let name = name.into_inner();
            check_user_name(&name).map_err(|problem| {
                let at = Place::new(text, offset, format!("users.{name:?}"));
                UsersError::User { at, problem: UserProblem::Name(problem) }
            })?;
            let user = entry.read(text, &name)?;
            users.by_name.insert(name.clone().into(), user);
            users.names.push(name.into());
        }
        users.usual_password_cost =
            most_frequent(users.by_name.values().filter_map(|user| Some(user.password.as_ref()?.cost())))
                .unwrap_or_default();
        users.usual_scram_iterations =
            most_frequent(users.by_name.values().filter_map(|user| Some(user.scram.as_ref()?.iterations())));
        Ok(users)
    }

    /// The user of this name.
    pub fn get(&self, name: &str) -> Option<&User> {
        self.by_name.get(name)
    }

    /// How many there are, disabled ones too.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether nobody is there.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// All users in the order of their names.
    pub fn list(&self) -> impl Iterator<Item = UserSummary<'_>> {
        self.names.iter().filter_map(|name| {
            let user = self.get(name)?;
            Some(UserSummary {
                name,
                password: user.password.is_some(),
                scram: user.scram.is_some(),
                disabled: user.disabled,
                comment: user.comment.as_deref(),
            })
        })
    }

    /// What a check of most passwords here costs: spent for users that do not exist too.
    pub(crate) fn usual_password_cost(&self) -> PasswordCost {
        self.usual_password_cost
    }

    /// Iterations of most verifiers here: told to users that do not exist too.
    pub(crate) fn usual_scram_iterations(&self) -> Option<u32> {
        self.usual_scram_iterations
    }
}

impl UserEntry {
    fn read(self, text: &str, name: &str) -> Result<User, UsersError> {
        let error = |offset, key: &str, problem| UsersError::User {
            at: Place::new(text, offset, format!("users.{}.{key}", quoted(name))),
            problem,
        };
        let password = self.password.map(|value| {
            StoredPassword::parse(value.get_ref())
                .map_err(|problem| error(value.span().start, "password", UserProblem::Password(problem)))
        });
        let scram = self.scram.map(|value| {
            Verifier::parse(value.get_ref())
                .map_err(|problem| error(value.span().start, "scram", UserProblem::Scram(problem)))
        });
        let comment = self.comment.map(|value| {
            if is_comment(value.get_ref()) {
                Ok(value.get_ref().as_str().into())
            } else {
                Err(error(value.span().start, "comment", UserProblem::Comment))
            }
        });
        Ok(User {
            password: password.transpose()?,
            scram: scram.transpose()?,
            disabled: self.disabled,
            comment: comment.transpose()?,
        })
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Users").field("len", &self.len()).finish_non_exhaustive()
    }
}

fn is_comment(text: &str) -> bool {
    text.len() <= COMMENT_BYTES_MAX && !text.chars().any(char::is_control)
}

/// A name as it would stand in a dotted key.
fn quoted(name: &str) -> String {
    let bare = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if bare { name.to_owned() } else { format!("{name:?}") }
}

fn most_frequent<T: Copy + Eq + std::hash::Hash>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut counts: HashMap<T, usize> = HashMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    counts.into_iter().max_by_key(|&(_, count)| count).map(|(value, _)| value)
}

#[cfg(test)]
mod tests;
