//! What is asked about versions that are not live yet: recordings, replays, promotion, shadows and canaries.
//!
//! A guard's verdict is not carried out here, within a run: it goes to whoever listens to [`Runtime::judgements`], who changes the
//! function together with what starts it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use parking_lot::Mutex;
use serde::Serialize;

use super::function::Function;
use super::pointing::{Pointed, apply, find};
use super::trial::{self, Replay};
use super::watch::WatchStatus;
use super::{Runtime, Shared, pointing};
use crate::alias::Alias;
use crate::canary::{Canary, CanaryPolicy, Observation, Verdict};
use crate::catalog::LIVE;
use crate::deployment::DeployError;
use crate::gate::{PolicyWish, PromotionReport};
use crate::log_ring::LogLevel;
use crate::recording::Recording;
use crate::version::VersionNumber;

/// A guard's verdict about a canary.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judgement {
    /// Name of the function.
    pub function: String,
    /// The canary.
    pub canary: Canary,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// Where verdicts go.
pub(super) struct Judgements {
    told: Sender<Judgement>,
    heard: Mutex<Option<Receiver<Judgement>>>,
}

impl Default for Judgements {
    fn default() -> Self {
        let (told, heard) = channel();
        Self { told, heard: Mutex::new(Some(heard)) }
    }
}

impl Shared {
    /// Tells the guard of the function's canary; passes its verdict on.
    pub(super) fn observe(&self, function: &Function, observation: Observation) {
        let Some((canary, verdict)) = function.watch.observe(observation) else { return };
        let judgement = Judgement { function: function.name.clone(), canary, verdict };
        // Nobody listens any more when the node stops; after a restart the canary is watched again.
        let _ = self.judgements.told.send(judgement);
    }
}

/// A version after its trial.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Promoted {
    /// What it made of the recordings.
    #[serde(flatten)]
    pub report: PromotionReport,
    /// The alias `live`, if it went live.
    pub pointed: Option<Pointed>,
}

impl Runtime {
    /// The recorded messages of a function, oldest first.
    ///
    /// # Errors
    /// There is no such function.
    pub fn recordings(&self, name: &str) -> Result<Vec<Arc<Recording>>, DeployError> {
        Ok(self.function(name)?.watch.recordings())
    }

    /// Forgets the recorded messages of a function.
    ///
    /// # Errors
    /// There is no such function.
    pub fn forget_recordings(&self, name: &str) -> Result<(), DeployError> {
        self.function(name)?.watch.forget();
        Ok(())
    }

    /// Runs the version that ran then, or another one, on a recorded message again, without effects. Blocks until it is done.
    ///
    /// # Errors
    /// There is no such function, version or recording.
    pub fn replay(
        &self,
        name: &str,
        invocation_id: &str,
        version: Option<VersionNumber>,
    ) -> Result<Replay, DeployError> {
        trial::replay(&self.shared, &self.function(name)?, invocation_id, version)
    }

    /// Runs a version and the one that is live on the recorded messages, or on those given; it goes live if its manifest's policy, with
    /// what is asked otherwise, has nothing against it. `dry_run`: it does not. Blocks for up to a minute.
    ///
    /// # Errors
    /// There is no such function or version, nothing is live, or the policy is none.
    pub fn promote(
        &self,
        name: &str,
        candidate: VersionNumber,
        recordings: Option<Vec<Recording>>,
        wish: PolicyWish,
        dry_run: bool,
    ) -> Result<Promoted, DeployError> {
        let _changing = self.shared.changing.lock();
        let function = self.function(name)?;
        let mut report = trial::judge(&self.shared, &function, candidate, recordings, wish)?;
        if dry_run || !report.refusals.is_empty() {
            let said = if report.refusals.is_empty() { "may go live" } else { "is refused" };
            self.note(&function, LogLevel::Info, &format!("{candidate} {said} after {} recordings", report.messages));
            return Ok(Promoted { report, pointed: None });
        }
        let pointed = pointing::point(&self.shared, name, LIVE, Alias::only(candidate))?;
        report.promoted = true;
        Ok(Promoted { report, pointed: Some(pointed) })
    }

