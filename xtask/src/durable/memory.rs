//! A process's resident memory, now and while something else goes on.
//!
//! Invariant: the watching thread has ended when its samples are taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// Between two samples.
const INTERVAL: Duration = Duration::from_millis(100);

/// Resident memory of a process, in bytes.
pub fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    field_bytes(pid, "VmRSS:")
}

/// The most resident memory that a process has had since it began, in bytes.
pub fn peak_bytes(pid: u32) -> anyhow::Result<u64> {
    field_bytes(pid, "VmHWM:")
}

fn field_bytes(pid: u32, field: &str) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(1_024 * kibibytes.with_context(|| format!("find {field} in {path}"))?)
}

/// Seconds and bytes of one sample.
pub type Sample = (f64, u64);

/// Samples taken in the background.
pub struct MemoryWatch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Sample>>,
}

impl MemoryWatch {
    /// Begins.
    pub fn start(pid: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let (started, mut samples) = (Instant::now(), Vec::new());
            while !seen.load(Ordering::Relaxed) {
                // Ends when the process does.
                let Ok(bytes) = resident_bytes(pid) else { break };
                samples.push((started.elapsed().as_secs_f64(), bytes));
                std::thread::park_timeout(INTERVAL);
            }
            samples
        });
        Self { stop, thread }
    }

    /// Ends and gives all samples.
    pub fn finish(self) -> Vec<Sample> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        self.thread.join().unwrap_or_default()
    }
}

/// At most `most` samples, evenly chosen, the last one among them.
pub fn thinned(samples: &[Sample], most: usize) -> Vec<Sample> {
    let step = samples.len().div_ceil(most.max(1)).max(1);
    let mut chosen: Vec<Sample> = samples.iter().rev().step_by(step).copied().collect();
    chosen.reverse();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_process_is_watched_until_the_end() {
        let watch = MemoryWatch::start(std::process::id());
        let samples = watch.finish();
        assert!(samples.iter().all(|(_, bytes)| *bytes > 100_000));
        let now = resident_bytes(std::process::id()).expect("own memory");
        // The kernel counts pages by thread and adds them up late.
        assert!(peak_bytes(std::process::id()).expect("own memory") + (1 << 20) >= now);
        assert!(resident_bytes(u32::MAX).is_err());
    }

    #[test]
    fn thinned_samples_end_with_the_last() {
        let samples: Vec<Sample> = (0..25).map(|n| (f64::from(n), 0)).collect();
        let seconds: Vec<f64> = thinned(&samples, 10).iter().map(|sample| sample.0).collect();
        assert!(seconds.len() <= 10 && seconds.last() == Some(&24.0), "{seconds:?}");
        assert_eq!(thinned(&samples[..2], 10).len(), 2);
    }
}
