//! What can be asked of the updater, and how each is done.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use selvedge_ota::metadata::{Architecture, Content};
use selvedge_ota::slots::{digest_of, with_causes};
use selvedge_ota::source::Source;
use selvedge_ota::source::bundle::Bundle;
use selvedge_ota::source::folder::Folder;
use selvedge_ota::{Event, Facts, Occasion, OnTrial, Report, Restart, Run};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::status::{Activity, LastRun};
use super::{Updates, web};
use crate::http::ApiError;

/// Something to do.
#[derive(Clone, Debug)]
pub enum Job {
    /// Put a bundle in place, which is removed afterwards.
    Bundle(PathBuf),
    /// Look at the repository, for the operator: windows, pauses and roll-outs do not count.
    Check,
    /// End the trial, or go back to the version before.
    RollBack,
    /// Take no updates by itself, or take them again.
    Pause(bool),
    /// Try what did not hold once more.
    Retry,
    /// Trust this first root.
    Trust(Vec<u8>),
}

/// A job and whoever waits for it.
pub struct Asked {
    job: Job,
    answer: oneshot::Sender<Result<Value, ApiError>>,
}

/// A job, and where its answer comes.
pub(super) fn asked(job: Job) -> (Asked, oneshot::Receiver<Result<Value, ApiError>>) {
    let (answer, waits) = oneshot::channel();
    (Asked { job, answer }, waits)
}

impl Updates {
    pub(super) fn do_job(&self, asked: Asked) {
        let result = match asked.job {
            Job::Bundle(path) => self.bundle(&path),
            Job::Check => self.check(Occasion::Operator),
            Job::RollBack => self.roll_back(),
            Job::Pause(paused) => self.changed(|updates| {
                let _lock = updates.agent.lock()?;
                Ok(updates.agent.change_state(|state| state.paused = paused)?)
            }),
            Job::Retry => self.changed(|updates| {
                let _lock = updates.agent.lock()?;
                updates.agent.change_state(|state| state.refused.clear())?;
                updates.work.lock().look_now = !updates.config.repository.is_empty();
                Ok(())
            }),
            Job::Trust(root) => self.changed(|updates| {
                let _lock = updates.agent.lock()?;
                updates.agent.pin(&root)?;
                Ok(())
            }),
        };
        self.publish_status();
        // Whoever asked may have gone.
        let _ = asked.answer.send(result);
    }

    /// A look by itself. What came of it is in the status and in the log.
    pub(super) fn look(&self) -> Result<(), ()> {
        self.counters.checks.fetch_add(1, Ordering::Relaxed);
        let result = self.check(Occasion::ByItself);
        self.publish_status();
        match result {
            Ok(_) => Ok(()),
            Err(error) => {
                self.counters.check_failures.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(
                    error = error.message,
                    repository = self.config.repository,
                    "no update could be looked for"
                );
                Err(())
            }
        }
    }

    fn changed(&self, change: impl FnOnce(&Self) -> anyhow::Result<()>) -> Result<Value, ApiError> {
        change(self).map_err(|error| ApiError::new(409, format!("{error:#}")))?;
        Ok(self.status())
    }

    fn check(&self, occasion: Occasion) -> Result<Value, ApiError> {
        let repository = &self.config.repository;
        if repository.is_empty() {
            return Err(ApiError::new(409, "no repository is configured: set ota.repository, or apply a bundle"));
        }
        if Path::new(repository).is_absolute() {
            return self.update(&mut Folder::new(Path::new(repository)), occasion);
        }
        // Kept from look to look, with what it knows of the server.
        let mut web = self.web.lock();
        let source = match web.take() {
            Some(source) => source,
            None => web::open(&self.config).map_err(|error| ApiError::new(502, format!("{error:#}")))?,
        };
        self.update(web.insert(source), occasion)
    }

