//! One publisher of a phase: what it has on the way, and what stops it.
//! Pure. Invariant: free means that one more message breaks neither the window, nor the receive maximum, nor its quota.

use crate::in_flight::InFlight;
use crate::plan::{LoadPlan, Pace};

/// Bytes that may wait in a publisher's outbox before it pauses.
const BACKLOG_BYTES_MAX: usize = 262_144;

/// A publisher.
pub(super) struct Publisher {
    pub in_flight: InFlight,
    pub sent: u64,
    pub quota: u64,
    /// Copies on the way.
    pub undelivered: u64,
    pub awake: bool,
}

/// What stops a publisher.
pub(super) enum Room {
    Free,
    /// Until a delivery or an acknowledgement.
    Full,
    /// Until its socket takes more.
    Backlog,
}

impl Publisher {
    /// What stops it now; `backlog` bytes wait in its outbox.
    pub fn room(&self, plan: &LoadPlan, backlog: usize) -> Room {
        let copies = plan.copies();
        let window_full = match plan.pace {
            Pace::Window(window) if copies == 0 => self.in_flight.count() >= window as usize,
            Pace::Window(window) => self.undelivered + copies > u64::from(window) * copies,
            Pace::PerSecond(_) => false,
        };
        let no_id = plan.qos > 0 && !self.in_flight.has_room();
        if no_id || self.sent >= self.quota || window_full {
            Room::Full
        } else if backlog > BACKLOG_BYTES_MAX {
            Room::Backlog
        } else {
            Room::Free
        }
    }
}
