//! Certificates for people without an authority of their own: `selvedge cert` makes a small one for the box.
//!
//! `authority` makes and signs, `facts` reads, `folder` knows the files. Not here: what the listeners do with them, that is
//! `wiring::tls`. Invariant: the private key of the authority never leaves its file, which its owner alone can read.

pub mod authority;
pub mod facts;
pub mod folder;
pub mod host_names;
pub mod revocation;

use std::time::{Duration, UNIX_EPOCH};

/// Seconds since 1970 as `2026-11-20T10:17:30Z`.
pub fn time_text(seconds: u64) -> String {
    let text = crate::client::time_text::iso(UNIX_EPOCH + Duration::from_secs(seconds));
    text.split_once('.').map_or(text.clone(), |(text, _)| format!("{text}Z"))
}

/// Bytes as `0a:1b`, the way certificates are compared by eye.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}
