//! The time by which certificates and tokens are judged, on a box that may have no battery for its clock.
//!
//! Not the time of messages and twins. Invariant: it never goes back, neither while the node runs nor over a restart (but for the
//! last hour), and is never before the program was built. A system clock that is behind it, or absurdly far ahead, is not
//! trusted: then the latest time known counts, which stands still until the clock is set. A leap of more than a year is
//! remembered only after an hour, so that a clock that starts wrong and is set soon does no lasting harm.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::atomic_file::{self, PRIVATE};

/// In the data directory: seconds since 1970, as text.
pub const FILE_NAME: &str = "latest-time";
/// Between two writes of it: flash wears out.
const KEEP_EVERY_S: u64 = 3600;
/// A clock that is further ahead of the build than this is wrong, and is not taken for the latest time.
const AHEAD_OF_BUILD_MAX_S: u64 = 20 * 366 * 24 * 3600;
/// A leap ahead that is believed but not remembered at once.
const LEAP_S: u64 = 366 * 24 * 3600;
/// After which it is.
const LEAP_LASTS: Duration = Duration::from_secs(3600);
/// Clocks are set back by so much now and then.
const BACK_UNNOTICED_S: u64 = 5;

/// Seconds since 1970 at which this program was built.
pub fn built_at_s() -> u64 {
    env!("SELVEDGE_BUILT_AT_S").parse().unwrap_or(0)
}

/// What the system says, seconds since 1970.
pub fn system_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A moment, and whether the system's clock is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Time to judge by, seconds since 1970.
    pub now_s: u64,
    /// Whether that is what the system says.
    pub is_trusted: bool,
}

/// One for the node; shared.
#[derive(Debug)]
pub struct TrustedClock {
    latest_s: AtomicU64,
    kept_s: AtomicU64,
    /// Since when the system's clock is more than a year ahead.
    leapt: Mutex<Option<Instant>>,
    file: PathBuf,
}

/// By what the system says and the latest time that counts.
fn judge(system_s: u64, latest_s: u64, built_at_s: u64) -> Judgement {
    let floor_s = latest_s.max(built_at_s);
    let is_absurd = system_s > built_at_s.saturating_add(AHEAD_OF_BUILD_MAX_S);
    let is_behind = system_s.saturating_add(BACK_UNNOTICED_S) < floor_s;
    let now_s = if is_absurd { floor_s } else { system_s.max(floor_s) };
    Judgement { now_s, is_trusted: !is_absurd && !is_behind }
}

/// Whether a trusted `now_s` is remembered as the latest time; `ahead_for` is how long it has been more than a year ahead.
fn is_remembered(now_s: u64, floor_s: u64, ahead_for: Duration) -> bool {
    now_s <= floor_s.saturating_add(LEAP_S) || ahead_for >= LEAP_LASTS
}

impl TrustedClock {
    /// With what the node of this data directory saw before.
    pub fn open(data: &Path) -> Self {
        let file = data.join(FILE_NAME);
        let kept_s = std::fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        // A file that says the absurd would stop the time for good.
        let kept_s = if kept_s > built_at_s().saturating_add(AHEAD_OF_BUILD_MAX_S) { 0 } else { kept_s };
        Self { latest_s: AtomicU64::new(kept_s), kept_s: AtomicU64::new(kept_s), leapt: Mutex::new(None), file }
    }

    /// The time to judge by, now.
    pub fn judgement(&self) -> Judgement {
        let latest_s = self.latest_s.load(Ordering::Relaxed);
        let judgement = judge(system_s(), latest_s, built_at_s());
        let floor_s = latest_s.max(built_at_s());
        let mut leapt = self.leapt.lock();
        let ahead_for = if judgement.now_s > floor_s.saturating_add(LEAP_S) {
            leapt.get_or_insert_with(Instant::now).elapsed()
        } else {
            *leapt = None;
            Duration::ZERO
        };
        if is_remembered(judgement.now_s, floor_s, ahead_for) {
            self.latest_s.fetch_max(judgement.now_s, Ordering::Relaxed);
        }
        judgement
    }

    /// The time to judge by, seconds since 1970.
    pub fn now_s(&self) -> u64 {
        self.judgement().now_s
    }

