//! Scripts of bytes, packets, lost networks and time into the protocol core: nothing panics, its books stay right, and what
//! it sends are packets that a server may send.
#![no_main]

#[path = "../../broker/core/tests/corpus/check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|input: &[u8]| check::check_input(input));
