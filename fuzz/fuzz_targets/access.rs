//! What strangers send when they log in, and what the files of users, rules and keys hold, into the readers of selvedge-access.
#![no_main]

#[path = "../../access/tests/corpus/check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|input: &[u8]| check::check_input(input));
