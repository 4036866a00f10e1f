//! Routes of the counters and the guard.

use std::net::IpAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{delete, get};
use serde::Deserialize;

use super::{Answer, NodeState, Serving, only_over_the_socket};
use crate::config::Period;
use crate::http::answer::{ApiError, json_response};
use crate::http::node::NetWish;

/// Peers in one answer.
const TOP: usize = 20;
const TOP_MAX: usize = 10_000;
/// For how long a peer is denied when nobody says.
const DENY_FOR: Duration = Duration::from_secs(600);

/// What was counted.
pub(super) fn reading() -> Router<Serving> {
    Router::new().route("/v1/net", get(net)).route("/v1/net/denials", get(denials))
}

/// What is served over the socket only, so that who asks elsewhere is told where.
pub(super) fn elsewhere() -> Router<Serving> {
    Router::new()
        .route("/v1/net/denials/{peer}", get(only_over_the_socket))
        .route("/v1/net/allowed/{*network}", get(only_over_the_socket))
}

/// The guard's lists.
pub(super) fn changing() -> Router<Serving> {
    Router::new()
        .route("/v1/net/denials/{peer}", delete(undeny).put(deny))
        .route("/v1/net/allowed/{*network}", delete(disallow).put(allow))
}

#[derive(Deserialize)]
struct Wanted {
    top: Option<usize>,
}

#[derive(Deserialize)]
struct Time {
    r#for: Option<String>,
}

async fn net(State(node): NodeState, Query(wanted): Query<Wanted>) -> Answer {
    let top = wanted.top.unwrap_or(TOP).min(TOP_MAX);
    Ok(json_response(StatusCode::OK, &node.net(top).await?))
}

async fn denials(State(node): NodeState) -> Answer {
    Ok(json_response(StatusCode::OK, &node.guard(NetWish::Denials).await?))
}

async fn deny(State(node): NodeState, Path(peer): Path<String>, Query(time): Query<Time>) -> Answer {
    let time = match time.r#for {
        None => DENY_FOR,
        Some(text) => {
            let period = text.parse::<Period>();
            period.map_err(|error| ApiError::invalid(format!("for={text}: {error}")))?.0
        }
    };
    let wish = NetWish::Deny { peer: address(&peer)?, time };
    Ok(json_response(StatusCode::OK, &node.guard(wish).await?))
}

async fn undeny(State(node): NodeState, Path(peer): Path<String>) -> Answer {
    let wish = NetWish::Undeny(address(&peer)?);
    Ok(json_response(StatusCode::OK, &node.guard(wish).await?))
}

async fn allow(State(node): NodeState, Path(network): Path<String>) -> Answer {
    Ok(json_response(StatusCode::OK, &node.guard(NetWish::Allow(network)).await?))
}

async fn disallow(State(node): NodeState, Path(network): Path<String>) -> Answer {
    Ok(json_response(StatusCode::OK, &node.guard(NetWish::Disallow(network)).await?))
}

fn address(text: &str) -> Result<IpAddr, ApiError> {
    text.parse().map_err(|_| ApiError::invalid(format!("{text}: expected an address such as 192.0.2.7 or 2001:db8::7")))
}
