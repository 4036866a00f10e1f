//! `selvedge reload`, and what other commands say about a running node after they changed its files.

use anyhow::bail;
use hyper::Method;
use serde_json::Value;

use super::node_client::{CallError, NodeClient};
use super::output::{escaped, print_line};
use crate::arguments::{ReloadArguments, node::SocketArguments};

/// Makes the node read its files again and prints what is wrong with them.
///
/// # Errors
/// No node answers, or a file is missing or damaged: the exit code tells scripts.
pub fn run(arguments: &ReloadArguments) -> anyhow::Result<()> {
    let client = NodeClient::new(&arguments.socket)?;
    let answer = client.call(Method::POST, "/v1/reload", Vec::new())?;
    if arguments.json {
        print_line(&answer.to_string())?;
    }
    let problems = problems(&answer);
    if !problems.is_empty() {
        bail!("the node goes on with what it had:\n  {}", problems.join("\n  "));
    }
    if !arguments.json {
        print_line(if answer["changed"] == true { "reloaded" } else { "reloaded; nothing has changed" })?;
    }
    Ok(())
}

/// Tells a running node that its files changed, and a person what came of it.
///
/// # Errors
/// The node does not take them.
pub fn tell(socket: &SocketArguments) -> anyhow::Result<()> {
    let client = NodeClient::new(socket)?;
    match client.call(Method::POST, "/v1/reload", Vec::new()) {
        Ok(answer) => {
            let problems = problems(&answer);
            if problems.is_empty() {
                print_line("The running node has taken the change.")?;
                return Ok(());
            }
            bail!("the file is written, but the running node does not take it:\n  {}", problems.join("\n  "))
        }
        Err(CallError::NoNode { .. }) => {
            print_line("No node runs here now; it takes the change when it starts.")?;
            Ok(())
        }
        Err(error) => {
            print_line(&format!(
                "The file is written. The node could not be told ({error}); it looks every 2 seconds."
            ))?;
            Ok(())
        }
    }
}

fn problems(answer: &Value) -> Vec<String> {
    answer["problems"].as_array().into_iter().flatten().filter_map(Value::as_str).map(escaped).collect()
}
