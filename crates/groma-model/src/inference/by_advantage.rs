//! Generation by what next tokens are worth.

use super::guidance::Rule;

/// Makes tokens likelier by how much more they are worth than was to be expected: `p(next) ∝ p_model(next) e^{beta (Q - V)}`.
///
/// Snell et al. 2022, arXiv 2206.11871, as in trlX: `Q` is the least that the copies of the model's action values say,
/// `V` its value. Filters (`top_k`, `top_p`) and the temperature come after it. `V` is the same for all tokens of a place, and
/// changes nothing but the size of the weights. Otherwise than in the paper, one model says both what is likely and what is worth most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ByAdvantage {
    /// How much worth counts beside probability; 0 leaves the model's own distribution.
    pub beta: f64,
}

impl Rule for ByAdvantage {
    fn steer(&self, own: &[f64], said: &[Vec<f64>]) -> Vec<f64> {
        let mut weights = own.to_vec();
        for advantages in said {
            weights.iter_mut().zip(advantages).for_each(|(weight, advantage)| *weight += self.beta * advantage);
        }
        weights
    }

    fn reads_advantages(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guidance::normalised;

    /// Of tokens of probability 1/2, 1/4 and 1/4, the second is worth ln 2 more, at a beta of 2: 2 : 4 : 1.
    #[test]
    fn what_is_worth_more_becomes_likelier() {
        let own = [0.5f64, 0.25, 0.25].map(f64::ln);
        let advantages = [0.25, 0.25 + 2f64.ln(), 0.25];
        let found = |beta: f64| -> Vec<f64> {
            let weights = ByAdvantage { beta }.steer(&own, &[advantages.to_vec()]);
            let weights: Vec<f32> = weights.into_iter().map(|weight| weight as f32).collect();
            normalised(&weights, 1.0).into_iter().map(f64::exp).collect()
        };
        let near = |found: &[f64], wanted: [f64; 3]| found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(near(&found(2.0), [2.0 / 7.0, 4.0 / 7.0, 1.0 / 7.0]), "{:?}", found(2.0));
        assert!(near(&found(0.0), [0.5, 0.25, 0.25]));
    }
}
