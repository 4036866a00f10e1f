//! The JSON of requests and replies, as AWS's device shadows have it. Pure: bytes in, bytes out.
//!
//! Arrays have one metadata entry, because they are one value; AWS repeats it for each element.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::clock::Stamp;
use crate::config::Config;
use crate::delta::{delta, restrict};
use crate::json;
use crate::ops;
use crate::twin::{Refusal, Section, SectionPatch, Twin, Update};

/// Longest `clientToken`, in bytes.
const CLIENT_TOKEN_BYTES_MAX: usize = 64;

/// What a request topic asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `.../get`
    Get,
    /// `.../update`
    Update,
    /// `.../delete`
    Delete,
    /// `.../ops`
    Ops,
}

impl Operation {
    /// From the last level of a request topic.
    #[must_use]
    pub fn parse(level: &str) -> Option<Self> {
        match level {
            "get" => Some(Operation::Get),
            "update" => Some(Operation::Update),
            "delete" => Some(Operation::Delete),
            "ops" => Some(Operation::Ops),
            _ => None,
        }
    }

    fn rejected(self) -> &'static str {
        match self {
            Operation::Get => "get/rejected",
            Operation::Update => "update/rejected",
            Operation::Delete => "delete/rejected",
            Operation::Ops => "ops/rejected",
        }
    }
}

/// A message to publish at `$twin/{thing}/` + `suffix`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The end of the topic: `update/accepted`, `update/delta`, `update/documents`, `update/rejected`, `get/accepted`, ...
    pub suffix: &'static str,
    /// JSON text.
    pub payload: Vec<u8>,
}

/// A request that was understood.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// Comes back in every reply.
    pub client_token: Option<String>,
    /// What to change; empty for `get` and `delete`.
    pub update: Update,
}

/// A request that is answered with `rejected`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// As HTTP and AWS have it: 400, 403, 404, 409, 413, 422, 500.
    pub code: u16,
    /// For people.
    pub message: String,
    /// The request's token, if it could be read.
    pub client_token: Option<String>,
}

impl Rejection {
    /// A rejection without a token.
    pub fn new(code: u16, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), client_token: None }
    }

    /// The rejection for an update that was refused.
    #[must_use]
    pub fn of(refusal: &Refusal) -> Self {
        let code = match refusal {
            Refusal::VersionConflict { .. } => 409,
            Refusal::NotAllowed { .. } => 403,
            Refusal::TooDeep { .. } | Refusal::PathTooLong { .. } => 400,
            Refusal::SectionTooLarge { .. } => 413,
            Refusal::TooManyFields { .. } | Refusal::TooManyTwins { .. } => 422,
            Refusal::OtherKind { .. } | Refusal::CounterFull { .. } => 422,
        };
        Self::new(code, refusal.to_string())
    }
}

/// Reads a request. Only `get` and `delete` may have an empty payload.
pub fn parse_request(operation: Operation, payload: &[u8], limits: &Config) -> Result<Request, Rejection> {
    if payload.len() > limits.request_bytes_max {
        let (bytes, max) = (payload.len(), limits.request_bytes_max);
        return Err(Rejection::new(413, format!("the request has {bytes} bytes, at most {max} are allowed")));
    }
    if payload.is_empty() && matches!(operation, Operation::Get | Operation::Delete) {
        return Ok(Request::default());
    }
    let value = json::parse(payload).map_err(|error| Rejection::new(400, error.to_string()))?;
    let Value::Object(mut root) = value else {
        return Err(Rejection::new(400, "the request is not a JSON object"));
    };
    let client_token = take_client_token(&mut root)?;
    let update = match operation {
        Operation::Get | Operation::Delete => Ok(Update::default()),
        Operation::Update => take_version(&mut root).and_then(|version| take_update(&mut root, version)),
        Operation::Ops => take_version(&mut root).and_then(|version| ops::take_ops(&mut root, version)),
    };
    let rest = update.and_then(|update| match root.keys().next() {
        Some(key) => Err(Rejection::new(400, format!("the request has an unknown member {key:?}"))),
        None => Ok(update),
    });
    match rest {
        Ok(update) => Ok(Request { client_token, update }),
        Err(rejection) => Err(Rejection { client_token, ..rejection }),
    }
}

