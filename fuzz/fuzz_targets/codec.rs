//! Bytes of a peer into the MQTT codec: nothing panics, and what is decoded survives encoding and decoding again.
#![no_main]

#[path = "../../broker/codec/tests/corpus/check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|input: &[u8]| check::check_input(input));
