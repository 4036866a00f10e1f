//! `selvedge twin inc|add|remove`: counters and sets.

use hyper::Method;
use serde_json::{Value, json};

use super::{dotted, json_or_text, path, print_json};
use crate::arguments::twin::{TwinAddArguments, TwinIncArguments, TwinNameArguments, TwinRemoveArguments};
use crate::control::node_client::NodeClient;
use crate::control::output::print_line;

pub fn inc(arguments: &TwinIncArguments) -> anyhow::Result<()> {
    let mut op = place("inc", &arguments.path)?;
    op["by"] = arguments.by.into();
    send(&arguments.name, &arguments.path, op)
}

pub fn add(arguments: &TwinAddArguments) -> anyhow::Result<()> {
    let mut op = place("add", &arguments.path)?;
    op["value"] = json_or_text(&arguments.value)?;
    if arguments.latest {
        op["kind"] = "latest".into();
    }
    send(&arguments.name, &arguments.path, op)
}

pub fn remove(arguments: &TwinRemoveArguments) -> anyhow::Result<()> {
    let mut op = place("remove", &arguments.path)?;
    if let Some(value) = &arguments.value {
        op["value"] = json_or_text(value)?;
    }
    send(&arguments.name, &arguments.path, op)
}

/// An operation with its section and JSON pointer.
fn place(op: &str, dotted_path: &str) -> anyhow::Result<Value> {
    let names = dotted(dotted_path)?;
    let (section, members) = names.split_at(1);
    let pointer = members
        .iter()
        .fold(String::new(), |pointer, name| format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1")));
    Ok(json!({ "op": op, "section": section[0], "path": pointer }))
}

fn send(name: &TwinNameArguments, dotted_path: &str, op: Value) -> anyhow::Result<()> {
    let client = NodeClient::new(&name.socket)?;
    let body = json!({ "ops": [op] }).to_string().into_bytes();
    let accepted = client.call(Method::POST, &format!("{}/ops", path(&name.thing)), body)?;
    if name.json {
        return print_json(&accepted, true);
    }
    let value = dotted_path.split('.').fold(&accepted["state"], |value, name| &value[name]);
    let shown = if value.is_null() { "gone".to_owned() } else { value.to_string() };
    Ok(print_line(&format!("{dotted_path} of {} is {shown}, version {}", name.thing, accepted["version"]))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dotted_path_becomes_a_section_and_a_pointer() {
        let expected = json!({ "op": "inc", "section": "reported", "path": "/a~1b/c~0" });
        assert_eq!(place("inc", "reported.a/b.c~").unwrap(), expected);
        assert!(place("inc", "reported").is_err() && place("inc", "delta.a").is_err());
    }
}
