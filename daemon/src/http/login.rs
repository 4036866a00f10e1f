//! Who may read over a listener that other machines reach: each request carries its login (`Authorization: Basic` or `Bearer`).
//! What is right is decided by the node; this module only asks, and words the answer. Invariant: no route is reached without.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::answer::ApiError;
use super::node::Node;

/// Longest header that is looked at; a token of 8 KiB fits.
const AUTHORIZATION_BYTES_MAX: usize = 12 * 1024;

/// What a reader may see, beyond what every reader may.
pub trait Reads: Send + Sync {
    /// The twin of this thing.
    fn may_read_twin(&self, thing: &str) -> bool;
    /// Whether this one may change things over HTTP, not only read.
    fn may_change(&self) -> bool;
    /// The name of the user.
    fn user(&self) -> Option<String>;
}

/// Somebody who has logged in; handlers find it in the request. Where no login is asked for, there is none and all is open.
#[derive(Clone)]
pub struct Reader(pub Arc<dyn Reads>);

/// Remote address of the connection.
#[derive(Clone, Copy, Debug)]
pub struct PeerAddress(pub IpAddr);

/// Lets a request through with a good login that has the right to read.
pub async fn required(
    State(node): State<Arc<dyn Node>>,
    Extension(PeerAddress(address)): Extension<PeerAddress>,
    mut request: Request,
    next: Next,
) -> Response {
    let authorization = match authorization(request.headers()) {
        Ok(authorization) => authorization,
        Err(error) => return refused(error),
    };
    match node.login(address, authorization).await {
        Ok(reader) => {
            request.extensions_mut().insert(reader);
            next.run(request).await
        }
        Err(error) => refused(error),
    }
}

/// The header that says who somebody is.
///
/// # Errors
/// It is too long, or no text.
pub fn authorization(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    match headers.get(header::AUTHORIZATION).map(|value| (value.len(), value.to_str())) {
        None => Ok(None),
        Some((length, Ok(text))) if length <= AUTHORIZATION_BYTES_MAX => Ok(Some(text.to_owned())),
        Some(_) => Err(ApiError::new(401, "the Authorization header is malformed")),
    }
}

/// A refusal that says what would be a login, if that is missing.
pub fn refused(error: ApiError) -> Response {
    let mut response = error.into_response();
    if response.status() == StatusCode::UNAUTHORIZED {
        // RFC 9110, 15.5.2: what would be a login.
        for scheme in ["Bearer realm=\"selvedge\"", "Basic realm=\"selvedge\", charset=\"UTF-8\""] {
            response.headers_mut().append(header::WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
        }
    }
    response
}

/// Refuses the twin of `thing` to a reader who may not see it.
///
/// # Errors
/// 403.
pub fn check_twin(reader: Option<&Reader>, thing: &str) -> Result<(), ApiError> {
    match reader {
        Some(Reader(reads)) if !reads.may_read_twin(thing) => {
            Err(ApiError::new(403, format!("the rules do not let this user read the twin of {thing:?}")))
        }
        _ => Ok(()),
    }
}
