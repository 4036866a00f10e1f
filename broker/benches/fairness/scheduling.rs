//! What the kernel says of a thread of this process, and limits of the process.

use std::{error::Error, fs};

use rustix::process::{Resource, getrlimit, setrlimit};

/// Time on a processor, and time ready to run without one.
#[derive(Clone, Copy, Debug)]
pub struct Scheduling {
    ran_ns: u64,
    waited_ns: u64,
    at: std::time::Instant,
    wall_s: f64,
}

impl Scheduling {
    pub fn of_thread(name: &str) -> Result<Self, Box<dyn Error>> {
        for entry in fs::read_dir("/proc/self/task")? {
            let path = entry?.path();
            if fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim() == name) {
                let schedstat = fs::read_to_string(path.join("schedstat"))?;
                let mut numbers = schedstat.split_whitespace().map(str::parse::<u64>);
                let mut next = || numbers.next().and_then(Result::ok).unwrap_or(0);
                return Ok(Self { ran_ns: next(), waited_ns: next(), at: std::time::Instant::now(), wall_s: 0.0 });
            }
        }
        Err(format!("no thread is called {name}").into())
    }

    pub fn since(self, before: Self) -> Self {
        Self {
            ran_ns: self.ran_ns.saturating_sub(before.ran_ns),
            waited_ns: self.waited_ns.saturating_sub(before.waited_ns),
            at: self.at,
            wall_s: (self.at - before.at).as_secs_f64(),
        }
    }

    pub fn seconds(&self) -> f64 {
        self.wall_s
    }

    pub fn ran_share(&self) -> f64 {
        self.ran_ns as f64 / 1e9 / self.wall_s
    }

    pub fn waited_share(&self) -> f64 {
        self.waited_ns as f64 / 1e9 / self.wall_s
    }
}

pub fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}
