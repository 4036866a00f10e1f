//! A request as a message: `$fn/http/NAME`, the body, and what else there is to know in user properties.

use axum::body::Bytes;
use axum::http::header::HeaderName;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use selvedge_functions::{InvocationMessage, Properties, Qos, REQUEST_TOPIC};

use super::Asked;
use crate::http::node::FoundRoute;

/// Headers that every route hands on. What shows who somebody is stays with the node.
const USUAL: [&str; 12] = [
    "accept",
    "accept-language",
    "content-encoding",
    "content-language",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "origin",
    "traceparent",
    "user-agent",
    "x-forwarded-for",
    "x-request-id",
];

pub(super) fn message(
    asked: &Asked,
    found: &FoundRoute,
    parts: &Parts,
    body: Bytes,
    user: Option<&str>,
) -> InvocationMessage {
    let mut user_properties = vec![
        ("http-method".to_owned(), asked.method.as_str().to_owned()),
        ("http-path".to_owned(), if asked.path.is_empty() { "/".to_owned() } else { asked.path.clone() }),
    ];
    let mut add = |name: String, value: &str| user_properties.push((name, value.to_owned()));
    if let Some(query) = parts.uri.query() {
        add("http-query".to_owned(), query);
    }
    if let Some(user) = user {
        add("http-user".to_owned(), user);
    }
    for (name, value) in &found.parameters {
        add(format!("http-param-{name}"), value);
    }
    for (name, value) in handed_on(&parts.headers, &found.route.headers) {
        add(format!("http-header-{name}"), value);
    }
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    InvocationMessage {
        topic: format!("{REQUEST_TOPIC}{}", asked.function),
        payload: body.to_vec(),
        qos: Qos::AtMostOnce,
        retain: false,
        properties: Properties {
            content_type: content_type.map(str::to_owned),
            user_properties,
            ..Properties::default()
        },
    }
}

/// In the order of the request; values that are no visible ASCII are left out.
fn handed_on<'a>(headers: &'a HeaderMap, wanted: &[String]) -> impl Iterator<Item = (&'a HeaderName, &'a str)> {
    headers
        .iter()
        .filter(|(name, _)| USUAL.contains(&name.as_str()) || wanted.iter().any(|it| it == name.as_str()))
        .filter_map(|(name, value)| Some((name, value.to_str().ok()?)))
}
