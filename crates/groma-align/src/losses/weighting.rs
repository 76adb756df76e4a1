//! Weighted preference optimisation: pairs count by how likely the policy would have written both completions itself.
//!
//! Zhou et al. 2024, arXiv 2406.11827, equation 2 with "sampled alignment": the weight of a completion is
//! `exp(mean over its tokens of (log p(token) - log Σ_v p(v)²))`, that of a pair the product of both, and no gradient goes
//! through it. `Σ p²` is the probability that the policy gives on average to what it draws. TRL's `use_weighting`. It can be had from the logits at temperature 1/2: with `L(T) = log Σ exp(z / T)`,
//! `log p - log Σ p² = z + L(1) - L(1/2) = log p(token; 1/2) - log p(token; 1)`.

/// The weight of a pair, from its tokens' log-probabilities at temperature 1/2 less those at temperature 1.
pub fn weight(chosen: impl Iterator<Item = f64>, rejected: impl Iterator<Item = f64>) -> f64 {
    (mean(chosen) + mean(rejected)).exp()
}

/// 0 of none.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0_f64), |(sum, count), value| (sum + value, count + 1.0));
    sum / count.max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_sum_exp(logits: &[f64], temperature: f64) -> f64 {
        logits.iter().map(|logit| (logit / temperature).exp()).sum::<f64>().ln()
    }

    #[test]
    fn both_ways_to_the_alignment_agree() {
        let logits: [f64; 4] = [0.3, -1.2, 2.0, 0.0];
        let logp = |token: usize, t: f64| logits[token] / t - log_sum_exp(&logits, t);
        let squares: f64 = (0..4).map(|token| logp(token, 1.0).exp().powi(2)).sum();
        for token in 0..4 {
            let expected = logp(token, 1.0) - squares.ln();
            assert!((logp(token, 0.5) - logp(token, 1.0) - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn the_weight_is_a_product_of_geometric_means() {
        let found = weight([-1.0, -3.0].into_iter(), [0.5].into_iter());
        assert!((found - (-2.0_f64 + 0.5).exp()).abs() < 1e-12);
        assert_eq!(weight(std::iter::empty(), std::iter::empty()), 1.0);
    }
}
