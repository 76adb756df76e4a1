//! Dynamic fine-tuning: `-[p] log p`, where `[p]` is the token's probability as it is now, without gradient.
//!
//! Wu et al. 2025, arXiv 2508.05629. The weight takes away the factor `1 / p` by which cross-entropy follows
//! tokens that the model finds unlikely. With `[p]` held the gradient is that of `-p`; the value is not `-p`.

use super::kind::TokenLoss;

pub(super) const KIND: TokenLoss = TokenLoss {
    id: "dft",
    title: "Dynamic fine-tuning",
    paper: "arXiv:2508.05629",
    formula: "-[p] log p, [p] without gradient",
    evaluate: |logp| (-logp.exp() * logp, -logp.exp()),
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_that_of_the_value_with_the_weight_held() {
        let h = 1e-6;
        for logp in [-5.0_f64, -0.3, -1e-3] {
            let held = |other: f64| -logp.exp() * other;
            let (value, slope) = (KIND.evaluate)(logp);
            assert_eq!(value, held(logp));
            assert!(((held(logp + h) - held(logp - h)) / (2.0 * h) - slope).abs() < 1e-8);
            // The gradient of a probability's negative.
            assert!(((-(logp + h).exp() + (logp - h).exp()) / (2.0 * h) - slope).abs() < 1e-8);
        }
        assert_eq!((KIND.evaluate)(f64::from(f32::MIN)).1, 0.0, "an impossible token is left alone");
    }

    #[test]
    fn values_of_trl() {
        // torch: -log_probs * log_probs.exp() at log_probs = [-0.1, -2.0, -7.5]
        let expected = [0.0904837418, 0.2706705665, 0.0041481328];
        for (logp, expected) in [-0.1, -2.0, -7.5].into_iter().zip(expected) {
            assert!(((KIND.evaluate)(logp).0 - expected).abs() < 1e-9);
        }
    }
}
