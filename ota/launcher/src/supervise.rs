//! Looking after the node where no service manager does: starts it again when it ends, kills it when it does not get ready or falls
//! silent, passes on the signals that end it. Speaks the notification protocol of systemd (sd_notify(3)) with the node.
//!
//! Invariant: each start goes through the decision about slots, so a program that dies is given up after its tries.

use std::os::unix::net::UnixDatagram;
use std::process::{Child, ExitCode, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::arguments::Arguments;

/// Longest pause before the next start; the first is [`PAUSE_MIN`], and each doubles.
const PAUSE_MAX: Duration = Duration::from_secs(30);
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// A node that ran for so long has not failed at its start.
const RAN_WELL: Duration = Duration::from_secs(60);
/// How often signals and the child are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// For the node to end after a signal, before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// Longest notification that is read, bytes.
const NOTIFICATION_BYTES_MAX: usize = 4096;

/// Until a signal ends it.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let stopping = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stopping)).context("wait for signals")?;
    }
    let mut pause = PAUSE_MIN;
    loop {
        let started = Instant::now();
        let start = crate::choose(arguments)?;
        let mut node = Node::start(&start, arguments)?;
        let status = node.watch(arguments, &stopping)?;
        if stopping.load(Ordering::Acquire) {
            return Ok(code_of(status));
        }
        eprintln!("selvedge-launch: the node ended ({status}); it is started again");
        pause = if started.elapsed() >= RAN_WELL { PAUSE_MIN } else { pause };
        if !sleep(pause, &stopping) {
            return Ok(code_of(status));
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Waits, unless a signal comes; whether to go on.
fn sleep(pause: Duration, stopping: &AtomicBool) -> bool {
    let deadline = Instant::now() + pause;
    while Instant::now() < deadline {
        if stopping.load(Ordering::Acquire) {
            return false;
        }
        std::thread::sleep(LOOK_EVERY.min(deadline.saturating_duration_since(Instant::now())));
    }
    !stopping.load(Ordering::Acquire)
}

fn code_of(status: ExitStatus) -> ExitCode {
    match status.code() {
        Some(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        None => ExitCode::FAILURE,
    }
}

/// The running node and the socket that it speaks to.
struct Node {
    child: Child,
    notifications: UnixDatagram,
}

/// What the node has said of itself.
struct Signs {
    ready: bool,
    since: Instant,
}

impl Node {
    fn start(start: &selvedge_ota_slots::Start, arguments: &Arguments) -> anyhow::Result<Self> {
        let (address, notifications) = notification_socket()?;
        let mut command = crate::command(start, arguments);
        command.env("NOTIFY_SOCKET", address);
        command.env("WATCHDOG_USEC", arguments.watchdog.as_micros().to_string());
        command.env_remove("WATCHDOG_PID");
        let child = command.spawn().with_context(|| format!("start {}", start.program.display()))?;
        Ok(Self { child, notifications })
    }

    /// Until it has ended, by itself or not.
    fn watch(&mut self, arguments: &Arguments, stopping: &AtomicBool) -> anyhow::Result<ExitStatus> {
        let mut signs = Signs { ready: false, since: Instant::now() };
        let mut kill_at = None;
        loop {
            self.listen(&mut signs);
            if let Some(status) = self.child.try_wait().context("wait for the node")? {
                return Ok(status);
            }
            if stopping.load(Ordering::Acquire) && kill_at.is_none() {
                self.signal(rustix::process::Signal::TERM);
                kill_at = Some(Instant::now() + STOP_WITHIN);
            }
            let limit = if signs.ready { arguments.watchdog } else { arguments.ready_within };
            if kill_at.is_none() && signs.since.elapsed() > limit {
                let what = if signs.ready { "fell silent" } else { "did not get ready" };
                eprintln!("selvedge-launch: the node {what} within {} s and is killed", limit.as_secs_f64());
                kill_at = Some(Instant::now());
            }
            if kill_at.is_some_and(|at| Instant::now() >= at) {
                self.signal(rustix::process::Signal::KILL);
            }
        }
    }

    /// Waits for notifications, a moment.
    fn listen(&self, signs: &mut Signs) {
        let mut buffer = [0; NOTIFICATION_BYTES_MAX];
        // Nothing in time is no error here; neither is a socket that cannot be read, which ends in the watchdog.
        let Ok(length) = self.notifications.recv(&mut buffer) else { return };
        let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
        for line in text.lines() {
            match line {
                "READY=1" => *signs = Signs { ready: true, since: Instant::now() },
                "WATCHDOG=1" | "STOPPING=1" => signs.since = Instant::now(),
                _ => {}
            }
        }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let child = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(child) = child {
            // One that has ended just now needs none.
            let _ = rustix::process::kill_process(child, signal);
        }
    }
}

/// A socket in the abstract namespace: no file to clean up, on read-only machines too.
fn notification_socket() -> anyhow::Result<(String, UnixDatagram)> {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("selvedge-launch-{}-{}", std::process::id(), next_number());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).context("name a socket")?;
    let socket = UnixDatagram::bind_addr(&address).context("open a socket for notifications")?;
    socket.set_read_timeout(Some(LOOK_EVERY)).context("set a time-out")?;
    Ok((format!("@{name}"), socket))
}

fn next_number() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
