//! `selvedge twin log|blame|diff` and `twin get --at`: what twins were, and why they are what they are.

use std::time::{Duration, UNIX_EPOCH};

use anyhow::bail;
use hyper::Method;
use serde_json::{Value, json};

use super::{path, print_json};
use crate::arguments::twin::{SectionName, TwinBlameArguments, TwinDiffArguments, TwinLogArguments};
use crate::client::time_text;
use crate::control::node_client::{NodeClient, segment};
use crate::control::output::print_line;

/// A twin, now or as it was.
pub fn fetch(client: &NodeClient, thing: &str, at: Option<&str>) -> anyhow::Result<Value> {
    let query = at.map_or_else(String::new, |at| format!("?at={}", segment(at)));
    Ok(client.call(Method::GET, &format!("{}{query}", path(thing)), Vec::new())?)
}

pub fn log(arguments: &TwinLogArguments) -> anyhow::Result<()> {
    let client = NodeClient::new(&arguments.name.socket)?;
    let mut after = arguments.after;
    loop {
        let wanted = format!("{}/history?after={after}", path(&arguments.name.thing));
        let page = client.call(Method::GET, &wanted, Vec::new())?;
        for change in page["changes"].as_array().into_iter().flatten() {
            if arguments.name.json {
                print_json(change, true)?;
            } else {
                print_change(change)?;
            }
        }
        match page["next"].as_u64() {
            Some(next) => after = next,
            None => return Ok(()),
        }
    }
}

fn print_change(change: &Value) -> anyhow::Result<()> {
    let cause = if change["cause"] == "exchange" { ", from another node" } else { "" };
    print_line(&format!(
        "{} {} {} by node {}{cause}",
        change["revision"],
        time(&change["time_ms"]),
        text(&change["deed"]),
        text(&change["node"]),
    ))?;
    for field in change["fields"].as_array().into_iter().flatten() {
        print_difference(field)?;
    }
    Ok(())
}

pub fn blame(arguments: &TwinBlameArguments) -> anyhow::Result<()> {
    let client = NodeClient::new(&arguments.name.socket)?;
    let origin = client.call(Method::GET, &format!("{}/explain", path(&arguments.name.thing)), Vec::new())?;
    if arguments.name.json {
        return print_json(&origin, true);
    }
    let sections: &[&str] = match arguments.section {
        Some(SectionName::Desired) => &["desired"],
        Some(SectionName::Reported) => &["reported"],
        None => &["desired", "reported"],
    };
    for section in sections {
        for field in origin[*section].as_array().into_iter().flatten() {
            let place = format!("{section}{}", text(&field["path"]));
            print_line(&match field["shown"] {
                Value::Null => format!("{place} shows nothing"),
                ref shown => format!("{place} = {shown}"),
            })?;
            for claim in field["claims"].as_array().into_iter().flatten() {
                let won = if claim["stamp"] == field["decided"] { "  <- decided" } else { "" };
                print_line(&format!("  {}{won}", claimed(claim)))?;
            }
        }
    }
    Ok(())
}

/// `2026-11-29T12:00:00.000000Z write 5 by node 0000000000000001`
fn claimed(claim: &Value) -> String {
    // `<milliseconds>.<counter>@<node>`
    let stamp = text(&claim["stamp"]);
    let (at, node) = stamp.split_once('@').unwrap_or((stamp, "?"));
    let ms = at.split('.').next().and_then(|ms| ms.parse::<u64>().ok()).map_or(Value::Null, Value::from);
    let value = if claim["value"].is_null() { String::new() } else { format!(" {}", claim["value"]) };
    format!("{} {}{value} by node {node}", time(&ms), text(&claim["deed"]))
}

pub fn diff(arguments: &TwinDiffArguments) -> anyhow::Result<()> {
    let client = NodeClient::new(&arguments.socket)?;
    let (thing, at) = named(&arguments.from);
    let (other, other_at) = match named(&arguments.to) {
        ("", at) => (thing, at),
        named => named,
    };
    if thing.is_empty() {
        bail!("{}: expected THING, or THING@REVISION, or THING@TIME", arguments.from);
    }
    let (from, to) = (fetch(&client, thing, at)?, fetch(&client, other, other_at)?);
    let mut differences = Vec::new();
    for section in ["desired", "reported"] {
        compare(section, String::new(), &from[section], &to[section], &mut differences);
    }
    if arguments.json {
        return print_json(&Value::from(differences), true);
    }
    differences.iter().try_for_each(print_difference)
}

/// A thing, and when.
fn named(text: &str) -> (&str, Option<&str>) {
    match text.split_once('@') {
        Some((thing, at)) => (thing, Some(at)),
        None => (text, None),
    }
}

/// Adds where `from` and `to` differ. Objects are compared member by member; the depth of twins is bounded.
fn compare(section: &str, pointer: String, from: &Value, to: &Value, differences: &mut Vec<Value>) {
    if let (Value::Object(before), Value::Object(after)) = (from, to) {
        let removed = before.keys().filter(|name| !after.contains_key(*name));
        for name in removed.chain(after.keys()) {
            let inner = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
            compare(section, inner, &from[name], &to[name], differences);
        }
    } else if from != to {
        differences.push(json!({ "section": section, "path": pointer, "from": from, "to": to }));
    }
}

fn print_difference(field: &Value) -> anyhow::Result<()> {
    let place = format!("{}{}", text(&field["section"]), text(&field["path"]));
    Ok(print_line(&match (&field["from"], &field["to"]) {
        (Value::Null, to) => format!("  + {place}: {to}"),
        (from, Value::Null) => format!("  - {place}: {from}"),
        (from, to) => format!("  ~ {place}: {from} -> {to}"),
    })?)
}

fn time(ms: &Value) -> String {
    ms.as_u64().map_or_else(|| "?".to_owned(), |ms| time_text::iso(UNIX_EPOCH + Duration::from_millis(ms)))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_named_with_or_without_a_moment() {
        assert_eq!(named("pump-1"), ("pump-1", None));
        assert_eq!(named("pump-1@3"), ("pump-1", Some("3")));
        assert_eq!(named("@2026-11-29T12:00:00Z"), ("", Some("2026-11-29T12:00:00Z")));
    }

    #[test]
    fn members_that_differ_are_named_by_their_pointers() {
        let from = json!({ "a": 1, "o": { "same": 1, "gone": 2 }, "was": { "x": 1 } });
        let to = json!({ "a": 2, "o": { "same": 1, "new/er": 3 }, "was": 5 });
        let mut differences = Vec::new();
        compare("reported", String::new(), &from, &to, &mut differences);
        let short: Vec<_> = differences
            .iter()
            .map(|field| (field["path"].as_str().unwrap(), field["from"].clone(), field["to"].clone()))
            .collect();
        let expected = [
            ("/a", json!(1), json!(2)),
            ("/o/gone", json!(2), Value::Null),
            ("/o/new~1er", Value::Null, json!(3)),
            ("/was", json!({ "x": 1 }), json!(5)),
        ];
        assert_eq!(short, expected);
    }

    #[test]
    fn a_claim_says_when_what_and_where() {
        let claim = json!({ "stamp": "1709251200250.1@00000000000000ab", "deed": "write", "value": 5 });
        assert_eq!(claimed(&claim), "2024-03-01T00:00:00.250000Z write 5 by node 00000000000000ab");
        let removed = json!({ "stamp": "0.0@01", "deed": "remove", "value": null });
        assert_eq!(claimed(&removed), "1970-01-01T00:00:00.000000Z remove by node 01");
    }
}
