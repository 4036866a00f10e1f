//! Updates, wired: one thread that does what was asked for, one after the other, and looks at the repository in between.
//!
//! The parts of `ota` decide; here are the node as they see it (`host`), the proof that a new version is well (`self_test`,
//! `trial`), and the words for people (`status`). Invariant: nothing here touches the broker's thread, and whatever fails here
//! leaves the node running.

mod files;
mod host;
mod jobs;
pub mod over_mqtt;
mod self_test;
mod status;
mod trial;
mod web;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use selvedge_broker::Handle;
use selvedge_ota::metadata::{Clock, Content};
use selvedge_ota::slots::{Disk, LocalDisk, Slot};
use selvedge_ota::source::web::Web;
use selvedge_ota::{Agent, AgentLimits, Backoff, State};
use serde_json::Value;

use crate::config::{OtaConfig, OtaFile};
use crate::http::ApiError;
use crate::trusted_clock::{TrustedClock, built_at_s};
pub use host::{NodeHost, preflight};
pub use jobs::{Asked, Job, report_json};
pub use self_test::SelfTest;
pub use status::OtaReadings;

/// Folder of updates in the data directory, unless the launcher says otherwise.
pub const FOLDER: &str = "ota";
/// Newest format of the data directory that this program reads and writes.
pub const DATA_FORMAT: u32 = 1;
/// Jobs that wait; more are turned away.
const JOBS_MAX: usize = 8;
const STACK_BYTES: usize = 2 << 20;
/// A wake-up without anything to do does no harm; this is for clocks that leap.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// After the answer that tells of it, the node starts again.
const RESTART_AFTER: Duration = Duration::from_millis(300);

/// The updater of the node; shared.
pub struct Updates {
    agent: Agent,
    folder: PathBuf,
    config: OtaConfig,
    node_id: String,
    host: NodeHost,
    clock: Arc<TrustedClock>,
    slot: Option<Slot>,
    /// Whether the launcher started this process, so that it can be gone back to.
    launched: bool,
    running: Mutex<Option<Content>>,
    work: Mutex<Work>,
    wake: Condvar,
    restart: Mutex<Option<Instant>>,
    stopping: AtomicBool,
    counters: Counters,
    /// Where the status is published.
    broker: OnceLock<Handle>,
    /// The repository on the web, once it was looked at.
    web: Mutex<Option<Web>>,
    /// The payload that came last, and how much of it.
    last_download: Mutex<(String, u64)>,
}

/// What waits, what happens, and what came of it.
#[derive(Default)]
struct Work {
    jobs: std::collections::VecDeque<Asked>,
    activity: Option<status::Activity>,
    last: Option<status::LastRun>,
    trial: Option<status::TrialView>,
    /// Wanted sooner than the next look.
    look_now: bool,
}

/// Counted since the start.
#[derive(Default)]
struct Counters {
    checks: AtomicU64,
    check_failures: AtomicU64,
    installed: AtomicU64,
    install_failures: AtomicU64,
    downloaded_bytes: AtomicU64,
    bundles: AtomicU64,
}

/// What the updater needs of the node.
pub struct Parts {
    /// The data directory.
    pub data: PathBuf,
    /// Settings.
    pub config: OtaConfig,
    /// Who this node is.
    pub node_id: String,
    /// What updates are put in place through.
    pub host: NodeHost,
    /// The time.
    pub clock: Arc<TrustedClock>,
}

