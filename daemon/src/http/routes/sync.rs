//! Routes of the exchange of twins between nodes.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};

use super::{Answer, NodeState, Serving, only_over_the_socket};
use crate::http::answer::json_response;

/// How the group stands.
pub(super) fn reading() -> Router<Serving> {
    Router::new().route("/v1/sync", get(sync))
}

/// What is served over the socket only, so that who asks elsewhere is told where.
pub(super) fn elsewhere() -> Router<Serving> {
    Router::new().route("/v1/sync/policy", get(only_over_the_socket))
}

/// The group's policy.
pub(super) fn changing() -> Router<Serving> {
    Router::new().route("/v1/sync/policy", post(adopt))
}

async fn sync(State(node): NodeState) -> Answer {
    Ok(json_response(StatusCode::OK, &node.sync()))
}

async fn adopt(State(node): NodeState, signed: Bytes) -> Answer {
    Ok(json_response(StatusCode::OK, &node.adopt_policy(signed.to_vec()).await?))
}
