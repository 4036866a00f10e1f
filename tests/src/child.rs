//! A process of a test: its output is collected while it runs, it can be waited for, and it dies with its value.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
pub use rustix::process::Signal;

/// How often a process is asked whether it has ended.
const EXIT_POLL: Duration = Duration::from_millis(5);
/// Lines of output that a failure message shows.
const SHOWN_LINES: usize = 60;

/// A running process whose standard output and error are read line by line.
#[derive(Debug)]
pub struct TestChild {
    name: String,
    child: Child,
    output: Arc<Output>,
    readers: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Output {
    state: Mutex<OutputState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct OutputState {
    stdout: Vec<String>,
    stderr: Vec<String>,
    /// Streams that have ended, of two.
    ended: usize,
}

impl TestChild {
    /// Starts `command`; `name` is what failures call it.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(name: impl Into<String>, command: Command) -> anyhow::Result<Self> {
        Self::start_on(Stdio::piped(), name, command)
    }

    /// As [`TestChild::start`], with something else as its standard input.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start_on(input: Stdio, name: impl Into<String>, mut command: Command) -> anyhow::Result<Self> {
        let name = name.into();
        let mut child = command
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {name}: {}", command.get_program().display()))?;
        let output = Arc::<Output>::default();
        let mut readers = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            readers.push(collect(stdout, Arc::clone(&output), |state| &mut state.stdout));
        }
        if let Some(stderr) = child.stderr.take() {
            readers.push(collect(stderr, Arc::clone(&output), |state| &mut state.stderr));
        }
        Ok(Self { name, child, output, readers })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Takes the standard input, once.
    ///
    /// # Errors
    /// It was taken before.
    pub fn take_stdin(&mut self) -> anyhow::Result<ChildStdin> {
        self.child.stdin.take().with_context(|| format!("{} has no standard input any more", self.name))
    }

    /// Waits for a line of standard output after the first `skip` for which `choose` gives something.
    ///
    /// # Errors
    /// The output ends or the time is over first; the message holds what the process said.
    pub fn wait_for_line<T>(
        &self,
        skip: usize,
        patience: Duration,
        choose: impl Fn(&str) -> Option<T>,
    ) -> anyhow::Result<T> {
        let deadline = Instant::now() + patience;
        let mut state = self.output.lock();
        let mut next = skip;
        loop {
            while let Some(line) = state.stdout.get(next) {
                next += 1;
                if let Some(chosen) = choose(line) {
                    return Ok(chosen);
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let ended = state.ended == 2;
            if ended || left.is_zero() {
                drop(state);
                let reason = if ended { "ended without" } else { "did not print in time" };
                bail!("{} {reason} the expected line\n{}", self.name, self.said());
            }
            state = self.output.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// The process has ended.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        let id = id.with_context(|| format!("{} has no process id", self.name))?;
        rustix::process::kill_process(id, signal).with_context(|| format!("signal {}", self.name))
    }

    /// Waits for the end of the process and of its output.
    ///
    /// # Errors
    /// It still runs when the time is over.
    pub fn wait(&mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().with_context(|| format!("wait for {}", self.name))? {
                for reader in self.readers.drain(..) {
                    // A reader that panicked has kept what it read.
                    drop(reader.join());
                }
                return Ok(status);
            }
            if Instant::now() >= deadline {
                bail!("{} still runs after {patience:?}\n{}", self.name, self.said());
            }
            std::thread::sleep(EXIT_POLL);
        }
    }

    /// Whether the process has ended.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Lines of standard output so far.
    pub fn stdout(&self) -> Vec<String> {
        self.output.lock().stdout.clone()
    }

    /// Lines of standard error so far.
    pub fn stderr(&self) -> Vec<String> {
        self.output.lock().stderr.clone()
    }

    /// The end of both outputs, for a failure message.
    pub fn said(&self) -> String {
        let state = self.output.lock();
        let tail = |lines: &[String]| lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n    ");
        format!(
            "  {} printed:\n    {}\n  and on standard error:\n    {}",
            self.name,
            tail(&state.stdout),
            tail(&state.stderr)
        )
    }
}

impl Drop for TestChild {
    fn drop(&mut self) {
        // Fails only when the process has ended, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, OutputState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn collect(
    stream: impl Read + Send + 'static,
    output: Arc<Output>,
    lines: fn(&mut OutputState) -> &mut Vec<String>,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
            lines(&mut output.lock()).push(text);
            output.changed.notify_all();
            line.clear();
        }
        output.lock().ended += 1;
        output.changed.notify_all();
    })
}
