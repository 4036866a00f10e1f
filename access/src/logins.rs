//! What a node remembers of logins: failures by address, passwords that were right, and how much it has computed lately.
//!
//! Everything here is lost with the process and bounded while it runs. It decides whether an attempt is looked at, never whether it
//! is right. Time is an argument: milliseconds that never go back.

use std::net::IpAddr;

use crate::access::{Computation, Now, Refusal};

mod budget;
mod throttle;
mod verified;

use budget::Budget;
use throttle::Throttle;
use verified::VerifiedPasswords;

/// Bounds of [`Logins`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginLimits {
    /// Failures from one address within `window_ms` after which it is refused for a while.
    pub failures_max: u32,
    /// In milliseconds, from the first failure.
    pub window_ms: u64,
    /// First time of being refused, in milliseconds; doubles each time.
    pub penalty_ms: u64,
    /// Longest time of being refused, in milliseconds; also how long a penalty is remembered after it ended.
    pub penalty_max_ms: u64,
    /// Addresses whose failures are remembered, and as many pairs of address and user that were right.
    pub addresses_max: usize,
    /// Users whose password was right and need not be computed again.
    pub verified_passwords_max: usize,
    /// argon2id computations per second in the long run, of all addresses together.
    pub computations_per_s: u32,
    /// argon2id computations at once. A quarter is kept for users who were right before from the same address.
    pub computations_burst: u32,
}

impl Default for LoginLimits {
    fn default() -> Self {
        Self {
            failures_max: 10,
            window_ms: 60_000,
            penalty_ms: 60_000,
            penalty_max_ms: 900_000,
            addresses_max: 10_000,
            verified_passwords_max: 10_000,
            computations_per_s: 20,
            computations_burst: 200,
        }
    }
}

/// Counts since the start, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoginStatistics {
    /// Logins that were right.
    pub accepted: u64,
    /// Logins that were wrong and count against their address.
    pub failed: u64,
    /// Attempts refused unseen, because of failures before.
    pub throttled: u64,
    /// Attempts refused because too much was computed.
    pub over_budget: u64,
    /// Passwords that were known to be right.
    pub remembered: u64,
    /// Addresses forgotten before their time, for want of room.
    pub addresses_evicted: u64,
}

/// Memory of logins; the one mutable thing here. The caller keeps it behind a lock, and never while a [`Computation`] runs.
#[derive(Debug)]
pub struct Logins {
    throttle: Throttle,
    verified: VerifiedPasswords,
    budget: Budget,
    statistics: LoginStatistics,
}

impl Logins {
    /// With nothing remembered. `boot_key` is random and of this run of the process.
    pub fn new(limits: LoginLimits, boot_key: [u8; 32]) -> Self {
        Self {
            verified: VerifiedPasswords::new(limits.verified_passwords_max, boot_key),
            budget: Budget::new(limits.computations_per_s, limits.computations_burst),
            throttle: Throttle::new(limits),
            statistics: LoginStatistics::default(),
        }
    }

    /// Takes what a computation costs from the budget; ask right before it runs.
    ///
    /// # Errors
    /// [`Refusal::Busy`], if too much was computed lately; this does not count as a failure.
    pub fn reserve(&mut self, computation: &Computation, now: Now) -> Result<(), Refusal> {
        if !computation.is_expensive() {
            return Ok(());
        }
        let origin = computation.origin();
        let is_known = self.throttle.is_known(origin.address, origin.name.as_deref());
        if self.budget.take(is_known, now.monotonic_ms) {
            return Ok(());
        }
        self.statistics.over_budget += 1;
        Err(Refusal::Busy)
    }

    /// Counts since the start.
    pub fn statistics(&self) -> LoginStatistics {
        LoginStatistics { addresses_evicted: self.throttle.evicted(), ..self.statistics }
    }

    /// Whether an attempt is looked at.
    pub(crate) fn admit(&mut self, origin: &Origin, now: Now) -> Result<(), Refusal> {
        match self.throttle.refused_for_ms(origin.address, origin.name.as_deref(), now.monotonic_ms) {
            None => Ok(()),
            Some(retry_in_ms) => {
                self.statistics.throttled += 1;
                Err(Refusal::Throttled { retry_in_ms })
            }
        }
    }

    pub(crate) fn failed(&mut self, origin: &Origin, now: Now) {
        self.statistics.failed += 1;
        self.throttle.failed(origin.address, origin.name.as_deref(), now.monotonic_ms);
    }

    pub(crate) fn succeeded(&mut self, origin: &Origin) {
        self.statistics.accepted += 1;
        if let Some(name) = &origin.name {
            self.throttle.succeeded(origin.address, name);
        }
    }

    /// Whether this password was right for this stored hash before.
    pub(crate) fn remembers(&mut self, user: &str, password: &[u8], stored: &[u8; 32]) -> bool {
        let remembered = self.verified.contains(user, password, stored);
        self.statistics.remembered += u64::from(remembered);
        remembered
    }

    pub(crate) fn remember(&mut self, user: &str, tag: [u8; 32]) {
        self.verified.insert(user, tag);
    }

    pub(crate) fn tag(&self, user: &str, password: &[u8], stored: &[u8; 32]) -> [u8; 32] {
        self.verified.tag(user, password, stored)
    }
}

/// Where an attempt comes from, and whom it names.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub address: IpAddr,
    pub name: Option<Box<str>>,
}

#[cfg(test)]
mod tests;
