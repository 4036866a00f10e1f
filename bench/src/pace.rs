//! When a paced message is due.
//! Pure: the time is an argument. Invariant: message n is due at start + n / rate, whatever happened before, so that a
//! stall of the broker shows as latency of all messages that were due in it.

/// An even pace that started at a given time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    start_ns: u64,
    interval_ns: f64,
}

impl Schedule {
    /// Starts now, with so many messages a second.
    pub fn new(start_ns: u64, per_second: f64) -> Self {
        Self { start_ns, interval_ns: 1e9 / per_second }
    }

    /// When message `number` is due.
    pub fn due_ns(&self, number: u64) -> u64 {
        // Exact to a nanosecond for 104 days.
        self.start_ns + (number as f64 * self.interval_ns) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_due_at_even_distances_without_drift() {
        let schedule = Schedule::new(500, 3.0);
        assert_eq!(schedule.due_ns(0), 500);
        assert_eq!(schedule.due_ns(1), 500 + 333_333_333);
        assert_eq!(schedule.due_ns(3_000_000), 500 + 1_000_000_000_000_000);
    }
}
