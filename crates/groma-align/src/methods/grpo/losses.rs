//! Kinds of loss: what a completion's tokens are moved by, given their ratios to the sampler, and by what the sum is divided.

use super::completion::{Completion, Found, Limits};
use super::surrogates::{capped, clipped_ratio, each_token, gated, geometric_mean, weighed};
use crate::parameter::{Kind, Parameter, Range, Variant, parameter};

/// A kind of loss.
pub(super) struct GrpoLoss {
    pub(super) variant: Variant,
    pub(super) learn: fn(&Completion<'_>, &Limits) -> Found,
    /// What the sum of a completion's losses counts, by its length.
    pub(super) token: fn(usize) -> f64,
    /// By what the sum of all is divided: from completions, their tokens, and the longest that they may have.
    pub(super) total: fn(usize, usize, usize) -> f64,
    /// Whether it cannot do without a cap of its own, `epsilon_high`.
    pub(super) needs_cap: bool,
}

const DAPO: GrpoLoss = GrpoLoss {
    variant: variant("dapo", "Token-level loss", "arXiv:2503.14476", "Σ_i Σ_t l_it / Σ_i len_i", &[]),
    learn: |completion, limits| each_token(completion, |token| clipped_ratio(token, limits)),
    token: |_| 1.0,
    total: |_, tokens, _| tokens as f64,
    needs_cap: false,
};

/// All kinds.
pub(super) const KINDS: &[GrpoLoss] = &[
    DAPO,
    GrpoLoss {
        variant: variant("grpo", "Mean of completions' means", "arXiv:2402.03300", "1/G Σ_i 1/len_i Σ_t l_it", &[]),
        token: |length| 1.0 / length.max(1) as f64,
        total: |completions, _, _| completions as f64,
        ..DAPO
    },
    GrpoLoss {
        variant: variant(
            "bnpo",
            "Token-level loss",
            "arXiv:2503.14476",
            "as dapo: steps are not torn into micro-batches here",
            &[],
        ),
        ..DAPO
    },
    GrpoLoss {
        variant: variant(
            "dr_grpo",
            "Constant divisor",
            "arXiv:2503.20783",
            "Σ_i Σ_t l_it / (G max_completion_length)",
            &[],
        ),
        total: |completions, _, longest| (completions * longest) as f64,
        ..DAPO
    },
    GrpoLoss {
        variant: variant(
            "luspo",
            "Sum of completions' sums",
            "arXiv:2602.05261",
            "1/G Σ_i Σ_t l_it, meant for importance_sampling_level sequence",
            &[],
        ),
        total: |completions, _, _| completions as f64,
        ..DAPO
    },
    GrpoLoss {
        variant: variant(
            "cispo",
            "Capped weights",
            "arXiv:2506.13585",
            "-Σ_i Σ_t [min(r_it, epsilon_high)] A_i log π_it / Σ_i len_i, no gradient through [.]",
            &[],
        ),
        learn: |completion, limits| each_token(completion, |token| capped(token, limits)),
        needs_cap: true,
        ..DAPO
    },
    GrpoLoss {
        variant: variant(
            "sapo",
            "Soft gate",
            "arXiv:2511.20347",
            "-1/G Σ_i 1/len_i Σ_t 4/τ σ(τ (r_it - 1)) A_i, in place of clipping",
            SAPO,
        ),
        learn: |completion, limits| each_token(completion, |token| gated(token, limits)),
        token: |length| 1.0 / length.max(1) as f64,
        total: |completions, _, _| completions as f64,
        ..DAPO
    },
    GrpoLoss {
        variant: variant(
            "vespo",
            "Gamma weight of whole completions",
            "arXiv:2602.10693",
            "-Σ_i Σ_t [e^λ w_i^k e^(-λ w_i)] A_i log π_it / Σ_i len_i, w_i the ratio of the completion, no gradient through [.]",
            VESPO,
        ),
        learn: |completion, limits| each_token(completion, |token| weighed(token, limits)),
        ..DAPO
    },
];

/// [`KINDS`] as choices of `loss_type`.
pub(super) const VARIANTS: &[Variant] = &{
    let mut variants = [Variant::NONE; KINDS.len()];
    let mut i = 0;
    while i < variants.len() {
        variants[i] = KINDS[i].variant;
        i += 1;
    }
    variants
};

/// That of the method of its own, `gmpo`.
pub(super) const GEOMETRIC_MEAN: GrpoLoss = GrpoLoss {
    variant: variant("gmpo", "Geometric mean", "arXiv:2507.20673", "-1/G Σ_i (Π_t r_it)^(1/len_i) A_i", &[]),
    learn: geometric_mean,
    token: |length| 1.0 / length.max(1) as f64,
    total: |completions, _, _| completions as f64,
    needs_cap: false,
};

const ABOVE: Option<Range> = Some(Range::above(0.0));
const NOT_NEGATIVE: Option<Range> = Some(Range::at_least(0.0));

const SAPO: &[Parameter] = &[
    parameter(
        "sapo_temperature_pos",
        Kind::Float,
        "1.0",
        ABOVE,
        "How steep the gate is where the advantage is positive.",
    ),
    parameter(
        "sapo_temperature_neg",
        Kind::Float,
        "1.05",
        ABOVE,
        "How steep the gate is where the advantage is not positive.",
    ),
];

const VESPO: &[Parameter] = &[
    parameter(
        "vespo_k_pos",
        Kind::Float,
        "2.0",
        NOT_NEGATIVE,
        "Power of the ratio where the advantage is not negative.",
    ),
    parameter("vespo_lambda_pos", Kind::Float, "3.0", ABOVE, "How soon large ratios count little there."),
    parameter("vespo_k_neg", Kind::Float, "3.0", NOT_NEGATIVE, "Power of the ratio where the advantage is negative."),
    parameter("vespo_lambda_neg", Kind::Float, "2.0", ABOVE, "How soon large ratios count little there."),
];

const fn variant(
    id: &'static str,
    title: &'static str,
    paper: &'static str,
    doc: &'static str,
    parameters: &'static [Parameter],
) -> Variant {
    Variant { id, title, paper, doc, parameters }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::methods::policy::Clip;

    const LIMITS: Limits = Limits {
        clip: Clip { low: 0.2, high: 0.28 },
        delta: None,
        temperatures: [1.0, 1.05],
        gamma: [[2.0, 3.0], [3.0, 2.0]],
    };

    /// Of kinds through whose ratio the gradient goes; those of the others are held against TRL's.
    #[test]
    fn slopes_are_central_differences() {
        let (ratios, logps) = ([0.1, -0.15, 0.05, 0.7, -0.6], [-1.0f32; 5]);
        let held = |id: &str| !matches!(id, "cispo" | "vespo");
        let limits = [LIMITS, Limits { delta: Some(1.5), ..LIMITS }];
        for kind in KINDS.iter().chain([&GEOMETRIC_MEAN]).filter(|kind| held(kind.variant.id)) {
            for (limits, by_sequence) in limits.iter().flat_map(|limits| [(limits, false), (limits, true)]) {
                for advantage in [-1.5, 2.0] {
                    for kept in [&[][..], &[true, false, true, true, true][..]] {
                        let of = |ratios: &[f64]| {
                            let completion = Completion { ratios, logps: &logps, advantage, by_sequence, kept };
                            (kind.learn)(&completion, limits)
                        };
                        for t in 0..ratios.len() {
                            let moved = |by: f64| {
                                let mut moved = ratios;
                                moved[t] += by;
                                of(&moved).sum
                            };
                            let (h, slope) = (1e-6, of(&ratios).slopes[t]);
                            let numeric = (moved(h) - moved(-h)) / (2.0 * h);
                            let what = format!("{} {by_sequence} {advantage} {t}", kind.variant.id);
                            assert!((slope - numeric).abs() < 1e-7, "{what}: {slope} {numeric}");
                        }
                    }
                }
            }
        }
    }

    /// On the policy that sampled every kind has the slope of the policy gradient.
    #[test]
    fn at_the_sampler_all_kinds_are_one() {
        for kind in KINDS.iter().chain([&GEOMETRIC_MEAN]) {
            for advantage in [-1.5, 2.0] {
                let (ratios, logps) = ([0.0; 3], [-1.0f32, -2.0, -0.5]);
                let limits = Limits { clip: Clip { low: 0.2, high: 5.0 }, ..LIMITS };
                let completion =
                    Completion { ratios: &ratios, logps: &logps, advantage, by_sequence: false, kept: &[] };
                let slopes = (kind.learn)(&completion, &limits).slopes;
                assert!(slopes.iter().all(|slope| (slope + advantage).abs() < 1e-12), "{} {slopes:?}", kind.variant.id);
            }
        }
    }

    /// GSPO of a completion of one token is GRPO.
    #[test]
    fn one_token_is_its_completion() {
        for kind in KINDS {
            let of = |by_sequence| {
                let completion = Completion { ratios: &[0.13], logps: &[-1.0], advantage: 0.7, by_sequence, kept: &[] };
                let found = (kind.learn)(&completion, &LIMITS);
                (found.sum, found.slopes)
            };
            assert_eq!(of(true), of(false), "{}", kind.variant.id);
        }
    }
}
