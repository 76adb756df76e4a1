//! What methods that learn from rollouts have in common: clipped importance ratios, and what is logged of them.

use crate::group::Member;
use crate::objective::Said;
use crate::{Metrics, collect, rollout};

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

/// The k2 estimator at a token that the policy chose, `d^2 / 2` with `d = log policy - log reference`, and its derivative with
/// respect to the policy's log-probability: `d`, so that as a loss it has the slope of the divergence itself.
///
/// Schulman 2020, as above.
pub(super) fn k2(logp: f64, reference: f64) -> (f64, f64) {
    let d = logp - reference;
    (0.5 * d * d, d)
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

/// What is logged of what completions are worth.
pub(super) const REWARDS: &[&str] = &["reward", "rewards/{name}/mean", "rewards/{name}/std", "rewards/{name}/unscored"];

/// How that differs among completions of one prompt.
pub(super) const SPREAD: &[&str] = &["reward_std", "frac_reward_zero_std"];

/// What [`measure`] logs.
pub(super) const TOKENS: &[&str] = &[
    "entropy",
    "sampling/sampling_logp_difference/mean",
    "sampling/sampling_logp_difference/max",
    "sampling/importance_sampling_ratio/mean",
];

/// What [`measure_clipped`] logs.
pub(super) const CLIPPED: &[&str] = &["clip_ratio/low_mean", "clip_ratio/high_mean", "clip_ratio/region_mean"];

/// What methods log that clip ratios of groups of completions.
pub(super) const METRICS: &[&[&str]] = &[REWARDS, SPREAD, collect::COMPLETIONS, TOKENS, CLIPPED];

/// Learns nothing from completions that were cut off, where the settings say so.
pub(super) fn mask_truncated(members: &mut [Member], rollouts: &rollout::Rollouts) {
    members.iter_mut().filter(|m| rollouts.mask_truncated_completions && m.ended != Some(true)).for_each(mask);
}

/// Learns nothing from completions of which nobody said what they are worth.
pub(super) fn mask_unrewarded(members: &mut [Member]) {
    members.iter_mut().filter(|member| member.reward.is_none()).for_each(mask);
}

/// Learns nothing from a completion.
pub(super) fn mask(member: &mut Member) {
    member.sequence.supervised.fill(false);
    member.sampled.clear();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forest::Forest;
    use crate::group::Group;
    use crate::objective::Step;
    use crate::sequence::Sequence;
    use crate::{Method, Settings};
    use groma_kernels::HeadOutput;
    use serde_json::{Value, json};
    use std::borrow::Cow;

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
            let numeric = (k2(logp + h, reference).0 - k2(logp - h, reference).0) / (2.0 * h);
            assert!((k2(logp, reference).1 - numeric).abs() < 1e-8);
        }
    }

    /// Losses and slopes of the trainers' own code, see `scripts/make_policy_fixtures.py`.
    #[test]
    fn losses_and_slopes_are_those_of_trl() {
        let fixture: Value = serde_json::from_str(include_str!("../../fixtures/policy_losses.json")).unwrap();
        for case in fixture["cases"].as_array().unwrap() {
            let method = Method::find(case["method"].as_str().unwrap()).unwrap();
            let mut given = case["settings"].as_object().unwrap().clone();
            if method.samples() {
                given.insert("reward_funcs".into(), "length".into());
            }
            if method.all_parameters().any(|parameter| parameter.name == "num_generations") {
                given.insert("num_generations".into(), 4.into());
            }
            let settings = Settings::resolve(method, &given).unwrap();
            let group = sampled_group(case);
            let forest = Forest::new(&group.sequences().collect::<Vec<_>>());
            let rows = |name: &str| serde_json::from_value::<Vec<Vec<f64>>>(case[name].clone()).unwrap();
            let mut output = HeadOutput { entropy: vec![0.0; forest.slot_count()], ..HeadOutput::default() };
            output.logp = output.entropy.clone();
            for (member, (row, own)) in rows("now").iter().zip(rows("entropies")).enumerate() {
                for ((&slot, &now), entropy) in forest.slots(member).iter().zip(row).zip(own) {
                    output.logp[slot as usize] = now as f32;
                    output.entropy[slot as usize] = entropy as f32;
                }
            }
            let said = Said::of_tokens(&forest, &output);
            let mut objective = (method.build)(&settings).unwrap();
            let groups = [Cow::Owned(group)];
            let step = Step { groups: &groups, total: objective.total(&groups) };
            let entropies: Vec<Vec<f32>> = (0..4).map(|member| said.of(member, &output.entropy)).collect();
            objective.survey_entropies(&entropies);
            let found = objective.loss(step, 0..1, &said, &mut Metrics::default());
            let expected = case["loss"].as_f64().unwrap();
            assert!((found.sum / step.total - expected).abs() < 1e-6, "{}: {} {expected}", case["settings"], found.sum);
            for (member, row) in rows("slopes").iter().enumerate() {
                for (slope, expected) in said.of(member, &found.logps).iter().zip(row) {
                    assert!((f64::from(*slope) - expected).abs() < 1e-6, "{} {slope} {expected}", case["settings"]);
                }
            }
            for (member, row) in rows("entropy_slopes").iter().enumerate().filter(|_| !found.entropies.is_empty()) {
                for (slope, expected) in said.of(member, &found.entropies).iter().zip(row) {
                    assert!((f64::from(*slope) - expected).abs() < 1e-7, "{} {slope} {expected}", case["settings"]);
                }
            }
        }
    }

    /// The same of the policy's completions and an opponent's, see `scripts/make_online_fixtures.py`.
    #[test]
    fn losses_of_pairs_are_those_of_trl() {
        let fixture: Value = serde_json::from_str(include_str!("../../fixtures/online_losses.json")).unwrap();
        for case in fixture["cases"].as_array().unwrap() {
            let method = Method::find(case["method"].as_str().unwrap()).unwrap();
            let mut given = case["settings"].as_object().unwrap().clone();
            given.extend(json!({"reward_funcs": "length"}).as_object().unwrap().clone());
            let settings = Settings::resolve(method, &given).unwrap();
            let sides = |name: &str| serde_json::from_value::<Vec<Vec<Vec<f32>>>>(case[name].clone()).unwrap();
            let rewards: Vec<[f64; 2]> = serde_json::from_value(case["rewards"].clone()).unwrap();
            let (now, reference) = (sides("now"), sides("reference"));
            let group = |(pair, rewards): (usize, &[f64; 2])| {
                let member = |side: usize| {
                    let first = 100 * (2 * pair + side) as u32 + 1;
                    let ids: Vec<u32> = (first..first + now[side][pair].len() as u32).collect();
                    Member {
                        sampled: now[side][pair].clone(),
                        reference: reference[side][pair].clone(),
                        reward: Some(rewards[side]),
                        advantage: Some(crate::losses::sigmoid(rewards[0] - rewards[1]) - 0.5),
                        ..Member::new(Sequence::completion(&[0], &ids))
                    }
                };
                Cow::Owned(Group { members: (0..now.len()).map(member).collect(), ..Group::default() })
            };
            let groups: Vec<Cow<'_, Group>> = rewards.iter().enumerate().map(group).collect();
            let forest = Forest::new(&groups.iter().flat_map(|group| group.sequences()).collect::<Vec<_>>());
            let mut output = HeadOutput { entropy: vec![0.0; forest.slot_count()], ..HeadOutput::default() };
            output.logp = output.entropy.clone();
            for (member, logps) in groups.iter().flat_map(|group| &group.members).map(|m| &m.sampled).enumerate() {
                forest.slots(member).iter().zip(logps).for_each(|(&slot, &now)| output.logp[slot as usize] = now);
            }
            let said = Said::of_tokens(&forest, &output);
            let mut objective = (method.build)(&settings).unwrap();
            let step = Step { groups: &groups, total: objective.total(&groups) };
            let found = objective.loss(step, 0..groups.len(), &said, &mut Metrics::default());
            let expected = case["loss"].as_f64().unwrap();
            assert!((found.sum / step.total - expected).abs() < 1e-6, "{}: {} {expected}", case["settings"], found.sum);
            for (side, slopes) in sides("slopes").iter().enumerate() {
                for (pair, row) in slopes.iter().enumerate() {
                    for (slope, expected) in said.of(now.len() * pair + side, &found.logps).iter().zip(row) {
                        assert!((slope - expected).abs() < 1e-6, "{} {slope} {expected}", case["settings"]);
                    }
                }
            }
        }
    }

    /// A prompt and completions of tokens of their own, with what a case says of them.
    fn sampled_group(case: &Value) -> Group {
        let rows = |name: &str| serde_json::from_value::<Vec<Vec<f32>>>(case[name].clone()).unwrap();
        let members =
            rows("sampled").into_iter().zip(rows("reference")).enumerate().map(|(index, (sampled, reference))| {
                let ids: Vec<u32> = (0..sampled.len() as u32).map(|t| 100 * index as u32 + t + 1).collect();
                let advantage = case["advantages"][index].as_f64();
                Member { sampled, reference, advantage, ..Member::new(Sequence::completion(&[0], &ids)) }
            });
        Group { members: members.collect(), ..Group::default() }
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
