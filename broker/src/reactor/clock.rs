//! The clock of the node's virtual time: milliseconds since the broker started.

use std::time::{Duration, Instant};

use selvedge_core::Moment;

/// Tells the time of the core; all copies agree.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// Moment zero is now.
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// What the core calls now.
    pub fn now(&self) -> Moment {
        self.at(Instant::now())
    }

    /// What the core calls `instant`.
    pub(crate) fn at(&self, instant: Instant) -> Moment {
        Moment::from_millis(instant.saturating_duration_since(self.origin).as_millis() as u64)
    }

    /// When `moment` is, on the system's monotonic clock; `None` if that is too far away to be represented.
    pub fn instant(&self, moment: Moment) -> Option<Instant> {
        self.origin.checked_add(Duration::from_millis(moment.as_millis()))
    }
}
