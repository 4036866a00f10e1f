//! Threads that stand for clients on other machines: these have processors of their own, which no attacker and no node takes from them.

use std::mem::size_of;
use std::thread::JoinHandle;

/// The shortest slice that the kernel gives, ns.
const SLICE_NS: u64 = 100_000;
/// `SCHED_FLAG_KEEP_POLICY` of linux/sched.h.
const KEEP_POLICY: u64 = 0x08;

/// Runs `act` on a thread that has the processor as soon as it wakes: since Linux 6.12 one that asks for a short slice takes it from
/// one with a longer one, which otherwise keeps it for some 3 ms. On older kernels it waits like any other.
pub fn spawn<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    std::thread::spawn(move || {
        wake_at_once();
        act()
    })
}

fn wake_at_once() {
    let nice = rustix::process::getpriority_process(None).unwrap_or(0);
    let attributes = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: 0,
        sched_flags: KEEP_POLICY,
        sched_nice: nice,
        sched_priority: 0,
        sched_runtime: SLICE_NS,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the kernel reads the structure, whose size is in it, during the call; 0 is the calling thread. A kernel that refuses
    // leaves everything as it was.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
}
