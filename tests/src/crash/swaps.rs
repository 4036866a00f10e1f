//! Versions that change hands under load: a thread that points the aliases of the functions elsewhere, as fast as the node answers, and
//! now and then puts a version on trial that its guard has to take back.
//!
//! All versions make the same outputs and counts of an input, so that the account is the same whichever ran: the one on trial only
//! publishes an alarm more, which nobody reads.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use serde_json::Value;

use crate::http;
use crate::random::Random;

/// What is made live in turn, by function.
const SWAPS: [(&str, &str); 6] = [
    ("unit-alarm", "\"v2\""),
    ("counter", "\"v2\""),
    ("unit-alarm", "\"v1=50\", \"v2=50\""),
    ("counter", "\"v1=70\", \"v2=30\""),
    ("unit-alarm", "\"v1\""),
    ("counter", "\"v1\""),
];
/// Swaps between two trials.
const SWAPS_PER_TRIAL: usize = 12;
/// Looks at a trial before something else is done: it ends with the next swap at the latest.
const LOOKS: usize = 60;

/// What a thread did.
#[derive(Debug, Clone, Copy, Default)]
pub struct Swapped {
    /// Aliases that were pointed elsewhere, and the node said so.
    pub swaps: u64,
    /// Versions that were put on trial.
    pub trials: u64,
    /// Of these, taken back by their guard.
    pub taken_back: u64,
}

/// Swaps until it is stopped or the node does not answer any more.
pub struct Swapper {
    stopped: Arc<AtomicBool>,
    thread: JoinHandle<Swapped>,
}

impl Swapper {
    /// Begins.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(socket: PathBuf, mut random: Random) -> std::io::Result<Self> {
        let stopped = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&stopped);
        let work = move || swap(&socket, &mut random, &ends);
        let thread = std::thread::Builder::new().name("swapper".to_owned()).spawn(work)?;
        Ok(Self { stopped, thread })
    }

    /// Ends it.
    pub fn stop(self) -> Swapped {
        self.stopped.store(true, Ordering::Release);
        self.thread.join().unwrap_or_default()
    }
}

fn swap(socket: &Path, random: &mut Random, stopped: &AtomicBool) -> Swapped {
    let mut done = Swapped::default();
    let mut next = random.below(SWAPS.len());
    while !stopped.load(Ordering::Acquire) {
        let (function, versions) = SWAPS[next % SWAPS.len()];
        next += 1;
        let body = format!("{{\"versions\": [{versions}]}}");
        // A node that is gone is no fault here: that is what the round is about.
        if !succeeds(socket, "PUT", &format!("/v1/functions/{function}/aliases/live"), &body) {
            return done;
        }
        done.swaps += 1;
        if next.is_multiple_of(SWAPS_PER_TRIAL) && !put_on_trial(socket, stopped, &mut done) {
            return done;
        }
    }
    done
}

fn put_on_trial(socket: &Path, stopped: &AtomicBool, done: &mut Swapped) -> bool {
    let body = "{\"version\": \"v3\", \"percent\": 50, \"messages\": 10, \"changed_percent\": 0}";
    if !succeeds(socket, "POST", "/v1/functions/unit-alarm/canary", body) {
        return false;
    }
    done.trials += 1;
    for _ in 0..LOOKS {
        let Ok(answer) = http::over_socket(socket, "GET", "/v1/functions/unit-alarm/trial", "") else { return false };
        let watch: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        if watch["canary"].is_null() {
            done.taken_back += 1;
            return true;
        }
        if stopped.load(Ordering::Acquire) {
            return true;
        }
        // Its guard judges when messages have come; looking without a pause would take the processor that they need.
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    true
}

fn succeeds(socket: &Path, method: &str, path: &str, body: &str) -> bool {
    http::over_socket(socket, method, path, body).is_ok_and(|answer| answer.status == 200)
}
