//! How long this machine stood still: a virtual processor runs nothing while its host gives it to somebody else, and no program, attacked
//! or not, can answer meanwhile. Without it nobody can tell a node that stalls from a machine that does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::processor;

/// Time between two looks at the clock; what is shorter than this may be missed.
const PACE: Duration = Duration::from_millis(5);
/// Above that of well-behaved clients (sched(7)): nothing on this machine keeps such a thread waiting but the machine.
const PRIORITY: i32 = 2;

/// Looks at the clock on each processor.
#[derive(Debug)]
pub struct Watch {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Option<Duration>>>,
}

impl Watch {
    /// Looks until [`Watch::longest`] is asked for.
    pub fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (ready, all_ready) = mpsc::channel();
        let threads = processor::own().into_iter().map(|number| {
            let (stopped, ready) = (Arc::clone(&stop), ready.clone());
            std::thread::spawn(move || {
                // Where this is forbidden, waiting for other programs cannot be told from waiting for the machine.
                let alone = processor::stay_on(number) && processor::come_first(PRIORITY);
                let begun = Instant::now();
                drop(ready);
                alone.then(|| look(begun, &stopped))
            })
        });
        let threads = threads.collect();
        drop(ready);
        // Nobody sends anything: it ends when each thread has come to its processor.
        let _: Result<(), _> = all_ready.recv();
        Self { stop, threads }
    }

    /// The longest that one of the processors came late; nothing where this machine gives no thread the first place.
    pub fn longest(self) -> Option<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        // None of them can have panicked: they only look at the clock.
        let each = self.threads.into_iter().map(|thread| thread.join().ok().flatten());
        each.collect::<Option<Vec<Duration>>>()?.into_iter().max()
    }
}

fn look(begun: Instant, stop: &AtomicBool) -> Duration {
    let (mut last, mut longest) = (begun, Duration::ZERO);
    while !stop.load(Ordering::Relaxed) {
        let due = last + PACE;
        // The sleep is what is measured: how late it ends.
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        last = Instant::now();
        longest = longest.max(last.saturating_duration_since(due));
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Above that of the thread that looks.
    const HIGHER: i32 = 3;
    const TAKEN: Duration = Duration::from_millis(60);

    #[test]
    fn a_processor_that_runs_something_else_is_noticed() {
        let Some(number) = processor::own().pop() else { panic!("no processor") };
        let watch = Watch::start();
        let taken = std::thread::spawn(move || {
            if !processor::stay_on(number) || !processor::come_first(HIGHER) {
                return false;
            }
            let begun = Instant::now();
            while begun.elapsed() < TAKEN {
                std::hint::spin_loop();
            }
            true
        });
        let taken = taken.join().unwrap();
        let longest = watch.longest();
        if !taken {
            eprintln!("SKIPPED standstill: this process may have no real-time threads (CAP_SYS_NICE)");
            assert_eq!(longest, None);
            return;
        }
        assert!(longest.is_some_and(|longest| longest >= TAKEN - 2 * PACE), "{longest:?}");
    }
}
