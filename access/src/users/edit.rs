//! Changes to the text of a users file that leave everything else in it as it was: order, comments, spacing.
//!
//! Text in, text out. Writing it to disk so that a power cut leaves the old or the new one is the caller's.

use thiserror::Error;
use toml_edit::{DocumentMut, Item, RawString, Table, TableLike, value};

use super::{Users, UsersError, is_comment};
use crate::{
    name::{NameProblem, check_user_name},
    scram::Verifier,
};

/// What a new file begins with.
const HEADER: &str = "# Users of this node, kept by `selvedge user`. Passwords are argon2id hashes. The file is read again when it changes.\n\n";

/// What a user logs in with.
#[derive(Clone, Default)]
pub struct Secrets {
    /// PHC string of [`crate::password::hash`]. None: no login by password.
    pub password: Option<String>,
    /// For SCRAM-SHA-256. None: no login so.
    pub scram: Option<Verifier>,
}

/// Why a users file cannot be changed so.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum EditUsersError {
    /// It is broken already; nothing is changed before a person has looked.
    #[error("the users file cannot be changed before it is mended: {0}")]
    Broken(#[source] UsersError),
    /// There is one already.
    #[error("there is a user {0:?} already")]
    Exists(String),
    /// There is none.
    #[error("there is no user {0:?}")]
    Missing(String),
    /// Not a name.
    #[error("{name:?} cannot be a user: {problem}")]
    Name {
        /// As given.
        name: String,
        /// Why not.
        problem: NameProblem,
    },
    /// Too long, or with control characters.
    #[error("the comment is too long or holds a control character")]
    Comment,
    /// What would come out is no users file, for example one with too many users.
    #[error("the changed users file would not be valid: {0}")]
    Result(#[source] UsersError),
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("Secrets");
        shown.field("password", &self.password.is_some()).field("scram", &self.scram.is_some()).finish()
    }
}

/// `text` with the user `name` added at the end. An empty `text` is a new file.
///
/// # Errors
/// If there is such a user, the name cannot be one, or the file is broken.
pub fn add_user(text: &str, name: &str, secrets: &Secrets, comment: Option<&str>) -> Result<String, EditUsersError> {
    check_user_name(name).map_err(|problem| EditUsersError::Name { name: name.to_owned(), problem })?;
    if comment.is_some_and(|comment| !is_comment(comment)) {
        return Err(EditUsersError::Comment);
    }
    let text = if text.is_empty() { HEADER } else { text };
    let mut user = Table::new();
    set_secrets(&mut user, secrets);
    if let Some(comment) = comment {
        user.insert("comment", value(comment));
    }
    edit(text, |users, document| {
        if users.get(name).is_some() {
            return Err(EditUsersError::Exists(name.to_owned()));
        }
        if let Some(all) = document.get_mut("users").and_then(Item::as_inline_table_mut) {
            all.insert(name, user.into_inline_table().into());
            return Ok(document.to_string());
        }
        // A table at the very end, below comments too, which a change of the document would put behind it.
        let mut all = Table::new();
        all.set_implicit(true);
        all.insert(name, Item::Table(user));
        let mut addition = DocumentMut::new();
        addition.insert("users", Item::Table(all));
        let gap = match text {
            _ if text.ends_with("\n\n") => "",
            _ if text.ends_with('\n') => "\n",
            _ => "\n\n",
        };
        Ok(format!("{text}{gap}{addition}"))
    })
}

/// `text` with other secrets for the user `name`: what is `None` in `secrets` is taken away.
///
/// # Errors
/// If there is no such user or the file is broken.
pub fn set_password(text: &str, name: &str, secrets: &Secrets) -> Result<String, EditUsersError> {
    change_user(text, name, |user| set_secrets(user, secrets))
}

/// `text` with the user `name` refused, or let in again.
///
/// # Errors
/// If there is no such user or the file is broken.
pub fn set_disabled(text: &str, name: &str, disabled: bool) -> Result<String, EditUsersError> {
    change_user(text, name, |user| {
        if disabled {
            user.insert("disabled", value(true));
        } else {
            user.remove("disabled");
        }
    })
}

/// `text` without the user `name`.
///
/// # Errors
/// If there is no such user or the file is broken.
pub fn remove_user(text: &str, name: &str) -> Result<String, EditUsersError> {
    edit(text, |_, document| {
        let all = document.get_mut("users").and_then(Item::as_table_like_mut);
        let removed = all.and_then(|all| all.remove(name));
        let removed = removed.ok_or_else(|| EditUsersError::Missing(name.to_owned()))?;
        if let Item::Table(removed) = removed {
            keep_comments(document, &removed);
        }
        Ok(document.to_string())
    })
}

/// Gives comments that stand before a removed table, but apart from it by an empty line, to what follows it.
fn keep_comments(document: &mut DocumentMut, removed: &Table) {
    let before = removed.decor().prefix().and_then(RawString::as_str).unwrap_or_default();
    let Some((kept, _)) = before.rsplit_once("\n\n") else { return };
    let tables = document.get_mut("users").and_then(Item::as_table_like_mut);
    let tables = tables.into_iter().flat_map(|tables| tables.iter_mut()).filter_map(|(_, item)| item.as_table_mut());
    let following = tables.filter(|table| table.position() > removed.position()).min_by_key(|table| table.position());
    if let Some(following) = following {
        let prefix =
            following.decor().prefix().and_then(RawString::as_str).unwrap_or_default().trim_start_matches('\n');
        let prefix = format!("{kept}\n\n{prefix}");
        following.decor_mut().set_prefix(prefix);
    } else {
        let trailing = document.trailing().as_str().unwrap_or_default();
        let trailing = format!("{kept}\n{trailing}");
        document.set_trailing(trailing);
    }
}

fn change_user(text: &str, name: &str, change: impl FnOnce(&mut dyn TableLike)) -> Result<String, EditUsersError> {
    edit(text, |_, document| {
        let all = document.get_mut("users").and_then(Item::as_table_like_mut);
        let user = all.and_then(|all| all.get_mut(name)).and_then(Item::as_table_like_mut);
        change(user.ok_or_else(|| EditUsersError::Missing(name.to_owned()))?);
        Ok(document.to_string())
    })
}

/// Reads, changes, and reads again what would be written.
fn edit(
    text: &str,
    change: impl FnOnce(&Users, &mut DocumentMut) -> Result<String, EditUsersError>,
) -> Result<String, EditUsersError> {
    let users = Users::parse(text).map_err(EditUsersError::Broken)?;
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        let line = error.span().map_or(1, |span| crate::place::line_of(text, span.start));
        EditUsersError::Broken(UsersError::Syntax { line, message: error.message().to_owned() })
    })?;
    let changed = change(&users, &mut document)?;
    let changed = if changed.trim().is_empty() { HEADER.to_owned() } else { changed };
    Users::parse(&changed).map_err(EditUsersError::Result)?;
    Ok(changed)
}

fn set_secrets(user: &mut dyn TableLike, secrets: &Secrets) {
    set_or_remove(user, "password", secrets.password.clone());
    set_or_remove(user, "scram", secrets.scram.as_ref().map(Verifier::to_string));
}

/// Keeps the decoration of a value that is there already.
fn set_or_remove(user: &mut dyn TableLike, key: &str, text: Option<String>) {
    let Some(text) = text else {
        user.remove(key);
        return;
    };
    let mut new = value(text);
    if let (Some(old), Some(new)) = (user.get(key).and_then(Item::as_value), new.as_value_mut()) {
        *new.decor_mut() = old.decor().clone();
    }
    user.insert(key, new);
}
