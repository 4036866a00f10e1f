//! Bytes of a peer into the broker's WebSocket reader, which must read and refuse what tungstenite does.
#![no_main]

#[path = "../../broker/tests/corpus/check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|input: &[u8]| check::check_input(input));
