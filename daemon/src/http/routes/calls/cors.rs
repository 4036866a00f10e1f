//! Which web pages may call a route. A browser asks first where a request is unusual, and does not where it is usual: so a page that
//! may not call is refused here as well, before anything runs. On listeners without a login that is what keeps foreign pages out.

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use selvedge_functions::HttpRoute;

use crate::http::answer::ApiError;
use crate::http::node::RouteAnswer;

/// How long a browser remembers what it may do, seconds.
const REMEMBERED_S: HeaderValue = HeaderValue::from_static("600");
/// Headers that pages may send besides those of the route.
const USUAL_HEADERS: &str = "authorization, content-type, idempotency-key, if-match, if-none-match, traceparent";
const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// The method that a browser asks about, if it asks (Fetch, "CORS-preflight fetch").
pub(super) fn wanted_method(parts: &Parts) -> Option<Method> {
    let headers = &parts.headers;
    let wanted = headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
    let asks = parts.method == Method::OPTIONS && headers.contains_key(header::ORIGIN);
    asks.then(|| Method::from_bytes(wanted.as_bytes()).ok()).flatten()
}

/// What a browser is told that asks before it sends.
pub(super) fn preflight(answer: &RouteAnswer, origin: Option<&HeaderValue>) -> Response {
    let RouteAnswer::Found(found) = answer else {
        return ApiError::new(403, "there is no route that pages may call so").into_response();
    };
    if !lets_in(&found.route, origin) {
        return ApiError::new(403, "this route is not for pages of this origin").into_response();
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    mark(&found.route, origin, headers);
    let methods: Vec<&str> = found.route.methods.iter().map(|method| method.as_str()).collect();
    let allowed = found.route.headers.iter().fold(USUAL_HEADERS.to_owned(), |all, header| all + ", " + header);
    for (name, value) in
        [(header::ACCESS_CONTROL_ALLOW_METHODS, methods.join(", ")), (header::ACCESS_CONTROL_ALLOW_HEADERS, allowed)]
    {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, REMEMBERED_S);
    response
}

/// Lets a page of an allowed origin read the answer.
pub(super) fn mark(route: &HttpRoute, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
    if route.cors.is_empty() {
        return;
    }
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin.filter(|_| lets_in(route, origin)) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
}

/// Refuses what a page sends whose origin may not.
///
/// # Errors
/// 403.
pub(super) fn check(route: &HttpRoute, headers: &HeaderMap) -> Result<(), ApiError> {
    let origin = headers.get(header::ORIGIN);
    let is_foreign = match origin {
        Some(origin) => !is_own(origin, headers.get(header::HOST)),
        // An image or a link: browsers say no origin then, and that the site is another.
        None => headers.get(SEC_FETCH_SITE).is_some_and(|site| site == "cross-site"),
    };
    let is_let_in = match origin {
        Some(_) => lets_in(route, origin),
        None => route.cors.iter().any(|allowed| allowed == "*"),
    };
    if is_foreign && !is_let_in {
        return Err(ApiError::new(
            403,
            "this route is not for pages of other origins; trigger.cors names those it is for",
        ));
    }
    Ok(())
}

fn lets_in(route: &HttpRoute, origin: Option<&HeaderValue>) -> bool {
    origin.and_then(|origin| origin.to_str().ok()).is_some_and(|origin| route.lets_in(origin))
}

/// Is the page one of this very listener?
fn is_own(origin: &HeaderValue, host: Option<&HeaderValue>) -> bool {
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let host = host.and_then(|host| host.to_str().ok());
    origin.is_some_and(|(_, own)| host.is_some_and(|host| own.eq_ignore_ascii_case(host)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_this_listener_is_no_stranger() {
        let value = |text: &str| HeaderValue::from_str(text).unwrap();
        let is_own = |origin: &str, host: Option<&str>| is_own(&value(origin), host.map(value).as_ref());
        assert!(is_own("http://localhost:7883", Some("localhost:7883")));
        assert!(!is_own("http://localhost:7884", Some("localhost:7883")));
        assert!(!is_own("null", Some("localhost")) && !is_own("http://a", None));
    }
}
