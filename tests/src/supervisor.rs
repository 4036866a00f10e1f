//! Plays systemd with a service of `Type=notify` (sd_notify(3), systemd.service(5)): start time-out, watchdog, restart after a
//! pause, TERM and later KILL. It writes down what happened and when.
//!
//! It is stricter than most: a service that says `STOPPING=1` has to end in time, whatever it says afterwards, as systemd
//! sees it. Invariant: one process at a time, and none after the value is gone.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::PATIENCE;
use crate::child::{Signal, TestChild};

/// How often signals, time-outs and the process are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Longest notification, bytes.
const NOTIFICATION_BYTES_MAX: usize = 4096;
/// Ends of processes whose words are kept for failure messages.
const WORDS_OF: usize = 8;
/// StartLimitBurst: a service that was started so often is given up.
const STARTS_MAX: usize = 40;

/// What the unit file would say.
#[derive(Debug, Clone, Copy)]
pub struct Unit {
    /// TimeoutStartSec: for `READY=1`.
    pub start_within: Duration,
    /// WatchdogSec: between two signs of life.
    pub watchdog: Duration,
    /// RestartSec.
    pub restart_after: Duration,
    /// TimeoutStopSec: from TERM or `STOPPING=1` to KILL.
    pub stop_within: Duration,
}

impl Default for Unit {
    fn default() -> Self {
        Self {
            start_within: Duration::from_secs(20),
            watchdog: Duration::from_secs(10),
            restart_after: Duration::from_millis(100),
            stop_within: Duration::from_secs(15),
        }
    }
}

/// Something that happened to the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// A process was started.
    Started,
    /// `READY=1`.
    Ready,
    /// `WATCHDOG=1`.
    Alive,
    /// `STOPPING=1`.
    Stopping,
    /// It was killed for this.
    Killed(Why),
    /// It has ended; how.
    Ended(String),
}

/// Why a service is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It did not get ready in time.
    Start,
    /// It fell silent.
    Watchdog,
    /// It said that it ends, or was asked to, and did not.
    Stop,
}

/// What happened, and when.
#[derive(Debug, Clone)]
pub struct Record {
    /// When.
    pub at: Instant,
    /// What.
    pub what: Happening,
}

/// A service that is looked after.
#[derive(Debug)]
pub struct Supervisor {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    records: Vec<Record>,
    child: Option<TestChild>,
    words: VecDeque<String>,
    stopping: bool,
    failed: Option<String>,
}

impl Supervisor {
    /// Looks after the service that `command` makes, each time anew; `socket` is where it is listened to.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn start(
        socket: &Path,
        unit: Unit,
        command: impl Fn() -> anyhow::Result<Command> + Send + 'static,
    ) -> anyhow::Result<Self> {
        let notifications = UnixDatagram::bind(socket).with_context(|| format!("listen at {}", socket.display()))?;
        notifications.set_read_timeout(Some(LOOK_EVERY))?;
        let shared = Arc::<Shared>::default();
        let service = Service { shared: Arc::clone(&shared), unit, notifications, socket: socket.to_owned() };
        let thread = std::thread::spawn(move || {
            if let Err(error) = service.look_after(&command) {
                service.shared.change(|state| state.failed = Some(format!("{error:#}")));
            }
            // For another supervisor at the same place; one that is gone already is no matter.
            drop(std::fs::remove_file(&service.socket));
        });
        Ok(Self { shared, thread: Some(thread) })
    }

    /// What has happened so far.
    pub fn records(&self) -> Vec<Record> {
        self.shared.lock().records.clone()
    }

    /// How often this has happened.
    pub fn count(&self, what: &Happening) -> usize {
        self.shared.lock().records.iter().filter(|record| record.what == *what).count()
    }

    /// Waits until this has happened so many times.
    ///
    /// # Errors
    /// It does not in time.
    pub fn wait_for(&self, what: &Happening, times: usize) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.shared.lock();
        loop {
            let found = state.records.iter().filter(|record| record.what == *what).count();
            if found >= times {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let failed = state.failed.clone();
            if left.is_zero() || failed.is_some() {
                drop(state);
                let why = failed.unwrap_or_else(|| "not in time".to_owned());
                anyhow::bail!("{what:?} came {found} of {times} times: {why}\n{}", self.said());
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Sends the running process a signal.
    ///
    /// # Errors
    /// None runs.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        self.shared.lock().child.as_ref().context("no process runs")?.signal(signal)
    }

    /// Ends the service as `systemctl stop` does.
    ///
    /// # Errors
    /// It had to be killed, or the supervisor itself failed.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.end();
        let said = self.said();
        let state = self.shared.lock();
        ensure!(state.failed.is_none(), "{:?}\n{said}", state.failed);
        let last = state.records.iter().rev().find(|record| record.what != Happening::Alive);
        let well = last.is_some_and(|record| record.what == Happening::Ended("exit status: 0".to_owned()));
        ensure!(well, "it did not end well\n{said}");
        Ok(())
    }

    /// What happened and what the processes printed, for failure messages.
    pub fn said(&self) -> String {
        let state = self.shared.lock();
        let first = state.records.first().map(|record| record.at);
        let happened: Vec<String> = state
            .records
            .iter()
            .filter(|record| record.what != Happening::Alive)
            .map(|record| {
                let since = first.map_or(Duration::ZERO, |first| record.at - first);
                format!("{:8.3} s {:?}", since.as_secs_f64(), record.what)
            })
            .collect();
        let mut words: Vec<String> = state.words.iter().cloned().collect();
        words.extend(state.child.as_ref().map(TestChild::said));
        format!("  happened:\n    {}\n{}", happened.join("\n    "), words.join("\n"))
    }

    fn end(&mut self) {
        self.shared.change(|state| state.stopping = true);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has dropped its process.
            drop(thread.join());
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn record(&self, what: Happening) {
        self.change(|state| state.records.push(Record { at: Instant::now(), what }));
    }

    fn is_stopping(&self) -> bool {
        self.lock().stopping
    }
}

/// States of a unit, as far as time-outs go.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// `activating`, since.
    Starting(Instant),
    /// `active`; the last sign of life.
    Running(Instant),
    /// `deactivating`, since.
    Ending(Instant),
}

