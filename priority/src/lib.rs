//! Which thread the processor goes to first: those that clients wait for, or those whose work can wait.
//!
//! A nice value alone is not enough: since Linux 6.6 a thread that got the processor keeps it for its slice, some 3 ms, also from one
//! that wakes and is worth a hundred times as much. Since Linux 6.12 a thread says how long its slice is (sched_setattr(2),
//! `sched_runtime`), and one that wakes takes the processor from any that has a longer one. How much of it a thread gets in the long
//! run is decided by the nice value, as before. Older kernels take the nice value of the call and leave the slice.

use std::mem::size_of;

/// The shortest and the longest slice that the kernel gives, ns.
const SHORT_SLICE_NS: u64 = 100_000;
const LONG_SLICE_NS: u64 = 100_000_000;
/// `SCHED_FLAG_KEEP_POLICY` of linux/sched.h: a node that was started with another policy keeps it.
const KEEP_POLICY: u64 = 0x08;

/// Has the calling thread run as soon as it wakes, with the nice value that it has. Only a preference: a place that forbids it does
/// without.
pub fn run_at_once() {
    ask(own_nice(), SHORT_SLICE_NS);
}

/// Has the calling thread come after those that run at once and before those that make way, and get less of the processor than
/// others by `nice` (setpriority(2)). Only a preference: a place that forbids it does without.
pub fn be_nice(nice: i32) {
    let _ = rustix::process::setpriority_process(None, nice);
}

/// Has the calling thread give the processor to any other that wakes, and get less of it than others by `nice` (setpriority(2)).
/// Only a preference: a place that forbids the slice has the nice value, one that forbids both does without.
pub fn make_way(nice: i32) {
    if !ask(nice, LONG_SLICE_NS) {
        be_nice(nice);
    }
}

/// The nice value of the calling thread.
pub fn own_nice() -> i32 {
    // The call cannot fail for the thread that makes it.
    rustix::process::getpriority_process(None).unwrap_or(0)
}

fn ask(nice: i32, slice_ns: u64) -> bool {
    let attributes = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: 0,
        sched_flags: KEEP_POLICY,
        sched_nice: nice,
        sched_priority: 0,
        sched_runtime: slice_ns,
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
        let before = own_nice();
        std::thread::spawn(move || {
            be_nice(before + 1);
            assert_eq!(own_nice(), before + 1);
            make_way(before + 3);
            assert_eq!(own_nice(), before + 3);
            make_way(before + 7);
            assert_eq!(own_nice(), before + 7);
        })
        .join()
        .unwrap();
        assert_eq!(own_nice(), before);
    }

    #[test]
    fn one_that_runs_at_once_keeps_its_nice_value_and_gets_its_slice() {
        std::thread::spawn(|| {
            let before = own_nice();
            make_way(before + 2);
            run_at_once();
            assert_eq!(own_nice(), before + 2);
            // Kernels before 6.12 know no slice and answer 0 or their own.
            let slice_ns = slice();
            assert!(slice_ns == SHORT_SLICE_NS || !kernel_has_slices(), "{slice_ns}");
        })
        .join()
        .unwrap();
    }

    fn slice() -> u64 {
        // SAFETY: all zeros are a value of this type of numbers.
        let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
        let size = size_of::<libc::sched_attr>() as u32;
        // SAFETY: the kernel writes at most `size` bytes, those of the structure, during the call; 0 is the calling thread.
        let answer = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) };
        assert_eq!(answer, 0);
        attributes.sched_runtime
    }

    fn kernel_has_slices() -> bool {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let mut numbers = release.split(|letter: char| !letter.is_ascii_digit()).map_while(|part| part.parse().ok());
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (6_u32, 12_u32)
    }
}
