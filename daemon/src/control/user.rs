//! `selvedge user`: changes the file of users, then tells a running node. Works without one.

use anyhow::{Context, ensure};
use selvedge_access::password::{self as hashes, PasswordCost};
use selvedge_access::scram::{ITERATIONS_DEFAULT, Verifier};
use selvedge_access::users::Users;
use selvedge_access::users::edit::{self, Secrets};
use serde_json::{Value, json};

use super::access_files::AccessFiles;
use super::output::{escaped, print_line};
use super::password::{self, Password};
use super::reload;
use crate::arguments::user::{
    UserAddArguments, UserCommand, UserListArguments, UserNameArguments, UserPasswordArguments,
};

/// Runs the command.
///
/// # Errors
/// It failed; nothing was changed then, unless the text says so.
pub fn run(command: UserCommand) -> anyhow::Result<()> {
    match command {
        UserCommand::Add(arguments) => add(&arguments),
        UserCommand::Passwd(arguments) => set_password(&arguments),
        UserCommand::Disable(arguments) => {
            change(&arguments, "is refused now", |text, name| edit::set_disabled(text, name, true))
        }
        UserCommand::Enable(arguments) => {
            change(&arguments, "can log in again", |text, name| edit::set_disabled(text, name, false))
        }
        UserCommand::Remove(arguments) => change(&arguments, "is removed", edit::remove_user),
        UserCommand::List(arguments) => list(&arguments),
    }
}

fn add(arguments: &UserAddArguments) -> anyhow::Result<()> {
    let files = AccessFiles::find(&arguments.files)?;
    let name = &arguments.name;
    let exists = |text: &str| Users::parse(text).is_ok_and(|users| users.get(name).is_some());
    // Before a password is asked for.
    ensure!(
        !AccessFiles::read(&files.users)?.is_some_and(|text| exists(&text)),
        "there is a user {name:?} already: `selvedge user passwd {name}` sets another password"
    );
    let password = match arguments.no_password {
        true => None,
        false => Some(password::get(&arguments.password, name)?),
    };
    let secrets = match &password {
        Some(password) => secrets(&password.text, arguments.scram)?,
        None => Secrets::default(),
    };
    let lock = files.lock()?;
    let before = AccessFiles::read(&files.users)?;
    let text = edit::add_user(before.as_deref().unwrap_or(""), name, &secrets, arguments.comment.as_deref())
        .with_context(|| format!("change {}", files.users.display()))?;
    let has_started_rules = files.start_rules()?;
    files.write_users(&text)?;
    drop(lock);
    print_line(&format!("{} is added to {}", escaped(name), files.users.display()))?;
    if has_started_rules {
        print_line(&format!(
            "wrote the starting rules, {}: users may do everything that a client may, and so may clients without a login where \
             a listener lets them in; narrow them there",
            files.rules.display()
        ))?;
    }
    say(password.as_ref())?;
    reload::tell(&arguments.files.socket)
}

fn set_password(arguments: &UserPasswordArguments) -> anyhow::Result<()> {
    let files = AccessFiles::find(&arguments.files)?;
    let name = &arguments.name;
    let known = |text: &str| -> anyhow::Result<bool> {
        let users = Users::parse(text).with_context(|| format!("read {}", files.users.display()))?;
        let user = users.get(name).with_context(|| format!("there is no user {name:?}"))?;
        Ok(user.scram.is_some())
    };
    let had_scram = known(&AccessFiles::read(&files.users)?.unwrap_or_default())?;
    let password = password::get(&arguments.password, name)?;
    let secrets = secrets(&password.text, arguments.scram || had_scram)?;
    let lock = files.lock()?;
    let before = AccessFiles::read(&files.users)?.unwrap_or_default();
    let text =
        edit::set_password(&before, name, &secrets).with_context(|| format!("change {}", files.users.display()))?;
    files.write_users(&text)?;
    drop(lock);
    print_line(&format!("{} has another password", escaped(name)))?;
    say(Some(&password))?;
    reload::tell(&arguments.files.socket)
}

fn change(
    arguments: &UserNameArguments,
    outcome: &str,
    edit: impl FnOnce(&str, &str) -> Result<String, edit::EditUsersError>,
) -> anyhow::Result<()> {
    let files = AccessFiles::find(&arguments.files)?;
    let lock = files.lock()?;
    let before = AccessFiles::read(&files.users)?
        .with_context(|| format!("there are no users: {} is not there", files.users.display()))?;
    let text = edit(&before, &arguments.name).with_context(|| format!("change {}", files.users.display()))?;
    files.write_users(&text)?;
    drop(lock);
    print_line(&format!("{} {outcome}", escaped(&arguments.name)))?;
    reload::tell(&arguments.files.socket)
}

fn secrets(password: &str, with_scram: bool) -> anyhow::Result<Secrets> {
    let hash = hashes::hash(password.as_bytes(), salt()?, PasswordCost::default())?;
    let scram = match with_scram {
        true => Some(Verifier::derive(password, salt()?, ITERATIONS_DEFAULT)?),
        false => None,
    };
    Ok(Secrets { password: Some(hash), scram })
}

fn salt() -> anyhow::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("random numbers: {error}"))?;
    Ok(bytes)
}

/// Nobody knows a generated password but whoever reads this line.
fn say(password: Option<&Password>) -> anyhow::Result<()> {
    if let Some(password) = password.filter(|password| password.is_generated) {
        print_line(&format!("password: {}", password.text))?;
    }
    Ok(())
}

fn list(arguments: &UserListArguments) -> anyhow::Result<()> {
    let files = AccessFiles::find(&arguments.files)?;
    let text = AccessFiles::read(&files.users)?.with_context(|| {
        format!("there are no users: {} is not there (`selvedge user add NAME`)", files.users.display())
    })?;
    let users = Users::parse(&text).with_context(|| format!("read {}", files.users.display()))?;
    if arguments.json {
        let all: Vec<Value> = users
            .list()
            .map(|user| {
                json!({
                    "name": user.name, "password": user.password, "scram": user.scram, "disabled": user.disabled,
                    "comment": user.comment,
                })
            })
            .collect();
        return Ok(print_line(&Value::from(all).to_string())?);
    }
    print_line(&format!("{:<24} {:<20} {:<9} comment", "name", "logs in with", "state"))?;
    for user in users.list() {
        let ways: Vec<&str> = [(user.password, "password"), (user.scram, "SCRAM")]
            .into_iter()
            .filter(|(has, _)| *has)
            .map(|(_, way)| way)
            .collect();
        let ways = if ways.is_empty() { "-".to_owned() } else { ways.join(", ") };
        let state = if user.disabled { "disabled" } else { "good" };
        print_line(&format!(
            "{:<24} {ways:<20} {state:<9} {}",
            escaped(user.name),
            escaped(user.comment.unwrap_or(""))
        ))?;
    }
    Ok(())
}
