//! Who may come in, and do what: `selvedge-access` as the broker's authenticator, the core's authorizer and HTTP's login.
//!
//! `sources` reads the files, `reload` watches them, `authenticator`, `authorizer` and `http_login` answer. Invariants: everybody
//! asks the same snapshot, which is replaced as a whole; no password is computed while something is locked; without a good
//! file nobody comes in who needs it, and nothing of that stops the node.

pub mod authenticator;
pub mod authorizer;
pub mod counters;
pub mod explain;
pub mod http_login;
pub mod reload;
pub mod sources;

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use parking_lot::{Mutex, RwLock};
use selvedge_access::{Access, Answer, Identity, Login, LoginLimits, LoginStatistics, Logins, Now, Refusal, Step};

use selvedge_broker::Offenders;

use super::jwks::KeyFetcher;
use crate::config::AccessConfig;
use crate::trusted_clock::TrustedClock;
use counters::{Kind, LoginCounters};

/// The one place that knows who may come in now. Shared by all that ask.
#[derive(Debug)]
pub struct Gate {
    current: RwLock<Arc<Access>>,
    logins: Mutex<Logins>,
    clock: Arc<TrustedClock>,
    started: Instant,
    /// For each listener of the broker, whether clients may come in without a login.
    lets_anonymous_in: Vec<bool>,
    /// Brings keys of tokens, where they come from an address.
    fetcher: OnceLock<Arc<KeyFetcher>>,
    counters: LoginCounters,
    /// Whose credentials were wrong, since somebody last asked.
    failures: Mutex<Offenders>,
}

impl Gate {
    /// With `access` as the first snapshot. `boot_key` is random.
    pub fn new(
        access: Access,
        config: &AccessConfig,
        lets_anonymous_in: Vec<bool>,
        clock: Arc<TrustedClock>,
        boot_key: [u8; 32],
    ) -> Self {
        Self {
            current: RwLock::new(Arc::new(access)),
            logins: Mutex::new(Logins::new(login_limits(config), boot_key)),
            clock,
            started: Instant::now(),
            lets_anonymous_in,
            fetcher: OnceLock::new(),
            counters: LoginCounters::default(),
            failures: Mutex::default(),
        }
    }

    /// The snapshot that counts now.
    pub fn access(&self) -> Arc<Access> {
        Arc::clone(&self.current.read())
    }

    /// Another snapshot counts from now on.
    fn replace(&self, access: Arc<Access>) {
        *self.current.write() = access;
    }

    /// Keys come from there; once.
    pub fn set_fetcher(&self, fetcher: Arc<KeyFetcher>) {
        // A second one would be a mistake of the wiring, and the first goes on.
        let _ = self.fetcher.set(fetcher);
    }

    /// Counts of logins.
    pub fn counts(&self) -> (counters::Counts, LoginStatistics) {
        (self.counters.read(), self.logins.lock().statistics())
    }

    /// Whose credentials were wrong since this was asked last.
    pub fn take_failures(&self) -> Offenders {
        self.failures.lock().take()
    }

    fn now(&self) -> Now {
        let monotonic_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { wall_ms: Some(self.clock.now_s().saturating_mul(1000)), monotonic_ms }
    }

    /// Decides at once, or says what must be computed first.
    fn begin(&self, login: &Login<'_>) -> Step {
        self.access().login(&mut self.logins.lock(), login, self.now())
    }

    /// As `begin`, computing what must be: takes tens of milliseconds.
    fn login(&self, login: &Login<'_>) -> Result<Identity, Refusal> {
        match self.begin(login) {
            Step::Done(decided) => decided,
            Step::Compute(computation) => self.compute(computation),
        }
    }

    fn compute(&self, computation: selvedge_access::Computation) -> Result<Identity, Refusal> {
        self.logins.lock().reserve(&computation, self.now())?;
        let computed = computation.run();
        // The snapshot of now: what was changed meanwhile counts.
        self.access().conclude(&mut self.logins.lock(), computed, self.now())
    }

    /// Counts an outcome, logs a refusal, and asks for newer keys where they could help.
    fn note(&self, kind: Kind, address: std::net::IpAddr, outcome: &Result<Identity, Refusal>) {
        self.counters.count(kind, outcome.as_ref().err());
        if let Err(refusal) = outcome {
            if matches!(refusal.answer(), Answer::BadCredentials | Answer::TooManyAttempts) {
                self.failures.lock().note(address);
            }
            tracing::debug!(%address, kind = kind.name(), reason = %refusal, "login refused");
            if let (true, Some(fetcher)) = (refusal.wants_newer_keys(), self.fetcher.get()) {
                fetcher.look_again();
            }
        }
    }
}

fn login_limits(config: &AccessConfig) -> LoginLimits {
    let milliseconds = |period: crate::config::Period| u64::try_from(period.0.as_millis()).unwrap_or(u64::MAX);
    LoginLimits {
        failures_max: config.failures_max,
        window_ms: milliseconds(config.failure_window),
        penalty_ms: milliseconds(config.penalty),
        penalty_max_ms: milliseconds(config.penalty_max),
        addresses_max: config.addresses_max as usize,
        verified_passwords_max: config.passwords_remembered_max as usize,
        computations_per_s: config.computations_per_s,
        computations_burst: config.computations_burst,
    }
}

#[cfg(test)]
mod tests;
