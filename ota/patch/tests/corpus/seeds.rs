//! Inputs from which the fuzzer starts: one of each form, taken and refused.

use selvedge_ota_patch::{Instruction, Options, make_full, make_patch};

use crate::check::BASE;

const NEW: &[u8] =
    b"The quick brown fox jumped over two lazy dogs; a base of some length, with a bit of everything in it!";

/// Names and contents.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let options = Options::default();
    let patch = make_patch(BASE, NEW, &options, &mut |_| {}).expect("a patch").bytes;
    let full = make_full(NEW, &options, &mut |_| {}).expect("a full image").bytes;
    let empty = make_full(b"", &options, &mut |_| {}).expect("a full image").bytes;
    let without_checksum = |payload: &[u8]| [&payload[..100], &payload[108..]].concat();
    let stream = |instructions: &[(Instruction, &[u8])]| -> Vec<u8> {
        instructions.iter().flat_map(|(numbers, bytes)| numbers.encode().into_iter().chain(bytes.to_vec())).collect()
    };
    let numbers = |mix, copy, seek| Instruction { mix, copy, seek };
    vec![
        ("payload-patch", [&[0], patch.as_slice()].concat()),
        ("payload-full", [&[0], full.as_slice()].concat()),
        ("payload-empty", [&[0], empty.as_slice()].concat()),
        ("payload-cut", [&[0], &full[..full.len() - 1]].concat()),
        ("header-patch", [&[1], without_checksum(&patch).as_slice()].concat()),
        ("header-full", [&[1], without_checksum(&full).as_slice()].concat()),
        ("stream-empty", vec![2, 0]),
        ("stream-mix", [&[2, 9], stream(&[(numbers(9, 0, -9), b"\0\0\0\0\0\0\0\0\x01")]).as_slice()].concat()),
        ("stream-copy", [&[2, 3], stream(&[(numbers(0, 3, 0), b"new")]).as_slice()].concat()),
        (
            "stream-seek-first",
            [&[2, 2], stream(&[(numbers(0, 0, 50), b""), (numbers(1, 1, 0), b"\0x")]).as_slice()].concat(),
        ),
        (
            "stream-seek-twice",
            [&[2, 0], stream(&[(numbers(0, 0, 5), b""), (numbers(0, 0, 5), b"")]).as_slice()].concat(),
        ),
        ("stream-past-base", [&[2, 200], stream(&[(numbers(200, 0, 0), &[0; 200])]).as_slice()].concat()),
        ("stream-out-of-base", [&[2, 1], stream(&[(numbers(1, 0, -2), b"\0")]).as_slice()].concat()),
    ]
}
