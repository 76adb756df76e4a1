//! Generation under guidance: what a model would say next, set against what it, or another, says when asked otherwise.

pub use super::action_mask::ActionMask;
pub use super::by_advantage::ByAdvantage;

use crate::{Error, Result, Spec, Transformer, View};

/// Makes one distribution of several.
pub trait Rule: Sync {
    /// Of the model's log-probabilities over the next token, each guide's, and last the model's advantages where they are read:
    /// log-weights, up to a constant.
    fn steer(&self, own: &[f64], guides: &[Vec<f64>]) -> Vec<f64>;

    /// Whether the log-probabilities that are reported are those of what it makes, and not the model's own.
    fn reports_steered(&self) -> bool {
        false
    }

    /// Whether it reads what the model finds next tokens worth (see [`Transformer::advantages`]).
    fn reads_advantages(&self) -> bool {
        false
    }
}

/// Who says what he would say, too.
#[derive(Clone, Copy, Debug)]
pub struct Guide<'a> {
    /// The model: the same, or another one of the same vocabulary.
    pub transformer: &'a Transformer,
    /// How it is looked at.
    pub view: &'a View,
    /// Of each prompt of the call, the tokens behind which the guide reads the continuation.
    pub prompts: &'a [Vec<u32>],
}

/// Guides, and what becomes of what they say.
#[derive(Clone, Copy)]
pub struct Guidance<'a> {
    /// At least one, unless the rule reads the model's own advantages.
    pub guides: &'a [Guide<'a>],
    /// What is made of it.
    pub rule: &'a dyn Rule,
}

impl Guidance<'_> {
    /// # Errors
    /// [`Error::Sampling`] in words, and [`Error::NoActionValues`].
    pub(crate) fn check(&self, leader: &Transformer, prompts: usize) -> Result<()> {
        let vocab = leader.spec().vocab_size;
        let wrong = |problem: String| Err(Error::Sampling { problem });
        if self.rule.reads_advantages() {
            Spec::require_action_values(&leader.spec().outputs, "choosing tokens by their worth")?;
        }
        for Guide { transformer, view, prompts: own } in self.guides {
            view.hooks.begin(transformer.spec())?;
            match own.iter().find(|ids| ids.is_empty() || ids.len() >= transformer.spec().max_positions) {
                _ if transformer.spec().vocab_size != vocab => {
                    let its = transformer.spec().vocab_size;
                    return wrong(format!(
                        "a guide has {its} tokens and the model {vocab}: name one of the same vocabulary"
                    ));
                }
                _ if own.len() != prompts => {
                    return wrong(format!("a guide has {} prompts for {prompts}", own.len()));
                }
                Some(ids) => {
                    return wrong(format!("a guide cannot read a prompt of {} tokens and one more", ids.len()));
                }
                None => {}
            }
        }
        Ok(())
    }
}

/// Self-debiasing: what becomes likelier where the model is told to show an attribute becomes less likely.
///
/// Schick et al. 2021, arXiv 2103.00453, section 4: with `Δ(w) = p(w|x) - max_i p(w|sdb(x, y_i))`, the probability of each token
/// is multiplied by 1 where `Δ >= 0`, and by `max(floor, e^{decay Δ})` where it is not. The floor is that of the authors' code.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SelfDebias {
    /// How fast the factor falls: 10, 50 and 100 in the paper.
    pub decay: f64,
    /// The smallest factor: 0.01 in the authors' code.
    pub floor: f64,
}

impl Rule for SelfDebias {
    fn steer(&self, own: &[f64], guides: &[Vec<f64>]) -> Vec<f64> {
        let factor = |(token, &logp): (usize, &f64)| {
            let most = guides.iter().map(|guide| guide[token].exp()).fold(0.0, f64::max);
            let gap = logp.exp() - most;
            logp + if gap >= 0.0 { 0.0 } else { (self.decay * gap).max(self.floor.ln()) }
        };
        own.iter().enumerate().map(factor).collect()
    }
}

/// Self-detoxification: among the likeliest tokens, those come first that a model of the unwanted finds unlikely.
///
/// After Xu et al. 2022, "Leashing the Inner Demons" (AAAI): the `top_k` likeliest tokens stay, each weighed by
/// `p(w) / p_unwanted(w)^weight`. That is the product of experts of Liu et al. 2021 (DExperts, arXiv 2105.03023, equation 2)
/// without the expert. A model that finds all of them equally likely changes nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SelfDetox {
    /// Tokens that stay; 0 for all.
    pub top_k: usize,
    /// The exponent.
    pub weight: f64,
}

