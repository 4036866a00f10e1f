//! SCRAM-SHA-256 (RFC 5802, RFC 7677) without channel binding: messages, verifiers, and the two sides of the exchange.
//!
//! The server keeps no password and computes two hashes for a login. A user that does not exist, is disabled or has no verifier
//! answers like one that does, with a salt that depends only on the name and a key of the node. Nonces are arguments.

mod client;
mod keys;
mod message;
mod server;
mod verifier;

pub use client::{Client, ClientError, ClientFinal};
pub(crate) use server::fake_verifier;
pub use server::{Accepted, Server, ServerError};
pub use verifier::{DeriveVerifierError, Verifier, VerifierProblem};

/// Name of the mechanism, as in CONNECT's authentication method.
pub const METHOD: &str = "SCRAM-SHA-256";

/// Iterations of a new verifier. More than the 4,096 of RFC 7677; the work is the client's, which may be a microcontroller.
pub const ITERATIONS_DEFAULT: u32 = 15_000;

/// Fewest iterations (RFC 7677, 4).
pub const ITERATIONS_MIN: u32 = 4_096;

/// Most iterations that a verifier may ask of a client, and that our client side does.
pub const ITERATIONS_MAX: u32 = 1_000_000;

/// Longest message of an exchange, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 2_048;

/// Random bytes in a nonce.
pub const NONCE_BYTES: usize = 18;

#[cfg(test)]
mod tests;
