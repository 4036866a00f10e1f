//! Finds out by trying whether the address space has room for the pool. Many small ARM64 kernels have 39 bits of it.

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// Can so many bytes be reserved in one piece? Nothing is kept and nothing is touched.
pub(super) fn has_room_for(bytes: usize) -> bool {
    // SAFETY: a new anonymous mapping at an address of the kernel's choice aliases nothing, and no one sees it.
    let mapped = unsafe {
        mmap_anonymous(std::ptr::null_mut(), bytes, ProtFlags::empty(), MapFlags::PRIVATE | MapFlags::NORESERVE)
    };
    match mapped {
        Ok(address) => {
            // SAFETY: exactly the mapping made above, which nothing refers to.
            unsafe { munmap(address, bytes) }.is_ok()
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_fits_and_more_than_any_address_space_does_not() {
        assert!(has_room_for(4096));
        assert!(!has_room_for(usize::MAX / 2));
    }
}
