use std::io::Write as _;

use zstd::stream::write::Encoder;
use zstd::zstd_safe::CParameter;

use super::*;
use crate::apply::APPLY_BYTES_MAX;

/// Bytes that do not compress, the same each time.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

fn frame(content: &[u8], window_log: u32) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new(), 1).expect("an encoder");
    encoder.set_parameter(CParameter::WindowLog(window_log)).expect("a window");
    encoder.write_all(content).expect("memory");
    encoder.finish().expect("memory")
}

/// All that `payload` inflates to, read in pieces of seven bytes.
fn inflate(mut payload: &[u8], window_log: u8, declared: u64) -> Result<Vec<u8>, InflateError> {
    let mut stream = Inflate::new(&mut payload, window_log, declared)?;
    let mut inflated = Vec::new();
    while stream.remaining() > 0 {
        let mut piece = vec![0; stream.remaining().min(7) as usize];
        stream.fill(&mut piece)?;
        inflated.extend_from_slice(&piece);
    }
    stream.finish()?;
    Ok(inflated)
}

#[test]
fn a_complete_frame_gives_its_content() {
    for content in [Vec::new(), vec![1], vec![2; 100_000], noise(300_000)] {
        let inflated = inflate(&frame(&content, 20), 20, content.len() as u64).expect("complete");
        assert!(inflated == content);
    }
}

#[test]
fn a_frame_cut_anywhere_is_truncated() {
    let content = noise(200);
    let whole = frame(&content, 10);
    for end in 0..whole.len() {
        let error = inflate(&whole[..end], 10, 200).expect_err("cut");
        assert!(matches!(error, InflateError::Truncated { declared: 200, .. }), "{end}: {error}");
    }
}

#[test]
fn a_length_other_than_the_declared_one_is_refused() {
    let whole = frame(&[3; 1000], 10);
    assert!(inflate(&whole, 10, 1000).is_ok());
    assert!(matches!(inflate(&whole, 10, 999), Err(InflateError::TooLong { declared: 999 })));
    assert!(matches!(inflate(&whole, 10, 0), Err(InflateError::TooLong { declared: 0 })));
    assert!(matches!(inflate(&whole, 10, 1001), Err(InflateError::TooShort { found: 1000, declared: 1001 })));
}

#[test]
fn what_follows_the_frame_is_refused_also_where_it_is_a_frame() {
    let whole = frame(&[3; 1000], 10);
    let skippable: &[u8] = b"\x50\x2a\x4d\x18\0\0\0\0";
    for tail in [b"\0".as_slice(), &frame(b"", 10), &whole, skippable] {
        let error = inflate(&[&whole, tail].concat(), 10, 1000).expect_err("trailing");
        assert!(matches!(error, InflateError::TrailingBytes), "{error}");
    }
    let error = inflate(&[skippable, &whole].concat(), 10, 1000).expect_err("skippable in front");
    assert!(matches!(error, InflateError::TooShort { found: 0, .. }), "{error}");
}

#[test]
fn what_follows_the_frame_is_refused_also_where_it_arrives_later() {
    let whole = frame(&[3; 1000], 10);
    let finished = |tail: &'static [u8]| {
        let mut payload = whole.chain(tail);
        let mut stream = Inflate::new(&mut payload, 10, 1000)?;
        stream.fill(&mut [0; 1000])?;
        stream.finish()
    };
    assert!(finished(b"").is_ok());
    assert!(matches!(finished(b"x"), Err(InflateError::TrailingBytes)));
}

#[test]
fn a_window_is_taken_up_to_the_declared_one() {
    let content = noise(100_000);
    for (window_log, fits) in [(15, true), (16, true), (17, false), (23, false), (27, false)] {
        let read = inflate(&frame(&content, window_log), 16, 100_000);
        let refused = matches!(read, Err(InflateError::WindowTooLarge { window_log: 16 }));
        assert!(if fits { read.is_ok() } else { refused }, "{window_log}");
    }
}

#[test]
fn the_largest_window_stays_within_the_promised_memory() {
    let content = noise(10 * 1024 * 1024);
    let whole = frame(&content, 23);
    let mut payload = whole.as_slice();
    let mut stream = Inflate::new(&mut payload, 23, content.len() as u64).expect("memory");
    let mut inflated = vec![0; content.len()];
    stream.fill(&mut inflated).expect("complete");
    let held = stream.held_bytes();
    assert!(held > 8 * 1024 * 1024, "the window was in use: {held}");
    assert!(held + 2 * 64 * 1024 <= APPLY_BYTES_MAX, "{held}");
    stream.finish().expect("complete");
    assert!(inflated == content);
}

#[test]
fn noise_is_no_stream() {
    assert!(matches!(inflate(&noise(100), 10, 100), Err(InflateError::Damaged { inflated: 0, .. })));
}

#[test]
fn an_interrupted_read_is_repeated_and_a_failed_one_is_told() {
    struct Failing(Vec<io::Result<Vec<u8>>>);
    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some(next) = self.0.pop() else { return Ok(0) };
            let bytes = next?;
            buffer[..bytes.len()].copy_from_slice(&bytes);
            Ok(bytes.len())
        }
    }
    let whole = frame(&[3; 1000], 10);
    let mut payload = Failing(vec![Ok(whole.clone()), Err(ErrorKind::Interrupted.into())]);
    let mut stream = Inflate::new(&mut payload, 10, 1000).expect("memory");
    stream.fill(&mut [0; 1000]).expect("complete");
    stream.finish().expect("complete");
    let mut payload = Failing(vec![Err(ErrorKind::TimedOut.into()), Ok(whole[..5].to_vec())]);
    let mut stream = Inflate::new(&mut payload, 10, 1000).expect("memory");
    let failed = stream.fill(&mut [0; 1000]);
    assert!(matches!(failed, Err(InflateError::Read { inflated: 0, .. })), "{failed:?}");
}
