//! `selvedge twin …`.

mod ops;
mod past;

use std::io::Read;

use anyhow::{Context, bail};
use hyper::Method;
use serde_json::{Map, Value};

use super::node_client::{NodeClient, segment};
use super::output::print_line;
use crate::arguments::TwinCommand;
use crate::arguments::twin::{
    SectionName, TwinGetArguments, TwinListArguments, TwinNameArguments, TwinPatchArguments, TwinQueryArguments,
    TwinSetArguments,
};

/// Largest patch that is read from a file or standard input.
const PATCH_BYTES_MAX: u64 = 1 << 20;

/// Does what `command` says.
///
/// # Errors
/// No node answers, or it refused.
pub fn run(command: TwinCommand) -> anyhow::Result<()> {
    match command {
        TwinCommand::Get(arguments) => get(&arguments),
        TwinCommand::Set(arguments) => set(&arguments),
        TwinCommand::Patch(arguments) => patch(&arguments),
        TwinCommand::Inc(arguments) => ops::inc(&arguments),
        TwinCommand::Add(arguments) => ops::add(&arguments),
        TwinCommand::Remove(arguments) => ops::remove(&arguments),
        TwinCommand::Delete(arguments) => delete(&arguments),
        TwinCommand::List(arguments) => list(&arguments),
        TwinCommand::Watch(arguments) => watch(&arguments),
        TwinCommand::Query(arguments) => query(&arguments),
        TwinCommand::Log(arguments) => past::log(&arguments),
        TwinCommand::Blame(arguments) => past::blame(&arguments),
        TwinCommand::Diff(arguments) => past::diff(&arguments),
        TwinCommand::Sync(command) => super::twin_group::sync(command),
        TwinCommand::Group(command) => super::twin_group::group(command),
    }
}

fn path(thing: &str) -> String {
    format!("/v1/twins/{}", segment(thing))
}

fn get(arguments: &TwinGetArguments) -> anyhow::Result<()> {
    let client = NodeClient::new(&arguments.name.socket)?;
    let twin = past::fetch(&client, &arguments.name.thing, arguments.at.as_deref())?;
    let shown = match arguments.section {
        Some(SectionName::Desired) => twin["desired"].clone(),
        Some(SectionName::Reported) => twin["reported"].clone(),
        None if arguments.name.json => twin,
        None => without_metadata(twin),
    };
    print_json(&shown, arguments.name.json)
}

/// Stamps of each field are for programs.
fn without_metadata(mut twin: Value) -> Value {
    if let Value::Object(members) = &mut twin {
        members.shift_remove("metadata");
    }
    twin
}

fn set(arguments: &TwinSetArguments) -> anyhow::Result<()> {
    let patch = member_patch(&arguments.path, &arguments.value)?;
    send_patch(&arguments.name, patch.to_string().into_bytes())
}

/// The names of `desired.a.b`.
fn dotted(path: &str) -> anyhow::Result<Vec<&str>> {
    let names: Vec<&str> = path.split('.').collect();
    let well_formed = names.len() >= 2
        && matches!(names.first(), Some(&("desired" | "reported")))
        && names.iter().all(|name| !name.is_empty());
    if !well_formed {
        bail!("{path}: expected desired.NAME or reported.NAME, with a dot between the names of nested members");
    }
    Ok(names)
}

/// JSON, or a text without quotes.
fn json_or_text(value: &str) -> anyhow::Result<Value> {
    match serde_json::from_str(value) {
        Ok(value) => Ok(value),
        // Nobody means a text that begins so.
        Err(error) if value.trim_start().starts_with(['{', '[', '"']) => {
            bail!("{value}: begins like JSON and is not: {error}; a text goes without quotes, or as \"text\" with both")
        }
        Err(_) => Ok(Value::from(value)),
    }
}

/// `{"desired": {"a": {"b": value}}}` for `desired.a.b`.
fn member_patch(path: &str, value: &str) -> anyhow::Result<Value> {
    let (names, value) = (dotted(path)?, json_or_text(value)?);
    Ok(names.iter().rev().fold(value, |inner, name| Value::Object(Map::from_iter([((*name).to_owned(), inner)]))))
}

fn patch(arguments: &TwinPatchArguments) -> anyhow::Result<()> {
    let patch = match arguments.patch.strip_prefix('@') {
        Some(file) => std::fs::File::open(file).and_then(bounded).with_context(|| format!("read {file}"))?,
        None if arguments.patch == "-" => bounded(std::io::stdin().lock()).context("read standard input")?,
        None => arguments.patch.clone().into_bytes(),
    };
    send_patch(&arguments.name, patch)
}