    fn bundle(&self, path: &Path) -> Result<Value, ApiError> {
        self.counters.bundles.fetch_add(1, Ordering::Relaxed);
        let result = Bundle::open(path)
            .map_err(|error| ApiError::new(422, format!("{:#}", anyhow::Error::from(error))))
            .and_then(|mut bundle| self.update(&mut bundle, Occasion::Operator));
        if let Err(error) = std::fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %path.display(), "a bundle that is not needed any more stays");
        }
        result
    }

    fn update(&self, source: &mut dyn Source, occasion: Occasion) -> Result<Value, ApiError> {
        let name = source.name();
        let result = self.update_locked(source, occasion);
        let mut work = self.work.lock();
        work.activity = None;
        let at_unix_s = crate::trusted_clock::system_s();
        work.last = Some(LastRun {
            at_unix_s,
            source: name,
            result: result.as_ref().map(report_json).map_err(|error| format!("{error:#}")),
        });
        drop(work);
        let report = result.map_err(|error| ApiError::new(422, format!("{error:#}")))?;
        self.tell(&report);
        if report.restart == Restart::Needed {
            self.restart_soon();
        }
        let mut answer = report_json(&report);
        if let Value::Object(members) = &mut answer {
            members.insert("restarts".to_owned(), (report.restart == Restart::Needed && self.launched).into());
        }
        Ok(answer)
    }

    fn update_locked(&self, source: &mut dyn Source, occasion: Occasion) -> anyhow::Result<Report> {
        let _lock = self.agent.lock()?;
        let facts = self.facts()?;
        let mut events = |event: Event| self.note(event);
        let clock = self.metadata_clock();
        let host = &self.host;
        Ok(self.agent.update(&mut Run { source, host, facts, occasion, clock, events: &mut events })?)
    }

    fn facts(&self) -> anyhow::Result<Facts> {
        let architecture = Architecture::of_this_program()
            .ok_or_else(|| anyhow::anyhow!("there are no updates for {}", std::env::consts::ARCH))?;
        Ok(Facts {
            node_id: self.node_id.clone(),
            architecture,
            running: self.running(),
            on_trial: OnTrial::No,
            files: self.config.files.keys().cloned().collect(),
            windows: self.config.windows.iter().filter_map(|window| window.parse().ok()).collect(),
            now_unix_s: self.now_unix_s(),
        })
    }

    /// What runs, by its bytes; read once.
    fn running(&self) -> Option<Content> {
        let mut running = self.running.lock();
        if running.is_none() {
            let file = std::fs::File::open("/proc/self/exe").ok()?;
            let digest = digest_of(&file).ok()?;
            *running = Some(Content { length: digest.length, sha256: digest.sha256 });
        }
        *running
    }

    fn note(&self, event: Event) {
        match &event {
            Event::Download { path, done, .. } => self.count_download(path, *done),
            Event::Fallback { path, cause } => tracing::warn!(path, cause, "another way is taken to an update"),
            Event::Installed { path, version } => tracing::info!(path, version, "update put in place"),
            _ => {}
        }
        self.work.lock().activity = Some(Activity::from(event));
    }

    /// A download tells how much is there of it; what is counted is what was added.
    fn count_download(&self, path: &str, done: u64) {
        let mut last = self.last_download.lock();
        let before = if last.0 == path { last.1.min(done) } else { 0 };
        self.counters.downloaded_bytes.fetch_add(done - before, Ordering::Relaxed);
        *last = (path.to_owned(), done);
    }

    fn tell(&self, report: &Report) {
        self.counters.installed.fetch_add(report.installed.len() as u64, Ordering::Relaxed);
        self.counters.install_failures.fetch_add(report.failed.len() as u64, Ordering::Relaxed);
        for (path, version, error) in &report.failed {
            let error = with_causes(error);
            tracing::warn!(path, version, error, "update not put in place");
        }
        for problem in &report.problems {
            tracing::warn!(problem, "a part of the repository is not used");
        }
    }

    fn roll_back(&self) -> Result<Value, ApiError> {
        let attempt = || -> anyhow::Result<()> {
            let _lock = self.agent.lock()?;
            let slots = self.agent.slots();
            if slots.record()?.candidate.is_some() {
                slots.roll_back("the operator ended its probation", self.now_unix_s().unwrap_or(0))?;
                return Ok(self.agent.recover()?);
            }
            let record = slots.record()?;
            let state = self.agent.state()?;
            let image = record.previous.and_then(|slot| slots.image(slot).ok());
            anyhow::ensure!(
                image.is_none_or(|image| state.admits(&image)),
                "the version before cannot run any more: its data format or security floor is below that of this node"
            );
            slots.try_previous(self.config.tries_max)?;
            Ok(())
        };
        attempt().map_err(|error| ApiError::new(409, format!("{error:#}")))?;
        self.restart_soon();
        Ok(self.status())
    }
}

/// What came of an update, for people and programs.
pub fn report_json(report: &Report) -> Value {
    let rows = |rows: &[(String, String, String)]| -> Value {
        rows.iter().map(|(path, version, why)| json!({ "path": path, "version": version, "why": why })).collect()
    };
    let left: Vec<_> =
        report.left.iter().map(|(path, version, why)| (path.clone(), version.clone(), why.to_string())).collect();
    let failed: Vec<_> = report
        .failed
        .iter()
        .map(|(path, version, error)| (path.clone(), version.clone(), with_causes(error)))
        .collect();
    let installed: Vec<Value> =
        report.installed.iter().map(|(path, version)| json!({ "path": path, "version": version })).collect();
    json!({
        "installed": installed,
        "left": rows(&left),
        "failed": rows(&failed),
        "problems": report.problems,
        "restart": report.restart == Restart::Needed,
    })
}
