//! Runs a program under ptrace, counts the system calls of it and of all that it starts, and kills everything at one of them.
//!
//! A call at which it is killed does not happen: the kernel stops the thread at the entry of the call, and a thread that is
//! killed there leaves without it. So the n-th kill finds what n-1 calls did, and nothing else. Invariant: no traced process
//! outlives [`run`].

use std::collections::BTreeSet;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, bail};
use libc::{c_int, c_void, pid_t};

/// What a stop at a system call is marked with (PTRACE_O_TRACESYSGOOD).
const SYSTEM_CALL_MARK: c_int = 0x80;

/// What became of a traced program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traced {
    /// System calls that were asked for, the one at which it was killed included.
    pub calls: u64,
    /// Programs that the first process became after the one that was started.
    pub became: u64,
    /// How it ended.
    pub end: End,
}

/// How a traced program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Killed at the system call with this number (of the kernel's table), which did not happen.
    Killed(u64),
    /// By itself, with this exit code.
    Exited(c_int),
    /// By a signal that did not come from here.
    Signalled(c_int),
}

/// Runs `command` and kills it and what it started at the entry of the `kill_at`-th system call, from 1; `None`: lets it end.
///
/// # Errors
/// The program cannot be started, or this user may not trace.
pub fn run(command: &mut Command, kill_at: Option<u64>) -> anyhow::Result<Traced> {
    // The thread that starts a process is the one that may trace it and the only one whose children it waits for.
    std::thread::scope(|scope| {
        let tracer = scope.spawn(|| Tracer::start(command)?.follow(kill_at));
        tracer.join().unwrap_or_else(|_| bail!("the tracer panicked"))
    })
}

struct Tracer {
    first: pid_t,
    /// Threads and processes that have reported and not ended.
    alive: BTreeSet<pid_t>,
    calls: u64,
    became: u64,
    killed_at: Option<u64>,
}

/// What a thread reports.
enum Event {
    Ended(End),
    SystemCall,
    /// It became another program.
    Became,
    /// It started something.
    Started,
    Signal(c_int),
}

impl Tracer {
    fn start(command: &mut Command) -> anyhow::Result<Self> {
        let trace_me = || {
            // SAFETY: between fork and exec only a system call is made, without memory of ours as an argument.
            let done = unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
            if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
        };
        // SAFETY: `trace_me` allocates nothing and takes no lock, so it may run between fork and exec.
        unsafe { command.pre_exec(trace_me) };
        let child = command.spawn().with_context(|| format!("start {}", command.get_program().display()))?;
        let first = pid_t::try_from(child.id()).context("take the process id")?;
        // It stops as soon as it is the new program.
        match next_event()? {
            Some((pid, Event::Signal(libc::SIGTRAP))) if pid == first => {}
            _ => bail!("process {first} did not stop when it was started"),
        }
        let options = libc::PTRACE_O_EXITKILL
            | libc::PTRACE_O_TRACESYSGOOD
            | libc::PTRACE_O_TRACECLONE
            | libc::PTRACE_O_TRACEFORK
            | libc::PTRACE_O_TRACEVFORK
            | libc::PTRACE_O_TRACEEXEC;
        // SAFETY: the request takes no memory of ours.
        let set = unsafe { libc::ptrace(libc::PTRACE_SETOPTIONS, first, 0_usize, options) };
        if set != 0 {
            return Err(io::Error::last_os_error()).context("set what is traced");
        }
        Ok(Self { first, alive: BTreeSet::from([first]), calls: 0, became: 0, killed_at: None })
    }

    fn follow(mut self, kill_at: Option<u64>) -> anyhow::Result<Traced> {
        let mut end = None;
        go_on(self.first, 0);
        while let Some((pid, event)) = next_event()? {
            // A new one first reports the signal that stops it for its tracer.
            let is_new = self.alive.insert(pid);
            let signal = match event {
                Event::Ended(ended) => {
                    self.alive.remove(&pid);
                    if pid == self.first {
                        end = Some(ended);
                    }
                    continue;
                }
                Event::SystemCall => {
                    self.count(pid, kill_at)?;
                    0
                }
                Event::Became => {
                    self.became += u64::from(pid == self.first);
                    0
                }
                Event::Signal(libc::SIGSTOP) if is_new => 0,
                Event::Started => 0,
                Event::Signal(signal) => signal,
            };
            if self.killed_at.is_some() {
                // Also what was being started when the call came.
                kill(pid);
            } else {
                go_on(pid, signal);
            }
        }
        let end = end.with_context(|| format!("process {} ended unseen", self.first))?;
        let end = self.killed_at.map_or(end, End::Killed);
        Ok(Traced { calls: self.calls, became: self.became, end })
    }

    fn count(&mut self, pid: pid_t, kill_at: Option<u64>) -> anyhow::Result<()> {
        let (None, Some(number)) = (self.killed_at, entered_call(pid)?) else { return Ok(()) };
        self.calls += 1;
        if Some(self.calls) == kill_at {
            self.killed_at = Some(number);
            self.alive.iter().copied().for_each(kill);
        }
        Ok(())
    }
}

