//! Names in the journal's directory: segments, and what was set aside because it was damaged.

const SEGMENT: &str = ".journal";
const DAMAGED: &str = ".damaged";

/// Name of the segment's file.
pub(crate) fn of_segment(segment: u64) -> String {
    format!("{segment:016x}{SEGMENT}")
}

/// The segment that a file holds; `None` for every other file.
pub(crate) fn segment_in(name: &str) -> Option<u64> {
    number(name.strip_suffix(SEGMENT)?)
}

/// Name for what stood in the segment from `offset` on and was set aside for the `attempt`th time.
pub(crate) fn of_damaged(segment: u64, offset: u64, attempt: u32) -> String {
    format!("{segment:016x}-{offset:x}-{attempt}{DAMAGED}")
}

/// The segment that a file which was set aside comes from.
pub(crate) fn damaged_segment_in(name: &str) -> Option<u64> {
    number(name.strip_suffix(DAMAGED)?.split('-').next()?)
}

fn number(digits: &str) -> Option<u64> {
    let plain = digits.len() == 16 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    plain.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_give_their_segment_back_and_sort_by_it() {
        for segment in [0, 1, 0xabc, u64::MAX] {
            assert_eq!(segment_in(&of_segment(segment)), Some(segment));
            assert_eq!(damaged_segment_in(&of_damaged(segment, 77, 1)), Some(segment));
        }
        assert!(of_segment(9) < of_segment(10));
        for name in ["", ".journal", "1.journal", "+00000000000000a.journal", "000000000000000A.journal", "format"] {
            assert_eq!(segment_in(name), None, "{name}");
        }
        assert_eq!(segment_in(&of_damaged(1, 2, 3)), None);
    }
}
