//! Cross-entropy: `-log p`.

use super::kind::TokenLoss;

pub(super) const KIND: TokenLoss = TokenLoss {
    id: "nll",
    title: "Negative log-likelihood",
    paper: "arXiv:2203.02155",
    formula: "-log p",
    evaluate: |logp| (-logp, -1.0),
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_that_of_the_value() {
        let (h, value) = (1e-6, |logp| (KIND.evaluate)(logp).0);
        for logp in [-5.0, -0.3, 0.0] {
            assert!(((value(logp + h) - value(logp - h)) / (2.0 * h) - (KIND.evaluate)(logp).1).abs() < 1e-8);
        }
    }
}
