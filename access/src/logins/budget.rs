//! How much may be computed: a bucket that fills with time, with a rest that only known users may take.

/// A bucket of computations, counted in thousandths.
#[derive(Debug)]
pub(super) struct Budget {
    per_s: u64,
    burst: u64,
    /// In thousandths of a computation.
    filled: u64,
    at_ms: u64,
}

impl Budget {
    pub fn new(per_s: u32, burst: u32) -> Self {
        let burst = u64::from(burst.max(1)) * 1000;
        Self { per_s: u64::from(per_s), burst, filled: burst, at_ms: 0 }
    }

    /// Takes one, if there is one for this kind of user.
    pub fn take(&mut self, is_known: bool, now_ms: u64) -> bool {
        let passed_ms = now_ms.saturating_sub(self.at_ms);
        self.at_ms = self.at_ms.max(now_ms);
        self.filled = self.filled.saturating_add(passed_ms.saturating_mul(self.per_s)).min(self.burst);
        let kept = if is_known { 0 } else { self.burst / 4 };
        if self.filled < kept + 1000 && !(self.burst <= 1000 && self.filled >= 1000) {
            return false;
        }
        self.filled = self.filled.saturating_sub(1000);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::Budget;

    fn taken(budget: &mut Budget, is_known: bool, now_ms: u64) -> usize {
        (0..1000).take_while(|_| budget.take(is_known, now_ms)).count()
    }

    #[test]
    fn strangers_leave_a_quarter_to_known_users() {
        let mut budget = Budget::new(10, 100);
        assert_eq!(taken(&mut budget, false, 0), 75);
        assert_eq!(taken(&mut budget, true, 0), 25);
        assert_eq!(taken(&mut budget, true, 0), 0);
    }

    #[test]
    fn it_fills_with_time_up_to_its_size() {
        let mut budget = Budget::new(10, 100);
        assert_eq!(taken(&mut budget, true, 0), 100);
        assert_eq!(taken(&mut budget, true, 99), 0);
        assert_eq!(taken(&mut budget, true, 100), 1);
        assert_eq!(taken(&mut budget, true, 1_000_000), 100);
        assert_eq!(taken(&mut budget, true, 0), 0, "time that goes back fills nothing");
    }

    #[test]
    fn the_smallest_budget_still_lets_one_in() {
        let mut budget = Budget::new(1, 1);
        assert_eq!(taken(&mut budget, false, 0), 1);
        assert_eq!(taken(&mut budget, false, 1000), 1);
    }
}
