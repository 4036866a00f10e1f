//! What must hold for every payload that anybody could write. Used by the fuzz target `payload` and by the corpus test.
//!
//! ```text
//! input = 0 payload                 taken as it is; what its header says counts as signed
//!       | 1 fields:100 frame        a header with these fields and the right checksum, and what follows it
//!       | 2 result_bytes:u8 stream  instructions against a fixed base, compressed and with a header that fits
//! ```

#[path = "../craft/model.rs"]
mod model;
#[path = "../craft/wrap.rs"]
mod wrap;

use std::io::{self, Write};

use selvedge_ota_patch::{CheckedBase, Digest, Expected, HEADER_BYTES, Header, Kind, apply};

/// What instructions are applied to.
pub const BASE: &[u8] =
    b"The quick brown fox jumps over the lazy dog; a base of some length, with a bit of everything in it.";

/// Longest result that is followed, in bytes; the disk is full then.
const DISK_BYTES: u64 = 1 << 20;

/// Panics if `input` shows a fault.
pub fn check_input(input: &[u8]) {
    match input.split_first() {
        Some((0, payload)) => check_payload(payload),
        Some((1, fields)) if fields.len() >= HEADER_BYTES - 8 => check_payload(&with_checksum(fields)),
        Some((2, [result_bytes, stream @ ..])) => check_stream(stream, usize::from(*result_bytes)),
        _ => {}
    }
}

/// A payload whose own header is believed writes no more than it says, and comes to `Ok` only with what it says.
fn check_payload(payload: &[u8]) {
    let header = payload.first_chunk().and_then(|bytes| Header::decode(bytes).ok());
    let expected = header.map_or_else(
        || Expected { kind: Kind::Full, base: None, result: Digest::of(b"") },
        |header| Expected::of(&header),
    );
    let (applied, disk) = run(payload, &expected);
    assert!(disk.bytes.len() as u64 <= expected.result.length, "more was written than declared");
    assert!(!applied || Digest::of(&disk.bytes) == expected.result, "another image was taken");
    assert!(!applied || header.is_some(), "a payload without a header was taken");
}

/// Instructions are taken exactly where the model takes them, and mean the same.
fn check_stream(stream: &[u8], result_bytes: usize) {
    let meant = model::follow(BASE, stream, result_bytes);
    let nothing = Digest { length: result_bytes as u64, sha256: [0; 32] };
    let result = meant.as_ref().map_or(nothing, |image| Digest::of(image));
    let payload = wrap::wrap(Some(Digest::of(BASE)), result, stream);
    let expected = Expected { kind: Kind::Patch, base: Some(Digest::of(BASE)), result };
    let (applied, disk) = run(&payload, &expected);
    assert!(disk.bytes.len() <= result_bytes, "more was written than declared");
    assert_eq!(applied, meant.is_some(), "taken or refused against the model");
    if let Some(image) = meant {
        assert_eq!(disk.bytes, image, "another image than the model's");
    }
}

fn run(mut payload: &[u8], expected: &Expected) -> (bool, Disk) {
    let mut disk = Disk { bytes: Vec::new() };
    let base = CheckedBase::check(&BASE, &Digest::of(BASE), &mut |_| {}).expect("the base is the base");
    let applied = apply(&mut payload, Some(&base), &mut disk, expected, &mut |_| {}).is_ok();
    (applied, disk)
}

/// The first bytes become the fields of a header, the rest follows it.
fn with_checksum(input: &[u8]) -> Vec<u8> {
    let (fields, rest) = input.split_at(HEADER_BYTES - 8);
    let sum = Digest::of(fields).sha256;
    [fields, &sum[..8], rest].concat()
}

/// A disk that gets full.
struct Disk {
    bytes: Vec<u8>,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (self.bytes.len() + bytes.len()) as u64 > DISK_BYTES {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
