//! Routes of twins: whole, by section and path, changed under a condition, asked by a question, watched.
//!
//! A path is the segments behind the section; a segment is a reference token of a JSON pointer (RFC 6901: `~1` is a slash, `~0` a
//! tilde). The version of a twin is its ETag (RFC 9110, 8.8.3), for all that is in it.

mod events;
mod member;
mod past;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Answer, MaybeReader, NodeState, Serving};
use crate::http::answer::{ApiError, json_response};
use crate::http::login;
use crate::http::node::{Node, TwinQuestion};
use member::Place;

/// Twins named in one answer.
const NAMES_MAX: usize = 1000;
/// Whole twins in one answer, unless the request says otherwise.
const FOUND: usize = 100;
/// Times that a value is put in place of one that others change meanwhile.
const PUT_TRIES: usize = 4;

/// What is read.
pub(super) fn reading() -> Router<Serving> {
    Router::new()
        .route("/v1/twins", get(twins))
        .route("/v1/twins/{thing}", get(twin))
        .route("/v1/twins/{thing}/events", get(events::watch))
        .route("/v1/twins/{thing}/explain", get(past::explain))
        .route("/v1/twins/{thing}/history", get(past::history))
        .route("/v1/twins/{thing}/{section}", get(section))
        .route("/v1/twins/{thing}/{section}/{*path}", get(below))
}

/// The same, and what is changed.
pub(super) fn changing() -> Router<Serving> {
    Router::new()
        .route("/v1/twins", get(twins))
        .route("/v1/twins/{thing}", get(twin).patch(patch_twin).delete(delete_twin))
        .route("/v1/twins/{thing}/events", get(events::watch))
        .route("/v1/twins/{thing}/explain", get(past::explain))
        .route("/v1/twins/{thing}/history", get(past::history))
        .route("/v1/twins/{thing}/ops", post(change_twin))
        .route("/v1/twins/{thing}/{section}", get(section).put(put_section).patch(patch_section).delete(clear_section))
        .route("/v1/twins/{thing}/{section}/{*path}", get(below).put(put_below).patch(patch_below).delete(delete_below))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    after: Option<String>,
    limit: Option<usize>,
    r#where: Option<String>,
}

async fn twins(State(node): NodeState, reader: MaybeReader, Query(wanted): Query<Wanted>) -> Answer {
    let reader = reader.map(|reader| reader.0);
    if let Some(text) = wanted.r#where {
        let limit = wanted.limit.unwrap_or(FOUND).clamp(1, NAMES_MAX);
        let question = TwinQuestion { text, after: wanted.after, limit, reader };
        return Ok(json_response(StatusCode::OK, &node.ask_twins(question).await?));
    }
    let limit = wanted.limit.unwrap_or(NAMES_MAX).clamp(1, NAMES_MAX);
    let names = node.twins(wanted.after.as_deref(), limit)?;
    let next = if names.len() == limit { names.last().cloned() } else { None };
    // A page may be shorter than asked for: `next` goes on behind what this reader may not see.
    let names: Vec<String> = match &reader {
        Some(login::Reader(reads)) => names.into_iter().filter(|name| reads.may_read_twin(name)).collect(),
        None => names,
    };
    Ok(json_response(StatusCode::OK, &json!({ "things": names, "next": next })))
}

async fn twin(
    State(node): NodeState,
    reader: MaybeReader,
    headers: HeaderMap,
    Path(thing): Path<String>,
    Query(moment): Query<past::At>,
) -> Answer {
    login::check_twin(reader.as_deref(), &thing)?;
    match moment.parse()? {
        // What was does not change, and has no tag of what is.
        Some(moment) => Ok(json_response(StatusCode::OK, &node.twin(&thing, Some(moment))?)),
        None => {
            let twin = node.twin(&thing, None)?;
            Ok(tagged(&headers, &twin, &twin))
        }
    }
}

async fn section(
    state: NodeState,
    reader: MaybeReader,
    headers: HeaderMap,
    Path((thing, section)): Path<(String, String)>,
) -> Answer {
    below(state, reader, headers, Path((thing, section, String::new()))).await
}