    /// Lets a version see each recorded message after the live one has run on it, without effects; or none.
    ///
    /// # Errors
    /// There is no such function or version, or it cannot be stored.
    pub fn set_shadow(&self, name: &str, shadow: Option<VersionNumber>) -> Result<(), DeployError> {
        let _changing = self.shared.changing.lock();
        let (function, mut catalog) = find(&self.shared, name)?;
        if let Some(number) = shadow {
            // What cannot run is refused here, not when the first message comes.
            super::load::one(&self.shared, &function, number)?;
        }
        catalog.set_shadow(shadow)?;
        self.shared.records.put(name, &catalog).map_err(DeployError::Store)?;
        function.watch.set(catalog.canary().copied(), catalog.shadow());
        let text =
            shadow.map_or_else(|| "no shadow any more".to_owned(), |number| format!("{number} runs in the shadow"));
        self.note(&function, LogLevel::Info, &text);
        Ok(())
    }

    /// Gives a version part of the messages until its guard has a verdict.
    ///
    /// # Errors
    /// There is no such function or version, it is live already, or the policy is none.
    pub fn start_canary(
        &self,
        name: &str,
        candidate: VersionNumber,
        policy: CanaryPolicy,
    ) -> Result<Pointed, DeployError> {
        if let Some(problem) = policy.problem() {
            return Err(DeployError::Policy(problem.to_owned()));
        }
        let _changing = self.shared.changing.lock();
        let (function, mut catalog) = find(&self.shared, name)?;
        let baseline = catalog.live().map(Alias::heaviest);
        let baseline = baseline.ok_or_else(|| DeployError::NothingLive(name.to_owned()))?;
        let began_ms = self.shared.host.now_ms();
        catalog.begin_canary(Canary { candidate, baseline, policy, began_ms })?;
        let pointed = apply(&self.shared, &function, &catalog, LIVE, true)?;
        let detail = serde_json::json!({ "function": name, "version": candidate, "baseline": baseline });
        self.shared.host.event(name, "canary-started", detail);
        Ok(pointed)
    }

    /// Carries out a verdict, unless the canary has ended meanwhile: then `None`.
    ///
    /// # Errors
    /// The version that it goes to cannot run, or it cannot be stored.
    pub fn conclude(&self, judgement: &Judgement) -> Result<Option<Pointed>, DeployError> {
        let _changing = self.shared.changing.lock();
        let Judgement { function: name, canary, verdict } = judgement;
        let (function, mut catalog) = find(&self.shared, name)?;
        if catalog.canary() != Some(canary) {
            return Ok(None);
        }
        // Going live takes the place of the trial, so that the way back leads to before it.
        catalog.step_back(LIVE)?;
        let (event, reason) = match verdict {
            Verdict::RollBack(reason) => ("canary-rolled-back", Some(reason)),
            Verdict::Promote => {
                catalog.point(LIVE, Alias::only(canary.candidate))?;
                ("canary-promoted", None)
            }
        };
        let pointed = apply(&self.shared, &function, &catalog, LIVE, true)?;
        function.counters.canary_ended(verdict);
        self.note(&function, LogLevel::Warn, &format!("canary {} {verdict}", canary.candidate));
        tracing::info!(function = name, version = %canary.candidate, verdict = %verdict, "canary ended");
        let detail = serde_json::json!({
            "function": name, "version": canary.candidate, "baseline": canary.baseline, "reason": reason,
        });
        self.shared.host.event(name, event, detail);
        Ok(Some(pointed))
    }

    /// Verdicts as they come, for the one who carries them out; `None` after the first call. Ends with the runtime.
    pub fn judgements(&self) -> Option<Receiver<Judgement>> {
        self.shared.judgements.heard.lock().take()
    }

    /// A function's recordings, shadow and canary.
    ///
    /// # Errors
    /// There is no such function.
    pub fn watch(&self, name: &str) -> Result<WatchStatus, DeployError> {
        Ok(self.function(name)?.watch.status())
    }

    /// Bytes of all recordings.
    pub fn recording_bytes(&self) -> usize {
        self.shared.recording_room.used()
    }

    fn function(&self, name: &str) -> Result<Arc<Function>, DeployError> {
        let function = self.shared.functions.read().get(name).cloned();
        function.ok_or_else(|| DeployError::NoFunction(crate::log_ring::cut(name, 80).to_owned()))
    }

    fn note(&self, function: &Function, level: LogLevel, text: &str) {
        function.logs.push(self.shared.host.now_ms(), level, "", "runtime", text);
    }
}
