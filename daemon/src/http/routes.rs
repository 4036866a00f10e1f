//! Which path answers what. The reading half is the same over TCP and the socket; the changing half is on the socket only.

mod calls;
mod description;
mod function_trials;
mod functions;
mod net;
mod sync;
mod twins;
mod updates;

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRef, State};
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use futures_util::{Stream, StreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::calls::Logins;
use self::description::Listener;
use super::answer::{ApiError, json_response};
use super::exposition::CONTENT_TYPE;
use super::gate;
use super::login::{self, Reader};
use super::node::{Events, Node};
use crate::config::HttpConfig;

/// One in this many connections may be a stream without end (a watched twin, a followed log), so that streams leave room for
/// probes.
const CONNECTIONS_PER_STREAM: usize = 4;

type NodeState = State<Arc<dyn Node>>;
type Answer = Result<Response, ApiError>;

/// What one listener's routes share.
#[derive(Clone)]
struct Serving {
    node: Arc<dyn Node>,
    streams: Arc<Semaphore>,
    /// What is served, as JSON.
    description: Bytes,
}

impl Serving {
    fn new(node: Arc<dyn Node>, config: &HttpConfig, listener: Listener) -> Self {
        let streams_max = (config.connections_max as usize / CONNECTIONS_PER_STREAM).max(1);
        let description = description::of(listener).into();
        Self { node, streams: Arc::new(Semaphore::new(streams_max)), description }
    }
}

impl FromRef<Serving> for Arc<dyn Node> {
    fn from_ref(serving: &Serving) -> Self {
        Arc::clone(&serving.node)
    }
}

/// Place for one more stream without end.
struct StreamSlot {
    /// Given back when dropped.
    _permit: OwnedSemaphorePermit,
}

impl Serving {
    fn stream_slot(&self) -> Result<StreamSlot, ApiError> {
        Arc::clone(&self.streams).try_acquire_owned().map(|permit| StreamSlot { _permit: permit }).map_err(|_| {
            ApiError::unavailable(
                "as many twins are watched and logs followed as may be: a quarter of http.connections_max",
            )
        })
    }
}

/// What TCP serves. On loopback the Host header must be local; where other machines connect, they log in, unless the
/// configuration lets anyone in. The requests then carry a [`login::PeerAddress`].
pub fn reading(node: Arc<dyn Node>, config: &HttpConfig) -> Router {
    readable(node, config).layer(middleware::map_response(gate::refusals_are_json))
}

fn readable(node: Arc<dyn Node>, config: &HttpConfig) -> Router {
    let routes = reading_routes().method_not_allowed_fallback(only_over_the_socket);
    let is_with_login = config.listen.is_exposed() && !config.allow_anonymous;
    let listener = if is_with_login { Listener::TcpWithLogin } else { Listener::Tcp };
    let router =
        |routes: Router<Serving>| bounded(routes.with_state(Serving::new(Arc::clone(&node), config, listener)), config);
    let calls = |logins| calls::routes(Arc::clone(&node), config, logins);
    if !config.listen.is_exposed() {
        return router(routes).merge(calls(Logins::NotAsked)).layer(middleware::from_fn(gate::local_host_only));
    }
    if config.allow_anonymous {
        return router(routes).merge(calls(Logins::NotAsked));
    }
    // Who has logged in and may change things may also push updates, which are signed.
    router(routes)
        .merge(updates::working(Arc::clone(&node), config))
        .layer(middleware::from_fn_with_state(Arc::clone(&node), login::required))
        // Each route of a function says itself whether a login is needed.
        .merge(calls(Logins::Asked))
}

/// What the Unix socket serves.
pub fn controlling(node: Arc<dyn Node>, config: &HttpConfig) -> Router {
    let rest = Router::new()
        .route("/v1/reload", post(reload))
        .merge(functions::reading())
        .merge(functions::changing())
        .merge(function_trials::watching())
        .merge(updates::reading())
        .merge(updates::changing())
        .merge(twins::changing())
        .merge(net::reading())
        .merge(net::changing())
        .merge(sync::reading())
        .merge(sync::changing());
    let working = updates::working(Arc::clone(&node), config);
    let deploying = functions::deploying(Arc::clone(&node), config);
    let calls = calls::routes(Arc::clone(&node), config, Logins::NotAsked);
    bounded(probes().merge(rest).with_state(Serving::new(node, config, Listener::Socket)), config)
        .merge(deploying)
        .merge(working)
        .merge(calls)
        .layer(middleware::map_response(gate::refusals_are_json))
}

fn bounded(router: Router, config: &HttpConfig) -> Router {
    router
        .fallback(|| async {
            ApiError::not_found(
                "nothing is here; see /livez, /readyz, /metrics, /v1/twins, /v1/functions, /v1/ota, /v1/net, /v1/sync, /v1/openapi.json, /fn",
            )
        })
        .layer(middleware::from_fn_with_state(config.request_timeout.0, gate::deadline))
        .layer(DefaultBodyLimit::max(config.body_bytes_max.as_usize()))
}

fn probes() -> Router<Serving> {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/v1/status", get(status))
        .route("/v1/openapi.json", get(openapi))
}

fn reading_routes() -> Router<Serving> {
    probes()
        .merge(functions::reading())
        .merge(functions::elsewhere())
        .merge(function_trials::elsewhere())
        .merge(twins::reading())
        .merge(updates::reading())
        .merge(net::reading())
        .merge(net::elsewhere())
        .merge(sync::reading())
        .merge(sync::elsewhere())
}

async fn only_over_the_socket() -> ApiError {
    ApiError::new(405, "only reading is served here; changes go over control.sock in the data directory")
}

async fn livez() -> &'static str {
    "ok\n"
}

async fn readyz(State(node): NodeState) -> Answer {
    let (ready, parts) = parts(&*node).await?;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok(json_response(status, &json!({ "ready": ready, "parts": parts })))
}

/// What is served here, for programs (OpenAPI 3.1).
async fn openapi(State(serving): State<Serving>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], serving.description).into_response()
}

async fn parts(node: &dyn Node) -> Result<(bool, Value), ApiError> {
    let parts = node.parts().await?;
    let ready = parts.iter().all(|part| part.ready);
    let listed: serde_json::Map<String, Value> = parts
        .into_iter()
        .map(|part| (part.name.to_owned(), json!({ "ready": part.ready, "detail": part.detail })))
        .collect();
    Ok((ready, Value::Object(listed)))
}

async fn status(State(node): NodeState) -> Answer {
    let (ready, parts) = parts(&*node).await?;
    Ok(json_response(StatusCode::OK, &json!({ "ready": ready, "parts": parts, "node": node.about() })))
}

async fn reload(State(node): NodeState) -> Answer {
    Ok(json_response(StatusCode::OK, &node.reload().await?))
}

async fn metrics(State(node): NodeState) -> Answer {
    let exposition = node.metrics().await?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], exposition.into_text()).into_response())
}

type MaybeReader = Option<Extension<Reader>>;

/// Server-sent events, one JSON value each; ends with `events`, or after `first`.
fn log_stream(
    first: Vec<Value>,
    events: Option<(Events, StreamSlot)>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let live = stream::unfold(events, |events| async move {
        let (mut events, slot) = events?;
        let value = events.recv().await?;
        Some((value, Some((events, slot))))
    });
    let all = stream::iter(first).chain(live).map(|value| Ok(Event::default().data(value.to_string())));
    Sse::new(all).keep_alive(KeepAlive::default())
}
