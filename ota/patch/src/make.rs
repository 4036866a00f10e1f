//! Payloads are made: on a machine with memory and time, never on the device.
//!
//! Works on whole images in memory. Invariant: whatever is handed out was applied once, from its bytes, and gave the new image.

mod compress;
mod instruction_writer;

use std::io;

use thiserror::Error;

use crate::apply::{ApplyError, apply_as};
use crate::base::CheckedBase;
use crate::digest::Digest;
use crate::header::expected::Expected;
use crate::header::{Header, Kind, WINDOW_LOG_MAX, WINDOW_LOG_MIN};
use crate::progress::{Progress, Stage};

use instruction_writer::InstructionWriter;

/// How hard to compress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// zstd's level, 1 to 22.
    pub level: i32,
    /// log2 of the largest window, in bytes; what the device must hold. 10 to 23.
    pub window_log_max: u8,
}

/// The smallest payloads that a device takes.
impl Default for Options {
    fn default() -> Self {
        Self { level: 22, window_log_max: WINDOW_LOG_MAX }
    }
}

/// A payload that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// What it says of itself.
    pub header: Header,
    /// All of it, with the header.
    pub bytes: Vec<u8>,
}

/// Why no payload was made.
#[derive(Debug, Error)]
pub enum MakeError {
    /// No such level.
    #[error("the compression level is {0}, it must be 1 to 22")]
    Level(i32),
    /// A window that the device does not take.
    #[error("the window is 2^{0} bytes, it must be 2^{WINDOW_LOG_MIN} to 2^{WINDOW_LOG_MAX}")]
    Window(u8),
    /// The library gave up or wrote something else than instructions.
    #[error("cannot find the instructions from the base to the new image")]
    Instructions(#[source] io::Error),
    /// zstd gave up.
    #[error("cannot compress the stream")]
    Compress(#[source] io::Error),
    /// What was made does not give the new image.
    #[error("what was made does not give the new image; nothing was published, report this")]
    Verify(#[source] ApplyError),
}

/// A full payload of `new`.
///
/// # Errors
/// If `options` are out of range, or memory runs out.
pub fn make_full(new: &[u8], options: &Options, report: &mut dyn FnMut(Progress)) -> Result<Payload, MakeError> {
    options.check()?;
    finish(Kind::Full, None, new, new, options, report)
}

/// A patch that makes `new` from `base`.
///
/// Memory: 16 bytes per byte of `base` for its sorted suffixes, with both images and the instructions beside them; 660 MiB for
/// two images of 35 MB.
///
/// Time: for executables one to five seconds per MB at the default level, and up to twelve where nearly everything changed. It
/// grows with the square of the length for images that are one long run or repetition, or that hold two copies of a block of
/// 32 KB and more with fewer than eight differences: 256 KiB of zeros take two seconds, 1 MiB more than twenty. Whoever makes
/// patches of anything gives this a process of its own and a time limit, and ships the full image where it passes.
///
/// # Errors
/// If `options` are out of range, or memory runs out.
pub fn make_patch(
    base: &[u8],
    new: &[u8],
    options: &Options,
    report: &mut dyn FnMut(Progress),
) -> Result<Payload, MakeError> {
    options.check()?;
    let mut writer = InstructionWriter::start(report, base.len() as u64, new.len() as u64);
    bsdiff::diff(base, new, &mut writer).map_err(MakeError::Instructions)?;
    let stream = writer.finish().map_err(MakeError::Instructions)?;
    finish(Kind::Patch, Some(base), &stream, new, options, report)
}

/// What to ship: the patch only where it is smaller, because a full image needs no base.
pub fn smaller_of(patch: Payload, full: Payload) -> Payload {
    if patch.bytes.len() < full.bytes.len() { patch } else { full }
}

impl Options {
    fn check(&self) -> Result<(), MakeError> {
        if !(1..=22).contains(&self.level) {
            return Err(MakeError::Level(self.level));
        }
        if !(WINDOW_LOG_MIN..=WINDOW_LOG_MAX).contains(&self.window_log_max) {
            return Err(MakeError::Window(self.window_log_max));
        }
        Ok(())
    }
}

/// Puts the header before the compressed `stream`, and applies what came out.
fn finish(
    kind: Kind,
    base: Option<&[u8]>,
    stream: &[u8],
    new: &[u8],
    options: &Options,
    report: &mut dyn FnMut(Progress),
) -> Result<Payload, MakeError> {
    let header = Header {
        kind,
        window_log: compress::window_log(stream.len(), options.window_log_max),
        base: base.map(Digest::of),
        result: Digest::of(new),
        stream_bytes: stream.len() as u64,
    };
    let mut bytes = header.encode().to_vec();
    compress::append(stream, options.level, header.window_log, &mut bytes, report).map_err(MakeError::Compress)?;
    let image = base.unwrap_or_default();
    let checked = header.base.map(|digest| CheckedBase::of_known(&image, digest));
    let expected = Expected::of(&header);
    apply_as(Stage::Verify, &mut bytes.as_slice(), checked.as_ref(), &mut io::sink(), &expected, report)
        .map_err(MakeError::Verify)?;
    Ok(Payload { header, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_windows_out_of_range_are_refused() {
        for (level, fits) in [(0, false), (1, true), (22, true), (23, false)] {
            let made = make_full(b"image", &Options { level, ..Options::default() }, &mut |_| {});
            assert_eq!(made.is_ok(), fits, "level {level}");
        }
        for (window_log_max, fits) in [(9, false), (10, true), (23, true), (24, false)] {
            let made = make_patch(b"base", b"new", &Options { window_log_max, level: 1 }, &mut |_| {});
            assert_eq!(made.is_ok(), fits, "window {window_log_max}");
        }
    }

    #[test]
    fn the_patch_is_shipped_only_where_it_is_smaller() {
        let payload = |kind, bytes| Payload {
            header: Header { kind, window_log: 10, base: None, result: Digest::of(b""), stream_bytes: 0 },
            bytes: vec![0; bytes],
        };
        for (patch, kind) in [(9, Kind::Patch), (10, Kind::Full), (11, Kind::Full)] {
            let shipped = smaller_of(payload(Kind::Patch, patch), payload(Kind::Full, 10));
            assert_eq!(shipped.header.kind, kind, "{patch}");
        }
    }

    #[test]
    fn every_stage_is_reported_from_its_start_to_its_end() {
        let base = vec![1; 300_000];
        let mut stages: Vec<(Stage, u64, u64)> = Vec::new();
        let made =
            make_patch(&base, &base[1..], &Options { level: 1, ..Options::default() }, &mut |progress| match stages
                .last_mut()
            {
                Some(last) if last.0 == progress.stage => {
                    assert!(progress.done >= last.1 && progress.total == last.2, "{progress:?} after {last:?}");
                    last.1 = progress.done;
                }
                _ => stages.push((progress.stage, progress.done, progress.total)),
            });
        assert!(made.is_ok());
        let order: Vec<_> = stages.iter().map(|stage| stage.0).collect();
        assert_eq!(order, [Stage::SortBase, Stage::FindInstructions, Stage::Compress, Stage::Verify]);
        assert!(stages.iter().all(|stage| stage.1 == stage.2 && stage.2 >= 299_999), "{stages:?}");
    }
}
