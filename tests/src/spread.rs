//! Percentiles of what was measured.

/// The value that a share of all, given in ascending order, does not exceed: 0.5 is the median, 1.0 the largest. None of none.
pub fn quantile<T: Copy>(ascending: &[T], share: f64) -> Option<T> {
    let index = (ascending.len() as f64 * share) as usize;
    ascending.get(index.min(ascending.len().saturating_sub(1))).copied()
}

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let values: Vec<u32> = (1..=100).collect();
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|share| quantile(&values, share)), [1, 51, 100, 100].map(Some));
        assert_eq!(quantile(&[7], 0.5), Some(7));
        assert_eq!(quantile::<u32>(&[], 0.5), None);
    }
}
