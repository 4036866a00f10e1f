//! `/fn/NAME/…`: requests that functions answer.
//!
//! Path → route → CORS → login → body → the node. Which route, how often and what runs is the node's; this module maps a request to a
//! message and a message to an answer. Invariants: a route that does not say `public` is as closed as the rest of the API; a page
//! whose origin the route does not name gets nothing and starts nothing; a client that leaves takes its invocation along.

mod answer;
mod cors;
mod request;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use selvedge_functions::{HttpMethod, RouteAuth};
use tokio::sync::Semaphore;

use crate::config::HttpConfig;
use crate::http::answer::ApiError;
use crate::http::login::{self, PeerAddress, Reader};
use crate::http::node::{FoundRoute, FunctionCall, Node, RouteAnswer};

/// One in so many connections may wait for a function, so that functions leave room for probes.
const CONNECTIONS_PER_CALL: usize = 2;

/// Whether a listener asks who somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Logins {
    /// It does.
    Asked,
    /// It is for this machine only, or open to all.
    NotAsked,
}

#[derive(Clone)]
struct Calling {
    node: Arc<dyn Node>,
    logins: Logins,
    slots: Arc<Semaphore>,
    body_bytes_max: usize,
    body_timeout: Duration,
}

/// Functions over one listener.
pub(super) fn routes(node: Arc<dyn Node>, config: &HttpConfig, logins: Logins) -> Router {
    let calling = Calling {
        node,
        logins,
        slots: Arc::new(Semaphore::new((config.connections_max as usize / CONNECTIONS_PER_CALL).max(1))),
        body_bytes_max: config.function_body_bytes_max.as_usize(),
        body_timeout: config.request_timeout.0,
    };
    Router::new()
        .route("/fn/{name}", get(call).put(call).post(call).patch(call).delete(call).head(call).options(call))
        .route("/fn/{name}/{*path}", get(call).put(call).post(call).patch(call).delete(call).head(call).options(call))
        // The router matches nothing where a path ends in '/'.
        .route("/fn/{name}/", get(call).put(call).post(call).patch(call).delete(call).head(call).options(call))
        .with_state(calling)
}

/// What a request asks for, before anything of it was believed.
struct Asked {
    function: String,
    /// What follows the name, as sent.
    path: String,
    method: Method,
    /// The page that asks, if it is one's.
    origin: Option<HeaderValue>,
}

impl Asked {
    fn of(parts: &Parts) -> Self {
        let path = parts.uri.path().strip_prefix("/fn/").unwrap_or_default();
        let end = path.find('/').unwrap_or(path.len());
        let (function, path) = path.split_at(end);
        Self {
            function: function.to_owned(),
            path: path.to_owned(),
            method: parts.method.clone(),
            origin: parts.headers.get(header::ORIGIN).cloned(),
        }
    }
}

async fn call(State(calling): State<Calling>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let asked = Asked::of(&parts);
    let preflight = cors::wanted_method(&parts);
    let method = preflight.as_ref().unwrap_or(&asked.method);
    let answer = calling.node.function_route(&asked.function, HttpMethod::parse(method.as_str()), &asked.path);
    if preflight.is_some() {
        return cors::preflight(&answer, asked.origin.as_ref());
    }
    let mut response = match calling.answer(&asked, &answer, &parts, body).await {
        Ok(response) => response,
        Err(error) => login::refused(error),
    };
    match &answer {
        RouteAnswer::Found(found) => cors::mark(&found.route, asked.origin.as_ref(), response.headers_mut()),
        RouteAnswer::WrongMethod(methods) if response.status() == StatusCode::METHOD_NOT_ALLOWED => {
            allow(methods, response.headers_mut());
        }
        _ => {}
    }
    response
}

fn allow(methods: &[HttpMethod], headers: &mut HeaderMap) {
    let names: Vec<&str> = methods.iter().map(|method| method.as_str()).collect();
    if let Ok(value) = HeaderValue::from_str(&names.join(", ")) {
        headers.insert(header::ALLOW, value);
    }
}

impl Calling {
    async fn answer(
        &self,
        asked: &Asked,
        answer: &RouteAnswer,
        parts: &Parts,
        body: Body,
    ) -> Result<Response, ApiError> {
        let found = match answer {
            RouteAnswer::Found(found) => Some(found),
            _ => None,
        };
        let is_public = found.is_some_and(|found| found.route.auth == RouteAuth::Public);
        // Who is not let in does not learn what there is.
        let reader = if is_public { None } else { self.login(parts).await? };
        let found = match answer {
            RouteAnswer::Found(found) => found,
            RouteAnswer::WrongMethod(_) => return Err(ApiError::new(405, "this route is for other methods")),
            RouteAnswer::NoPath => return Err(ApiError::invalid("the path is not UTF-8, or has a NUL character")),
            RouteAnswer::NoRoute => {
                return Err(ApiError::not_found(format!(
                    "no function has a route for /fn/{}{}",
                    asked.function, asked.path
                )));
            }
        };
        cors::check(&found.route, &parts.headers)?;
        check_right(reader.as_ref(), &asked.method)?;
        let Ok(_slot) = self.slots.try_acquire() else {
            let words = "as many requests wait for functions as may: half of http.connections_max";
            return Err(ApiError { retry_after_s: Some(1), ..ApiError::unavailable(words) });
        };
        let body = self.body(body).await?;
        let user = reader.and_then(|Reader(reads)| reads.user());
        let message = request::message(asked, found, parts, body, user.as_deref());
        let FoundRoute { filter, .. } = found.clone();
        let call = FunctionCall { function: asked.function.clone(), filter, message, user };
        let reply = self.node.call_function(call).await?;
        answer::of(reply.as_ref())
    }

    async fn login(&self, parts: &Parts) -> Result<Option<Reader>, ApiError> {
        let address = parts.extensions.get::<PeerAddress>();
        let (Logins::Asked, Some(PeerAddress(address))) = (self.logins, address) else { return Ok(None) };
        let authorization = login::authorization(&parts.headers)?;
        self.node.login(*address, authorization).await.map(Some)
    }

    async fn body(&self, body: Body) -> Result<Bytes, ApiError> {
        let read = tokio::time::timeout(self.body_timeout, axum::body::to_bytes(body, self.body_bytes_max)).await;
        let too_large = |_| {
            let words = format!(
                "the body has more than http.function_body_bytes_max = {} bytes, or was cut off",
                self.body_bytes_max
            );
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE.as_u16(), words)
        };
        read.map_err(|_| ApiError::new(StatusCode::REQUEST_TIMEOUT.as_u16(), "the request took too long"))?
            .map_err(too_large)
    }
}

/// Who may read may ask; what may change something takes the right to change.
fn check_right(reader: Option<&Reader>, method: &Method) -> Result<(), ApiError> {
    match reader {
        Some(Reader(reads)) if !method.is_safe() && !reads.may_change() => {
            Err(ApiError::new(403, "the rules do not give this user api = [\"write\"]"))
        }
        _ => Ok(()),
    }
}
