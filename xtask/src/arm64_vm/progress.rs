//! What the command says while it works: each step with the seconds since the start.

use std::time::{Duration, Instant};

/// A clock for the lines of one run.
pub struct Progress {
    start: Instant,
}

impl Progress {
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }

    /// Says what is done now.
    pub fn step(&self, text: &str) {
        eprintln!("arm64-vm {}: {text}", seconds(self.start.elapsed()));
    }
}

/// A duration as people read it.
pub fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
