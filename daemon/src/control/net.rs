//! `selvedge net …`.

mod table;

use std::io::IsTerminal;

use hyper::Method;
use serde_json::Value;

use super::node_client::{NodeClient, segment};
use super::output::print_line;
use crate::arguments::NetCommand;
use crate::arguments::net::{NetArguments, NetDenyArguments, NetTopArguments};

/// Clears the screen, and puts the cursor into its corner.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Does what `command` says.
///
/// # Errors
/// No node answers, or it refused.
pub fn run(command: NetCommand) -> anyhow::Result<()> {
    match command {
        NetCommand::Top(arguments) => top(&arguments),
        NetCommand::Status(arguments) => ask(&arguments, Method::GET, "/v1/net?top=0", table::status),
        NetCommand::Denials(arguments) => ask(&arguments, Method::GET, "/v1/net/denials", table::denials),
        NetCommand::Deny(arguments) => deny(&arguments),
        NetCommand::Undeny(arguments) => {
            let path = format!("/v1/net/denials/{}", segment(&arguments.peer.to_string()));
            ask(&arguments.node, Method::DELETE, &path, |_| format!("{} is not denied any more", arguments.peer))
        }
        NetCommand::Allow(arguments) => {
            let path = format!("/v1/net/allowed/{}", arguments.network);
            ask(&arguments.node, Method::PUT, &path, table::allowed)
        }
        NetCommand::Disallow(arguments) => {
            let path = format!("/v1/net/allowed/{}", arguments.network);
            ask(&arguments.node, Method::DELETE, &path, table::allowed)
        }
    }
}

fn ask(
    arguments: &NetArguments,
    method: Method,
    path: &str,
    text: impl FnOnce(&Value) -> String,
) -> anyhow::Result<()> {
    let answer = NodeClient::new(&arguments.socket)?.call(method, path, Vec::new())?;
    let shown = if arguments.json { answer.to_string() } else { text(&answer) };
    Ok(print_line(shown.trim_end())?)
}

fn deny(arguments: &NetDenyArguments) -> anyhow::Result<()> {
    let peer = arguments.peer.peer;
    let path = format!("/v1/net/denials/{}?for={}", segment(&peer.to_string()), arguments.time);
    ask(&arguments.peer.node, Method::PUT, &path, |answer| {
        denied(answer, &peer.to_string(), &arguments.time.to_string())
    })
}

fn denied(answer: &Value, peer: &str, time: &str) -> String {
    let guarded: Vec<&str> = answer["guarded"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if guarded.is_empty() {
        return format!("{peer} is denied for {time}, but the guard sits on no interface: see `selvedge net status`");
    }
    let what = if answer["mode"] == "dry-run" { "would be dropped (dry run)" } else { "is dropped" };
    format!("what comes from {peer} on {} {what} for {time}", guarded.join(", "))
}

fn top(arguments: &NetTopArguments) -> anyhow::Result<()> {
    let client = NodeClient::new(&arguments.node.socket)?;
    let path = format!("/v1/net?top={}", arguments.peers);
    let is_live = std::io::stdout().is_terminal() && !arguments.once && !arguments.node.json;
    loop {
        let answer = client.call(Method::GET, &path, Vec::new())?;
        let text = if arguments.node.json { answer.to_string() } else { table::top(&answer) };
        if !is_live {
            return Ok(print_line(text.trim_end())?);
        }
        print_line(&format!("{CLEAR}{}", text.trim_end()))?;
        std::thread::sleep(arguments.every.0);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_denial_says_where_it_holds_and_whether_it_does_anything() {
        let said =
            |mode: &str, guarded: Value| denied(&json!({ "mode": mode, "guarded": guarded }), "192.0.2.7", "10m");
        assert_eq!(said("enforce", json!(["eth0"])), "what comes from 192.0.2.7 on eth0 is dropped for 10m");
        assert!(said("dry-run", json!(["eth0"])).contains("would be dropped (dry run)"));
        assert!(said("enforce", json!([])).contains("sits on no interface"));
    }
}