fn bounded(input: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(PATCH_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > PATCH_BYTES_MAX {
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "larger than 1 MiB"));
    }
    Ok(bytes)
}

fn send_patch(name: &TwinNameArguments, patch: Vec<u8>) -> anyhow::Result<()> {
    let client = NodeClient::new(&name.socket)?;
    let accepted = client.call(Method::PATCH, &path(&name.thing), patch)?;
    if name.json {
        print_json(&accepted, true)
    } else {
        Ok(print_line(&format!("{} has version {}", name.thing, accepted["version"]))?)
    }
}

fn query(arguments: &TwinQueryArguments) -> anyhow::Result<()> {
    let client = NodeClient::new(&arguments.socket)?;
    let mut path = format!("/v1/twins?where={}&limit={}", segment(&arguments.condition), arguments.limit);
    if let Some(after) = &arguments.after {
        path.push_str(&format!("&after={}", segment(after)));
    }
    let answer = client.call(Method::GET, &path, Vec::new())?;
    if arguments.json {
        return Ok(print_line(&answer.to_string())?);
    }
    for twin in answer["twins"].as_array().into_iter().flatten() {
        let thing = twin["thing"].as_str().unwrap_or_default();
        print_line(&format!(
            "{thing:<24} version {:<6} reported {} desired {}",
            twin["version"], twin["reported"], twin["desired"]
        ))?;
    }
    match answer["next"].as_str() {
        Some(next) => Ok(print_line(&format!("there may be more: --after {next}"))?),
        None => Ok(()),
    }
}

fn delete(arguments: &TwinNameArguments) -> anyhow::Result<()> {
    let client = NodeClient::new(&arguments.socket)?;
    let accepted = client.call(Method::DELETE, &path(&arguments.thing), Vec::new())?;
    if arguments.json {
        print_json(&accepted, true)
    } else {
        Ok(print_line(&format!("{} is deleted", arguments.thing))?)
    }
}

fn list(arguments: &TwinListArguments) -> anyhow::Result<()> {
    let client = NodeClient::new(&arguments.socket)?;
    let mut things = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let query = after.map_or_else(String::new, |after| format!("?after={}", segment(&after)));
        let page = client.call(Method::GET, &format!("/v1/twins{query}"), Vec::new())?;
        things.extend(page["things"].as_array().cloned().unwrap_or_default());
        match page["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => break,
        }
    }
    if arguments.json {
        return print_json(&Value::from(things), true);
    }
    Ok(things.iter().filter_map(Value::as_str).try_for_each(print_line)?)
}

fn watch(arguments: &TwinNameArguments) -> anyhow::Result<()> {
    let client = NodeClient::new(&arguments.socket)?;
    let mut printed = Ok(());
    client.follow(&format!("{}/events", path(&arguments.thing)), |event| {
        let shown = if arguments.json { event } else { changed(&event) };
        printed = print_line(&shown.to_string());
        printed.is_ok()
    })?;
    printed?;
    bail!("the node ended the stream");
}

/// The documents alone.
fn changed(event: &Value) -> Value {
    match event["event"].as_str() {
        Some("delete") => Value::from("deleted"),
        _ => event["current"]["state"].clone(),
    }
}

fn print_json(value: &Value, compact: bool) -> anyhow::Result<()> {
    let text = if compact { value.to_string() } else { serde_json::to_string_pretty(value)? };
    Ok(print_line(&text)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_dotted_path_becomes_a_merge_patch() {
        assert_eq!(member_patch("desired.a.b", "5").unwrap(), json!({ "desired": { "a": { "b": 5 } } }));
        assert_eq!(member_patch("reported.mode", "eco").unwrap(), json!({ "reported": { "mode": "eco" } }));
        assert_eq!(member_patch("desired.a", "null").unwrap(), json!({ "desired": { "a": null } }));
        assert_eq!(member_patch("desired.a", "{\"b\": [1]}").unwrap(), json!({ "desired": { "a": { "b": [1] } } }));
        for value in ["{bad", "[1", "\"open", " {", "{}}"] {
            let error = member_patch("desired.a", value).unwrap_err().to_string();
            assert!(error.starts_with(value) && error.contains("JSON"), "{error}");
        }
        assert_eq!(member_patch("desired.a", "a{\"").unwrap(), json!({ "desired": { "a": "a{\"" } }));
        for path in ["a", "desired", "desired.", "desired..a", "other.a", ""] {
            assert!(member_patch(path, "1").is_err(), "{path}");
        }
    }
}
