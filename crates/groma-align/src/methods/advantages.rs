//! Advantages from rewards and values of tokens.

/// Added to the variance that values are divided by the root of, as in TRL.
const EPSILON: f64 = 1e-8;

/// Generalised advantage estimation, `A_t = Σ_l (gamma lam)^l δ_{t+l}` with `δ_t = r_t + gamma V_{t+1} - V_t`; behind the last
/// token there is nothing to be expected.
///
/// Schulman et al. 2015, arXiv 1506.02438, equation 16.
pub(super) fn generalised(rewards: &[f64], values: &[f64], gamma: f64, lam: f64) -> Vec<f64> {
    let (mut next, mut carried) = (0.0, 0.0);
    let mut advantages: Vec<f64> = rewards
        .iter()
        .zip(values)
        .rev()
        .map(|(reward, value)| {
            carried = reward + gamma * next - value + gamma * lam * carried;
            next = *value;
            carried
        })
        .collect();
    advantages.reverse();
    advantages
}

/// Brings values to a deviation of 1, and to a mean of 0 or, with `keep_mean`, the one that they had. One alone stays.
pub(super) fn whiten(values: &mut [&mut f64], keep_mean: bool) {
    let count = values.len() as f64;
    if values.len() < 2 {
        return;
    }
    let mean = values.iter().map(|value| **value).sum::<f64>() / count;
    let variance = values.iter().map(|value| (**value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    for value in values {
        **value = (**value - mean) / (variance + EPSILON).sqrt() + if keep_mean { mean } else { 0.0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: &[f64], expected: &[f64]) -> bool {
        found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12)
    }

    #[test]
    fn golden_values() {
        let of = |values: &[f64]| generalised(&[0.0, 0.0, 1.0], values, 1.0, 0.95);
        assert!(close(&of(&[0.5, 0.6, 0.7]), &[0.46575, 0.385, 0.3]));
        assert!(close(&of(&[0.5, 0.4, 0.6]), &[0.451, 0.58, 0.4]));
    }

    #[test]
    fn both_ends_of_lambda_are_known() {
        let (rewards, values, gamma) = ([0.3, -1.0, 0.5, 2.0], [0.1, 0.4, -0.2, 0.7], 0.9f64);
        let returned = |t: usize| (t..4).map(|s| gamma.powi((s - t) as i32) * rewards[s]).sum::<f64>();
        let all: Vec<f64> = (0..4).map(|t| returned(t) - values[t]).collect();
        assert!(close(&generalised(&rewards, &values, gamma, 1.0), &all), "what comes, less what was expected");
        let next: Vec<f64> =
            (0..4).map(|t| rewards[t] + gamma * values.get(t + 1).copied().unwrap_or(0.0) - values[t]).collect();
        assert!(close(&generalised(&rewards, &values, gamma, 0.0), &next), "the next token alone");
        assert!(generalised(&[], &[], gamma, 0.5).is_empty());
    }

    #[test]
    fn whitened_values_have_the_moments_that_were_asked_for() {
        for (keep_mean, expected) in [(false, 0.0), (true, 1.25)] {
            let mut values = [1.0, -2.0, 4.0, 2.0];
            whiten(&mut values.iter_mut().collect::<Vec<_>>(), keep_mean);
            let (mean, deviation) = crate::collect::mean_and_deviation(&values);
            assert!((mean - expected).abs() < 1e-12 && (deviation - 1.0).abs() < 1e-8);
        }
        let mut one = 3.0;
        whiten(&mut [&mut one], false);
        assert_eq!(one, 3.0);
    }
}
