//! Versions and aliases of a function: `fn publish`, `alias`, `rollback`, `versions`, `gc`, `invoke`.

use std::time::{Duration, UNIX_EPOCH};

use hyper::Method;
use serde_json::{Value, json};

use super::{built_project, message_text, warn, word};
use crate::arguments::function::{
    FunctionAliasArguments, FunctionDeployArguments, FunctionGcArguments, FunctionInvokeArguments,
    FunctionNameArguments, FunctionRollBackArguments,
};
use crate::client::time_text;
use crate::control::node_client::{NodeClient, segment};
use crate::control::output::{escaped, print_line};
use crate::function_message::MessageText;
use crate::http::DeployRequest;

/// Characters of a digest that tell versions apart.
const DIGEST_SHOWN: usize = 12;

pub(super) fn publish(arguments: &FunctionDeployArguments) -> anyhow::Result<()> {
    let (manifest, component) = built_project(&arguments.directory, "publish")?;
    let client = NodeClient::new(&arguments.socket)?;
    let body = DeployRequest { manifest, component }.to_bytes();
    let published = client.call(Method::POST, "/v1/functions?publish_only=true", body)?;
    if !arguments.json {
        warn(&published);
    }
    show(arguments.json, &published, |published| {
        let (name, version) = (word(&published["name"]), word(&published["version"]));
        format!(
            "{name} {version} is published, digest {}; messages go to it with: selvedge fn alias {name} live {version}",
            word(&published["digest"])
        )
    })
}

pub(super) fn alias(arguments: &FunctionAliasArguments) -> anyhow::Result<()> {
    let client = NodeClient::new(&arguments.socket)?;
    let name = segment(&arguments.name);
    let Some(alias) = &arguments.alias else {
        let list = client.call(Method::GET, &format!("/v1/functions/{name}/versions"), Vec::new())?;
        return show(arguments.json, &list["aliases"], aliases);
    };
    let path = format!("/v1/functions/{name}/aliases/{}", segment(alias));
    if arguments.remove {
        let removed = client.call(Method::DELETE, &path, Vec::new())?;
        return show(arguments.json, &removed, |_| format!("alias {alias} of {} is removed", arguments.name));
    }
    if arguments.versions.is_empty() {
        let list = client.call(Method::GET, &format!("/v1/functions/{name}/versions"), Vec::new())?;
        let found = &list["aliases"][alias];
        anyhow::ensure!(!found.is_null(), "{} has no alias {alias:?}", arguments.name);
        return show(arguments.json, found, described);
    }
    let versions: Vec<String> = arguments.versions.iter().map(ToString::to_string).collect();
    let body = json!({ "versions": versions, "sticky": arguments.sticky.map(|sticky| sticky.to_string()) });
    let pointed = client.call(Method::PUT, &path, body.to_string().into_bytes())?;
    show(arguments.json, &pointed, pointed_text)
}

pub(super) fn roll_back(arguments: &FunctionRollBackArguments) -> anyhow::Result<()> {
    let client = NodeClient::new(&arguments.socket)?;
    let (name, alias) = (segment(&arguments.name), segment(&arguments.alias));
    let pointed = client.call(Method::POST, &format!("/v1/functions/{name}/rollback?alias={alias}"), Vec::new())?;
    show(arguments.json, &pointed, pointed_text)
}

pub(super) fn list(arguments: &FunctionNameArguments) -> anyhow::Result<()> {
    let client = NodeClient::new(&arguments.socket)?;
    let path = format!("/v1/functions/{}/versions", segment(&arguments.name));
    let list = client.call(Method::GET, &path, Vec::new())?;
    show(arguments.json, &list, table)
}

pub(super) fn collect(arguments: &FunctionGcArguments) -> anyhow::Result<()> {
    let client = NodeClient::new(&arguments.socket)?;
    let path = format!("/v1/functions/{}/gc?keep={}", segment(&arguments.name), arguments.keep);
    let collected = client.call(Method::POST, &path, Vec::new())?;
    show(arguments.json, &collected, |collected| {
        let removed: Vec<String> = collected["removed"].as_array().into_iter().flatten().map(word).collect();
        match removed.as_slice() {
            [] => "nothing to remove: aliases need the rest, or there are no more than that".to_owned(),
            removed => format!("removed {}", removed.join(", ")),
        }
    })
}

