//! What a process takes of the machine, read from `/proc`.

use std::time::Duration;

use anyhow::{Context as _, bail};

/// Proportional set size of a process, KiB: its memory in RAM, shared pages by its share.
///
/// # Errors
/// There is no such process, or it is not ours.
pub fn pss_kib(pid: u32) -> anyhow::Result<u64> {
    rollup_kib(pid, "Pss:")
}

/// Memory of a process that is no file's, by its share, KiB: what it allocated. Not touched by what else runs the same binary.
///
/// # Errors
/// There is no such process, or it is not ours.
pub fn anonymous_kib(pid: u32) -> anyhow::Result<u64> {
    rollup_kib(pid, "Pss_Anon:")
}

fn rollup_kib(pid: u32, field: &str) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let line = text.lines().find(|line| line.starts_with(field)).with_context(|| format!("find {field} in {path}"))?;
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).with_context(|| format!("read {line}"))
}

/// Processor time that a process has taken, user and system.
///
/// # Errors
/// There is no such process.
pub fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let Some((_, rest)) = text.rsplit_once(") ") else { bail!("read {text}") };
    let fields: Vec<&str> = rest.split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    // utime and stime; the kernel reports both in hundredths of a second on every Linux.
    Ok(Duration::from_millis((ticks(11) + ticks(12)) * 10))
}

/// How often the threads of a process have given a processor up or lost it, as far as they are still there.
///
/// # Errors
/// There is no such process.
pub fn switches(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/task");
    let threads = std::fs::read_dir(&path).with_context(|| format!("read {path}"))?;
    let mut switches = 0;
    for thread in threads {
        let status = thread.with_context(|| format!("read {path}"))?.path().join("status");
        // A thread may end meanwhile.
        let Ok(text) = std::fs::read_to_string(&status) else { continue };
        let counts = text.lines().filter(|line| line.contains("ctxt_switches:"));
        switches += counts.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum::<u64>();
    }
    Ok(switches)
}

/// Has this process open as many files as the system allows; gives how many.
///
/// # Errors
/// The system refuses even what it said it allows.
pub fn raise_open_files(wanted: u64) -> anyhow::Result<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let maximum = now.maximum.unwrap_or(u64::MAX).max(wanted);
    // Only root may raise the second one; others get what they may.
    let raised = Rlimit { current: Some(wanted), maximum: Some(maximum) };
    if now.current.is_none_or(|current| current >= wanted) || setrlimit(Resource::Nofile, raised).is_ok() {
        return Ok(wanted);
    }
    let allowed = Rlimit { current: now.maximum, maximum: now.maximum };
    setrlimit(Resource::Nofile, allowed).context("raise the number of open files")?;
    Ok(now.maximum.unwrap_or(wanted))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn this_process_takes_memory_and_time() {
        assert!(pss_kib(std::process::id()).unwrap() > 100);
        let before = cpu(std::process::id()).unwrap();
        while cpu(std::process::id()).unwrap() == before {
            std::hint::black_box((0..100_000u64).sum::<u64>());
        }
    }

    #[test]
    fn a_process_that_waits_for_each_byte_gives_the_processor_up() {
        let mut child =
            Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start a program");
        let (mut to, mut from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let before = switches(child.id()).unwrap();
        // It may find the next byte before it waits, but not each time.
        let changed = (0..10_000).any(|_| {
            to.write_all(b"x").unwrap();
            from.read_exact(&mut [0]).unwrap();
            switches(child.id()).unwrap() > before
        });
        drop(to);
        child.wait().unwrap();
        assert!(changed);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(pss_kib(u32::MAX).is_err() && cpu(u32::MAX).is_err() && switches(u32::MAX).is_err());
    }
}
