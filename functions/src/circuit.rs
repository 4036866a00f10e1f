//! Stops a function that only fails, and tries it again later. Pure: the time is an argument.
//!
//! Closed: messages run. Open: they do not; what becomes of them is the caller's. Half open: one runs as a probe, and its end
//! decides. What counts is the end of a message, after its attempts; a message that the function rejects is no failure of the
//! function. Bounded: a fixed number of counters, however long it runs.

use std::time::Duration;

/// Parts of the window; counts leave it one part at a time.
const PARTS: usize = 12;
/// Ends in the window below which their share says nothing.
const ENDS_MIN: u32 = 10;

/// When a circuit opens and is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircuitRule {
    /// Failures in a row that open it.
    pub failures: u32,
    /// Opens it when more than this share of the ends in the window failed, once there are ten. Percent.
    pub failure_percent: u32,
    /// Length of the window. Seconds.
    pub window_s: u64,
    /// From opening to the probe. Seconds.
    pub probe_after_s: u64,
}

impl Default for CircuitRule {
    fn default() -> Self {
        Self { failures: 3, failure_percent: 60, window_s: 60, probe_after_s: 30 }
    }
}

/// What may be done with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permit {
    /// Run it.
    Run,
    /// Run it; its end decides whether the circuit closes.
    Probe,
    /// Do not, until then.
    No { until: Duration },
}

/// How a message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Good,
    Failed,
    /// It did not come to an end: the node took it back.
    Unknown,
}

/// The circuit changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Opened {
        /// A sentence.
        reason: String,
    },
    Closed,
}

/// Where a circuit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    Closed,
    Open,
    HalfOpen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open { since: Duration },
    HalfOpen { probe_since: Duration },
}

/// Good and failed ends in one part of the window.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    /// Number of the part since the beginning of time.
    number: u64,
    good: u32,
    failed: u32,
}

/// One circuit.
#[derive(Clone, Debug)]
pub(crate) struct Circuit {
    state: State,
    in_a_row: u32,
    parts: [Part; PARTS],
}

impl Circuit {
    pub(crate) fn new() -> Self {
        Self { state: State::Closed, in_a_row: 0, parts: [Part::default(); PARTS] }
    }

    /// May a message run at `now`? A [`Permit::Probe`] must come to an end; one that does not is given up after as long as an open
    /// circuit waits.
    pub(crate) fn permit(&mut self, rule: &CircuitRule, now: Duration) -> Permit {
        let wait = Duration::from_secs(rule.probe_after_s);
        let since = match self.state {
            State::Closed => return Permit::Run,
            State::Open { since } | State::HalfOpen { probe_since: since } => since,
        };
        let until = since.saturating_add(wait);
        if now < until {
            return Permit::No { until };
        }
        self.state = State::HalfOpen { probe_since: now };
        Permit::Probe
    }

    /// A message that had `permit` came to its end.
    pub(crate) fn ended(&mut self, rule: &CircuitRule, now: Duration, permit: Permit, end: End) -> Option<Change> {
        match (self.state, permit) {
            (State::HalfOpen { .. }, Permit::Probe) => self.probe_ended(now, end),
            (State::Closed, _) => self.count(rule, now, end),
            // One that had begun before: the circuit has been decided about since.
            _ => None,
        }
    }

    pub(crate) fn position(&self) -> Position {
        match self.state {
            State::Closed => Position::Closed,
            State::Open { .. } => Position::Open,
            State::HalfOpen { .. } => Position::HalfOpen,
        }
    }

    fn probe_ended(&mut self, now: Duration, end: End) -> Option<Change> {
        match end {
            End::Good => {
                *self = Self::new();
                Some(Change::Closed)
            }
            End::Failed => {
                self.state = State::Open { since: now };
                Some(Change::Opened { reason: "the probe failed".to_owned() })
            }
            End::Unknown => {
                // The next message is the probe.
                self.state = State::Open { since: Duration::ZERO };
                None
            }
        }
    }

    fn count(&mut self, rule: &CircuitRule, now: Duration, end: End) -> Option<Change> {
        let current = now.as_millis() as u64 / part_ms(rule);
        let part = self.parts.get_mut((current % PARTS as u64) as usize)?;
        if part.number != current {
            *part = Part { number: current, ..Part::default() };
        }
        match end {
            End::Unknown => return None,
            End::Good => {
                self.in_a_row = 0;
                part.good = part.good.saturating_add(1);
            }
            End::Failed => {
                self.in_a_row = self.in_a_row.saturating_add(1);
                part.failed = part.failed.saturating_add(1);
            }
        }
        let reason = self.reason_to_open(rule, current)?;
        *self = Self { state: State::Open { since: now }, ..Self::new() };
        Some(Change::Opened { reason })
    }

    fn reason_to_open(&self, rule: &CircuitRule, current: u64) -> Option<String> {
        if self.in_a_row >= rule.failures {
            return Some(format!("{} messages in a row failed", self.in_a_row));
        }
        let inside = self.parts.iter().filter(|part| part.number + PARTS as u64 > current);
        let (good, failed) = inside.fold((0_u64, 0_u64), |(good, failed), part| {
            (good + u64::from(part.good), failed + u64::from(part.failed))
        });
        let ends = good + failed;
        let is_too_much = failed * 100 > ends * u64::from(rule.failure_percent);
        (ends >= u64::from(ENDS_MIN) && is_too_much)
            .then(|| format!("{failed} of {ends} messages failed within {} s", rule.window_s))
    }
}

fn part_ms(rule: &CircuitRule) -> u64 {
    (rule.window_s.saturating_mul(1000) / PARTS as u64).max(1)
}

#[cfg(test)]
mod tests;
