//! Compiles a component in a child process of this program, within limits, and says clearly what went wrong.
//!
//! Not a compiler: the child runs [`compile_child_main`](crate::compile_child_main). The parent trusts of the child's
//! output only that it is a file; the caller gives it a keyed MAC.

#[cfg(feature = "compiler")]
pub(crate) mod child;

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::config::Config;
use crate::engine::settings::Profile;
use crate::log_ring::cut;

/// How to start the compiler: a program that calls [`compile_child_main`](crate::compile_child_main) with the arguments after
/// `args`. For the node, its own executable and `["internal-compile"]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileChild {
    /// Program.
    pub executable: PathBuf,
    /// First arguments.
    pub args: Vec<String>,
}

/// Limits of one compilation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CompileLimits {
    pub(crate) timeout: Duration,
    pub(crate) memory_bytes: u64,
}

/// Why a component was not compiled.
#[derive(Debug, Error)]
pub enum CompileError {
    /// The child could not be run.
    #[error("cannot run the compiler {}", .executable.display())]
    Spawn {
        /// Program that was to run.
        executable: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// The bytes are not a component that this node can run; the words are the compiler's.
    #[error("not a valid component: {0}")]
    Invalid(String),
    /// It took too long.
    #[error("compiling took longer than {limit_ms} ms (functions.compile_timeout)")]
    TimedOut {
        /// Limit of wall and of CPU time.
        limit_ms: u64,
    },
    /// It needed too much memory.
    #[error("compiling needed more than {limit_bytes} bytes of memory")]
    OutOfMemory {
        /// Limit of address space.
        limit_bytes: u64,
    },
    /// Nobody wants it any more.
    #[error("the node is stopping")]
    Stopped,
    /// The child ended in another way.
    #[error("compiler ended unexpectedly ({status}): {stderr}")]
    Crashed {
        /// Exit status or signal.
        status: String,
        /// End of its standard error.
        stderr: String,
    },
}

/// Exit code of the child for a component that it cannot compile; the parent tells it apart.
pub(crate) const EXIT_INVALID: u8 = 65;

/// What the child is told, as one JSON argument.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) profile: String,
    pub(crate) input: PathBuf,
    pub(crate) output: PathBuf,
    pub(crate) memory_bytes: u64,
    pub(crate) cpu_s: u64,
}

/// Bytes of the child's standard error that are kept.
const STDERR_BYTES_MAX: usize = 4096;
/// How often a compilation looks whether it is still wanted.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How compilations ended since the node started. Those that were not wanted any more are not among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompileCounts {
    /// Native code was made.
    pub ok: u64,
    /// The bytes are not a component that this node can run.
    pub invalid: u64,
    /// It took longer than `functions.compile_timeout`.
    pub timed_out: u64,
    /// It needed more than `functions.compile_memory_bytes`.
    pub out_of_memory: u64,
    /// The compiler could not be run, or crashed.
    pub failed: u64,
}

#[derive(Default)]
struct Counts {
    ok: AtomicU64,
    invalid: AtomicU64,
    timed_out: AtomicU64,
    out_of_memory: AtomicU64,
    failed: AtomicU64,
}

impl Counts {
    fn count(&self, outcome: &Result<(), CompileError>) {
        let count = match outcome {
            Ok(()) => &self.ok,
            Err(CompileError::Invalid(_)) => &self.invalid,
            Err(CompileError::TimedOut { .. }) => &self.timed_out,
            Err(CompileError::OutOfMemory { .. }) => &self.out_of_memory,
            Err(CompileError::Spawn { .. } | CompileError::Crashed { .. }) => &self.failed,
            Err(CompileError::Stopped) => return,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Starts children that compile, each within the same limits, until it is stopped.
pub(crate) struct Compiler {
    child: CompileChild,
    limits: CompileLimits,
    is_stopped: AtomicBool,
    counts: Counts,
}

impl Compiler {
    pub(crate) fn new(child: CompileChild, config: &Config) -> Self {
        let timeout = Duration::from_millis(config.compile_timeout_ms);
        let limits = CompileLimits { timeout, memory_bytes: config.compile_memory_bytes };
        Self { child, limits, is_stopped: AtomicBool::new(false), counts: Counts::default() }
    }

    pub(crate) fn counts(&self) -> CompileCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Counts { ok, invalid, timed_out, out_of_memory, failed } = &self.counts;
        CompileCounts {
            ok: read(ok),
            invalid: read(invalid),
            timed_out: read(timed_out),
            out_of_memory: read(out_of_memory),
            failed: read(failed),
        }
    }

    /// Ends what it compiles, and compiles nothing more.
    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Acquire)
    }

