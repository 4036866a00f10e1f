//! Update payloads, their headers and their instructions into the reader that applies them, compared with a plain model.
#![no_main]

#[path = "../../ota/patch/tests/corpus/check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|input: &[u8]| check::check_input(input));
