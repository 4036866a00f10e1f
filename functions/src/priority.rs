//! How threads that run functions, and processes that compile them, make way for everybody else.
//!
//! A nice value alone is not enough: since Linux 6.6 a thread that got the processor keeps it for its slice, some 3 ms, also from one
//! that wakes and is worth a hundred times as much. One that asks for a long slice gives way at once to any that has a shorter one
//! (sched_setattr(2) with `sched_runtime`, Linux 6.12). Older kernels take the nice value of the call and leave the slice.

use std::mem::size_of;

/// The longest slice that the kernel gives, ns.
const SLICE_NS: u64 = 100_000_000;
/// `SCHED_FLAG_KEEP_POLICY` of linux/sched.h: a node that was started with another policy keeps it.
const KEEP_POLICY: u64 = 0x08;

/// Makes the calling thread go after others. Only a preference: a place that forbids it does without.
pub(crate) fn make_way(nice: i32) {
    if !ask_for_long_slice(nice) {
        let _ = rustix::process::setpriority_process(None, nice);
    }
}

fn ask_for_long_slice(nice: i32) -> bool {
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
    // SAFETY: the kernel reads the structure, whose size is in it, during the call; 0 is the calling thread.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thread_and_no_other_goes_after_others() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let before = nice();
        std::thread::spawn(move || {
            make_way(before + 3);
            assert_eq!(nice(), before + 3);
            make_way(before + 7);
            assert_eq!(nice(), before + 7);
        })
        .join()
        .unwrap();
        assert_eq!(nice(), before);
    }
}