struct Service {
    shared: Arc<Shared>,
    unit: Unit,
    notifications: UnixDatagram,
    socket: PathBuf,
}

impl Service {
    fn look_after(&self, command: &dyn Fn() -> anyhow::Result<Command>) -> anyhow::Result<()> {
        for _ in 0..STARTS_MAX {
            if self.shared.is_stopping() {
                return Ok(());
            }
            let mut command = command()?;
            command.env("NOTIFY_SOCKET", &self.socket);
            command.env("WATCHDOG_USEC", self.unit.watchdog.as_micros().to_string());
            let child = TestChild::start("the service", command)?;
            self.shared.change(|state| state.child = Some(child));
            self.shared.record(Happening::Started);
            let ended = self.watch()?;
            self.shared.change(|state| {
                state.words.extend(state.child.take().map(|child| child.said()));
                let over = state.words.len().saturating_sub(WORDS_OF);
                state.words.drain(..over);
            });
            self.shared.record(Happening::Ended(ended));
            self.pause();
        }
        ensure!(self.shared.is_stopping(), "it was started {STARTS_MAX} times and is given up");
        Ok(())
    }

    /// Until the process has ended; how.
    fn watch(&self) -> anyhow::Result<String> {
        let mut phase = Phase::Starting(Instant::now());
        let mut asked = false;
        loop {
            phase = self.listen(phase)?;
            if self.shared.lock().child.as_mut().is_none_or(TestChild::has_ended) {
                let mut child = self.shared.lock().child.take().context("the process is gone")?;
                let status = child.wait(PATIENCE);
                self.shared.change(|state| state.child = Some(child));
                return Ok(status?.to_string());
            }
            if self.shared.is_stopping() && !asked {
                asked = true;
                phase = Phase::Ending(Instant::now());
                self.signal(Signal::TERM);
            }
            let (since, limit, why) = match phase {
                Phase::Starting(since) => (since, self.unit.start_within, Why::Start),
                Phase::Running(since) => (since, self.unit.watchdog, Why::Watchdog),
                Phase::Ending(since) => (since, self.unit.stop_within, Why::Stop),
            };
            if since.elapsed() > limit {
                self.shared.record(Happening::Killed(why));
                self.signal(Signal::KILL);
                phase = Phase::Ending(Instant::now());
            }
        }
    }

    /// Waits a moment for a notification.
    fn listen(&self, phase: Phase) -> anyhow::Result<Phase> {
        let mut buffer = [0; NOTIFICATION_BYTES_MAX];
        let length = match self.notifications.recv(&mut buffer) {
            Ok(length) => length,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(phase),
            Err(error) => return Err(error).context("listen to the service"),
        };
        let mut phase = phase;
        for line in String::from_utf8_lossy(&buffer[..length]).lines() {
            let (what, next) = match (line, phase) {
                ("READY=1", Phase::Ending(_)) => (Happening::Ready, phase),
                ("READY=1", _) => (Happening::Ready, Phase::Running(Instant::now())),
                ("WATCHDOG=1", Phase::Running(_)) => (Happening::Alive, Phase::Running(Instant::now())),
                ("WATCHDOG=1", _) => (Happening::Alive, phase),
                ("STOPPING=1", Phase::Ending(_)) => (Happening::Stopping, phase),
                ("STOPPING=1", _) => (Happening::Stopping, Phase::Ending(Instant::now())),
                _ => continue,
            };
            self.shared.record(what);
            phase = next;
        }
        Ok(phase)
    }

    fn signal(&self, signal: Signal) {
        if let Some(child) = &self.shared.lock().child {
            // One that has just ended needs none.
            drop(child.signal(signal));
        }
    }

    /// RestartSec, unless it is to end.
    fn pause(&self) {
        let deadline = Instant::now() + self.unit.restart_after;
        let mut state = self.shared.lock();
        while !state.stopping {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests;
