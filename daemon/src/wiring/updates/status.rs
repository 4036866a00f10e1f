//! What runs, what waits, and how the last update ended: for people, programs and Prometheus.

use std::sync::atomic::Ordering;
use std::time::Duration;

use selvedge_ota::Event;
use selvedge_ota::slots::{Ended, Outcome, Slot};
use serde_json::{Value, json};

use super::Updates;

/// What is being done.
#[derive(Clone, Debug)]
pub(super) struct Activity {
    what: &'static str,
    path: String,
    done: u64,
    total: u64,
}

impl From<Event> for Activity {
    fn from(event: Event) -> Self {
        let (what, path, done, total) = match event {
            Event::Metadata { file } => ("reading metadata", file, 0, 0),
            Event::Download { path, done, total } => ("downloading", path, done, total),
            Event::Make { path, done, total } => ("applying", path, done, total),
            Event::Fallback { path, .. } => ("taking another way than", path, 0, 0),
            Event::Preflight => ("trying the new program", String::new(), 0, 0),
            Event::Installed { path, .. } => ("put in place", path, 0, 0),
        };
        Self { what, path, done, total }
    }
}

/// The last update that was tried.
#[derive(Clone, Debug)]
pub(super) struct LastRun {
    pub(super) at_unix_s: u64,
    pub(super) source: String,
    pub(super) result: Result<Value, String>,
}

/// How the trial of this program goes.
#[derive(Clone, Debug)]
pub(super) struct TrialView {
    pub(super) well_for: Duration,
    pub(super) needed: Duration,
    pub(super) problem: Option<String>,
}

/// For Prometheus.
#[derive(Clone, Copy, Debug, Default)]
pub struct OtaReadings {
    /// Looks at the repository.
    pub checks: u64,
    /// Those that failed.
    pub check_failures: u64,
    /// Programs, functions and files put in place.
    pub installed: u64,
    /// Those that could not be.
    pub install_failures: u64,
    /// Bundles that came.
    pub bundles: u64,
    /// Bytes of payloads that came.
    pub downloaded_bytes: u64,
    /// Whether this program is on trial.
    pub on_trial: bool,
    /// Whether the last trial was rolled back.
    pub rolled_back: bool,
    /// Whether updates are paused.
    pub paused: bool,
}

impl Updates {
    /// All of it, as JSON.
    pub fn status(&self) -> Value {
        let slots = self.agent.slots();
        let record = slots.record();
        let (record, problem) = match record {
            Ok(record) => (record, None),
            Err(error) => (Default::default(), Some(error.to_string())),
        };
        let state = self.agent.state().unwrap_or_default();
        let trust = self.agent.trust();
        let work = self.work.lock();
        let candidate = record.candidate.map(|candidate| {
            let view = work.trial.as_ref().filter(|_| self.slot == Some(candidate.slot));
            json!({
                "slot": candidate.slot.name(),
                "version": self.version(candidate.slot),
                "start": candidate.tries,
                "starts_max": candidate.tries_max,
                "runs": self.slot == Some(candidate.slot),
                "well_for_s": view.map(|view| view.well_for.as_secs()),
                "needed_s": view.map(|view| view.needed.as_secs()),
                "problem": view.and_then(|view| view.problem.clone()),
            })
        });
        let trusted = trust.as_ref().ok().and_then(Option::as_ref).map(|trust| {
            let roles: serde_json::Map<String, Value> = trust
                .standings()
                .into_iter()
                .map(|standing| {
                    let about = json!({ "version": standing.version, "expires_unix_s": standing.expires_unix_s });
                    (standing.role.name().to_owned(), about)
                })
                .collect();
            Value::Object(roles)
        });
        json!({
            // As the publisher called it, where it came by an update.
            "version": self.slot.and_then(|slot| self.version(slot)).unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned()),
            "slot": self.slot.map_or("package", Slot::name),
            "launched": self.launched,
            "good": record.good.map(|slot| json!({ "slot": slot.name(), "version": self.version(slot) })),
            "previous": record.previous.map(|slot| json!({ "slot": slot.name(), "version": self.version(slot) })),
            "on_trial": candidate,
            "last_trial": record.ended.as_ref().map(ended_json),
            "paused": state.paused,
            "data_format": state.data_format,
            "security_floor": state.security_floor,
            "repository": self.config.repository,
            "trusted": trusted,
            "problem": problem.or_else(|| trust.err().map(|error| error.to_string())),
            "activity": work.activity.as_ref().map(|activity| json!({
                "what": activity.what, "path": activity.path, "done": activity.done, "total": activity.total,
            })),
            "last": work.last.as_ref().map(|last| match &last.result {
                Ok(report) => json!({ "at_unix_s": last.at_unix_s, "source": last.source, "report": report }),
                Err(error) => json!({ "at_unix_s": last.at_unix_s, "source": last.source, "error": error }),
            }),
            "installed": state.installed,
            "refused": state.refused,
        })
    }

    /// For Prometheus.
    pub fn readings(&self) -> OtaReadings {
        let record = self.agent.slots().record().unwrap_or_default();
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        OtaReadings {
            checks: count(&self.counters.checks),
            check_failures: count(&self.counters.check_failures),
            installed: count(&self.counters.installed),
            install_failures: count(&self.counters.install_failures),
            bundles: count(&self.counters.bundles),
            downloaded_bytes: count(&self.counters.downloaded_bytes),
            on_trial: record.candidate.is_some(),
            rolled_back: record.ended.is_some_and(|ended| ended.outcome == Outcome::RolledBack),
            paused: self.agent.state().is_ok_and(|state| state.paused),
        }
    }

    fn version(&self, slot: Slot) -> Option<String> {
        self.agent.slots().image(slot).ok().map(|image| image.version)
    }
}

fn ended_json(ended: &Ended) -> Value {
    json!({
        "outcome": ended.outcome.name(),
        "version": ended.version,
        "sha256": ended.sha256,
        "at_unix_s": ended.at_unix_s,
        "reason": ended.reason,
    })
}
