//! The probation of this program: it looks at itself every second and confirms itself, or goes back by itself.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use selvedge_ota::slots::{LockError, WayBack};
use selvedge_ota::{Probation, Verdict};

use super::Updates;
use super::self_test::SelfTest;
use super::status::TrialView;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Somebody else who holds the lock is waited for so long at a time.
const LOCK_LOOK_EVERY: Duration = Duration::from_millis(100);

impl Updates {
    /// Until this program is confirmed, given up, or the node stops.
    pub(super) fn watch(&self, self_test: &SelfTest) {
        let started = Instant::now();
        let (needed, limit) = (self.config.probation.0, self.config.probation_max.0);
        let mut probation = Probation::new(needed, limit);
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "this version is on probation");
        while !self.stopping.load(Ordering::Acquire) {
            let problem = self_test.problem();
            if let Some(problem) = &problem {
                tracing::warn!(problem, "the new version is not well");
            }
            let verdict = probation.observe(started.elapsed(), problem);
            let (well_for, needed) = probation.well_for(started.elapsed());
            let problem = probation.problem().map(str::to_owned);
            self.work.lock().trial = Some(TrialView { well_for, needed, problem });
            let ended = match verdict {
                Verdict::Wait => Ok(()),
                Verdict::Commit => return self.told("confirm", self.confirm()),
                Verdict::GiveUp(reason) => return self.told("roll back", self.give_up(&reason)),
            };
            self.told("watch", ended);
            self.pause(LOOK_EVERY);
        }
    }

    fn told(&self, what: &str, result: anyhow::Result<()>) {
        if let Err(error) = result {
            tracing::error!(what, error = format!("{error:#}"), "the probation of this version has not ended well");
        }
    }

    fn confirm(&self) -> anyhow::Result<()> {
        let _lock = self.lock_patiently()?;
        let slots = self.agent.slots();
        let record = slots.record()?;
        let Some(candidate) = record.candidate else { return Ok(()) };
        let image = slots.image(candidate.slot)?;
        let before = record.good.and_then(|slot| slots.image(slot).ok());
        let mut state = self.agent.state()?;
        state.raise(&image);
        let way_back = if before.is_some_and(|before| state.admits(&before)) { WayBack::Keep } else { WayBack::Drop };
        slots.commit(way_back, self.now_unix_s().unwrap_or(0))?;
        self.agent.recover()?;
        self.work.lock().trial = None;
        self.publish_status();
        tracing::info!(version = image.version, "this version is confirmed");
        Ok(())
    }

    fn give_up(&self, reason: &str) -> anyhow::Result<()> {
        let _lock = self.lock_patiently()?;
        tracing::error!(reason, "this version is given up, and the one before comes back");
        if self.agent.slots().record()?.candidate.is_some() {
            self.agent.slots().roll_back(reason, self.now_unix_s().unwrap_or(0))?;
        }
        self.publish_status();
        self.restart_soon();
        Ok(())
    }

    /// An update that comes in meanwhile holds the lock until it was told to wait for the end of this trial.
    fn lock_patiently(&self) -> anyhow::Result<selvedge_ota::slots::Lock> {
        loop {
            match self.agent.lock() {
                Err(LockError::Busy { .. }) if !self.stopping.load(Ordering::Acquire) => self.pause(LOCK_LOOK_EVERY),
                taken => return Ok(taken?),
            }
        }
    }

    fn pause(&self, pause: Duration) {
        let deadline = Instant::now() + pause;
        let mut work = self.work.lock();
        while !self.stopping.load(Ordering::Acquire) && Instant::now() < deadline {
            self.wake.wait_until(&mut work, deadline);
        }
    }
}
