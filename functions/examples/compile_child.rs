//! A program that is nothing but the compiler child, for tests and benches of this crate.

use std::process::ExitCode;

fn main() -> ExitCode {
    selvedge_functions::compile_child_main(std::env::args().skip(1))
}
