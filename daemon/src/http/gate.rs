//! What every request passes before its route: a deadline, and over TCP a check of the Host header; and what every refusal
//! passes after it.

use std::net::IpAddr;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::answer::ApiError;

/// Of the text of a refusal, in bytes.
const REFUSAL_BYTES_MAX: usize = 4096;

/// Ends a request that is not answered in time, its body included. A stream of events counts as answered when it begins.
pub async fn deadline(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::new(StatusCode::REQUEST_TIMEOUT.as_u16(), "the request took too long").into_response(),
    }
}

/// Refuses names that are not this machine's own. A web page can make a browser ask a loopback port under the page's own host
/// name (DNS rebinding) and read the answer; a literal loopback address or `localhost` cannot be had that way.
pub async fn local_host_only(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or("?"));
    if host.is_none_or(is_local) {
        return next.run(request).await;
    }
    ApiError::new(
        StatusCode::MISDIRECTED_REQUEST.as_u16(),
        "the Host header names another machine; use localhost or a loopback address",
    )
    .into_response()
}

/// Marks an answer that is a function's own, whatever its status.
#[derive(Clone, Copy, Debug)]
pub struct OfFunction;

/// Makes JSON of refusals that are not: those of the router and of extractors, which speak plain text or say nothing.
pub async fn refusals_are_json(response: Response) -> Response {
    let status = response.status();
    if response.extensions().get::<OfFunction>().is_some() {
        return response;
    }
    let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if is_json || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let text = axum::body::to_bytes(body, REFUSAL_BYTES_MAX).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let message = match text.trim() {
        "" => status.canonical_reason().unwrap_or("refused"),
        text => text,
    };
    let mut refusal = ApiError::new(status.as_u16(), message).into_response();
    // What says more than the text: Allow, Retry-After.
    for (name, value) in &parts.headers {
        if !matches!(*name, header::CONTENT_TYPE | header::CONTENT_LENGTH) {
            refusal.headers_mut().append(name, value.clone());
        }
    }
    refusal
}

fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_local;

    #[test]
    fn only_loopback_names_are_local() {
        for host in ["localhost", "LOCALHOST:7883", "127.0.0.1", "127.0.0.1:7883", "[::1]", "[::1]:80"] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "",
            "example.com",
            "example.com:7883",
            "localhost.example.com",
            "10.0.0.1:80",
            "[2001:db8::1]:80",
            "127.0.0.1.nip.io",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }
}
