//! f-divergence policy gradient: the policy's divergence from the reference tilted by the reward, of any of several kinds, is made
//! small.
//!
//! Go et al. 2023, arXiv 2302.08215, theorem 1. With `p ∝ π_ref exp(R / beta)` the gradient of `D_f(π | p) = E_p[f(π / p)]` is
//! `E_π[f'(π / p) ∇ log π]`, so that a completion is worth `-f'(π / p)`, compared with the mean of the others of its prompt. The
//! partition of `p` is estimated for each prompt by importance sampling over its completions. All kinds have their optimum at
//! `p`, and differ in how they get there and in what a policy does that cannot be `p`. The gradient of the reverse divergence is
//! that of rewards with a penalty by the divergence (RLOO), divided by `beta`. The rest as [`whole`] says.

use super::rloo::leave_one_out;
use super::whole::{self, Baseline, Whole};
use crate::collect::Collector;
use crate::group::Group;
use crate::method::{Masks, Method};
use crate::parameter::{Kind, Parameter, Variant};
use crate::rewarded::Rewarded;
use crate::role::Role;
use crate::{Error, Hyperparameters, constraint, rollout};
use groma_data::Shape;
use groma_model::Head;
use serde::Deserialize;

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "f_dpg",
    names: &["f-dpg", "gdc", "distributional-policy-gradient"],
    title: "f-divergence policy gradient",
    paper: "arXiv:2302.08215",
    doc: "Samples groups of completions and moves the policy towards the reference tilted by the reward, along a divergence of one's choice.",
    data: &[Shape::PromptOnly],
    roles: &[Role::Reference, Role::Reward, Role::Cost],
    heads: &[Head::UNEMBEDDING],
    parameters: &[
        rollout::SAMPLING,
        rollout::GROUPS,
        rollout::REWARDS,
        whole::PARAMETERS,
        &[Parameter {
            name: "f_divergence",
            kind: Kind::Variant(VARIANTS),
            default: "\"jensen_shannon\"",
            range: None,
            doc: "Which divergence is made small.",
        }],
        constraint::PARAMETERS,
    ],
    overrides: &[("learning_rate", "1e-6")],
    metrics: whole::METRICS,
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups,
    build: |settings| Ok(Box::new(Whole::new(settings, Tilt::new(settings)?)?)),
};

/// A divergence `D_f(π | p) = E_p[f(π / p)]`.
struct Divergence {
    variant: Variant,
    /// `f'(t)`, of `log t`.
    slope: fn(f64) -> f64,
}

const DIVERGENCES: [Divergence; 4] = [
    Divergence {
        variant: variant("reverse_kl", "Reverse KL", "KL(π | p): f'(t) = log t + 1"),
        slope: |log_t| log_t + 1.0,
    },
    Divergence {
        variant: variant("forward_kl", "Forward KL", "KL(p | π), as DPG and GDC have it: f'(t) = -1 / t"),
        slope: |log_t| -(-log_t).exp(),
    },
    Divergence {
        variant: variant("jensen_shannon", "Jensen-Shannon", "of π and p with their mean: f'(t) = log(2 t / (1 + t))"),
        // Of a large t as of its inverse.
        slope: |log_t| std::f64::consts::LN_2 - (-log_t.abs()).exp().ln_1p() + log_t.min(0.0),
    },
    Divergence {
        variant: variant("total_variation", "Total variation", "1/2 Σ |π - p|: f'(t) = ±1/2"),
        slope: |log_t| 0.5 * if log_t == 0.0 { 0.0 } else { log_t.signum() },
    },
];

const VARIANTS: &[Variant] =
    &[DIVERGENCES[0].variant, DIVERGENCES[1].variant, DIVERGENCES[2].variant, DIVERGENCES[3].variant];

const fn variant(id: &'static str, title: &'static str, doc: &'static str) -> Variant {
    Variant { id, title, paper: "arXiv:2302.08215", doc, parameters: &[] }
}

#[derive(Deserialize)]
struct Raw {
    beta: f64,
    f_divergence: String,
}

/// How far completions are from where they should be.
struct Tilt {
    beta: f64,
    slope: fn(f64) -> f64,
}

impl Tilt {
    fn new(settings: &Hyperparameters) -> Result<Self, Error> {
        let raw: Raw = settings.typed()?;
        let found = DIVERGENCES.iter().find(|divergence| divergence.variant.id == raw.f_divergence);
        let divergence = found.ok_or_else(|| settings.invalid("f_divergence", "is not known"))?;
        if raw.beta == 0.0 {
            return Err(settings.invalid("beta", "must be above 0: without a reference nothing is tilted"));
        }
        Ok(Tilt { beta: raw.beta, slope: divergence.slope })
    }

