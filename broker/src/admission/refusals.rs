//! Telling the log of refusals without letting them fill it.

use selvedge_core::Moment;

/// Time between two lines.
const PAUSE_MS: u64 = 1000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    next: Moment,
    untold: u64,
}

impl Refusals {
    /// One more happens: if it is to be told, how many have not been told since the last that was.
    pub(super) fn due(&mut self, now: Moment) -> Option<u64> {
        if now < self.next {
            self.untold += 1;
            return None;
        }
        self.next = now.plus_millis(PAUSE_MS);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_tells_how_many_there_were() {
        let mut refusals = Refusals::default();
        let mut due = |ms| refusals.due(Moment::from_millis(ms));
        assert_eq!(due(0), Some(0));
        assert_eq!((due(1), due(999)), (None, None));
        assert_eq!(due(1000), Some(2));
        assert_eq!(due(5000), Some(0));
    }
}
