//! Payloads changed at random: nothing panics, nothing but the signed image is taken, and memory stays in its bound.
//!
//! 20,000 changes, or as many as `SELVEDGE_PATCH_MUTATIONS` says:
//! `SELVEDGE_PATCH_MUTATIONS=1000000 cargo test --release -p selvedge-ota-patch --test mutations -- --nocapture`.

#[path = "craft/image.rs"]
mod image;
#[path = "craft/model.rs"]
mod model;
#[path = "craft/wrap.rs"]
mod wrap;

use std::io::Write as _;

use image::Chance;
use selvedge_ota_patch::{
    APPLY_BYTES_MAX, CheckedBase, Digest, Expected, HEADER_BYTES, Header, Kind, Options, apply, make_full, make_patch,
};
use wrap::wrap;

const MUTATIONS_DEFAULT: u64 = 20_000;

/// A base, a new image, and what was signed for it.
struct Pair {
    base: Vec<u8>,
    new: Vec<u8>,
    payloads: [(Vec<u8>, Expected); 2],
    /// The instructions of the patch.
    stream: Vec<u8>,
}

fn pair(chance: &mut Chance, bytes: usize) -> Pair {
    let base = chance.noise(bytes);
    let new = chance.similar(&base);
    let options = Options { level: 3, window_log_max: 23 };
    let patch = make_patch(&base, &new, &options, &mut |_| {}).expect("a patch");
    let full = make_full(&new, &options, &mut |_| {}).expect("a full image");
    let stream = zstd::decode_all(&patch.bytes[HEADER_BYTES..]).expect("a stream");
    let payloads = [patch, full].map(|payload| (payload.bytes, Expected::of(&payload.header)));
    Pair { base, new, payloads, stream }
}

/// Changes one to four places.
fn mutate(chance: &mut Chance, bytes: &mut Vec<u8>) {
    for _ in 0..1 + chance.below(4) {
        let position = chance.below(bytes.len());
        match chance.below(9) {
            0 => flip(bytes, position, chance),
            1 => put(bytes, position, &[chance.next() as u8]),
            2 => put(bytes, position, &interesting(chance).to_le_bytes()),
            // The numbers of the first instructions.
            3 => put(bytes, chance.below(6) * 8, &interesting(chance).to_le_bytes()),
            4 => bytes.truncate(position),
            5 => {
                let tail = chance.below(30);
                bytes.extend(chance.noise(tail));
            }
            6 => {
                let end = position + chance.below((bytes.len() - position).min(48));
                bytes.drain(position..end);
            }
            7 => {
                let end = position + chance.below((bytes.len() - position).min(48));
                let piece = bytes[position..end].to_vec();
                let target = chance.below(bytes.len());
                bytes.splice(target..target, piece);
            }
            _ => {
                let zeros = chance.below(48);
                bytes.splice(position..position, vec![0; zeros]);
            }
        }
    }
}

fn flip(bytes: &mut [u8], position: usize, chance: &mut Chance) {
    if let Some(byte) = bytes.get_mut(position) {
        *byte ^= 1 << chance.below(8);
    }
}

fn put(bytes: &mut [u8], position: usize, value: &[u8]) {
    for (byte, value) in bytes.iter_mut().skip(position).zip(value) {
        *byte = *value;
    }
}

/// Numbers at which readers fail.
fn interesting(chance: &mut Chance) -> u64 {
    let edges = [0, 1, 1 << 7, 1 << 16, 1 << 31, 1 << 32, 1 << 62, 1 << 63, u64::MAX, i64::MAX as u64];
    let edge = edges[chance.below(edges.len())];
    match chance.below(3) {
        0 => edge,
        1 => edge.wrapping_sub(chance.below(600) as u64),
        _ => edge.wrapping_add(chance.below(600) as u64),
    }
}

/// The image if the payload was taken. Whatever it says, no more is written than `expected`.
fn applied(mut payload: &[u8], base: &[u8], expected: &Expected) -> Option<Vec<u8>> {
    let base = CheckedBase::check(&base, &Digest::of(base), &mut |_| {}).expect("its own base");
    let mut output = Vec::new();
    let result = apply(&mut payload, Some(&base), &mut output, expected, &mut |_| {});
    assert!(output.len() as u64 <= expected.result.length, "more was written than signed");
    result.ok().map(|()| output)
}

/// How often something was taken.
#[derive(Debug, Default)]
struct Taken {
    payloads: u64,
    streams: u64,
    headers: u64,
}