impl Updates {
    /// Opens the folder of updates and takes up what a stop left. A folder that cannot be used is told in the log and in the status: the node runs.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(parts: Parts) -> io::Result<Arc<Self>> {
        // That of a launcher may be anywhere, and not be there yet.
        std::fs::create_dir_all(parent_of(&folder(&parts.data)))?;
        let folder = make_folder(&parts.data)?;
        let limits = AgentLimits {
            content_bytes_max: parts.config.content_bytes_max.0,
            tries_max: parts.config.tries_max,
            ..AgentLimits::default()
        };
        let slot = std::env::var("SELVEDGE_SLOT").ok();
        let updates = Self {
            agent: Agent::new(Arc::new(LocalDisk), &folder, limits),
            folder,
            config: parts.config,
            node_id: parts.node_id,
            host: parts.host,
            clock: parts.clock,
            slot: slot.as_deref().and_then(|slot| slot.parse().ok()),
            launched: slot.is_some() && std::env::var_os("SELVEDGE_LAUNCHER").is_some(),
            running: Mutex::default(),
            work: Mutex::default(),
            wake: Condvar::new(),
            restart: Mutex::default(),
            stopping: AtomicBool::new(false),
            counters: Counters::default(),
            broker: OnceLock::new(),
            web: Mutex::default(),
            last_download: Mutex::default(),
        };
        if let Err(error) = updates.begin() {
            tracing::error!(error = format!("{error:#}"), "updates do not work");
        }
        Ok(Arc::new(updates))
    }

    /// Starts the thread that works, and the one that watches a new version, if this is one on trial.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(self: &Arc<Self>, self_test: SelfTest) -> io::Result<Vec<JoinHandle<()>>> {
        // Set once, here.
        let _ = self.broker.set(self_test.broker.clone());
        self.publish_status();
        let worker = Arc::clone(self);
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES).spawn(work)
        };
        let mut threads = vec![spawn("updates", Box::new(move || worker.run()))?];
        if self.is_on_trial() {
            let watcher = Arc::clone(self);
            threads.push(spawn("probation", Box::new(move || watcher.watch(&self_test)))?);
        }
        Ok(threads)
    }

    /// Ends the threads, after what is under way.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        // A thread that has just looked holds the lock until it waits, and would wait long if it were told before.
        let _work = self.work.lock();
        self.wake.notify_all();
    }

    /// Whether the node has to start again now, through the launcher.
    pub fn wants_restart(&self) -> bool {
        self.restart.lock().is_some_and(|at| Instant::now() >= at)
    }

    /// Asks for a job; the answer comes when it is done.
    pub fn ask(&self, job: Job) -> crate::http::Pending<Value> {
        let (asked, answer) = jobs::asked(job);
        let mut work = self.work.lock();
        if work.jobs.len() >= JOBS_MAX || self.stopping.load(Ordering::Acquire) {
            let error = ApiError::unavailable("too many updates are waiting; ask again later");
            return Box::pin(std::future::ready(Err(error)));
        }
        work.jobs.push_back(asked);
        drop(work);
        self.wake.notify_all();
        Box::pin(async move {
            answer.await.unwrap_or_else(|_| Err(ApiError::unavailable("the node ends before this could be done")))
        })
    }

    /// A file name for a bundle that comes in; removed when it was applied, and at the next start.
    pub fn incoming(&self) -> io::Result<PathBuf> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let folder = self.folder.join("incoming");
        LocalDisk.create_directory(&folder)?;
        Ok(folder.join(format!("{}.bundle", NEXT.fetch_add(1, Ordering::Relaxed))))
    }

    /// Largest bundle that is taken, bytes.
    pub fn bundle_bytes_max(&self) -> u64 {
        self.config.bundle_bytes_max.0
    }

    fn begin(&self) -> anyhow::Result<()> {
        let _lock = self.agent.lock()?;
        if let Ok(entries) = std::fs::read_dir(self.folder.join("incoming")) {
            // What came in part goes on; what came whole has been told of, or is sent again.
            for entry in entries.flatten().filter(|entry| entry.path().extension().is_some_and(|kind| kind == "bundle"))
            {
                std::fs::remove_file(entry.path())?;
            }
        }
        if !self.is_on_trial() {
            self.agent.recover()?;
        }
        if self.agent.trust()?.is_none() && !self.config.root.is_empty() {
            let root = std::fs::read(&self.config.root)
                .map_err(|error| anyhow::anyhow!("read ota.root {}: {error}", self.config.root))?;
            let trust = self.agent.pin(&root)?;
            tracing::info!(path = self.config.root, version = trust.root().version, "first root of updates trusted");
        }
        Ok(())
    }

    /// Whether this process is the program on trial.
    fn is_on_trial(&self) -> bool {
        let record = self.agent.slots().record();
        let candidate = record.ok().and_then(|record| record.candidate);
        candidate.is_some_and(|candidate| candidate.tries > 0 && self.slot == Some(candidate.slot))
    }

    fn run(&self) {
        let mut backoff = Backoff::default();
        let mut due = (!self.config.repository.is_empty()).then(Instant::now);
        loop {
            match self.next(due) {
                Next::Stop => return,
                Next::Job(asked) => self.do_job(asked),
                Next::Look => {
                    match self.look() {
                        Ok(()) => backoff.succeeded(),
                        Err(()) => backoff.failed(),
                    }
                    let random = super::identity::random::<8>().map_or(0, u64::from_le_bytes);
                    due = Some(Instant::now() + backoff.pause(self.config.poll.0, random));
                }
            }
        }
    }

    fn next(&self, due: Option<Instant>) -> Next {
        let mut work = self.work.lock();
        loop {
            if self.stopping.load(Ordering::Acquire) {
                return Next::Stop;
            }
            if let Some(asked) = work.jobs.pop_front() {
                return Next::Job(asked);
            }
            let now = Instant::now();
            if std::mem::take(&mut work.look_now) || due.is_some_and(|due| now >= due) {
                return Next::Look;
            }
            let until = due.unwrap_or(now + WAIT_MAX).min(now + WAIT_MAX);
            self.wake.wait_until(&mut work, until);
        }
    }

    /// For whoever subscribes to `$ota/status`. A node that nobody updates says nothing, and writes nothing to its flash.
    fn publish_status(&self) {
        let is_used = self.config.mqtt || !matches!(self.agent.trust(), Ok(None));
        if let Some(broker) = self.broker.get().filter(|_| is_used) {
            over_mqtt::publish_status(broker, &self.status());
        }
    }

    /// The node starts again soon, so that the launcher can start what is to run.
    fn restart_soon(&self) {
        if self.launched {
            *self.restart.lock() = Some(Instant::now() + RESTART_AFTER);
        } else {
            tracing::warn!("the new version runs when the node is started again by selvedge-launch");
        }
    }

    /// What the freshness of metadata is judged by.
    fn metadata_clock(&self) -> Clock {
        let judgement = self.clock.judgement();
        let clock = match i64::try_from(judgement.now_s) {
            Ok(now) if judgement.is_trusted => Clock::trusted(now),
            _ => Clock::unknown(),
        };
        clock.built_at(i64::try_from(judgement.now_s.min(built_at_s())).unwrap_or(0))
    }

    fn now_unix_s(&self) -> Option<u64> {
        let judgement = self.clock.judgement();
        judgement.is_trusted.then_some(judgement.now_s)
    }
}