    /// Compiles the file `input` into the file `output`. Blocks up to the time limit.
    pub(crate) fn compile(&self, profile: Profile, input: &Path, output: &Path) -> Result<(), CompileError> {
        let outcome = self.try_compile(profile, input, output);
        self.counts.count(&outcome);
        outcome
    }

    fn try_compile(&self, profile: Profile, input: &Path, output: &Path) -> Result<(), CompileError> {
        if self.is_stopped() {
            return Err(CompileError::Stopped);
        }
        let Self { child, limits, .. } = self;
        let order = Order {
            profile: profile.as_str().into(),
            input: input.into(),
            output: output.into(),
            memory_bytes: limits.memory_bytes,
            cpu_s: limits.timeout.as_secs().max(1) + 1,
        };
        let spawn_error = |source| CompileError::Spawn { executable: child.executable.clone(), source };
        let order = serde_json::to_string(&order).map_err(|error| spawn_error(error.into()))?;
        let mut process = Command::new(&child.executable)
            .args(&child.args)
            .arg(order)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(spawn_error)?;
        let (status, stderr) = self.wait(&mut process).map_err(spawn_error)?;
        if status.is_none() && self.is_stopped() {
            return Err(CompileError::Stopped);
        }
        judge(status, stderr, *limits)
    }

    /// Collects standard error until the child ends or its time is over; `None` when it had to be killed.
    fn wait(&self, process: &mut Child) -> std::io::Result<(Option<ExitStatus>, Vec<u8>)> {
        let mut stderr_pipe = process.stderr.take();
        let stderr =
            std::thread::Builder::new().name("fn-compile-stderr".into()).stack_size(64 << 10).spawn(move || {
                let mut kept = Vec::new();
                let mut buffer = [0; 1024];
                while let Some(Ok(read @ 1..)) = stderr_pipe.as_mut().map(|pipe| pipe.read(&mut buffer)) {
                    kept.extend_from_slice(&buffer[..read]);
                    let excess = kept.len().saturating_sub(STDERR_BYTES_MAX);
                    kept.drain(..excess);
                }
                kept
            });
        let in_time = self.wait_for_exit(process);
        if !matches!(in_time, Ok(true)) {
            // Gone already or killed now; `wait` below reaps it either way.
            let _ = process.kill();
        }
        let status = process.wait()?;
        let stderr = stderr?.join().unwrap_or_default();
        Ok((in_time?.then_some(status), stderr))
    }

