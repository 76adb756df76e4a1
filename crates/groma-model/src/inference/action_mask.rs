//! Generation among the tokens that somebody else finds likely.

use super::guidance::Rule;
use super::sampling::SamplingParameters;

/// Keeps of a distribution the tokens that a second model finds likely, and makes one of what is left.
///
/// Ramamurthy et al. 2022, arXiv 2210.01241, section 4: the second model is a copy of a policy as it was some time ago, whose top-p
/// set says which actions may be taken (NLPO).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ActionMask {
    /// The second model's likeliest tokens that reach this probability together stay; 1 keeps all.
    pub top_p: f32,
    /// Of these, so many at most; 0 for all.
    pub top_k: usize,
}

impl ActionMask {
    /// Log-weights of the tokens that stay, and nothing (`-inf`) of the others.
    pub fn masked(&self, own: &[f64], second: &[f64]) -> Vec<f32> {
        let filters = SamplingParameters { top_p: self.top_p, top_k: self.top_k, ..SamplingParameters::default() };
        let second: Vec<f32> = second.iter().map(|logp| *logp as f32).collect();
        let mut weights = vec![f32::NEG_INFINITY; own.len()];
        filters.support(&second).for_each(|token| weights[token] = own[token] as f32);
        weights
    }
}

impl Rule for ActionMask {
    fn steer(&self, own: &[f64], guides: &[Vec<f64>]) -> Vec<f64> {
        let weights = guides.first().map_or(Vec::new(), |second| self.masked(own, second));
        weights.into_iter().map(f64::from).collect()
    }

    fn reports_steered(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guidance::normalised;

    #[test]
    fn what_the_second_finds_unlikely_has_no_probability() {
        let logs = |p: [f64; 4]| p.map(f64::ln);
        let (own, second) = (logs([0.1, 0.2, 0.3, 0.4]), logs([0.5, 0.1, 0.3, 0.1]));
        let of = |top_p, top_k| -> Vec<f64> {
            let logps = normalised(&ActionMask { top_p, top_k }.masked(&own, &second), 1.0);
            logps.into_iter().map(f64::exp).collect()
        };
        let near = |found: Vec<f64>, expected: [f64; 4]| found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(near(of(0.75, 0), [0.25, 0.0, 0.75, 0.0]));
        assert!(near(of(0.9, 1), [1.0, 0.0, 0.0, 0.0]));
        assert!(near(of(1.0, 0), [0.1, 0.2, 0.3, 0.4]));
        assert_eq!(of(0.75, 0)[1], 0.0);
        // At another temperature, the mask stays.
        let cold = normalised(&ActionMask { top_p: 0.75, top_k: 0 }.masked(&own, &second), 0.5);
        assert!((cold[0].exp() - 0.1).abs() < 1e-6 && cold[3] == f64::NEG_INFINITY);
    }
}
