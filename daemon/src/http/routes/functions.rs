//! Routes of functions: what there is, deployments, versions and aliases, logs.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use selvedge_functions::{Alias, LIVE, Target};
use serde::Deserialize;

use super::{Answer, NodeState, Serving, log_stream, only_over_the_socket};
use crate::config::HttpConfig;
use crate::function_message::MessageText;
use crate::http::answer::{ApiError, json_response};
use crate::http::node::{DeployGoal, DeployRequest, FunctionWish, Node};

/// What there is.
pub(super) fn reading() -> Router<Serving> {
    Router::new()
        .route("/v1/functions", get(functions))
        .route("/v1/functions/{name}/versions", get(versions))
        .route("/v1/functions/{name}/logs", get(logs))
}

/// What is served over the socket only, so that who asks elsewhere is told where.
pub(super) fn elsewhere() -> Router<Serving> {
    Router::new()
        .route("/v1/functions/{name}", get(only_over_the_socket))
        .route("/v1/functions/{name}/aliases/{alias}", get(only_over_the_socket))
        .route("/v1/functions/{name}/rollback", get(only_over_the_socket))
        .route("/v1/functions/{name}/gc", get(only_over_the_socket))
        .route("/v1/functions/{name}/invoke", get(only_over_the_socket))
}

/// What changes functions, or runs them.
pub(super) fn changing() -> Router<Serving> {
    Router::new()
        .route("/v1/functions/{name}", delete(remove))
        .route("/v1/functions/{name}/gc", post(collect))
        .route("/v1/functions/{name}/invoke", post(invoke))
        .route("/v1/functions/{name}/aliases/{alias}", delete(forget_alias))
}

/// What may have to compile first. Only the body has the ordinary deadline: compiling has one of its own, and deployments wait for
/// each other.
pub(super) fn deploying(node: Arc<dyn Node>, config: &HttpConfig) -> Router {
    Router::new()
        .route("/v1/functions", post(deploy))
        .route("/v1/functions/{name}/aliases/{alias}", axum::routing::put(point))
        .route("/v1/functions/{name}/rollback", post(roll_back))
        .merge(super::function_trials::working())
        .layer(DefaultBodyLimit::max(config.body_bytes_max.as_usize()))
        .with_state(Deploying { node, body_timeout: config.request_timeout.0 })
}

/// What routes share that take as long as they take.
#[derive(Clone)]
pub(super) struct Deploying {
    pub(super) node: Arc<dyn Node>,
    body_timeout: Duration,
}

impl Deploying {
    pub(super) async fn body(&self, request: Request) -> Result<Bytes, ApiError> {
        match tokio::time::timeout(self.body_timeout, Bytes::from_request(request, &())).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(rejection)) => Err(ApiError::new(rejection.status().as_u16(), rejection.body_text())),
            Err(_) => Err(ApiError::new(StatusCode::REQUEST_TIMEOUT.as_u16(), "the request took too long")),
        }
    }
}

async fn functions(State(node): NodeState) -> Response {
    json_response(StatusCode::OK, &node.functions())
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    publish_only: bool,
}

async fn deploy(State(deploying): State<Deploying>, Query(wanted): Query<Wanted>, request: Request) -> Answer {
    let body = deploying.body(request).await?;
    let request = DeployRequest::from_bytes(&body).ok_or_else(|| {
        ApiError::invalid("the body must be: length of the manifest (4 bytes, big endian), manifest (TOML), component")
    })?;
    let goal = if wanted.publish_only { DeployGoal::Publish } else { DeployGoal::Live };
    let value = deploying.node.deploy(request, goal).await?;
    Ok(json_response(StatusCode::OK, &value))
}

async fn remove(State(node): NodeState, Path(name): Path<String>) -> Answer {
    let value = node.remove(&name).await?;
    Ok(json_response(StatusCode::OK, &value))
}

#[derive(Deserialize)]
struct LogsQuery {
    #[serde(default)]
    follow: bool,
}

async fn logs(State(serving): State<Serving>, Path(name): Path<String>, Query(query): Query<LogsQuery>) -> Answer {
    let slot = query.follow.then(|| serving.stream_slot()).transpose()?;
    let (kept, events) = serving.node.logs(&name, query.follow)?;
    Ok(log_stream(kept, events.zip(slot)).into_response())
}

async fn versions(State(node): NodeState, Path(name): Path<String>) -> Answer {
    Ok(json_response(StatusCode::OK, &node.function(&name, FunctionWish::Versions).await?))
}

/// `{"versions": ["v3=90", "v4=10"], "sticky": "client"}`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AliasText {
    versions: Vec<String>,
    sticky: Option<String>,
}

impl AliasText {
    fn parse(body: &[u8]) -> Result<Alias, ApiError> {
        let text: Self = serde_json::from_slice(body).map_err(|error| {
            ApiError::invalid(format!("expected {{\"versions\": [\"v3=90\", \"v4=10\"], \"sticky\": …}}: {error}"))
        })?;
        let shares = text.versions.iter().map(|share| share.parse()).collect::<Result<_, _>>();
        let sticky = text.sticky.map(|sticky| sticky.parse()).transpose();
        shares.and_then(|shares| Alias::new(shares, sticky?)).map_err(|error| ApiError::invalid(error.to_string()))
    }
}

async fn point(
    State(deploying): State<Deploying>,
    Path((name, alias)): Path<(String, String)>,
    request: Request,
) -> Answer {
    let to = AliasText::parse(&deploying.body(request).await?)?;
    let wish = FunctionWish::Point { alias, to };
    Ok(json_response(StatusCode::OK, &deploying.node.function(&name, wish).await?))
}

#[derive(Deserialize)]
struct WhichAlias {
    alias: Option<String>,
}

async fn roll_back(
    State(deploying): State<Deploying>,
    Path(name): Path<String>,
    Query(which): Query<WhichAlias>,
) -> Answer {
    let wish = FunctionWish::RollBack { alias: which.alias.unwrap_or_else(|| LIVE.to_owned()) };
    Ok(json_response(StatusCode::OK, &deploying.node.function(&name, wish).await?))
}

async fn forget_alias(State(node): NodeState, Path((name, alias)): Path<(String, String)>) -> Answer {
    Ok(json_response(StatusCode::OK, &node.function(&name, FunctionWish::ForgetAlias { alias }).await?))
}

#[derive(Deserialize)]
struct Keep {
    keep: usize,
}

async fn collect(State(node): NodeState, Path(name): Path<String>, Query(Keep { keep }): Query<Keep>) -> Answer {
    Ok(json_response(StatusCode::OK, &node.function(&name, FunctionWish::Collect { keep }).await?))
}

#[derive(Deserialize)]
struct At {
    at: Option<String>,
}

async fn invoke(State(node): NodeState, Path(name): Path<String>, Query(At { at }): Query<At>, body: String) -> Answer {
    let message = MessageText::parse(&body).map_err(|error| ApiError::invalid(format!("{error:#}")))?;
    let at = at.unwrap_or_else(|| LIVE.to_owned());
    // An alias cannot be called as a version is.
    let at = at.parse().map_or_else(|_| Target::Alias(at), Target::Version);
    let wish = FunctionWish::Invoke { at, message: Box::new(message) };
    Ok(json_response(StatusCode::OK, &node.function(&name, wish).await?))
}
