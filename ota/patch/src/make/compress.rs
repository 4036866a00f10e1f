//! A stream becomes one zstd frame with a bounded window.

use std::io::{self, Write};

use zstd::stream::write::Encoder;
use zstd::zstd_safe::CParameter;

use crate::header::WINDOW_LOG_MIN;
use crate::progress::{Progress, Reporter, Stage};

/// Bytes that are compressed between two looks at the progress.
const CHUNK_BYTES: usize = 256 * 1024;

/// log2 of the window for a stream of `stream_bytes`: no larger than the stream, so that the device holds no more than it needs.
pub(super) fn window_log(stream_bytes: usize, window_log_max: u8) -> u8 {
    (WINDOW_LOG_MIN..window_log_max).find(|log| stream_bytes <= 1 << log).unwrap_or(window_log_max)
}

/// Appends the frame of `stream` to `payload`.
pub(super) fn append(
    stream: &[u8],
    level: i32,
    window_log: u8,
    payload: &mut Vec<u8>,
    report: &mut dyn FnMut(Progress),
) -> io::Result<()> {
    let mut reporter = Reporter::start(report, Stage::Compress, stream.len() as u64);
    let mut encoder = Encoder::new(payload, level)?;
    encoder.set_parameter(CParameter::WindowLog(u32::from(window_log)))?;
    encoder.set_pledged_src_size(Some(stream.len() as u64))?;
    for chunk in stream.chunks(CHUNK_BYTES) {
        encoder.write_all(chunk)?;
        reporter.add(chunk.len() as u64);
    }
    encoder.finish()?;
    reporter.finish();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_no_larger_than_the_stream_or_the_limit() {
        for (bytes, log) in [(0, 10), (1024, 10), (1025, 11), (1 << 22, 22), ((1 << 22) + 1, 23), (1 << 30, 23)] {
            assert_eq!(window_log(bytes, 23), log, "{bytes}");
        }
        assert_eq!(window_log(1 << 30, 10), 10);
    }
}