/// What an accepted update is answered with: `update/accepted`, or `ops/accepted`; if anything changed, `update/delta` and
/// `update/documents` as [`change_replies`] has them.
#[must_use]
pub fn update_replies(request: &Request, before: &Twin, after: &Twin, now_ms: u64) -> Vec<Reply> {
    let mut state = Map::new();
    let mut metadata = Map::new();
    let written = timestamp(after.updated);
    let mut has_ops = false;
    for (section, patch) in &request.update.patches {
        let name = section.name().to_owned();
        match patch {
            SectionPatch::Merge(members) => {
                metadata.insert(name.clone(), written_metadata(members, &written).into());
                state.insert(name, members.clone().into());
            }
            SectionPatch::Clear => {
                state.insert(name, Value::Null);
            }
            SectionPatch::Op(_) => has_ops = true,
        }
    }
    let token = request.client_token.as_deref();
    let version = after.version.to_string();
    let mut replies = vec![if has_ops {
        let state = Value::Object(ops::outcome(&request.update, after)).to_string();
        reply("ops/accepted", vec![("state", state), ("version", version)], now_ms, token)
    } else {
        let (state, metadata) = (Value::Object(state).to_string(), Value::Object(metadata).to_string());
        reply("update/accepted", vec![("state", state), ("metadata", metadata), ("version", version)], now_ms, token)
    }];
    if before.version != after.version {
        replies.extend(change_replies(before, after, now_ms, token));
    }
    replies
}

/// What others are told of a change: `update/delta` if values changed and `desired` differs from `reported`, and
/// `update/documents`.
#[must_use]
pub fn change_replies(before: &Twin, after: &Twin, now_ms: u64, client_token: Option<&str>) -> Vec<Reply> {
    let (previous, current) = (Shown::of(before), Shown::of(after));
    let mut replies = Vec::new();
    let difference = if previous.state == current.state { Map::new() } else { difference(after) };
    if !difference.is_empty() {
        let metadata = restrict(&after.desired.metadata(&timestamp), &difference);
        let state = Value::Object(difference).to_string();
        let metadata = Value::Object(metadata).to_string();
        let body = vec![("state", state), ("metadata", metadata), ("version", after.version.to_string())];
        replies.push(reply("update/delta", body, now_ms, client_token));
    }
    let body = vec![("previous", object(&previous.members())), ("current", object(&current.members()))];
    replies.push(reply("update/documents", body, now_ms, client_token));
    replies
}

/// `get/accepted`, with the delta beside the two sections.
#[must_use]
pub fn get_reply(request: &Request, twin: &Twin, now_ms: u64) -> Reply {
    let mut shown = Shown::of(twin);
    let difference = difference(twin);
    if !difference.is_empty() {
        shown.state.push(("delta", Value::Object(difference).to_string()));
    }
    reply("get/accepted", shown.members(), now_ms, request.client_token.as_deref())
}

/// `delete/accepted`.
#[must_use]
pub fn delete_reply(request: &Request, twin: &Twin, now_ms: u64) -> Reply {
    let body = vec![("version", twin.version.to_string())];
    reply("delete/accepted", body, now_ms, request.client_token.as_deref())
}

/// `<operation>/rejected`.
#[must_use]
pub fn rejected_reply(operation: Operation, rejection: &Rejection, now_ms: u64) -> Reply {
    let message = Value::from(&*rejection.message).to_string();
    let body = vec![("code", rejection.code.to_string()), ("message", message)];
    reply(operation.rejected(), body, now_ms, rejection.client_token.as_deref())
}

