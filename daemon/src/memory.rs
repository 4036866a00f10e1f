//! How the allocator treats memory that is free again: on a small box it belongs to the system, not to the node.
//!
//! So do the pages of the program that only its start, or a burst, needs. Only for glibc, which keeps most of what was ever used. Invariant: giving back costs a walk through the free memory, so it
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

/// Starts the thread that gives memory back, after the start and after the node has grown. It runs for as long as the process.
///
/// # Errors
/// The thread cannot be started.
pub fn start_giving_back() -> std::io::Result<()> {
    #[cfg(target_env = "gnu")]
    std::thread::Builder::new().name("memory".to_owned()).stack_size(64 << 10).spawn(|| {
        let mut growth = Growth::default();
        std::thread::sleep(LOOK_EVERY);
        program::unmap();
        loop {
            std::thread::sleep(LOOK_EVERY);
            if let Some(kib) = resident_kib()
                && growth.is_over(kib)
            {
                program::unmap();
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
/// After that many walks what is left counts as needed.
const WALKS_MAX: u32 = 4;

/// Decides when to give memory back. What is still in use at a walk, or lies between what is, may be free a little later without
/// any new growth; so a walk that did not bring the process back is done again, each time after twice as many looks.
#[derive(Debug, Default)]
struct Growth {
    /// What the process had at the last look, KiB.
    last: u64,
    /// What it is to come back to, KiB.
    low: u64,
    /// Walks since then that were not enough.
    walks: u32,
    /// Looks until the next walk is worth it.
    pause: u32,
}

impl Growth {
    /// Whether the process is much larger than it has to be, and grows no more.
    fn is_over(&mut self, resident_kib: u64) -> bool {
        let last = std::mem::replace(&mut self.last, resident_kib);
        self.low = self.low.min(resident_kib);
        self.pause = self.pause.saturating_sub(1);
        self.pause == 0 && self.is_large(resident_kib) && resident_kib <= last + GROWTH_KIB_MIN / 8
    }

    /// What the process has after a walk.
    fn given_back(&mut self, resident_kib: u64) {
        self.last = resident_kib;
        self.walks += 1;
        if self.low == 0 || self.walks == WALKS_MAX || !self.is_large(resident_kib) {
            (self.low, self.walks, self.pause) = (resident_kib, 0, 0);
        } else {
            self.pause = 1 << self.walks;
        }
    }

    fn is_large(&self, resident_kib: u64) -> bool {
        resident_kib >= self.low + GROWTH_KIB_MIN
    }
}

#[cfg(target_env = "gnu")]
fn resident_kib() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64 / 1024)
}

/// The pages of the program itself.
#[cfg(target_env = "gnu")]
mod program {
    /// Takes the program's code and constants out of the process's memory. What is used again is mapped again from the page
    /// cache, without reading the disk; the rest, most of which only the start needs, is the system's to give away.
    pub fn unmap() {
        // SAFETY: the callback has the signature that is asked for, and reads what it is lent only while it is.
        unsafe { libc::dl_iterate_phdr(Some(unmap_first), std::ptr::null_mut()) };
    }

    /// Called with the program first; it ends the walk, so that libraries stay.
    unsafe extern "C" fn unmap_first(info: *mut libc::dl_phdr_info, _: usize, _: *mut libc::c_void) -> libc::c_int {
        // SAFETY: the loader lends a valid description with `dlpi_phnum` headers behind `dlpi_phdr`.
        let (base, headers) = unsafe {
            ((*info).dlpi_addr, std::slice::from_raw_parts((*info).dlpi_phdr, usize::from((*info).dlpi_phnum)))
        };
        let page = rustix::param::page_size() as u64;
        // A segment that can be written, also what of it became read-only after relocation, is not as the file has it.
        for header in headers.iter().filter(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0)
        {
            let from = (base + header.p_vaddr).next_multiple_of(page);
            let to = (base + header.p_vaddr + header.p_memsz) / page * page;
            if let Some(bytes) = to.checked_sub(from) {
                // SAFETY: whole pages of a private mapping of a file that nobody has written to: dropping them changes nothing
                // but what is resident, as the next access brings the same bytes.
                unsafe { libc::madvise(from as *mut libc::c_void, bytes as usize, libc::MADV_DONTNEED) };
            }
        }
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_goes_on_after_its_pages_are_given_back() {
        let file_kib = || {
            let text = std::fs::read_to_string("/proc/self/statm").unwrap();
            let pages: u64 = text.split(' ').nth(2).unwrap().parse().unwrap();
            pages * rustix::param::page_size() as u64 / 1024
        };
        let before = file_kib();
        program::unmap();
        let after = file_kib();
        assert!(after < before, "{before} KiB of files were mapped and {after} are");
    }

    #[test]
    fn memory_is_given_back_once_after_it_has_grown_and_not_while_it_grows() {
        let mut growth = Growth::default();
        growth.given_back(10_000);
        assert!(!growth.is_over(13_000), "too little");
        assert!(!growth.is_over(30_000) && !growth.is_over(50_000), "it still grows");
        assert!(growth.is_over(50_100));
        growth.given_back(12_000);
        assert!(!growth.is_over(12_000) && !growth.is_over(16_000), "it was given back");
        // What went by itself counts as given back, too.
        assert!(!growth.is_over(5_000) && !growth.is_over(9_100) && growth.is_over(9_100));
    }

    #[test]
    fn what_a_walk_did_not_give_back_is_tried_again_ever_later_and_then_counts_as_needed() {
        let mut growth = Growth::default();
        growth.given_back(10_000);
        let mut looks = Vec::new();
        for look in 1..200 {
            if growth.is_over(30_000) {
                growth.given_back(30_000);
                looks.push(look);
            }
        }
        assert_eq!(looks, [2, 4, 8, 16]);
        assert!(!growth.is_over(34_095) && growth.is_over(34_096), "from there on it grows anew");
    }
}
