//! `selvedge twin`, `fn` and `status`: commands that talk to a running node over its Unix socket.

pub mod function;
pub mod node_client;
pub mod output;
pub mod status;
pub mod twin;
