//! Routes of versions on trial: recordings, replays, promotion, shadow, canary. On the socket only: recordings hold what devices sent.

use axum::Router;
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use selvedge_functions::VersionNumber;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::functions::Deploying;
use super::{Answer, NodeState, Serving, json_response, only_over_the_socket};
use crate::http::answer::ApiError;
use crate::http::node::FunctionWish;
use crate::http::trial_wish::{CanaryWish, PromotionWish, TrialWish};

/// What is answered at once.
pub(super) fn watching() -> Router<Serving> {
    Router::new()
        .route("/v1/functions/{name}/recordings", get(recordings).delete(forget))
        .route("/v1/functions/{name}/trial", get(watch))
}

/// What is served over the socket only, so that who asks elsewhere is told where.
pub(super) fn elsewhere() -> Router<Serving> {
    Router::new()
        .route("/v1/functions/{name}/recordings", get(only_over_the_socket))
        .route("/v1/functions/{name}/trial", get(only_over_the_socket))
        .route("/v1/functions/{name}/replay", get(only_over_the_socket))
        .route("/v1/functions/{name}/promote", get(only_over_the_socket))
        .route("/v1/functions/{name}/shadow", get(only_over_the_socket))
        .route("/v1/functions/{name}/canary", get(only_over_the_socket))
}

/// What may compile or run versions first; only the body has the ordinary deadline.
pub(super) fn working() -> Router<Deploying> {
    Router::new()
        .route("/v1/functions/{name}/replay", post(replay))
        .route("/v1/functions/{name}/promote", post(promote))
        .route("/v1/functions/{name}/shadow", put(shadow).delete(no_shadow))
        .route("/v1/functions/{name}/canary", post(canary))
}

async fn recordings(State(node): NodeState, Path(name): Path<String>) -> Answer {
    let wish = FunctionWish::Trial(TrialWish::Recordings);
    Ok(json_response(StatusCode::OK, &node.function(&name, wish).await?))
}

async fn forget(State(node): NodeState, Path(name): Path<String>) -> Answer {
    Ok(json_response(StatusCode::OK, &node.function(&name, FunctionWish::Trial(TrialWish::Forget)).await?))
}

async fn watch(State(node): NodeState, Path(name): Path<String>) -> Answer {
    Ok(json_response(StatusCode::OK, &node.function(&name, FunctionWish::Trial(TrialWish::Watch)).await?))
}

#[derive(Deserialize)]
struct WhichRun {
    invocation: String,
    at: Option<VersionNumber>,
}

async fn replay(
    State(deploying): State<Deploying>,
    Path(name): Path<String>,
    Query(WhichRun { invocation, at }): Query<WhichRun>,
) -> Answer {
    deploying.try_out(&name, TrialWish::Replay { invocation_id: invocation, version: at }).await
}

async fn promote(State(deploying): State<Deploying>, Path(name): Path<String>, request: Request) -> Answer {
    let wish: PromotionWish = deploying.json(request, "{\"version\": \"v4\", \"dry_run\": true}").await?;
    deploying.try_out(&name, TrialWish::Promote(Box::new(wish))).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    version: VersionNumber,
}

async fn shadow(State(deploying): State<Deploying>, Path(name): Path<String>, request: Request) -> Answer {
    let Which { version } = deploying.json(request, "{\"version\": \"v4\"}").await?;
    deploying.try_out(&name, TrialWish::Shadow(Some(version))).await
}

async fn no_shadow(State(deploying): State<Deploying>, Path(name): Path<String>) -> Answer {
    deploying.try_out(&name, TrialWish::Shadow(None)).await
}

async fn canary(State(deploying): State<Deploying>, Path(name): Path<String>, request: Request) -> Answer {
    let wish: CanaryWish = deploying.json(request, "{\"version\": \"v4\", \"percent\": 10}").await?;
    deploying.try_out(&name, TrialWish::Canary(wish)).await
}

impl Deploying {
    async fn json<T: DeserializeOwned>(&self, request: Request, example: &str) -> Result<T, ApiError> {
        let body = self.body(request).await?;
        serde_json::from_slice(&body).map_err(|error| ApiError::invalid(format!("expected {example}: {error}")))
    }

    async fn try_out(&self, name: &str, wish: TrialWish) -> Answer {
        let value = self.node.function(name, FunctionWish::Trial(wish)).await?;
        Ok(json_response(StatusCode::OK, &value))
    }
}