    /// What completions of a prompt are worth, from their rewards less `beta (log π - log π_ref)`.
    fn worth(&self, rewards: &[Option<f64>]) -> Vec<Option<f64>> {
        // log(Z p / π).
        let tilts: Vec<Option<f64>> = rewards.iter().map(|reward| reward.map(|reward| reward / self.beta)).collect();
        let known: Vec<f64> = tilts.iter().flatten().copied().collect();
        let largest = known.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mean = known.iter().map(|tilt| (tilt - largest).exp()).sum::<f64>() / known.len().max(1) as f64;
        let partition = largest + mean.ln();
        tilts.into_iter().map(|tilt| tilt.map(|tilt| -(self.slope)(partition - tilt))).collect()
    }
}

impl Baseline for Tilt {
    fn compare(&mut self, _: &mut Collector<'_>, _: &Rewarded, groups: &mut [Group]) -> Result<(), Error> {
        for group in groups {
            let worth = self.worth(&group.members.iter().map(|member| member.reward).collect::<Vec<_>>());
            let advantages = leave_one_out(&worth);
            group.members.iter_mut().zip(advantages).for_each(|(member, advantage)| member.advantage = advantage);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `f` itself, with `f(1) = 0`.
    const GENERATORS: [fn(f64) -> f64; 4] = [
        |t| t * t.ln(),
        |t| -t.ln(),
        |t| t * (2.0 * t / (1.0 + t)).ln() + (2.0 / (1.0 + t)).ln(),
        |t| 0.5 * (t - 1.0).abs(),
    ];

    #[test]
    fn slopes_are_central_differences_of_their_generators() {
        for (divergence, f) in DIVERGENCES.iter().zip(GENERATORS) {
            assert!(f(1.0).abs() < 1e-15);
            for t in [0.01f64, 0.5, 0.9, 1.5, 40.0] {
                let (h, slope) = (1e-6 * t, (divergence.slope)(t.ln()));
                let numeric = (f(t + h) - f(t - h)) / (2.0 * h);
                assert!((slope - numeric).abs() < 1e-6 * slope.abs().max(1.0), "{} {t}", divergence.variant.id);
            }
            assert!((divergence.slope)(700.0).is_finite() && (divergence.slope)(-700.0).is_finite());
        }
    }

    /// Over all that can be said, `D_f(π | p)` has the gradient that the worths make, and is 0 where `π` is `p`.
    #[test]
    fn the_gradient_is_that_of_the_divergence() {
        let target = [0.5, 0.2, 0.2, 0.1f64];
        let logits = [0.3, -0.4, 0.1, 0.9f64];
        let policy = |logits: &[f64; 4]| {
            let total: f64 = logits.iter().map(|l| l.exp()).sum();
            logits.map(|l| l.exp() / total)
        };
        for (divergence, f) in DIVERGENCES.iter().zip(GENERATORS) {
            let of = |logits: &[f64; 4]| target.iter().zip(policy(logits)).map(|(p, q)| p * f(q / p)).sum::<f64>();
            let q = policy(&logits);
            let worth: Vec<f64> = q.iter().zip(target).map(|(q, p)| -(divergence.slope)((q / p).ln())).collect();
            for i in 0..4 {
                // ∇ log q(y) = 1[y = i] - q(i), of the i-th logit.
                let ours: f64 = (0..4).map(|y| -q[y] * worth[y] * (f64::from(u8::from(y == i)) - q[i])).sum();
                let moved = |by: f64| {
                    let mut moved = logits;
                    moved[i] += by;
                    of(&moved)
                };
                let numeric = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                assert!((ours - numeric).abs() < 1e-8, "{} {i}: {ours} {numeric}", divergence.variant.id);
            }
            assert!(of(&target.map(f64::ln)).abs() < 1e-12);
        }
    }

    #[test]
    fn the_reverse_divergence_is_rewards_with_a_penalty() {
        let rewards = [0.3, -1.0, 2.5, 0.0].map(Some);
        let tilt = Tilt { beta: 0.5, slope: DIVERGENCES[0].slope };
        let (ours, rloo) = (leave_one_out(&tilt.worth(&rewards)), leave_one_out(&rewards));
        let close = |(a, b): (&Option<f64>, &Option<f64>)| (a.unwrap() - b.unwrap() / 0.5).abs() < 1e-12;
        assert!(ours.iter().zip(&rloo).all(close), "{ours:?} {rloo:?}");
        // Of importance weights the mean is 1, whatever the partition is.
        let forward = Tilt { beta: 0.5, slope: DIVERGENCES[1].slope };
        let mean = forward.worth(&rewards).into_iter().flatten().sum::<f64>() / 4.0;
        assert!((mean - 1.0).abs() < 1e-12);
        assert_eq!(forward.worth(&[None, None]), [None, None]);
    }
}