async fn below(
    State(node): NodeState,
    reader: MaybeReader,
    headers: HeaderMap,
    Path((thing, section, path)): Path<(String, String, String)>,
) -> Answer {
    login::check_twin(reader.as_deref(), &thing)?;
    let place = Place::parse(&section, &path, false)?;
    let twin = node.twin(&thing, None)?;
    let value = place.find(&twin).ok_or_else(|| place.not_there(&thing))?;
    Ok(tagged(&headers, &twin, value))
}

async fn patch_twin(State(node): NodeState, headers: HeaderMap, Path(thing): Path<String>, body: Bytes) -> Answer {
    let changed = match precondition(&*node, &thing, &headers)? {
        None => node.patch_twin(&thing, body.to_vec()).await,
        Some(version) => {
            let patch = object(&body)?;
            if patch.contains_key("version") {
                return Err(ApiError::invalid(
                    "the condition is in If-Match already: leave \"version\" out of the patch",
                ));
            }
            node.patch_twin(&thing, with_version(patch, version)).await
        }
    };
    changed_as(&headers, changed)
}

async fn change_twin(State(node): NodeState, headers: HeaderMap, Path(thing): Path<String>, body: Bytes) -> Answer {
    let ops = match precondition(&*node, &thing, &headers)? {
        None => body.to_vec(),
        Some(version) => {
            let request = object(&body)?;
            if request.contains_key("version") {
                return Err(ApiError::invalid(
                    "the condition is in If-Match already: leave \"version\" out of the body",
                ));
            }
            with_version(request, version)
        }
    };
    changed_as(&headers, node.change_twin(&thing, ops).await)
}

async fn delete_twin(State(node): NodeState, headers: HeaderMap, Path(thing): Path<String>) -> Answer {
    if let Some(version) = precondition(&*node, &thing, &headers)? {
        // The request has no condition of its own; what changes in between is deleted as well.
        expect(&node.twin(&thing, None)?, version)?;
    }
    changed_as(&headers, node.delete_twin(&thing).await)
}