/// A twin's documents as JSON text. Sections without fields are left out.
struct Shown {
    state: Vec<(&'static str, String)>,
    metadata: Vec<(&'static str, String)>,
    version: u64,
}

impl Shown {
    fn of(twin: &Twin) -> Self {
        let mut shown = Self { state: Vec::new(), metadata: Vec::new(), version: twin.version };
        for section in Section::ALL {
            let document = twin.section(section);
            let values = document.to_text();
            if values == "{}" {
                continue;
            }
            let mut stamps = String::new();
            document.write_json(&mut stamps, &mut |out, stamp, _| push_timestamp(out, stamp));
            shown.state.push((section.name(), values));
            shown.metadata.push((section.name(), stamps));
        }
        shown
    }

    fn members(&self) -> Vec<(&'static str, String)> {
        vec![
            ("state", object(&self.state)),
            ("metadata", object(&self.metadata)),
            ("version", self.version.to_string()),
        ]
    }
}

/// A field's entry in the metadata.
fn timestamp(stamp: Stamp) -> Value {
    json!({"timestamp": stamp.time.ms() / 1000})
}

/// [`timestamp()`] as text, without building it.
fn push_timestamp(out: &mut String, stamp: Stamp) {
    // Writing to a string cannot fail.
    let _ = write!(out, "{{\"timestamp\":{}}}", stamp.time.ms() / 1000);
}

/// The metadata of what a patch wrote: `written` for every field that it did not remove.
fn written_metadata(members: &Map<String, Value>, written: &Value) -> Map<String, Value> {
    let kept = members.iter().filter(|(_, value)| !value.is_null());
    let described = kept.map(|(key, value)| match value {
        Value::Object(members) => (key.clone(), written_metadata(members, written).into()),
        _ => (key.clone(), written.clone()),
    });
    described.collect()
}

fn difference(twin: &Twin) -> Map<String, Value> {
    let desired = twin.desired.to_json();
    if desired.is_empty() { desired } else { delta(&desired, &twin.reported.to_json()) }
}

/// An object of members whose values are JSON text. The names need no escaping.
fn object(members: &[(&'static str, String)]) -> String {
    let bytes: usize = members.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    let mut text = String::with_capacity(bytes + 2);
    for (name, value) in members {
        text.push(if text.is_empty() { '{' } else { ',' });
        text.extend(["\"", name, "\":", value]);
    }
    text.push_str(if text.is_empty() { "{}" } else { "}" });
    text
}

fn reply(
    suffix: &'static str,
    mut members: Vec<(&'static str, String)>,
    now_ms: u64,
    client_token: Option<&str>,
) -> Reply {
    members.push(("timestamp", (now_ms / 1000).to_string()));
    members.extend(client_token.map(|token| ("clientToken", Value::from(token).to_string())));
    Reply { suffix, payload: object(&members).into_bytes() }
}

fn take_client_token(root: &mut Map<String, Value>) -> Result<Option<String>, Rejection> {
    match root.shift_remove("clientToken") {
        None => Ok(None),
        Some(Value::String(token)) if token.len() <= CLIENT_TOKEN_BYTES_MAX => Ok(Some(token)),
        Some(_) => {
            let message = format!("clientToken is not a string of at most {CLIENT_TOKEN_BYTES_MAX} bytes");
            Err(Rejection::new(400, message))
        }
    }
}

fn take_version(root: &mut Map<String, Value>) -> Result<Option<u64>, Rejection> {
    match root.shift_remove("version") {
        None | Some(Value::Null) => Ok(None),
        Some(version) => {
            let version = version.as_u64();
            Ok(Some(version.ok_or_else(|| Rejection::new(400, "version is not an integer of 0 or more"))?))
        }
    }
}

fn take_update(root: &mut Map<String, Value>, expected_version: Option<u64>) -> Result<Update, Rejection> {
    let mut state = match root.shift_remove("state") {
        Some(Value::Object(state)) => state,
        Some(_) => return Err(Rejection::new(400, "state is not an object")),
        None => return Err(Rejection::new(400, "the member \"state\" is missing")),
    };
    let mut patches = Vec::new();
    for section in Section::ALL {
        let patch = match state.shift_remove(section.name()) {
            None => continue,
            Some(Value::Null) => SectionPatch::Clear,
            Some(Value::Object(members)) => SectionPatch::Merge(members),
            Some(_) => return Err(Rejection::new(400, format!("{} is not an object or null", section.name()))),
        };
        patches.push((section, patch));
    }
    if let Some(key) = state.keys().next() {
        return Err(Rejection::new(400, format!("state has an unknown member {key:?}")));
    }
    if patches.is_empty() {
        return Err(Rejection::new(400, "state has neither \"desired\" nor \"reported\""));
    }
    Ok(Update { patches, expected_version })
}

#[cfg(test)]
mod tests;