impl Rule for SelfDetox {
    fn steer(&self, own: &[f64], guides: &[Vec<f64>]) -> Vec<f64> {
        let mut sorted = own.to_vec();
        sorted.sort_by(|a, b| b.total_cmp(a));
        let least = self.top_k.checked_sub(1).and_then(|last| sorted.get(last)).copied().unwrap_or(f64::NEG_INFINITY);
        let weigh = |(token, &logp): (usize, &f64)| {
            let unwanted: f64 = guides.iter().map(|guide| guide[token]).sum();
            if logp < least { f64::NEG_INFINITY } else { logp - self.weight * unwanted }
        };
        own.iter().enumerate().map(weigh).collect()
    }
}

/// The geometric mixture of two models, `p(next) ∝ p_1(next)^(1 - share) p_2(next)^share`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mixture {
    /// The guide's, between 0 and 1.
    pub share: f64,
}

impl Rule for Mixture {
    fn steer(&self, own: &[f64], guides: &[Vec<f64>]) -> Vec<f64> {
        let part = |weight: f64, logp: f64| if weight == 0.0 { 0.0 } else { weight * logp };
        let mixed = |(token, &logp): (usize, &f64)| {
            let theirs: f64 = guides.iter().map(|guide| part(self.share, guide[token])).sum();
            part(1.0 - self.share, logp) + theirs
        };
        own.iter().enumerate().map(mixed).collect()
    }
}

/// Log-probabilities of logits.
pub fn log_probs(logits: &[f32]) -> Vec<f64> {
    normalised(logits, 1.0)
}

/// Log-probabilities of logits or log-weights divided by a temperature; `-inf` where a weight is.
pub fn normalised(weights: &[f32], temperature: f32) -> Vec<f64> {
    let factor = 1.0 / temperature;
    let divided = || weights.iter().map(|&weight| f64::from(weight * factor));
    let most = divided().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = divided().map(|weight| (weight - most).exp()).sum();
    let normaliser = most + total.ln();
    divided().map(|weight| weight - normaliser).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logs(probabilities: &[f64]) -> Vec<f64> {
        probabilities.iter().map(|p| p.ln()).collect()
    }

    fn shares(weights: &[f64]) -> Vec<f64> {
        let total: f64 = weights.iter().map(|weight| weight.exp()).sum();
        weights.iter().map(|weight| weight.exp() / total).collect()
    }

    fn close(found: &[f64], expected: &[f64]) -> bool {
        found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12)
    }

    #[test]
    fn self_debiasing_has_its_golden_value_and_changes_nothing_where_nothing_is_likelier() {
        let (own, biased) = ([0.5, 0.3, 0.2], vec![logs(&[0.7, 0.2, 0.1])]);
        let debias = SelfDebias { decay: 50.0, floor: 0.0 };
        let expected = [4.5397868702434476e-05, 0.5999727612787785, 0.39998184085251903];
        assert!(close(&shares(&debias.steer(&logs(&own), &biased)), &expected));
        let floored = shares(&SelfDebias { floor: 0.01, ..debias }.steer(&logs(&own), &biased));
        assert!(close(&floored, &[0.005 / 0.505, 0.3 / 0.505, 0.2 / 0.505]));
        assert_eq!(debias.steer(&logs(&own), &[logs(&own)]), logs(&own));
        // Of several attributes, the one by which a token gains most counts.
        let two = [biased[0].clone(), logs(&[0.5, 0.3, 0.2])];
        assert_eq!(debias.steer(&logs(&own), &two), debias.steer(&logs(&own), &biased));
    }

    #[test]
    fn a_model_to_which_all_is_alike_changes_nothing() {
        let own = logs(&[0.4, 0.3, 0.2, 0.1]);
        let uniform = vec![logs(&[0.25; 4])];
        let all = SelfDetox { top_k: 0, weight: 2.0 };
        assert!(close(&shares(&all.steer(&own, &uniform)), &[0.4, 0.3, 0.2, 0.1]));
        let two = SelfDetox { top_k: 2, ..all };
        assert!(close(&shares(&two.steer(&own, &uniform)), &[4.0 / 7.0, 3.0 / 7.0, 0.0, 0.0]));
        // What the other finds likely comes last.
        let steered = shares(&two.steer(&own, &[logs(&[0.7, 0.1, 0.1, 0.1])]));
        assert!(steered[1] > steered[0] && steered[2] == 0.0);
    }

    #[test]
    fn log_probabilities_sum_to_one() {
        let found = log_probs(&[1.0, -2.0, 30.0, 29.5]);
        assert!((found.iter().map(|logp| logp.exp()).sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((found[2] - found[3] - 0.5).abs() < 1e-12);
    }
}
