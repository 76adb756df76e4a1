//! What tokens are moved by, given their ratios to the sampler: values and slopes.

use super::completion::{Completion, Found, Limits};
use crate::losses::sigmoid;
use crate::methods::policy::clipped;

/// Largest logarithm of a ratio that is exponentiated, and least of a whole completion's, as in TRL.
const FARTHEST: f64 = 20.0;
const NEAREST: f64 = -18.420_680_743_952_367; // ln 1e-8

/// A token.
pub(super) struct Token {
    /// Logarithm of its ratio, or of its completion's to the power of one over its length.
    ratio: f64,
    /// Logarithm of its completion's ratio.
    whole: f64,
    logp: f64,
    advantage: f64,
}

/// The loss of a token, and its slopes with respect to the logarithm of the ratio and to the log-probability beside it; whether it
/// was clipped below or above.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Surrogate {
    value: f64,
    by_ratio: f64,
    by_logp: f64,
    cut: [bool; 2],
}

/// Loss and slopes of a completion, of which each token is looked at alone.
pub(super) fn each_token(completion: &Completion<'_>, of: impl Fn(&Token) -> Surrogate) -> Found {
    let ratios = completion.ratios;
    let length = ratios.len().max(1) as f64;
    let mean = ratios.iter().sum::<f64>() / length;
    let whole = ratios.iter().map(|ratio| ratio.clamp(-FARTHEST, FARTHEST)).sum();
    let mut found = Found { slopes: vec![0.0; ratios.len()], ..Found::default() };
    // Each token has its part in the completion's ratio.
    let mut shared = 0.0;
    for t in (0..ratios.len()).filter(|&t| completion.keeps(t)) {
        let ratio = if completion.by_sequence { mean } else { ratios[t] };
        let logp = f64::from(completion.logps[t]);
        let surrogate = of(&Token { ratio, whole, logp, advantage: completion.advantage });
        found.sum += surrogate.value;
        found.slopes[t] += surrogate.by_logp;
        match completion.by_sequence {
            true => shared += surrogate.by_ratio / length,
            false => found.slopes[t] += surrogate.by_ratio,
        }
        found.cut.iter_mut().zip(surrogate.cut).for_each(|(sum, cut)| *sum += f64::from(u8::from(cut)));
    }
    found.slopes.iter_mut().for_each(|slope| *slope += shared);
    found
}

/// `-min(r A, clip(r) A)`, of which the ratio itself may not count beyond `delta`.
pub(super) fn clipped_ratio(token: &Token, limits: &Limits) -> Surrogate {
    let (value, slope, cut) = clipped(token.ratio, token.advantage, limits.clip);
    match limits.delta {
        Some(delta) if token.ratio.exp() > delta => {
            let clip = limits.clip;
            let bounded = token.ratio.exp().clamp(1.0 - clip.low, 1.0 + clip.high);
            let value = -(delta * token.advantage).min(bounded * token.advantage);
            Surrogate { value, cut, ..Surrogate::default() }
        }
        _ => Surrogate { value, by_ratio: slope, cut, ..Surrogate::default() },
    }
}

/// `-[min(r, cap)] A log π`.
pub(super) fn capped(token: &Token, limits: &Limits) -> Surrogate {
    let (ratio, cap) = (token.ratio.exp(), limits.clip.high);
    let by_logp = -ratio.min(cap) * token.advantage;
    Surrogate { value: by_logp * token.logp, by_logp, cut: [false, ratio > cap], ..Surrogate::default() }
}

/// `-4/τ σ(τ (r - 1)) A`, whose slope at `r = 1` is that of `-r A`.
pub(super) fn gated(token: &Token, limits: &Limits) -> Surrogate {
    let [positive, other] = limits.temperatures;
    let steepness = if token.advantage > 0.0 { positive } else { other };
    let ratio = token.ratio.exp();
    let gate = sigmoid(steepness * (ratio - 1.0));
    let by_ratio = -4.0 * gate * (1.0 - gate) * ratio * token.advantage;
    Surrogate { value: -4.0 / steepness * gate * token.advantage, by_ratio, ..Surrogate::default() }
}

/// `-[e^λ w^k e^(-λ w)] A log π`, `w` being the ratio of the whole completion.
pub(super) fn weighed(token: &Token, limits: &Limits) -> Surrogate {
    let [k, lambda] = limits.gamma[usize::from(token.advantage < 0.0)];
    let whole = token.whole.clamp(NEAREST, FARTHEST);
    let weight = (lambda + k * whole - lambda * whole.exp()).exp();
    let by_logp = -weight * token.advantage;
    Surrogate { value: by_logp * token.logp, by_logp, ..Surrogate::default() }
}

/// `-(Π_t r_t)^(1/n) A` over the tokens that are kept, each logarithm clipped at `-epsilon` or `epsilon_high`; as a sum over all
/// tokens, of which the mean is taken.
pub(super) fn geometric_mean(completion: &Completion<'_>, limits: &Limits) -> Found {
    let (advantage, length) = (completion.advantage, completion.ratios.len() as f64);
    let kept: Vec<usize> = (0..completion.ratios.len()).filter(|&t| completion.keeps(t)).collect();
    let bounded = |ratio: f64| match advantage > 0.0 {
        true => (ratio.min(limits.clip.high), ratio > limits.clip.high),
        false => (ratio.max(-limits.clip.low), ratio < -limits.clip.low),
    };
    let count = kept.len().max(1) as f64;
    let mean = kept.iter().map(|&t| bounded(completion.ratios[t]).0).sum::<f64>() / count;
    let loss = -mean.exp() * advantage;
    let mut found = Found { sum: length * loss, slopes: vec![0.0; completion.ratios.len()], ..Found::default() };
    for t in kept {
        match bounded(completion.ratios[t]).1 {
            true => found.cut[usize::from(advantage > 0.0)] += 1.0,
            false => found.slopes[t] = length * loss / count,
        }
    }
    found
}
