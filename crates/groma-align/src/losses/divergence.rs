//! f-DPO: the log-ratio `u = log π/π_ref` is replaced by `f'(exp u)` for another divergence than the reverse KL.
//!
//! Wang et al. 2023, arXiv 2309.16240. Additive constants are chosen as TRL does, so that the score is 0 at `u = 0`.
//!
//! Without a reference `u` is the log-probability itself, or its mean over tokens, and the alpha divergence is the shape of AlphaPO's
//! reward, `(1 - exp(-a u)) / a` with `a = 1 - α` (Gupta et al. 2025, arXiv 2501.03884).

use super::pair::{Pair, tokens};
use super::pair_loss::PairLoss;
use super::{log_sigmoid, sigmoid};

/// Largest exponent of the alpha divergence; beyond it the score is flat, as in TRL.
const ALPHA_EXPONENT_LIMIT: f64 = 80.0;

/// The divergence that regularises the policy.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Divergence {
    /// `u`: plain DPO.
    #[default]
    ReverseKl,
    /// `1 - exp(-u)`.
    ForwardKl,
    /// `ln 2 + ls(u)`.
    JensenShannon,
    /// `(exp((α - 1) u) - 1) / (α - 1)`; the reverse KL at `α = 1`.
    Alpha(f64),
}

impl Divergence {
    /// The score of a log-ratio and its derivative.
    pub fn score(self, ratio: f64) -> (f64, f64) {
        match self {
            Divergence::ReverseKl => (ratio, 1.0),
            Divergence::ForwardKl => (-(-ratio).exp_m1(), (-ratio).exp()),
            Divergence::JensenShannon => (std::f64::consts::LN_2 + log_sigmoid(ratio), sigmoid(-ratio)),
            Divergence::Alpha(alpha) if (alpha - 1.0).abs() < 1e-6 => (ratio, 1.0),
            Divergence::Alpha(alpha) => {
                let exponent = (alpha - 1.0) * ratio;
                if exponent > ALPHA_EXPONENT_LIMIT {
                    (ALPHA_EXPONENT_LIMIT.exp_m1() / (alpha - 1.0), 0.0)
                } else {
                    (exponent.exp_m1() / (alpha - 1.0), exponent.exp())
                }
            }
        }
    }

    /// A pair whose ratios, or whose means over tokens, are the scores of what they were, with the derivatives of both.
    pub(super) fn transform(self, pair: &Pair, by_token: bool) -> (Pair, f64, f64) {
        let per = |count: usize| if by_token { tokens(count) } else { 1.0 };
        let (of_chosen, of_rejected) = (per(pair.chosen_tokens), per(pair.rejected_tokens));
        let (chosen, d_chosen) = self.score(pair.chosen_ratio() / of_chosen);
        let (rejected, d_rejected) = self.score(pair.rejected_ratio() / of_rejected);
        let policy_chosen = pair.reference_chosen + of_chosen * chosen;
        let policy_rejected = pair.reference_rejected + of_rejected * rejected;
        (Pair { policy_chosen, policy_rejected, ..*pair }, d_chosen, d_rejected)
    }

    /// Takes the gradient of a transformed pair back to its log-probabilities.
    pub(super) fn pull_back(loss: PairLoss, d_chosen: f64, d_rejected: f64) -> PairLoss {
        PairLoss { d_chosen: loss.d_chosen * d_chosen, d_rejected: loss.d_rejected * d_rejected, ..loss }
    }
}
