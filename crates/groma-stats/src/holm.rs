//! Many comparisons in one table.

/// Holm's step-down adjustment (1979): adjusted p-values in the order of `p_values`, which control the chance of any false
/// finding in the table.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut largest: f64 = 0.0;
    for (rank, &index) in order.iter().enumerate() {
        largest = largest.max(p_values[index] * (p_values.len() - rank) as f64).min(1.0);
        adjusted[index] = largest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    /// statsmodels.stats.multitest.multipletests([0.01, 0.04, 0.03, 0.005], method="holm").
    #[test]
    fn against_statsmodels() {
        let expected = [0.03, 0.06, 0.06, 0.02];
        for (found, expected) in holm(&[0.01, 0.04, 0.03, 0.005]).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12);
        }
        assert_eq!(holm(&[0.9, 0.8]), vec![1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }
}