pub(super) fn invoke(arguments: &FunctionInvokeArguments) -> anyhow::Result<()> {
    let text = message_text(&arguments.message)?;
    // What is wrong with it is said here, without a node.
    MessageText::parse(&text)?;
    let client = NodeClient::new(&arguments.socket)?;
    let path = format!("/v1/functions/{}/invoke?at={}", segment(&arguments.name), segment(&arguments.at));
    let ended = client.call(Method::POST, &path, text.into_bytes())?;
    show(arguments.json, &ended, |ended| {
        format!(
            "{}: {} ran in {} µs, published {}, attempts {}",
            word(&ended["invocation_id"]),
            word(&ended["version"]),
            word(&ended["run_us"]),
            word(&ended["outputs"]),
            word(&ended["attempts"])
        )
    })
}

pub(super) fn show(json: bool, answer: &Value, text: impl FnOnce(&Value) -> String) -> anyhow::Result<()> {
    let shown = if json { answer.to_string() } else { text(answer) };
    Ok(print_line(shown.trim_end())?)
}

/// `v3=90 v4=10`; `-` for none.
pub(super) fn shares(shares: &Value) -> String {
    let texts: Vec<String> = shares
        .as_array()
        .into_iter()
        .flatten()
        .map(|share| format!("{}={}", word(&share["version"]), word(&share["weight"])))
        .collect();
    if texts.is_empty() { "-".to_owned() } else { texts.join(" ") }
}

fn described(alias: &Value) -> String {
    match alias["sticky"].as_str() {
        Some(sticky) => format!("{}, sticky by {sticky}", shares(&alias["shares"])),
        None => shares(&alias["shares"]),
    }
}

fn aliases(aliases: &Value) -> String {
    let lines: Vec<String> = aliases
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, alias)| format!("{name:<16} {}", described(alias)))
        .collect();
    if lines.is_empty() { "no aliases: no version gets messages".to_owned() } else { lines.join("\n") }
}

fn pointed_text(pointed: &Value) -> String {
    let so_far = if pointed["changed"] == false { " (as it was)" } else { "" };
    format!("{} {}: {}{so_far}", word(&pointed["name"]), word(&pointed["alias"]), described(pointed))
}

fn table(list: &Value) -> String {
    let mut lines = vec![format!("{:<8} {:<12} {:<14} {:<27}  aliases", "version", "author's", "digest", "published")];
    for version in list["versions"].as_array().into_iter().flatten() {
        let digest = word(&version["digest"]);
        let at = match version["published_ms"].as_u64() {
            Some(at @ 1..) => time_text::iso(UNIX_EPOCH + Duration::from_millis(at)),
            _ => "-".to_owned(),
        };
        let aliases: Vec<String> = version["aliases"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(alias, weight)| format!("{alias}={}", word(weight)))
            .collect();
        let author = match version["author_version"].as_str() {
            None | Some("") => "-".to_owned(),
            Some(author) => escaped(author),
        };
        lines.push(format!(
            "{:<8} {author:<12} {:<14} {at:<27}  {}",
            word(&version["version"]),
            digest.get(..DIGEST_SHOWN).unwrap_or(&digest),
            aliases.join(" ")
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_a_table_with_who_names_them() {
        let list = json!({ "versions": [
            { "version": "v1", "author_version": "1.0\u{1b}", "digest": "ab".repeat(32), "published_ms": 0, "aliases": {} },
            { "version": "v2", "author_version": "", "digest": "cd".repeat(32), "published_ms": 1000, "aliases": { "live": 90 } },
        ] });
        let text = table(&list);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("v1       1.0\\u{1b}") && lines[1].contains("abababababab   -"), "{text}");
        assert!(lines[2].contains("1970-01-01T00:00:01") && lines[2].ends_with("live=90"), "{text}");
    }

    #[test]
    fn an_alias_is_said_in_one_line() {
        let alias = json!({ "name": "f", "alias": "live", "changed": false, "sticky": "client",
            "shares": [{ "version": "v3", "weight": 90 }, { "version": "v4", "weight": 10 }] });
        assert_eq!(pointed_text(&alias), "f live: v3=90 v4=10, sticky by client (as it was)");
        assert_eq!(shares(&json!([])), "-");
        assert!(aliases(&json!({})).contains("no version gets messages"));
        assert_eq!(aliases(&json!({ "live": alias })), "live             v3=90 v4=10, sticky by client");
    }
}
