//! What the broker costs, read from /proc: CPU time of a process or of one thread, memory, and what it wrote.
//! Linux only. Invariant: CPU time is the difference of two samples, by thread in nanoseconds (schedstat) when every thread
//! of the first sample still lives, by process in clock ticks otherwise, so that ended threads are never left out.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::time::Duration;

use thiserror::Error;

/// Reads one process or thread.
#[derive(Clone, Debug)]
pub(crate) struct ProcessMeter {
    pid: u32,
    thread: Option<u32>,
}

/// CPU time used so far.
#[derive(Clone, Debug)]
pub(crate) struct CpuSample {
    threads: BTreeMap<u32, Duration>,
    whole: Duration,
}

/// Memory now, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MemorySample {
    pub rss: u64,
    /// `None` where the kernel or its permissions do not show it.
    pub pss: Option<u64>,
}

/// Bytes written since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WriteSample {
    /// Given to the kernel by write calls (`wchar`): files, and what goes into sockets by write(2).
    pub calls: u64,
    /// Made the kernel write to a disk (`write_bytes`), in whole pages.
    pub disk: u64,
}

/// Reading /proc failed.
#[derive(Debug, Error)]
pub enum MeterError {
    /// The file cannot be read: most often there is no such process.
    #[error("could not read {path} of the process that --pid names")]
    Read {
        /// What was read.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// The file is not what Linux writes.
    #[error("could not find {field} in {path}")]
    Format {
        /// What was read.
        path: String,
        /// What is missing in it.
        field: &'static str,
    },
}

impl ProcessMeter {
    /// Measures a process with all its threads.
    pub fn of_process(pid: u32) -> Self {
        Self { pid, thread: None }
    }

    /// Measures one thread of this process.
    pub fn of_own_thread(thread: u32) -> Self {
        Self { pid: std::process::id(), thread: Some(thread) }
    }

    /// CPU time so far.
    pub fn cpu(&self) -> Result<CpuSample, MeterError> {
        if let Some(thread) = self.thread {
            let used = schedstat(&format!("/proc/{}/task/{thread}/schedstat", self.pid))?;
            return Ok(CpuSample { threads: BTreeMap::from([(thread, used)]), whole: used });
        }
        let path = format!("/proc/{}/stat", self.pid);
        let whole = ticks_of_stat(&read(&path)?).ok_or(MeterError::Format { path, field: "utime and stime" })?;
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        let whole = Duration::from_secs_f64(whole as f64 / per_second as f64);
        Ok(CpuSample { threads: self.threads()?, whole })
    }

    /// Memory now; `None` for a thread, whose memory is its process's.
    pub fn memory(&self) -> Result<Option<MemorySample>, MeterError> {
        if self.thread.is_some() {
            return Ok(None);
        }
        let path = format!("/proc/{}/status", self.pid);
        let rss = kilobytes(&read(&path)?, "VmRSS:").ok_or(MeterError::Format { path, field: "VmRSS" })?;
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid));
        let pss = rollup.ok().and_then(|text| kilobytes(&text, "Pss:"));
        Ok(Some(MemorySample { rss, pss }))
    }

    /// Bytes written so far; `None` for a thread, and where the kernel does not show it.
    pub fn writes(&self) -> Option<WriteSample> {
        if self.thread.is_some() {
            return None;
        }
        let text = fs::read_to_string(format!("/proc/{}/io", self.pid)).ok()?;
        Some(WriteSample { calls: count(&text, "wchar:")?, disk: count(&text, "write_bytes:")? })
    }

    /// Empty where the kernel has no schedstat.
    fn threads(&self) -> Result<BTreeMap<u32, Duration>, MeterError> {
        let path = format!("/proc/{}/task", self.pid);
        let entries = fs::read_dir(&path).map_err(|source| MeterError::Read { path: path.clone(), source })?;
        let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        // A thread may end between the listing and the reading: it then counts as ended.
        Ok(ids.filter_map(|id| Some((id, schedstat(&format!("{path}/{id}/schedstat")).ok()?))).collect())
    }
}

