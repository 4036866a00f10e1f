//! What is served, for programs: OpenAPI 3.1, from a file that tests compare with the routes. Each listener describes what it serves
//! itself, by the member `x-served` of an operation: `socket`, `socket-or-login`, or without it everywhere.

use serde_json::{Map, Value};

const OPENAPI: &str = include_str!("../openapi.json");

/// Where requests come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// control.sock.
    Socket,
    /// TCP, where nobody logs in.
    Tcp,
    /// TCP, where everybody does.
    TcpWithLogin,
}

/// The description of what `listener` serves, as JSON.
pub fn of(listener: Listener) -> String {
    let mut description: Value = serde_json::from_str(OPENAPI).unwrap_or_default();
    if let Some(Value::Object(paths)) = description.get_mut("paths") {
        for operations in paths.values_mut().filter_map(Value::as_object_mut) {
            operations.retain(|_, operation| is_served(listener, operation));
        }
        paths.retain(|_, operations| operations.as_object().is_some_and(has_operation));
    }
    description.to_string()
}

fn is_served(listener: Listener, operation: &Value) -> bool {
    match operation.get("x-served").and_then(Value::as_str) {
        Some("socket") => listener == Listener::Socket,
        Some("socket-or-login") => listener != Listener::Tcp,
        _ => true,
    }
}

fn has_operation(members: &Map<String, Value>) -> bool {
    members.values().any(|member| member.get("operationId").is_some())
}

#[cfg(test)]
mod tests;