/// A payload that is not the signed one gives the signed image or nothing.
fn check_payload(pair: &Pair, chance: &mut Chance, taken: &mut Taken) {
    let (payload, expected) = &pair.payloads[chance.below(2)];
    let mut changed = payload.clone();
    mutate(chance, &mut changed);
    if let Some(image) = applied(&changed, &pair.base, expected) {
        assert!(image == pair.new, "another image was taken");
        taken.payloads += 1;
    }
}

/// Instructions are taken exactly where a plain model takes them, and the bsdiff crate reads the same from them.
fn check_stream(pair: &Pair, chance: &mut Chance, taken: &mut Taken) {
    let mut stream = pair.stream.clone();
    mutate(chance, &mut stream);
    // Mostly the length of the image, now and then one that the changed instructions make.
    let lengths = [pair.new.len(), stream.len().saturating_sub(24), stream.len().saturating_sub(48)];
    let length = lengths[chance.below(lengths.len())];
    let meant = model::follow(&pair.base, &stream, length);
    let nothing = Digest { length: length as u64, sha256: [0; 32] };
    let result = meant.as_ref().map_or(nothing, |image| Digest::of(image));
    let base = Some(Digest::of(&pair.base));
    let expected = Expected { kind: Kind::Patch, base, result };
    let image = applied(&wrap(base, result, &stream), &pair.base, &expected);
    assert!(image == meant, "taken or refused against the model");
    if let Some(image) = meant {
        let mut other = Vec::new();
        bsdiff::patch(&pair.base, &mut stream.as_slice(), &mut other).expect("bsdiff takes what the model takes");
        assert!(other == image, "bsdiff makes another image");
        taken.streams += 1;
    }
}

/// A header with a right checksum is still compared with what was signed; where it is believed, it is kept to.
fn check_header(pair: &Pair, chance: &mut Chance, taken: &mut Taken) {
    let (payload, expected) = &pair.payloads[chance.below(2)];
    let mut fields = payload[..HEADER_BYTES - 8].to_vec();
    for _ in 0..1 + chance.below(3) {
        let position = chance.below(fields.len());
        match chance.below(3) {
            0 => flip(&mut fields, position, chance),
            1 => put(&mut fields, position, &[chance.next() as u8]),
            // The lengths of base, result and stream.
            _ => put(&mut fields, [12, 52, 92][chance.below(3)], &interesting(chance).to_le_bytes()),
        }
    }
    let sum = Digest::of(&fields).sha256;
    let changed = [fields.as_slice(), &sum[..8], &payload[HEADER_BYTES..]].concat();
    if let Some(image) = applied(&changed, &pair.base, expected) {
        assert!(image == pair.new, "another image was taken");
        taken.headers += 1;
    }
    let believed = changed.first_chunk().and_then(|bytes| Header::decode(bytes).ok());
    if let Some(expected) = believed.map(|header| Expected::of(&header))
        && let Some(image) = applied(&changed, &pair.base, &expected)
    {
        assert!(Digest::of(&image) == expected.result, "another image was taken");
    }
}

/// Peak of resident memory of this process, in bytes; `None` where the kernel does not tell.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib * 1024)
}

#[test]
fn changed_payloads_streams_and_headers_never_give_another_image() {
    let wanted = std::env::var("SELVEDGE_PATCH_MUTATIONS").ok();
    let mutations =
        wanted.map_or(MUTATIONS_DEFAULT, |text| text.parse().expect("SELVEDGE_PATCH_MUTATIONS is a number"));
    let pairs = [40, 300, 300, 2000].map(|bytes| pair(&mut Chance(bytes as u64), bytes));
    let before = peak_bytes();
    let mut taken = Taken::default();
    for seed in 0..mutations {
        let mut chance = Chance(seed);
        let pair = &pairs[chance.below(pairs.len())];
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| match seed % 3 {
            0 => check_payload(pair, &mut chance, &mut taken),
            1 => check_stream(pair, &mut chance, &mut taken),
            _ => check_header(pair, &mut chance, &mut taken),
        }));
        assert!(checked.is_ok(), "mutation {seed} fails");
    }
    println!("{mutations} mutations; taken because they mean the signed image: {taken:?}");
    assert!(taken.streams > mutations / 100, "too few changed streams are taken to compare what they mean");
    match before.zip(peak_bytes()) {
        Some((before, after)) => {
            println!("peak memory {} KiB before, {} KiB after", before / 1024, after / 1024);
            assert!(after - before <= APPLY_BYTES_MAX as u64, "{before} to {after} bytes");
        }
        None => drop(writeln!(std::io::stdout(), "SKIPPED the memory of a patch: the kernel tells no VmHWM")),
    }
}
