//! What is made for a base and applied to that base gives the new image, whatever the two are.

#[path = "craft/image.rs"]
mod image;

use std::fs::{self, File};
use std::io::Write as _;

use image::Chance;
use proptest::prelude::*;
use selvedge_ota_patch::{
    CheckedBase, Digest, Expected, HEADER_BYTES, Kind, Options, Payload, Stage, apply, make_full, make_patch,
};

const FAST: Options = Options { level: 1, window_log_max: 23 };

fn patch_of(base: &[u8], new: &[u8]) -> Payload {
    make_patch(base, new, &FAST, &mut |_| {}).expect("a patch")
}

fn applied(payload: &Payload, base: &[u8]) -> Vec<u8> {
    let base = CheckedBase::check(&base, &Digest::of(base), &mut |_| {}).expect("its own base");
    let mut output = Vec::new();
    let expected = Expected::of(&payload.header);
    apply(&mut payload.bytes.as_slice(), Some(&base), &mut output, &expected, &mut |_| {}).expect("it applies");
    output
}

/// Patch and full image both give `new`, and the reader of the bsdiff crate understands the instructions in the same way.
fn check_pair(base: &[u8], new: &[u8]) {
    let patch = patch_of(base, new);
    assert!(applied(&patch, base) == new);
    let stream = zstd::decode_all(&patch.bytes[HEADER_BYTES..]).expect("zstd");
    let mut other = Vec::new();
    bsdiff::patch(base, &mut stream.as_slice(), &mut other).expect("bsdiff reads it");
    assert!(other == new);
    let full = make_full(new, &FAST, &mut |_| {}).expect("a full image");
    assert!(applied(&full, base) == new);
}

#[test]
fn empty_and_identical_images() {
    let image = Chance(1).noise(5000);
    for (base, new) in [
        (&[] as &[u8], &[] as &[u8]),
        (&[], &image),
        (&image, &[]),
        (&image, &image),
        (&[7], &[7]),
        (&[7], &[8]),
        (&[0; 3000], &[0; 3001]),
    ] {
        check_pair(base, new);
    }
}

#[test]
fn a_patch_between_identical_images_is_tiny() {
    let image = Chance(2).noise(200_000);
    assert!(patch_of(&image, &image).bytes.len() < HEADER_BYTES + 100);
}

#[test]
fn images_that_share_nothing() {
    check_pair(&Chance(3).noise(30_000), &Chance(4).noise(50_000));
}

#[test]
fn a_huge_insert_and_a_huge_cut() {
    let base = Chance(5).noise(100_000);
    let insert = Chance(6).noise(3_000_000);
    let long = [&base[..60_000], &insert, &base[60_000..]].concat();
    check_pair(&base, &long);
    check_pair(&long, &base);
    assert!(patch_of(&long, &base).bytes.len() < 1000, "what was cut costs next to nothing");
}

#[test]
fn pieces_that_change_places() {
    let base = Chance(7).noise(90_000);
    let new = [&base[60_000..], &base[30_000..60_000], &base[..30_000]].concat();
    check_pair(&base, &new);
    assert!(patch_of(&base, &new).bytes.len() < 1000);
}

#[test]
fn repeated_content_and_long_runs() {
    let piece = Chance(8).noise(700);
    let base: Vec<u8> = piece.iter().copied().cycle().take(40_000).chain([0; 40_000]).collect();
    let mut new = base.clone();
    for position in (0..new.len()).step_by(900) {
        new[position] ^= 0x55;
    }
    check_pair(&base, &new);
    check_pair(&new, &base[..50_000]);
}

#[test]
fn images_at_both_sides_of_the_buffers_of_64_kib() {
    let long = Chance(9).noise(3 * 65_536 + 1);
    for bytes in [65_535, 65_536, 65_537, 131_072, 3 * 65_536 + 1] {
        let mut new = long[..bytes].to_vec();
        new[bytes / 2] ^= 1;
        check_pair(&long[..bytes], &new);
    }
}

#[test]
fn windows_smaller_than_the_image_work_too() {
    let mut new = Chance(10).noise(20_000);
    let base = new.repeat(10);
    new[77] ^= 1;
    let new = new.repeat(10);
    for window_log_max in [10, 12, 17] {
        let options = Options { level: 19, window_log_max };
        let payload = make_full(&new, &options, &mut |_| {}).expect("a full image");
        assert_eq!(payload.header.window_log, window_log_max);
        assert!(applied(&payload, &base) == new);
    }
}

#[test]
fn from_a_file_to_a_file_with_progress() {
    let folder = tempfile::tempdir().expect("a folder");
    let old = Chance(11).noise(900_000);
    let new = Chance(12).similar(&old);
    let patch = patch_of(&old, &new);
    let (base_path, payload_path, new_path) =
        (folder.path().join("base"), folder.path().join("payload"), folder.path().join("new"));
    fs::write(&base_path, &old).expect("written");
    fs::write(&payload_path, &patch.bytes).expect("written");
    let expected = Expected { kind: Kind::Patch, base: Some(Digest::of(&old)), result: Digest::of(&new) };

    let mut seen = Vec::new();
    let mut report = |progress| seen.push(progress);
    let base_file = File::open(&base_path).expect("open");
    let base = CheckedBase::check(&base_file, &Digest::of(&old), &mut report).expect("the base");
    let mut output = File::create(&new_path).expect("create");
    let mut payload = File::open(&payload_path).expect("open");
    apply(&mut payload, Some(&base), &mut output, &expected, &mut report).expect("it applies");
    output.flush().expect("flushed");

    assert!(fs::read(&new_path).expect("read") == new);
    for (stage, total) in [(Stage::CheckBase, old.len()), (Stage::Apply, new.len())] {
        let done: Vec<u64> =
            seen.iter().filter(|progress| progress.stage == stage).map(|progress| progress.done).collect();
        assert!(done.is_sorted() && done.len() >= 4, "{stage}: {done:?}");
        assert_eq!((done[0], done[done.len() - 1]), (0, total as u64));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_two_images(base in proptest::collection::vec(any::<u8>(), 0..2000),
                      new in proptest::collection::vec(any::<u8>(), 0..2000)) {
        check_pair(&base, &new);
    }

    #[test]
    fn few_different_bytes(base in proptest::collection::vec(0_u8..3, 0..3000),
                           new in proptest::collection::vec(0_u8..3, 0..3000)) {
        check_pair(&base, &new);
    }

    #[test]
    fn two_releases(seed: u64, bytes in 1_usize..20_000) {
        let mut chance = Chance(seed);
        let base = chance.noise(bytes);
        let new = chance.similar(&base);
        check_pair(&base, &new);
        check_pair(&new, &base);
    }
}