impl CpuSample {
    /// CPU time used between an earlier sample and this one.
    pub fn since(&self, earlier: &Self) -> Duration {
        let all_alive = !earlier.threads.is_empty() && earlier.threads.keys().all(|id| self.threads.contains_key(id));
        if !all_alive {
            return self.whole.saturating_sub(earlier.whole);
        }
        let used =
            |(id, now): (&u32, &Duration)| now.saturating_sub(earlier.threads.get(id).copied().unwrap_or_default());
        self.threads.iter().map(used).sum()
    }
}

fn read(path: &str) -> Result<String, MeterError> {
    fs::read_to_string(path).map_err(|source| MeterError::Read { path: path.to_owned(), source })
}

/// Time on the CPU: the first field, in nanoseconds.
fn schedstat(path: &str) -> Result<Duration, MeterError> {
    let text = read(path)?;
    let field = text.split_whitespace().next().and_then(|field| field.parse().ok());
    field.map(Duration::from_nanos).ok_or(MeterError::Format { path: path.to_owned(), field: "time on the CPU" })
}

/// utime + stime: fields 14 and 15 of proc_pid_stat(5), counted after the name, which may contain anything.
fn ticks_of_stat(text: &str) -> Option<u64> {
    let (_, after_name) = text.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// A `Name:   123 kB` line, in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1_024)
}

/// A `name: 123` line.
fn count(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_bytes_are_found_by_the_whole_name_and_grow_with_what_is_written() {
        let text = "rchar: 1\nwchar: 2\nwrite_bytes: 3\ncancelled_write_bytes: 4\n";
        assert_eq!(
            (count(text, "wchar:"), count(text, "write_bytes:"), count(text, "bytes:")),
            (Some(2), Some(3), None)
        );
        let meter = ProcessMeter::of_process(std::process::id());
        let before = meter.writes().expect("own process");
        fs::write("/dev/null", [0; 4_321]).expect("it takes everything");
        assert!(meter.writes().expect("own process").calls >= before.calls + 4_321);
    }

    #[test]
    fn clock_ticks_are_found_behind_a_name_with_brackets_and_blanks() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 30 12 0 0 20 0 1 0 5 6 7";
        assert_eq!(ticks_of_stat(stat), Some(42));
        assert_eq!(ticks_of_stat("7 (a) S 1 7"), None);
    }

    #[test]
    fn memory_lines_are_found_by_their_whole_name() {
        let text = "Pss_Dirty:  1 kB\nPss:        12 kB\n";
        assert_eq!(kilobytes(text, "Pss:"), Some(12_288));
        assert_eq!(kilobytes(text, "Rss:"), None);
    }

    #[test]
    fn the_own_process_can_be_measured_and_uses_cpu() {
        let meter = ProcessMeter::of_process(std::process::id());
        let before = meter.cpu().expect("own process");
        let mut sum = 0_u64;
        while meter.cpu().expect("own process").since(&before) < Duration::from_millis(20) {
            sum = (0..100_000).fold(sum, |sum, n| std::hint::black_box(sum ^ n));
        }
        assert!(meter.memory().expect("own memory").is_some_and(|memory| memory.rss > 0));
    }

    #[test]
    fn a_thread_that_ended_is_counted_by_the_process() {
        let sample = |ids: &[u32], each_ms: u64, whole_ms| CpuSample {
            threads: ids.iter().map(|&id| (id, Duration::from_millis(each_ms))).collect(),
            whole: Duration::from_millis(whole_ms),
        };
        let before = sample(&[1, 2], 10, 20);
        assert_eq!(sample(&[1, 2, 3], 15, 40).since(&before), Duration::from_millis(5 + 5 + 15));
        assert_eq!(sample(&[1, 3], 15, 40).since(&before), Duration::from_millis(20));
    }

    #[test]
    fn a_process_that_does_not_exist_is_named() {
        let error = ProcessMeter::of_process(u32::MAX).cpu().expect_err("no such process");
        assert!(error.to_string().contains("/proc/4294967295/stat"), "{error}");
    }
}
