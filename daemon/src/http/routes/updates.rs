//! Routes of updates. A bundle is written to a file as it comes, so that its size costs disk and not memory.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Extension, Router};
use futures_util::StreamExt;
use tokio::sync::Semaphore;

use super::{Answer, NodeState, Serving};
use crate::config::HttpConfig;
use crate::http::answer::{ApiError, json_response};
use crate::http::login::Reader;
use crate::http::node::{BundlePlace, Node, UpdateWish};

/// How updates are.
pub(super) fn reading() -> Router<Serving> {
    Router::new().route("/v1/ota", get(status))
}

/// What ends soon.
pub(super) fn changing() -> Router<Serving> {
    Router::new()
        .route("/v1/ota/trust", post(trust))
        .route("/v1/ota/pause", post(pause))
        .route("/v1/ota/resume", post(resume))
        .route("/v1/ota/retry", post(retry))
}

/// What takes as long as it takes: a bundle is received and put in place, a repository is asked.
pub(super) fn working(node: Arc<dyn Node>, config: &HttpConfig) -> Router {
    let work = Working { node, idle_max: config.request_timeout.0, places: Arc::new(Semaphore::new(1)) };
    Router::new()
        .route("/v1/ota", post(bundle))
        .route("/v1/ota/check", post(check))
        .route("/v1/ota/rollback", post(roll_back))
        .with_state(work)
}

#[derive(Clone)]
struct Working {
    node: Arc<dyn Node>,
    /// Between two pieces of a bundle.
    idle_max: Duration,
    /// One bundle is received at a time, so that several cannot fill the disk.
    places: Arc<Semaphore>,
}

async fn status(State(node): NodeState) -> Answer {
    // It reads files and checks signatures, which the thread of HTTP has no time for.
    let status = tokio::task::spawn_blocking(move || node.updates()).await;
    let status = status.map_err(|error| ApiError::new(500, error.to_string()))?;
    Ok(json_response(StatusCode::OK, &status))
}

async fn check(State(work): State<Working>, reader: Option<Extension<Reader>>) -> Answer {
    may_change(reader)?;
    Ok(json_response(StatusCode::OK, &work.node.update(UpdateWish::Check).await?))
}

async fn roll_back(State(work): State<Working>, reader: Option<Extension<Reader>>) -> Answer {
    may_change(reader)?;
    Ok(json_response(StatusCode::OK, &work.node.update(UpdateWish::RollBack).await?))
}

async fn trust(State(node): NodeState, body: Bytes) -> Answer {
    Ok(json_response(StatusCode::OK, &node.update(UpdateWish::Trust(body.to_vec())).await?))
}

async fn pause(State(node): NodeState) -> Answer {
    Ok(json_response(StatusCode::OK, &node.update(UpdateWish::Pause).await?))
}

async fn resume(State(node): NodeState) -> Answer {
    Ok(json_response(StatusCode::OK, &node.update(UpdateWish::Resume).await?))
}

async fn retry(State(node): NodeState) -> Answer {
    Ok(json_response(StatusCode::OK, &node.update(UpdateWish::Retry).await?))
}

async fn bundle(State(work): State<Working>, reader: Option<Extension<Reader>>, request: Request) -> Answer {
    may_change(reader)?;
    let Ok(_place) = work.places.try_acquire() else {
        return Err(ApiError::unavailable("another bundle is being received; send this one after it"));
    };
    let place = work.node.bundle_place()?;
    let received = Received(place.path.clone());
    receive(request, &place, work.idle_max).await?;
    let answer = work.node.update(UpdateWish::Bundle(place.path)).await?;
    drop(received);
    Ok(json_response(StatusCode::OK, &answer))
}

/// Over the socket there is no reader, and its owner may do everything.
fn may_change(reader: Option<Extension<Reader>>) -> Result<(), ApiError> {
    match reader {
        Some(Extension(Reader(reads))) if !reads.may_change() => Err(ApiError::new(
            403,
            "the rules do not let this user change things over HTTP: api = [\"read\", \"write\"]",
        )),
        _ => Ok(()),
    }
}

/// A bundle on the disk; gone at the end, also when whoever sent it has gone.
struct Received(PathBuf);

impl Drop for Received {
    fn drop(&mut self) {
        // Removed already when it was applied.
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn receive(request: Request, place: &BundlePlace, idle_max: Duration) -> Result<(), ApiError> {
    let failed = |error: std::io::Error| ApiError::new(507, format!("the bundle cannot be kept: {error}"));
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&place.path).map_err(failed)?;
    let mut body = request.into_body().into_data_stream();
    let mut length = 0_u64;
    loop {
        let piece = match tokio::time::timeout(idle_max, body.next()).await {
            Ok(Some(Ok(piece))) => piece,
            Ok(Some(Err(error))) => return Err(ApiError::invalid(format!("the bundle did not come whole: {error}"))),
            Ok(None) => break,
            Err(_) => return Err(ApiError::new(408, "the bundle stopped coming")),
        };
        length += piece.len() as u64;
        if length > place.bytes_max {
            return Err(ApiError::new(
                413,
                format!("the bundle has more than ota.bundle_bytes_max ({} bytes)", place.bytes_max),
            ));
        }
        // Slow flash holds up this bundle and nobody else.
        let written = tokio::task::spawn_blocking(move || file.write_all(&piece).map(|()| file)).await;
        file = written.map_err(std::io::Error::other).and_then(|written| written).map_err(failed)?;
    }
    Ok(())
}