async fn put_section(
    state: NodeState,
    headers: HeaderMap,
    Path((thing, section)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    put_below(state, headers, Path((thing, section, String::new())), body).await
}

async fn put_below(
    State(node): NodeState,
    headers: HeaderMap,
    Path((thing, section, path)): Path<(String, String, String)>,
    body: Bytes,
) -> Answer {
    let place = Place::parse(&section, &path, true)?;
    let wanted = json(&body)?;
    // What can be put nowhere is refused before a condition is looked at.
    place.around(member::replacement(None, &wanted)?)?;
    let expected = precondition(&*node, &thing, &headers)?;
    for _ in 0..PUT_TRIES {
        let current = match node.twin(&thing, None) {
            Err(error) if error.status == 404 => Value::Null,
            found => found?,
        };
        let version = current.get("version").and_then(Value::as_u64).unwrap_or(0);
        if let Some(expected) = expected {
            expect(&current, expected)?;
        }
        let patch = place.around(member::replacement(place.find(&current), &wanted)?)?;
        match node.patch_twin(&thing, with_version(patch, version)).await {
            // Somebody was faster.
            Err(error) if error.status == 409 => {}
            changed => return changed_as(&headers, changed),
        }
    }
    Err(ApiError::new(409, "others change this twin all the time; try again"))
}

async fn patch_section(
    state: NodeState,
    headers: HeaderMap,
    Path((thing, section)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    patch_below(state, headers, Path((thing, section, String::new())), body).await
}

async fn patch_below(
    State(node): NodeState,
    headers: HeaderMap,
    Path((thing, section, path)): Path<(String, String, String)>,
    body: Bytes,
) -> Answer {
    let place = Place::parse(&section, &path, true)?;
    let patch = place.around(Value::Object(object(&body)?))?;
    let body = match precondition(&*node, &thing, &headers)? {
        Some(version) => with_version(patch, version),
        None => Value::Object(patch).to_string().into_bytes(),
    };
    changed_as(&headers, node.patch_twin(&thing, body).await)
}

async fn clear_section(state: NodeState, headers: HeaderMap, Path((thing, section)): Path<(String, String)>) -> Answer {
    delete_below(state, headers, Path((thing, section, String::new()))).await
}

async fn delete_below(
    State(node): NodeState,
    headers: HeaderMap,
    Path((thing, section, path)): Path<(String, String, String)>,
) -> Answer {
    let place = Place::parse(&section, &path, true)?;
    let twin = node.twin(&thing, None)?;
    if place.find(&twin).is_none() {
        return Err(place.not_there(&thing));
    }
    let patch = place.around(Value::Null)?;
    let body = match precondition(&*node, &thing, &headers)? {
        Some(version) => with_version(patch, version),
        None => Value::Object(patch).to_string().into_bytes(),
    };
    changed_as(&headers, node.patch_twin(&thing, body).await)
}

/// `value` of `twin` with the ETag, or 304 if the reader has it already.
fn tagged(headers: &HeaderMap, twin: &Value, value: &Value) -> Response {
    let Some(tag) = tag_of(twin) else { return json_response(StatusCode::OK, value) };
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    // RFC 9110, 13.1.2: weak comparison, and an asterisk stands for all.
    let is_known = known
        .flat_map(|list| list.split(','))
        .map(|known| known.trim())
        .any(|known| known == "*" || Some(known.trim_start_matches("W/")) == tag.to_str().ok());
    let etag: [(HeaderName, HeaderValue); 1] = [(header::ETAG, tag)];
    if is_known {
        (StatusCode::NOT_MODIFIED, etag).into_response()
    } else {
        (etag, json_response(StatusCode::OK, value)).into_response()
    }
}

fn tag_of(twin: &Value) -> Option<HeaderValue> {
    let version = twin.get("version")?.as_u64()?;
    HeaderValue::try_from(format!("\"{version}\"")).ok()
}

/// The version that `If-Match` asks for; an asterisk asks for none in particular.
fn precondition(node: &dyn Node, thing: &str, headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    // RFC 9110, 13.1.1: strong comparison, so that a weak tag never matches.
    let version = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).and_then(|text| text.parse().ok());
    version.map(Some).ok_or_else(|| match node.twin(thing, None) {
        // A name that cannot be comes before a condition that does not hold.
        Err(wrong) if wrong.status == 400 => wrong,
        _ => ApiError::new(412, "If-Match is not the ETag of a twin, such as \"7\" with its quotes"),
    })
}

fn expect(twin: &Value, expected: u64) -> Result<(), ApiError> {
    let version = twin.get("version").and_then(Value::as_u64).unwrap_or(0);
    if version == expected {
        return Ok(());
    }
    Err(ApiError::new(412, format!("the version is {version}, not {expected}")))
}

/// What came of a change; a conflict is a failed condition when there was one.
fn changed_as(headers: &HeaderMap, changed: Result<Value, ApiError>) -> Answer {
    match changed {
        Ok(value) => {
            let answer = json_response(StatusCode::OK, &value);
            Ok(match tag_of(&value) {
                Some(tag) => ([(header::ETAG, tag)], answer).into_response(),
                None => answer,
            })
        }
        Err(error) if error.status == 409 && headers.contains_key(header::IF_MATCH) => {
            Err(ApiError { status: 412, ..error })
        }
        Err(error) => Err(error),
    }
}

fn json(body: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(body).map_err(|error| ApiError::invalid(format!("the body is not JSON: {error}")))
}

fn object(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    match json(body)? {
        Value::Object(members) => Ok(members),
        _ => Err(ApiError::invalid("the body is not a JSON object; a single value is put in place with PUT")),
    }
}

fn with_version(mut patch: Map<String, Value>, version: u64) -> Vec<u8> {
    patch.insert("version".to_owned(), version.into());
    Value::Object(patch).to_string().into_bytes()
}
