//! HTTP of the node, on a thread of its own: probes, metrics, twins, functions and updates.
//!
//! Over TCP it only reads (and takes signed updates from who may change things), and where other machines reach it, with a login only. What changes state is on the Unix socket, whose owner decides who may connect. Not the place where
//! anything is answered: [`Node`] is implemented in `wiring`. Invariant: one peer takes at most a connection, a header, a body
//! and a time, all bounded by `HttpConfig`.

pub mod answer;
pub mod control_socket;
pub mod exposition;
pub mod gate;
pub mod login;
pub mod node;
pub mod routes;
pub mod server;
pub mod trial_wish;

pub use answer::ApiError;
pub use exposition::Exposition;
pub use login::{Reader, Reads};
pub use node::{
    BundlePlace, DeployGoal, DeployRequest, Events, FoundRoute, FunctionCall, FunctionWish, NetWish, Node, PartState,
    Pending, RouteAnswer, TwinMoment, TwinQuestion, UpdateWish, Watched,
};
pub use server::{HttpServer, Listeners, start};
pub use trial_wish::TrialWish;

#[cfg(test)]
mod tests;
