//! Who has the processor: clients stand for other machines, which have one of their own. And how soon one that sleeps is awake.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::Serialize;

use crate::spread::quantile;

/// Runs `act` on a thread of a well-behaved client, which has the processor as soon as it wakes: no attacker and no node takes it.
///
/// A short slice alone is not enough: the node has one as well, and of two that have the same the kernel lets the one that runs go on until
/// the next tick, 4 ms later at worst. So the thread is a real-time one, where this machine allows that; see [`are_first`].
pub fn spawn<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    std::thread::spawn(move || {
        if !come_first(CLIENT) {
            selvedge_priority::run_at_once();
        }
        act()
    })
}

/// Whether clients have the processor before the node here: without, latencies contain what they wait for it.
pub fn are_first() -> bool {
    std::thread::spawn(|| come_first(CLIENT)).join().is_ok_and(|first| first)
}

/// Real-time priority of a well-behaved client, the lowest.
const CLIENT: i32 = 1;

/// Makes the calling thread a real-time one (sched(7), `SCHED_FIFO`) of this priority, 1 to 99. It sleeps nearly all the time. False where
/// that is forbidden.
pub(super) fn come_first(priority: i32) -> bool {
    // SAFETY: the structure is plain numbers, of which zero is a valid one each.
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    parameters.sched_priority = priority;
    // SAFETY: the kernel reads the structure during the call; 0 is the calling thread.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) == 0 }
}

/// Numbers of the processors that the calling thread may run on.
pub(super) fn own() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(None) else { return Vec::new() };
    (0..CpuSet::MAX_CPU).filter(|number| set.is_set(*number)).collect()
}

/// Keeps the calling thread on one processor. False where that is forbidden.
pub(super) fn stay_on(number: usize) -> bool {
    let mut set = CpuSet::new();
    set.set(number);
    sched_setaffinity(None, &set).is_ok()
}

/// How much less than others attackers are given where both want a processor. A long slice alone is not enough: a node that ran just
/// now, however shortly, would wait until attackers of the same priority had run as long, and then for the next tick.
const ASIDE: i32 = 10;

/// Has this thread, and those that it starts from now on, take the processor from nobody who wakes: attackers on other machines do
/// not take that of the node. What nobody else wants they have, as before.
pub fn stand_aside() {
    selvedge_priority::make_way(selvedge_priority::own_nice() + ASIDE);
}

/// Wake-ups that are measured, and time between two of them, in which the waker keeps its processor busy.
const WAKES: usize = 5_000;
const WAKE_PACE: Duration = Duration::from_micros(200);

/// How soon a thread runs that another one has written to, microseconds: what this machine adds to every message, whatever the node does.
/// A virtual processor that has nothing to do is given back to the host, and may be long in coming.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct WakeUp {
    /// Half of them took no longer.
    pub p50_us: f64,
    /// 99 of 100 took no longer.
    pub p99_us: f64,
    /// 999 of 1,000 took no longer.
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
}

/// Measures it, which takes some seconds on a machine where nothing else runs.
///
/// # Errors
/// The system gives no sockets.
pub fn wake_up() -> anyhow::Result<WakeUp> {
    let (mut waker, mut sleeper) = UnixStream::pair().context("make a pair of sockets")?;
    let origin = Instant::now();
    let sleeping = spawn(move || {
        let mut latencies = Vec::with_capacity(WAKES);
        let mut stamp = [0; 8];
        while sleeper.read_exact(&mut stamp).is_ok() {
            latencies.push(nanos(origin).saturating_sub(u64::from_le_bytes(stamp)));
        }
        latencies
    });
    for _ in 0..WAKES {
        let begun = Instant::now();
        while begun.elapsed() < WAKE_PACE {
            std::hint::spin_loop();
        }
        waker.write_all(&nanos(origin).to_le_bytes()).context("wake a thread")?;
    }
    drop(waker);
    let mut latencies = sleeping.join().map_err(|_| anyhow!("the thread that is woken panicked"))?;
    latencies.sort_unstable();
    let at = |share| quantile(&latencies, share).map_or(0.0, |ns| ns as f64 / 1e3);
    Ok(WakeUp { p50_us: at(0.5), p99_us: at(0.99), p999_us: at(0.999), max_us: at(1.0) })
}

fn nanos(origin: Instant) -> u64 {
    u64::try_from(origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waking_a_thread_takes_time_and_not_for_ever() {
        let woken = wake_up().unwrap();
        assert!(0.0 < woken.p50_us && woken.p50_us <= woken.p99_us && woken.p99_us <= woken.p999_us, "{woken:?}");
        assert!(woken.p999_us <= woken.max_us, "{woken:?}");
    }
}
