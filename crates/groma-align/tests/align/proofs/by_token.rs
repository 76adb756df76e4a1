//! What theory says of policy gradients in whose loss each token hears of its own distance to the reference, and not of that to which
//! it leads (GRPO's, with all kinds of ratios).
//!
//! Where the policy is the sampler, all ratios are 1, and the gradient that is to be expected at a prefix `h`, along a token `a`, is
//! `π(h) π(a | h) (E[w A | h, a] - beta x(a | h) E[w | h, a])`: `A` is the advantage that is to be expected of a completion, `w` what
//! its tokens count, and `x` the slope of the distance. Nothing moves where the bracket is the same for all that can follow `h`. So the
//! distributions are found from the last tokens back, as what is to be expected is known once all behind a token is.

use super::theory::{Known, root};

/// What tokens of completions count, by length, and how far the policy goes from the reference where the distance has a slope.
struct Hearing {
    weight: fn(f64) -> f64,
    log_ratio: fn(f64) -> f64,
    /// Slopes are below it.
    most: f64,
}

/// `x = log π / ref`: of k3 whose ratio has a slope of its own.
const EQUALLY: Hearing = Hearing { weight: |_| 1.0, log_ratio: |slope| slope, most: f64::INFINITY };
/// The mean over a completion's tokens.
const BY_LENGTH: Hearing = Hearing { weight: |length| 1.0 / length, ..EQUALLY };
/// `x = 1 - ref / π`: of k3 alone, the divergence of the reference from the policy.
const FROM_REFERENCE: Hearing = Hearing { log_ratio: |slope| -(-slope).ln_1p(), most: 1.0, ..BY_LENGTH };

/// What advantage is to be expected of each completion, beside others of the policy.
type Advantages = fn(&Known<'_>, &[f64]) -> Vec<f64>;

/// Tokens that count alike: `dapo`, `bnpo`, `dr_grpo`, `luspo`, `cispo`, `vespo`.
pub(super) fn equally(known: &Known<'_>) -> Vec<f64> {
    at_rest(known, &EQUALLY, above_the_mean)
}

/// Completions that count alike: `grpo`, `sapo`.
pub(super) fn by_length(known: &Known<'_>) -> Vec<f64> {
    at_rest(known, &BY_LENGTH, above_the_mean)
}

/// The same against k3 alone: `gmpo`, and ratios of whole completions.
pub(super) fn from_reference(known: &Known<'_>) -> Vec<f64> {
    at_rest(known, &FROM_REFERENCE, above_the_mean)
}

/// Advantages in units of the deviation of two: `±1 / sqrt(2)`, whatever the rewards, so that a completion is worth how often it wins
/// against the policy's others.
pub(super) fn by_wins(known: &Known<'_>) -> Vec<f64> {
    at_rest(known, &EQUALLY, |known, policy| {
        let side = |i: usize, j: usize| {
            if known.worths[i] == known.worths[j] { 0.0 } else { (known.worths[i] - known.worths[j]).signum() }
        };
        let wins = |i: usize| mean(policy, &known.all(|j| side(i, j)));
        known.all(|i| wins(i) * std::f64::consts::FRAC_1_SQRT_2)
    })
}

/// Rewards less their mean in the group.
fn above_the_mean(known: &Known<'_>, policy: &[f64]) -> Vec<f64> {
    let advantages = centred(known, policy);
    known.all(|i| without_itself(known) * advantages[i])
}

fn centred(known: &Known<'_>, policy: &[f64]) -> Vec<f64> {
    let rewards = known.all(|i| known.worths[i].ln());
    let expected = mean(policy, &rewards);
    known.all(|i| rewards[i] - expected)
}

/// A completion's own reward is part of the mean that is taken off it.
fn without_itself(known: &Known<'_>) -> f64 {
    1.0 - 1.0 / known.setting("num_generations")
}

fn mean(policy: &[f64], of: &[f64]) -> f64 {
    policy.iter().zip(of).map(|(p, of)| p * of).sum()
}

/// The policy that is where its own advantages lead to: found by going half of the way there, again and again.
fn at_rest(known: &Known<'_>, hearing: &Hearing, advantages: Advantages) -> Vec<f64> {
    let mut policy = known.all(|i| known.reference[i].exp());
    for _ in 0..200 {
        let led = behind(known, hearing, &advantages(known, &policy), &[]);
        policy.iter_mut().zip(led).for_each(|(old, new)| *old = 0.5 * (*old + new));
    }
    policy
}

/// Of completions that begin with a prefix, the distribution at which nothing moves.
fn behind(known: &Known<'_>, hearing: &Hearing, advantages: &[f64], prefix: &[u32]) -> Vec<f64> {
    if known.completions.iter().any(|ids| ids == prefix) {
        return known.all(|i| f64::from(u8::from(known.completions[i] == prefix)));
    }
    let weight = |i: usize| (hearing.weight)(known.length(i));
    let follows = |id: u32| {
        let policy = behind(known, hearing, advantages, &[prefix, &[id]].concat());
        let (weighs, gains) =
            (mean(&policy, &known.all(weight)), mean(&policy, &known.all(|i| weight(i) * advantages[i])));
        (policy, known.next(&known.reference, prefix, id), known.beta() * weighs, gains)
    };
    let follow: Vec<_> = known.follow(prefix).into_iter().map(follows).collect();
    let shares = |price: f64| {
        let share = |(_, reference, weighs, gains): &(Vec<f64>, f64, f64, f64)| {
            let slope = (gains - price) / weighs;
            if slope < hearing.most { reference * (hearing.log_ratio)(slope).exp() } else { f64::INFINITY }
        };
        follow.iter().map(share).collect::<Vec<f64>>()
    };
    let shares = shares(root(-1e3, 1e3, |price| 1.0 - shares(price).iter().sum::<f64>()));
    known.all(|i| shares.iter().zip(&follow).map(|(share, (policy, ..))| share * policy[i]).sum())
}