    /// Writes the latest time down, if an hour has passed since the last.
    pub fn keep(&self) {
        self.judgement();
        let now_s = self.latest_s.load(Ordering::Relaxed);
        if now_s < self.kept_s.load(Ordering::Relaxed).saturating_add(KEEP_EVERY_S) {
            return;
        }
        self.kept_s.store(now_s, Ordering::Relaxed);
        if let Err(error) = atomic_file::replace(&self.file, format!("{now_s}\n").as_bytes(), PRIVATE) {
            tracing::warn!(%error, "latest time not written down");
        }
    }

    /// What to tell a person about the clock, if it is not trusted.
    pub fn complaint(&self) -> Option<String> {
        let judgement = self.judgement();
        (!judgement.is_trusted).then(|| {
            format!(
                "clock not trusted: the system says {}, certificates and tokens are judged by {} (if the system is right, \
                 stop the node and remove {})",
                crate::certificates::time_text(system_s()),
                crate::certificates::time_text(judgement.now_s),
                self.file.display()
            )
        })
    }
}

impl rustls::time_provider::TimeProvider for TrustedClock {
    fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
        Some(rustls::pki_types::UnixTime::since_unix_epoch(std::time::Duration::from_secs(self.now_s())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILT: u64 = 1_700_000_000;

    #[test]
    fn the_time_is_the_latest_of_system_build_and_what_was_seen() {
        let trusted = |now_s| Judgement { now_s, is_trusted: true };
        let distrusted = |now_s| Judgement { now_s, is_trusted: false };
        assert_eq!(judge(BUILT + 100, 0, BUILT), trusted(BUILT + 100));
        assert_eq!(judge(0, 0, BUILT), distrusted(BUILT));
        assert_eq!(judge(BUILT + 1, BUILT + 50, BUILT), distrusted(BUILT + 50));
        assert_eq!(judge(BUILT + 45, BUILT + 50, BUILT), trusted(BUILT + 50));
        assert_eq!(judge(BUILT + 44, BUILT + 50, BUILT), distrusted(BUILT + 50));
    }

    #[test]
    fn a_clock_in_the_far_future_is_not_believed() {
        let edge = BUILT + AHEAD_OF_BUILD_MAX_S;
        assert!(judge(edge, 0, BUILT).is_trusted);
        assert_eq!(judge(edge + 1, BUILT + 9, BUILT), Judgement { now_s: BUILT + 9, is_trusted: false });
    }

    #[test]
    fn a_leap_of_more_than_a_year_is_remembered_after_an_hour() {
        let minute = Duration::from_secs(60);
        assert!(is_remembered(BUILT + LEAP_S, BUILT, Duration::ZERO));
        assert!(!is_remembered(BUILT + LEAP_S + 1, BUILT, minute * 59));
        assert!(is_remembered(BUILT + LEAP_S + 1, BUILT, minute * 60));
    }

    #[test]
    fn the_latest_time_survives_and_is_written_once_an_hour() {
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join(FILE_NAME);
        let clock = TrustedClock::open(data.path());
        clock.keep();
        let first = std::fs::read_to_string(&file).unwrap();
        assert!(first.trim().parse::<u64>().unwrap() >= built_at_s());
        std::fs::remove_file(&file).unwrap();
        clock.keep();
        assert!(!file.exists(), "the hour is not over");
        let ahead = system_s().max(built_at_s()) + 1000;
        std::fs::write(&file, ahead.to_string()).unwrap();
        let clock = TrustedClock::open(data.path());
        assert_eq!(clock.judgement(), Judgement { now_s: ahead, is_trusted: false });
        assert!(clock.complaint().unwrap().contains(FILE_NAME));
    }

    #[test]
    fn a_file_that_holds_nonsense_is_as_none() {
        let data = tempfile::tempdir().unwrap();
        for text in ["", "soon", "-5", "18446744073709551615", "99999999999999999999"] {
            std::fs::write(data.path().join(FILE_NAME), text).unwrap();
            let clock = TrustedClock::open(data.path());
            assert!(clock.judgement().is_trusted && clock.complaint().is_none(), "{text}");
        }
    }
}
