//! Several kinds of loss added with weights (`loss_type` and `loss_weights`), and the rewards that go with them.

use super::Divergence;
use super::kind::{Evaluate, LossKind, LossParameters};
use super::pair::{Pair, Totals};
use super::pair_loss::PairLoss;

/// A weighted sum of kinds, with everything they need but the pairs.
#[derive(Clone, Debug)]
pub struct Combination {
    /// Kinds with their weights; at least one.
    pub terms: Vec<(&'static LossKind, f64)>,
    /// What the kinds read.
    pub parameters: LossParameters,
    /// Regularising divergence of the kinds that admit one.
    pub divergence: Divergence,
    /// Whether the divergence is of means over tokens, and not of sums.
    pub by_token: bool,
}

/// What a pair contributes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairResult {
    /// Weighted sum of the terms.
    pub loss: PairLoss,
    /// `beta * dc`, in the reverse-KL form whatever divergence is trained (TRL's `rewards/chosen`).
    pub chosen_reward: f64,
    /// `beta * dr`.
    pub rejected_reward: f64,
}

impl Combination {
    /// Values, gradients and rewards of pairs. The loss is the sum of the values over the batch, divided by its pairs.
    ///
    /// `pairs` may be a part of the batch whose sizes `totals` gives, unless [`Combination::needs_whole_batch`].
    pub fn evaluate(&self, pairs: &[Pair], totals: &Totals) -> Vec<PairResult> {
        let mut sums = vec![PairLoss::default(); pairs.len()];
        for (kind, weight) in &self.terms {
            for (sum, loss) in sums.iter_mut().zip(self.term(kind, pairs, totals)) {
                sum.value += weight * loss.value;
                sum.d_chosen += weight * loss.d_chosen;
                sum.d_rejected += weight * loss.d_rejected;
                sum.d_chosen_plain += weight * loss.d_chosen_plain;
            }
        }
        pairs.iter().zip(sums).map(|(pair, loss)| self.with_rewards(pair, loss)).collect()
    }

    fn term(&self, kind: &LossKind, pairs: &[Pair], totals: &Totals) -> Vec<PairLoss> {
        if !kind.divergences || self.divergence == Divergence::ReverseKl {
            return kind.evaluate(pairs, totals, &self.parameters);
        }
        let transformed: Vec<_> = pairs.iter().map(|pair| self.divergence.transform(pair, self.by_token)).collect();
        let scores: Vec<Pair> = transformed.iter().map(|(pair, ..)| *pair).collect();
        let losses = kind.evaluate(&scores, totals, &self.parameters);
        losses.into_iter().zip(transformed).map(|(loss, (_, dc, dr))| Divergence::pull_back(loss, dc, dr)).collect()
    }

    fn with_rewards(&self, pair: &Pair, loss: PairLoss) -> PairResult {
        let beta = self.parameters.beta;
        PairResult { loss, chosen_reward: beta * pair.chosen_ratio(), rejected_reward: beta * pair.rejected_ratio() }
    }

    /// The value where the policy is the reference; `None` if a term has no closed form there.
    pub fn at_reference(&self) -> Option<f64> {
        self.terms.iter().map(|(kind, weight)| Some(weight * (kind.at_reference)(&self.parameters)?)).sum()
    }

    /// Whether a pair's gradient depends on the log-probabilities of other pairs of the batch, beyond their lengths.
    pub fn needs_whole_batch(&self) -> bool {
        self.terms.iter().any(|(kind, _)| matches!(kind.evaluate, Evaluate::Batch(_)))
    }
}
