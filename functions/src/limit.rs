//! Holds the memories and tables of one instance under one sum, and those of all instances under another.
//!
//! Not a quota on host memory: what host calls copy is limited where they are made.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasmtime::{Error, ResourceLimiter, Result};

/// Bytes that wasmtime keeps per table element.
const TABLE_ELEMENT_BYTES: usize = size_of::<usize>() * 2;

/// Memory of all instances together.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    bytes_max: usize,
    bytes: AtomicUsize,
}

impl MemoryBudget {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, bytes: AtomicUsize::new(0) }
    }

    fn take(&self, by_bytes: usize) -> bool {
        let taken = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bytes| {
            bytes.checked_add(by_bytes).filter(|&total| total <= self.bytes_max)
        });
        taken.is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Why a growth was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The instance's own limit.
    Own(String),
    /// The other instances have taken what all may have together; it may go better later.
    Shared(String),
}

/// Sums up what an instance was given, and gives it back to the budget at its end.
#[derive(Debug)]
pub(crate) struct MemoryLimit {
    bytes_max: usize,
    bytes: usize,
    budget: Arc<MemoryBudget>,
    refusal: Option<Refusal>,
}

impl MemoryLimit {
    /// Allows `bytes_max` over all memories and tables together, as long as the budget has them.
    pub(crate) fn new(bytes_max: usize, budget: Arc<MemoryBudget>) -> Self {
        Self { bytes_max, bytes: 0, budget, refusal: None }
    }

    /// Bytes in memories and tables; they never shrink.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The last growth that was refused, if one was.
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }

    /// Forgets the refusals of an earlier run.
    pub(crate) fn forgive(&mut self) {
        self.refusal = None;
    }

    fn grow(&mut self, by_bytes: usize) -> bool {
        let total = self.bytes.saturating_add(by_bytes);
        if total > self.bytes_max {
            let words = format!("memory would have grown to {total} bytes, limits.memory_bytes is {}", self.bytes_max);
            self.refusal = Some(Refusal::Own(words));
            return false;
        }
        if !self.budget.take(by_bytes) {
            let words = format!(
                "memory of all running functions would have passed memory_total_bytes = {}",
                self.budget.bytes_max
            );
            self.refusal = Some(Refusal::Shared(words));
            return false;
        }
        self.bytes = total;
        true
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        Ok(maximum.is_none_or(|maximum| desired <= maximum) && self.grow(desired.saturating_sub(current)))
    }

    fn memory_grow_failed(&mut self, _error: Error) -> Result<()> {
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        let by_bytes = desired.saturating_sub(current).saturating_mul(TABLE_ELEMENT_BYTES);
        Ok(maximum.is_none_or(|maximum| desired <= maximum) && self.grow(by_bytes))
    }

    fn table_grow_failed(&mut self, _error: Error) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(bytes_max: usize) -> MemoryLimit {
        MemoryLimit::new(bytes_max, Arc::new(MemoryBudget::new(usize::MAX)))
    }

    #[test]
    fn memories_and_tables_share_one_limit() {
        let mut limit = limit(65_536 + 100 * TABLE_ELEMENT_BYTES);
        assert!(limit.memory_growing(0, 65_536, None).unwrap());
        assert!(limit.table_growing(0, 100, None).unwrap());
        assert_eq!(limit.refusal(), None);
        assert!(!limit.table_growing(100, 101, None).unwrap());
        assert!(matches!(limit.refusal(), Some(Refusal::Own(words)) if words.contains("limits.memory_bytes")));
        assert_eq!(limit.bytes(), 65_536 + 100 * TABLE_ELEMENT_BYTES);
    }

    #[test]
    fn instances_share_a_budget_and_give_it_back() {
        let budget = Arc::new(MemoryBudget::new(100_000));
        let mut first = MemoryLimit::new(usize::MAX, budget.clone());
        let mut second = MemoryLimit::new(usize::MAX, budget.clone());
        assert!(first.memory_growing(0, 65_536, None).unwrap());
        assert!(!second.memory_growing(0, 65_536, None).unwrap());
        assert!(matches!(second.refusal(), Some(Refusal::Shared(words)) if words.contains("100000")));
        drop(first);
        assert!(second.memory_growing(0, 65_536, None).unwrap());
        drop(second);
        assert_eq!(budget.bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_growth_past_the_modules_own_maximum_is_refused_and_not_counted() {
        let mut limit = limit(1 << 20);
        assert!(!limit.memory_growing(0, 131_072, Some(65_536)).unwrap());
        assert_eq!((limit.bytes(), limit.refusal()), (0, None));
    }

    #[test]
    fn absurd_sizes_do_not_overflow() {
        let mut limit = limit(1 << 20);
        assert!(!limit.table_growing(0, usize::MAX, None).unwrap());
        assert!(!limit.memory_growing(0, usize::MAX, None).unwrap());
        assert_eq!(limit.bytes(), 0);
    }
}