enum Next {
    Stop,
    Job(Asked),
    Look,
}

/// Where updates are kept.
pub fn folder(data: &Path) -> PathBuf {
    std::env::var_os("SELVEDGE_OTA").map_or_else(|| data.join(FOLDER), PathBuf::from)
}

/// Makes the folder of updates, durably: an update that is done stays in it.
///
/// # Errors
/// The system refused.
pub fn make_folder(data: &Path) -> io::Result<PathBuf> {
    let folder = folder(data);
    LocalDisk.create_directory(&folder)?;
    LocalDisk.sync_directory(parent_of(&folder))?;
    Ok(folder)
}

fn parent_of(folder: &Path) -> &Path {
    folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Keeps an old program from data that a newer one has written.
///
/// # Errors
/// The data has a newer format.
pub fn require_readable(data: &Path) -> anyhow::Result<()> {
    let folder = folder(data);
    // A state that cannot be read is told of when updates are opened; it is no reason not to run.
    let required = State::read(&LocalDisk, &folder).map_or(DATA_FORMAT, |state| state.data_format);
    anyhow::ensure!(
        required <= DATA_FORMAT,
        "the data in {} has format {required}, written by a newer version, and this one reads format {DATA_FORMAT}: start the \
         node with selvedge-launch, or install the newer version",
        data.display()
    );
    Ok(())
}

/// Files that updates may replace.
pub type Files = std::collections::BTreeMap<String, OtaFile>;