/// Waits for a report of any traced thread; nothing when there is none left.
fn next_event() -> anyhow::Result<Option<(pid_t, Event)>> {
    let mut status: c_int = 0;
    loop {
        // SAFETY: `status` is there for as long as the call lasts.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL | libc::__WNOTHREAD) };
        if pid > 0 {
            return Ok(Some((pid, event(status))));
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::ECHILD) => return Ok(None),
            _ => return Err(error).context("wait for a traced process"),
        }
    }
}

fn event(status: c_int) -> Event {
    if libc::WIFEXITED(status) {
        return Event::Ended(End::Exited(libc::WEXITSTATUS(status)));
    }
    if libc::WIFSIGNALED(status) {
        return Event::Ended(End::Signalled(libc::WTERMSIG(status)));
    }
    match (status >> 16, libc::WSTOPSIG(status)) {
        (0, signal) if signal == libc::SIGTRAP | SYSTEM_CALL_MARK => Event::SystemCall,
        (0, signal) => Event::Signal(signal),
        (libc::PTRACE_EVENT_EXEC, _) => Event::Became,
        _ => Event::Started,
    }
}

/// The number of the call at whose entry a thread stands; nothing at its end, or when the thread is dead by now.
fn entered_call(pid: pid_t) -> anyhow::Result<Option<u64>> {
    let mut info = MaybeUninit::<libc::ptrace_syscall_info>::zeroed();
    let size = size_of::<libc::ptrace_syscall_info>();
    // SAFETY: the kernel writes at most `size` bytes to `info`, which has that many.
    let got = unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, pid, size, info.as_mut_ptr().cast::<c_void>()) };
    if got < 0 {
        let error = io::Error::last_os_error();
        if error.raw_os_error() == Some(libc::ESRCH) {
            return Ok(None);
        }
        return Err(error).context("ask which system call it is (PTRACE_GET_SYSCALL_INFO, since Linux 5.3)");
    }
    // SAFETY: all bytes are set, to zero at first, and all bit patterns are values of its fields.
    let info = unsafe { info.assume_init() };
    if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
        return Ok(None);
    }
    // SAFETY: at an entry the kernel has filled this member.
    Ok(Some(unsafe { info.u.entry.nr }))
}

fn go_on(pid: pid_t, signal: c_int) {
    // SAFETY: the request takes no memory of ours. It fails for a thread that died meanwhile, which is reported next.
    unsafe { libc::ptrace(libc::PTRACE_SYSCALL, pid, 0_usize, signal) };
}

fn kill(pid: pid_t) {
    // SAFETY: takes no memory. The process is a traced child that has not been waited for, so the id is still its own.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, folder: &std::path::Path) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).current_dir(folder);
        command
    }

    #[test]
    fn a_call_at_which_it_is_killed_does_not_happen_and_the_one_before_it_did() {
        let mut numbers = Vec::new();
        for kill_at in 1.. {
            let folder = tempfile::tempdir().expect("folder");
            let traced = run(&mut shell("mkdir made", folder.path()), Some(kill_at)).expect("runs");
            let is_made = folder.path().join("made").exists();
            let End::Killed(number) = traced.end else {
                assert_eq!((traced.end, is_made), (End::Exited(0), true));
                break;
            };
            assert_eq!(traced.calls, kill_at);
            numbers.push((number, is_made));
        }
        let made = numbers.iter().position(|(_, is_made)| *is_made).expect("it was made");
        let (maker, _) = numbers[made - 1];
        assert!([libc::SYS_mkdirat, SYS_MKDIR].contains(&(maker as i64)), "call {maker}");
        assert!(numbers[made..].iter().all(|(_, is_made)| *is_made));
    }

    #[cfg(target_arch = "x86_64")]
    const SYS_MKDIR: i64 = libc::SYS_mkdir;
    #[cfg(not(target_arch = "x86_64"))]
    const SYS_MKDIR: i64 = libc::SYS_mkdirat;

    #[test]
    fn what_a_program_starts_is_counted_and_killed_with_it() {
        let folder = tempfile::tempdir().expect("folder");
        let alone = run(&mut shell("exit 3", folder.path()), None).expect("runs");
        assert_eq!(alone.end, End::Exited(3));
        let both = run(&mut shell("sh -c 'exit 4'; exit 3", folder.path()), None).expect("runs");
        assert!(both.calls > alone.calls + 10, "{both:?} {alone:?}");
        assert_eq!(both.end, End::Exited(3));
        let script = "sleep 600 & echo $! > child; wait";
        let ended = run(&mut shell(script, folder.path()), Some(alone.calls + 10)).expect("runs");
        assert!(matches!(ended.end, End::Killed(_)), "{ended:?}");
        if let Ok(child) = std::fs::read_to_string(folder.path().join("child")) {
            // A dead one may wait for whoever inherited it.
            let status = std::fs::read_to_string(format!("/proc/{}/status", child.trim())).unwrap_or_default();
            assert!(status.is_empty() || status.contains("State:\tZ"), "{child} lives: {status}");
        }
    }

    #[test]
    fn becoming_another_program_is_seen() {
        let folder = tempfile::tempdir().expect("folder");
        let traced = run(&mut shell("exec sh -c 'exit 5'", folder.path()), None).expect("runs");
        assert_eq!((traced.became, traced.end), (1, End::Exited(5)));
    }
}
