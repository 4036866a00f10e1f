//! Binary images as they travel: a fixed header and one zstd stream, made on a big machine, applied on a small one.
//!
//! A payload is *full* (the stream is the new image) or a *patch* (the stream is bsdiff instructions against a base image). The
//! `bsdiff` crate finds the instructions; what applies them is written here, because the crate's own reader takes what it is
//! given for the length of the result.
//!
//! It does not check signatures, does not choose between versions, and does not make anything durable: the caller hands in what
//! the signed metadata says as [`Expected`], an open base and a place to write to.
//!
//! The order on the device: [`CheckedBase::check`] (before anything is downloaded) → [`apply`], which reads the header, compares
//! it with [`Expected`], and writes the result while it hashes it.
//!
//! Invariants: `Ok` of [`apply`] means that exactly the signed bytes were written; at no time are more bytes written than the
//! signed length, and at no time is more memory held than [`APPLY_BYTES_MAX`], whatever the payload says.

mod apply;
mod base;
mod digest;
mod header;
mod inflate;
mod instruction;
mod make;
mod progress;

pub use apply::{APPLY_BYTES_MAX, ApplyError, apply};
pub use base::{BaseImage, CheckBaseError, CheckedBase};
pub use digest::Digest;
pub use header::expected::{Expected, Field, Mismatch};
pub use header::{HEADER_BYTES, Header, HeaderError, Kind, WINDOW_LOG_MAX, WINDOW_LOG_MIN};
pub use inflate::InflateError;
pub use instruction::{INSTRUCTION_BYTES, Instruction, InstructionProblem};
pub use make::{MakeError, Options, Payload, make_full, make_patch, smaller_of};
pub use progress::{Progress, Stage};
