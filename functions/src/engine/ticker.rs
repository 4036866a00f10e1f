//! Advances the engine's epoch every 10 ms while an invocation runs, so that running code looks at its deadline; sleeps
//! without waking otherwise.
//!
//! Not a clock: deadlines are compared with the monotonic clock by whoever is woken by the epoch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use wasmtime::EngineWeak;

/// Time between two looks at the deadline.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Ticks without an invocation before the thread goes to sleep; waking it costs a system call.
const IDLE_TICKS_MAX: u32 = 20;

/// Counts running invocations and owns the thread's sleep.
#[derive(Default)]
pub(crate) struct Ticker {
    running: AtomicUsize,
    asleep: AtomicBool,
    stopped: AtomicBool,
    sleep: Mutex<()>,
    wake: Condvar,
}

/// While it lives, the epoch advances.
pub(crate) struct Running<'a>(&'a Ticker);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Ticker {
    /// Starts the thread; it ends after [`Ticker::stop`] or when the engine is gone.
    pub(super) fn start(engine: EngineWeak) -> std::io::Result<Arc<Self>> {
        let ticker = Arc::new(Self::default());
        let thread_ticker = ticker.clone();
        std::thread::Builder::new().name("fn-deadline".into()).stack_size(64 << 10).spawn(move || {
            let mut idle_ticks = 0;
            while let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
                drop(engine);
                idle_ticks = if thread_ticker.running.load(Ordering::SeqCst) == 0 { idle_ticks + 1 } else { 0 };
                if idle_ticks >= IDLE_TICKS_MAX {
                    thread_ticker.sleep_until_running();
                    idle_ticks = 0;
                }
                if thread_ticker.stopped.load(Ordering::SeqCst) {
                    return;
                }
                std::thread::sleep(TICK);
            }
        })?;
        Ok(ticker)
    }

    /// Marks an invocation as running.
    pub(crate) fn run(&self) -> Running<'_> {
        self.running.fetch_add(1, Ordering::SeqCst);
        // Either this sees `asleep`, or the thread, which sets it first, sees `running`.
        if self.asleep.load(Ordering::SeqCst) {
            let _sleep = self.sleep.lock();
            self.wake.notify_one();
        }
        Running(self)
    }

    /// Ends the thread.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _sleep = self.sleep.lock();
        self.wake.notify_one();
    }

    fn sleep_until_running(&self) {
        let mut sleep = self.sleep.lock();
        self.asleep.store(true, Ordering::SeqCst);
        while self.running.load(Ordering::SeqCst) == 0 && !self.stopped.load(Ordering::SeqCst) {
            self.wake.wait(&mut sleep);
        }
        self.asleep.store(false, Ordering::SeqCst);
    }
}
