//! A reader that gives up when bytes come too slowly, so that nobody can hold an update up by dripping it (slow retrieval).

use std::io::{self, Read};
use std::time::Duration;

use thiserror::Error;

/// The pace is judged over at least this long.
const GRACE: Duration = Duration::from_secs(30);

/// Why reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{bytes} bytes in {seconds} s are fewer than {bytes_per_s_min} a second, the slowest that is waited for")]
pub struct PaceError {
    /// Bytes that came.
    pub bytes: u64,
    /// In how long.
    pub seconds: u64,
    /// What is asked for.
    pub bytes_per_s_min: u64,
}

/// Longest time for `bytes` at that pace.
pub(crate) fn time_for(bytes: u64, bytes_per_s_min: u64) -> Duration {
    GRACE + Duration::from_secs(bytes / bytes_per_s_min.max(1))
}

/// Reads from `inner`, looking at `clock` (time since any fixed moment).
pub(crate) struct Paced<R, C> {
    inner: R,
    clock: C,
    started: Option<Duration>,
    bytes: u64,
    bytes_per_s_min: u64,
}

impl<R: Read, C: Fn() -> Duration> Paced<R, C> {
    pub(crate) fn new(inner: R, clock: C, bytes_per_s_min: u64) -> Self {
        Self { inner, clock, started: None, bytes: 0, bytes_per_s_min }
    }
}

impl<R: Read, C: Fn() -> Duration> Read for Paced<R, C> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let started = *self.started.get_or_insert_with(&self.clock);
        let read = self.inner.read(buffer)?;
        self.bytes += read as u64;
        let took = (self.clock)().saturating_sub(started);
        if read > 0 && took > time_for(self.bytes, self.bytes_per_s_min) {
            let bytes_per_s_min = self.bytes_per_s_min;
            let slow = PaceError { bytes: self.bytes, seconds: took.as_secs(), bytes_per_s_min };
            return Err(io::Error::new(io::ErrorKind::TimedOut, slow));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// One byte each second of a clock that is only a number.
    struct Drip<'c>(&'c Cell<u64>);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.set(self.0.get() + 1);
            buffer[0] = 0;
            Ok(1)
        }
    }

    fn drip(bytes_per_s_min: u64, bytes: u64) -> io::Result<u64> {
        let now = Cell::new(0);
        let mut paced = Paced::new(Drip(&now).take(bytes), || Duration::from_secs(now.get()), bytes_per_s_min);
        io::copy(&mut paced, &mut io::sink())
    }

    #[test]
    fn a_dripping_source_is_given_up() {
        let error = drip(1000, 100_000).expect_err("too slow");
        assert_eq!(error.to_string(), "31 bytes in 31 s are fewer than 1000 a second, the slowest that is waited for");
    }

    #[test]
    fn a_slow_source_at_the_pace_is_not() {
        assert_eq!(drip(1, 100_000).expect("fast enough"), 100_000);
        assert_eq!(drip(1000, 30).expect("small"), 30);
    }
}
