//! What methods that learn from rollouts have in common: clipped importance ratios, and what is logged of them.

use crate::group::Member;
use crate::objective::Said;
use crate::{Metrics, rollout};

/// How far the policy's ratio to the sampler may count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Clip {
    pub(super) low: f64,
    pub(super) high: f64,
}

/// Value of `-min(r A, clip(r, 1 - low, 1 + high) A)`, its derivative with respect to `log r`, and whether it was clipped
/// below or above.
///
/// Schulman et al. 2017, arXiv 1707.06347, equation 7, as a loss.
pub(super) fn clipped(log_ratio: f64, advantage: f64, clip: Clip) -> (f64, f64, [bool; 2]) {
    let ratio = log_ratio.exp();
    let below = ratio < 1.0 - clip.low && advantage < 0.0;
    let above = ratio > 1.0 + clip.high && advantage > 0.0;
    let bounded = ratio.clamp(1.0 - clip.low, 1.0 + clip.high);
    let value = -(ratio * advantage).min(bounded * advantage);
    (value, if below || above { 0.0 } else { -ratio * advantage }, [below, above])
}

/// The k3 estimator of `KL(policy || reference)` at a token that the policy chose, `e^d - d - 1` with
/// `d = log reference - log policy`, and its derivative with respect to the policy's log-probability.
///
/// Schulman 2020, "Approximating KL divergence".
pub(super) fn k3(logp: f64, reference: f64) -> (f64, f64) {
    let d = reference - logp;
    (d.exp_m1() - d, 1.0 - d.exp())
}

/// By how much the policy's log-probabilities of a completion's tokens differ from those at sampling.
pub(super) fn log_ratios(logps: &[f32], member: &Member) -> Vec<f64> {
    logps.iter().zip(&member.sampled).map(|(&now, &then)| f64::from(now) - f64::from(then)).collect()
}

/// Logs what every method of this kind does of one completion.
pub(super) fn measure(metrics: &mut Metrics, said: &Said<'_>, member: usize, log_ratios: &[f64]) {
    let count = log_ratios.len() as f64;
    let entropy: f64 = said.of(member, &said.output.entropy).into_iter().map(f64::from).sum();
    metrics.add("entropy", entropy, count);
    let distance = || log_ratios.iter().map(|ratio| ratio.abs());
    metrics.add("sampling/sampling_logp_difference/mean", distance().sum(), count);
    if let Some(largest) = distance().reduce(f64::max) {
        metrics.largest("sampling/sampling_logp_difference/max", largest);
    }
    let ratios: f64 = log_ratios.iter().map(|ratio| ratio.exp()).sum();
    metrics.add("sampling/importance_sampling_ratio/mean", ratios, count);
}

/// Logs how much was clipped: of `count` ratios, so many below and above.
pub(super) fn measure_clipped(metrics: &mut Metrics, [below, above]: [f64; 2], count: f64) {
    metrics.add("clip_ratio/low_mean", below, count);
    metrics.add("clip_ratio/high_mean", above, count);
    metrics.add("clip_ratio/region_mean", below + above, count);
}

/// The metrics that the functions above and the sampler log.
pub(super) const METRICS: [&str; 17] = [
    "reward",
    "reward_std",
    "frac_reward_zero_std",
    "completions/mean_length",
    "completions/min_length",
    "completions/max_length",
    "completions/mean_terminated_length",
    "completions/clipped_ratio",
    "entropy",
    "sampling/sampling_logp_difference/mean",
    "sampling/sampling_logp_difference/max",
    "sampling/importance_sampling_ratio/mean",
    "clip_ratio/low_mean",
    "clip_ratio/high_mean",
    "clip_ratio/region_mean",
    "rewards/{name}/mean",
    "rewards/{name}/std",
];

/// Learns nothing from completions that were cut off, where the settings say so.
pub(super) fn mask_truncated(members: &mut [Member], rollouts: &rollout::Rollouts) {
    for member in members.iter_mut().filter(|m| rollouts.mask_truncated_completions && m.ended != Some(true)) {
        member.sequence.supervised.fill(false);
        member.sampled.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_central_differences() {
        let h = 1e-6;
        let clip = Clip { low: 0.2, high: 0.3 };
        for log_ratio in [-0.5, -0.1, 0.0, 0.2, 0.5] {
            for advantage in [-1.5, 0.0, 2.0] {
                let value = |x| clipped(x, advantage, clip).0;
                let numeric = (value(log_ratio + h) - value(log_ratio - h)) / (2.0 * h);
                assert!((clipped(log_ratio, advantage, clip).1 - numeric).abs() < 1e-8, "{log_ratio} {advantage}");
            }
        }
        for (logp, reference) in [(-1.0, -1.0), (-2.0, -0.5), (-0.1, -3.0)] {
            let numeric = (k3(logp + h, reference).0 - k3(logp - h, reference).0) / (2.0 * h);
            assert!((k3(logp, reference).1 - numeric).abs() < 1e-8 && k3(logp, reference).0 >= 0.0);
        }
    }

    #[test]
    fn clipping_is_one_sided() {
        let clip = Clip { low: 0.2, high: 0.2 };
        // The closed form: r = 2 with A = 1 counts as 1.2, with A = -1 in full; r = 1/2 the other way round.
        let value = |ratio: f64, advantage| clipped(ratio.ln(), advantage, clip).0;
        assert!((value(2.0, 1.0) + 1.2).abs() < 1e-12 && (value(2.0, -1.0) - 2.0).abs() < 1e-12);
        assert!((value(0.5, 1.0) + 0.5).abs() < 1e-12 && (value(0.5, -1.0) - 0.8).abs() < 1e-12);
    }
}
