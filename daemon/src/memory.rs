//! How the allocator treats memory that is free again: on a small box it belongs to the system, not to the node.
//!
//! Only for glibc, which keeps most of what was ever used. Invariant: giving back costs a walk through the free memory, so it
//! is done once after the node has grown, and not while it grows.

/// Sets up the allocator. Call before any thread is started.
pub fn bound() {
    // glibc gives each thread an arena of its own, which keeps what the thread once used. Two are enough here: one thread does
    // most of the work. Large blocks (what hashes a password, an incomplete packet) are to go back to the system as soon as they
    // are freed; left to itself, glibc moves them into the arenas after the first, where ten wrong passwords left 250 MB behind.
    #[cfg(target_env = "gnu")]
    // SAFETY: called before any thread is started, with parameters and values that mallopt knows.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES);
    }
}

/// Starts the thread that gives memory back after the node has grown. It runs for as long as the process.
///
/// # Errors
/// The thread cannot be started.
pub fn start_giving_back() -> std::io::Result<()> {
    #[cfg(target_env = "gnu")]
    std::thread::Builder::new().name("memory".to_owned()).stack_size(64 << 10).spawn(|| {
        let mut growth = Growth::default();
        loop {
            std::thread::sleep(LOOK_EVERY);
            if let Some(kib) = resident_kib()
                && growth.is_over(kib)
            {
                // SAFETY: the call has no preconditions.
                unsafe { libc::malloc_trim(0) };
                growth.given_back(resident_kib().unwrap_or(kib));
            }
        }
    })?;
    Ok(())
}

/// Blocks from this size on are mapped one by one.
#[cfg(target_env = "gnu")]
const LARGE_BLOCK_BYTES: libc::c_int = 256 * 1024;
#[cfg(target_env = "gnu")]
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_secs(5);
/// Growth that is worth the walk.
const GROWTH_KIB_MIN: u64 = 4 * 1024;

/// What the process had at the last look, and after it last gave memory back, KiB.
#[derive(Debug, Default)]
struct Growth {
    last: u64,
    after: u64,
}

impl Growth {
    /// Whether the process is much larger than when it last gave memory back, and grows no more.
    fn is_over(&mut self, resident_kib: u64) -> bool {
        let last = std::mem::replace(&mut self.last, resident_kib);
        self.after = self.after.min(resident_kib);
        resident_kib >= self.after + GROWTH_KIB_MIN && resident_kib <= last + GROWTH_KIB_MIN / 8
    }

    fn given_back(&mut self, resident_kib: u64) {
        self.last = resident_kib;
        self.after = resident_kib;
    }
}

#[cfg(target_env = "gnu")]
fn resident_kib() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64 / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_once_after_it_has_grown_and_not_while_it_grows() {
        let mut growth = Growth::default();
        growth.given_back(10_000);
        assert!(!growth.is_over(13_000), "too little");
        assert!(!growth.is_over(30_000) && !growth.is_over(50_000), "it still grows");
        assert!(growth.is_over(50_100));
        growth.given_back(48_000);
        assert!(!growth.is_over(48_000) && !growth.is_over(50_000), "it was given back");
        // What went by itself counts as given back, too.
        assert!(!growth.is_over(12_000) && !growth.is_over(20_000) && growth.is_over(20_000));
    }
}
