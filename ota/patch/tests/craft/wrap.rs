//! Payloads with any stream, as an attacker who holds no key but every tool makes them.

use selvedge_ota_patch::{Digest, Header, Kind, WINDOW_LOG_MAX};

/// A payload whose header fits `stream`, whatever that does.
pub fn wrap(base: Option<Digest>, result: Digest, stream: &[u8]) -> Vec<u8> {
    let kind = if base.is_some() { Kind::Patch } else { Kind::Full };
    let header = Header { kind, window_log: WINDOW_LOG_MAX, base, result, stream_bytes: stream.len() as u64 };
    let frame = zstd::bulk::compress(stream, 1).expect("enough memory");
    [header.encode().as_slice(), &frame].concat()
}