    /// Blocks until the process can be reaped (true), or its time is over or it is not wanted any more (false).
    fn wait_for_exit(&self, process: &Child) -> std::io::Result<bool> {
        let pid = i32::try_from(process.id())
            .ok()
            .and_then(Pid::from_raw)
            .ok_or_else(|| std::io::Error::other("child has no process id"))?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        let deadline = Instant::now() + self.limits.timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.is_stopped() {
                return Ok(false);
            }
            let until = rustix::event::Timespec::try_from(left.min(LOOK_EVERY)).map_err(std::io::Error::other)?;
            match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&until)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(true),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// SIGABRT: Rust aborts when memory is refused, and says so.
const SIGABRT: i32 = 6;
/// SIGXCPU and SIGKILL: CPU time is over.
const SIGXCPU: i32 = 24;
const SIGKILL: i32 = 9;

/// Turns the child's end into an outcome. Pure.
fn judge(status: Option<ExitStatus>, stderr: Vec<u8>, limits: CompileLimits) -> Result<(), CompileError> {
    let timed_out = CompileError::TimedOut { limit_ms: limits.timeout.as_millis() as u64 };
    let Some(status) = status else { return Err(timed_out) };
    if status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&stderr);
    let stderr = cut(stderr.trim(), STDERR_BYTES_MAX).to_owned();
    let out_of_memory = ["memory allocation of", "Cannot allocate memory", "failed to allocate"]
        .iter()
        .any(|text| stderr.contains(text));
    Err(match (status.code(), status.signal()) {
        (Some(code), _) if code == i32::from(EXIT_INVALID) && !out_of_memory => CompileError::Invalid(stderr),
        (_, Some(SIGXCPU | SIGKILL)) => timed_out,
        (_, Some(SIGABRT)) | (Some(_), _) if out_of_memory => {
            CompileError::OutOfMemory { limit_bytes: limits.memory_bytes }
        }
        _ => CompileError::Crashed { status: status.to_string(), stderr },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: CompileLimits = CompileLimits { timeout: Duration::from_secs(2), memory_bytes: 100 };

    fn judged(raw_status: i32, stderr: &str) -> Result<(), CompileError> {
        judge(Some(ExitStatus::from_raw(raw_status)), stderr.as_bytes().to_vec(), LIMITS)
    }

    #[test]
    fn each_end_of_the_child_has_its_own_error() {
        assert!(judged(0, "").is_ok());
        assert!(
            matches!(judged(i32::from(EXIT_INVALID) << 8, " bad magic\n"), Err(CompileError::Invalid(text)) if text == "bad magic")
        );
        assert!(matches!(judged(SIGXCPU, ""), Err(CompileError::TimedOut { limit_ms: 2000 })));
        assert!(matches!(judge(None, vec![], LIMITS), Err(CompileError::TimedOut { .. })));
        assert!(matches!(
            judged(SIGABRT, "memory allocation of 64 bytes failed"),
            Err(CompileError::OutOfMemory { limit_bytes: 100 })
        ));
        assert!(matches!(judged(SIGABRT, "assertion"), Err(CompileError::Crashed { .. })));
        assert!(matches!(judged(11, ""), Err(CompileError::Crashed { .. })));
        assert!(matches!(judged(1 << 8, "x"), Err(CompileError::Crashed { .. })));
    }

    fn compiler(executable: &str, args: &[&str], timeout_ms: u64) -> Compiler {
        let child =
            CompileChild { executable: executable.into(), args: args.iter().map(|&arg| arg.to_owned()).collect() };
        Compiler::new(child, &Config { compile_timeout_ms: timeout_ms, ..Config::default() })
    }

    fn compile(compiler: &Compiler) -> CompileError {
        compiler.compile(Profile::Pooled, Path::new("a"), Path::new("b")).unwrap_err()
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let missing = compiler("/nonexistent/compiler", &[], 2000);
        let error = compile(&missing);
        assert!(error.to_string().contains("/nonexistent/compiler"), "{error}");
        assert_eq!(missing.counts(), CompileCounts { failed: 1, ..CompileCounts::default() });
    }

    #[test]
    fn a_child_that_hangs_is_killed() {
        let hanging = compiler("/bin/sh", &["-c", "exec sleep 1000"], 120);
        let error = compile(&hanging);
        assert!(matches!(error, CompileError::TimedOut { limit_ms: 120 }), "{error}");
        assert_eq!(hanging.counts(), CompileCounts { timed_out: 1, ..CompileCounts::default() });
    }

    #[test]
    fn other_ends_are_counted_each_for_itself() {
        let end = |script: &str| {
            let child = compiler("/bin/sh", &["-c", script], 100_000);
            // What it says is tested above.
            let _ = child.compile(Profile::Pooled, Path::new("a"), Path::new("b"));
            child.counts()
        };
        assert_eq!(end("exit 0"), CompileCounts { ok: 1, ..CompileCounts::default() });
        assert_eq!(end("exit 65"), CompileCounts { invalid: 1, ..CompileCounts::default() });
        let refused = end("echo memory allocation of 64 bytes failed >&2; exit 134");
        assert_eq!(refused, CompileCounts { out_of_memory: 1, ..CompileCounts::default() });
        assert_eq!(end("kill -SEGV $$"), CompileCounts { failed: 1, ..CompileCounts::default() });
    }

    #[test]
    fn a_child_that_nobody_wants_any_more_is_killed_and_none_follows() {
        let hanging = compiler("/bin/sh", &["-c", "exec sleep 1000"], 1_000_000);
        std::thread::scope(|scope| {
            let compiling = scope.spawn(|| compile(&hanging));
            // So that there is a child to be killed; without one, the answer is the same.
            std::thread::sleep(LOOK_EVERY / 2);
            hanging.stop();
            assert!(matches!(compiling.join().unwrap(), CompileError::Stopped));
        });
        assert!(matches!(compile(&hanging), CompileError::Stopped));
        assert_eq!(hanging.counts(), CompileCounts::default());
    }
}
