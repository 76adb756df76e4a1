//! What theory says a policy over all completions comes to. Nothing here knows how the program computes a loss.

use super::world::World;
use serde_json::{Map, Value};

/// What theory reads.
pub(super) struct Known<'a> {
    pub(super) completions: Vec<Vec<u32>>,
    /// What each completion is worth.
    pub(super) worths: Vec<f64>,
    /// Log-probabilities of the reference, which training starts from.
    pub(super) reference: Vec<f64>,
    pub(super) settings: &'a Map<String, Value>,
    /// The mean of all rewards of rows that training saw, each time that it did.
    pub(super) seen: f64,
}

/// The distribution over completions that a setting comes to.
pub(super) type Theory = fn(&Known<'_>) -> Vec<f64>;

impl<'a> Known<'a> {
    pub(super) fn new(world: World, reference: Vec<f64>, settings: &'a Map<String, Value>, seen: f64) -> Self {
        let worths = world.worths().into_iter().map(f64::from).collect();
        Known { completions: world.completions(), worths, reference, settings, seen }
    }

    pub(super) fn setting(&self, name: &str) -> f64 {
        self.settings[name].as_f64().unwrap()
    }

    pub(super) fn beta(&self) -> f64 {
        self.setting("beta")
    }

    pub(super) fn length(&self, completion: usize) -> f64 {
        self.completions[completion].len() as f64
    }

    /// 1 for what is worth more, 0 for the rest; of two worths.
    fn better(&self, completion: usize) -> f64 {
        f64::from(u8::from(self.worths[completion] > 1.0))
    }

    pub(super) fn all(&self, of: impl Fn(usize) -> f64) -> Vec<f64> {
        (0..self.worths.len()).map(of).collect()
    }

    /// Where completions' scores are known but for a constant, and their log-probabilities rise with the scores: the constant is the
    /// one that makes a distribution of them.
    fn of_scores(&self, score: impl Fn(usize) -> f64, logp: impl Fn(usize, f64) -> f64) -> Vec<f64> {
        let scores = self.all(score);
        let at = |constant: f64| self.all(|i| logp(i, scores[i] + constant).exp());
        at(root(-80.0, 80.0, |constant| at(constant).iter().sum::<f64>() - 1.0))
    }

    /// Where the loss is a sum over completions of functions of their log-probabilities: the distribution at which its slope along
    /// every other is 0, found by descent in the logits.
    fn of_slopes(&self, slope: impl Fn(usize, f64) -> f64) -> Vec<f64> {
        self.of_risk(|logps| self.all(|i| slope(i, logps[i])))
    }

    /// The same of a loss of all log-probabilities together, given by its slopes.
    fn of_risk(&self, slopes: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
        let mut logits = self.reference.clone();
        for _ in 0..100_000 {
            let logps = normalised(&logits);
            let slopes = slopes(&logps);
            let total: f64 = slopes.iter().sum();
            for ((logit, slope), logp) in logits.iter_mut().zip(&slopes).zip(&logps) {
                *logit -= 0.2 * (slope - logp.exp() * total);
            }
        }
        normalised(&logits).into_iter().map(f64::exp).collect()
    }

    /// What can follow a prefix, in order.
    pub(super) fn follow(&self, prefix: &[u32]) -> Vec<u32> {
        let begun = self.completions.iter().filter(|ids| ids.len() > prefix.len() && ids.starts_with(prefix));
        let mut follow: Vec<u32> = begun.map(|ids| ids[prefix.len()]).collect();
        follow.sort_unstable();
        follow.dedup();
        follow
    }

    /// Of something by completion, the sum over those that begin with a prefix.
    fn begun(&self, prefix: &[u32], of: impl Fn(usize) -> f64) -> f64 {
        (0..self.completions.len()).filter(|&i| self.completions[i].starts_with(prefix)).map(of).sum()
    }

    /// What log-probabilities of completions say of the next token.
    pub(super) fn next(&self, logps: &[f64], prefix: &[u32], id: u32) -> f64 {
        let of = |prefix: &[u32]| self.begun(prefix, |i| logps[i].exp());
        of(&[prefix, &[id]].concat()) / of(prefix)
    }

    /// Of each completion, the sum over its tokens of `KL(ref || π)` of the next token.
    fn moved(&self, logps: &[f64]) -> Vec<f64> {
        let at = |prefix: &[u32]| -> f64 {
            let of = |id: u32| (self.next(&self.reference, prefix, id), self.next(logps, prefix, id));
            self.follow(prefix).into_iter().map(of).map(|(p, q)| p * (p / q).ln()).sum()
        };
        self.all(|i| (0..self.completions[i].len()).map(|place| at(&self.completions[i][..place])).sum())
    }

    /// The share of comparisons with all others that a completion wins, and loses, in rows of [`World::pairs`].
    fn wins(&self, completion: usize) -> (f64, f64) {
        let others = (0..self.worths.len()).filter(|&other| other != completion);
        let of = |other: usize| (self.often(completion, other), self.often(other, completion));
        others.map(of).fold((0.0, 0.0), |sum, (won, lost)| (sum.0 + won, sum.1 + lost))
    }

    /// How many rows of [`World::pairs`] prefer a completion to another.
    fn often(&self, completion: usize, other: usize) -> f64 {
        let (own, other) = (self.worths[completion] as u64, self.worths[other] as u64);
        let shared = (1..=own.min(other)).rev().find(|by| own % by == 0 && other % by == 0).unwrap_or(1);
        (own / shared) as f64
    }
}

/// Where a rising function passes through 0.
pub(super) fn root(low: f64, high: f64, rising: impl Fn(f64) -> f64) -> f64 {
    let halve = |(low, high): (f64, f64), _| {
        let middle = 0.5 * (low + high);
        if rising(middle) > 0.0 { (low, middle) } else { (middle, high) }
    };
    (0..200).fold((low, high), halve).0
}

fn normalised(logits: &[f64]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total = most + logits.iter().map(|logit| (logit - most).exp()).sum::<f64>().ln();
    logits.iter().map(|logit| logit - total).collect()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `p exp(r / beta) / Z` with `log w` for the reward (Rafailov et al. 2023, equation 4).
pub(super) fn tilt(known: &Known<'_>) -> Vec<f64> {
    known.of_scores(|i| known.worths[i].ln() / known.beta(), |i, score| known.reference[i] + score)
}

/// Where `beta (log π / ref + k) = log w` but for a constant, `k` the sum over a completion's tokens of how far the policy's distribution is
/// from the reference's, `KL(ref || π)` (Zeng et al. 2024): found by going half of the way there, again and again.
pub(super) fn tilt_of_distributions(known: &Known<'_>) -> Vec<f64> {
    let mut logps = known.reference.clone();
    for _ in 0..200 {
        let moved = known.moved(&logps);
        let wanted = known.all(|i| known.reference[i] + known.worths[i].ln() / known.beta() - moved[i]);
        let half: Vec<f64> = logps.iter().zip(normalised(&wanted)).map(|(old, new)| 0.5 * (old + new)).collect();
        logps = normalised(&half);
    }
    logps.into_iter().map(f64::exp).collect()
}

/// The same as [`tilt`] without a reference: every completion would be as likely as every other.
pub(super) fn tilt_of_nothing(known: &Known<'_>) -> Vec<f64> {
    known.of_scores(|i| known.worths[i].ln() / known.beta(), |_, score| score)
}

/// The tilt of what completions are worth by token.
pub(super) fn tilt_by_token(known: &Known<'_>) -> Vec<f64> {
    let score = |i: usize| known.worths[i].ln() / known.beta();
    known.of_scores(score, |i, score| known.reference[i] + known.length(i) * score)
}

/// Where another divergence than the reverse KL holds the policy: `f'(π / ref) = r / beta` but for a constant (Wang et al. 2023), whose
/// inverse takes scores below `most`.
fn held_by(known: &Known<'_>, most: f64, log_ratio: fn(f64) -> f64) -> Vec<f64> {
    let logp = |i: usize, score: f64| if score < most { known.reference[i] + log_ratio(score) } else { f64::INFINITY };
    known.of_scores(|i| known.worths[i].ln() / known.beta(), logp)
}

/// `f' = 1 - 1 / t`.
pub(super) fn held_by_forward_kl(known: &Known<'_>) -> Vec<f64> {
    held_by(known, 1.0, |score| -(-score).ln_1p())
}

/// `f' = log(2 t / (1 + t))`.
pub(super) fn held_by_jensen_shannon(known: &Known<'_>) -> Vec<f64> {
    held_by(known, std::f64::consts::LN_2, |score| score - (2.0 - score.exp()).ln())
}

/// `f' = 2 - 2 / sqrt(t)`: the alpha divergence at 1/2.
pub(super) fn held_by_alpha(known: &Known<'_>) -> Vec<f64> {
    held_by(known, 2.0, |score| -2.0 * (-0.5 * score).ln_1p())
}

/// The tilt of the reward less what each token costs (Park et al. 2024).
pub(super) fn tilt_less_length(known: &Known<'_>) -> Vec<f64> {
    let reward = |i: usize| known.worths[i].ln() - known.setting("length_alpha") * known.length(i);
    known.of_scores(|i| reward(i) / known.beta(), |i, score| known.reference[i] + score)
}

/// Of worths 1 and 2, a gap of so much between the log-ratios of better and of other completions.
fn gap(known: &Known<'_>, gap: f64) -> Vec<f64> {
    known.of_scores(|i| gap * known.better(i), |i, score| known.reference[i] + score)
}

/// The same between means over tokens, without a reference.
fn gap_by_token(known: &Known<'_>, gap: f64) -> Vec<f64> {
    known.of_scores(|i| gap * known.better(i), |i, score| known.length(i) * score)
}

/// What a hinge asks for of each pair, and no more (Zhao et al. 2023).
pub(super) fn hinge(known: &Known<'_>) -> Vec<f64> {
    gap(known, 1.0 / known.beta())
}

/// The same without a reference.
pub(super) fn hinge_of_nothing(known: &Known<'_>) -> Vec<f64> {
    known.of_scores(|i| known.better(i) / known.beta(), |_, score| score)
}

/// `(2 p - 1) / (2 beta)` for a completion that is preferred in 2 of 3 cases (Azar et al. 2023, equation 17), by token.
pub(super) fn ipo(known: &Known<'_>) -> Vec<f64> {
    let gap = 1.0 / (6.0 * known.beta());
    known.of_scores(|i| gap * known.better(i), |i, score| known.reference[i] + known.length(i) * score)
}

/// The same by whole completions.
pub(super) fn ipo_of_whole(known: &Known<'_>) -> Vec<f64> {
    gap(known, 1.0 / (6.0 * known.beta()))
}

/// The same without a reference.
pub(super) fn ipo_of_nothing(known: &Known<'_>) -> Vec<f64> {
    gap_by_token(known, 1.0 / (6.0 * known.beta()))
}

/// Where both sides of a pair pull alike at a margin `g`: with `x = exp(beta d)`, `(1 - p) x² + (1 - 2 p) e^g x - p = 0`.
pub(super) fn simpo(known: &Known<'_>) -> Vec<f64> {
    with_margin(known, known.setting("simpo_gamma"))
}

/// The same under another name.
pub(super) fn tpo_l(known: &Known<'_>) -> Vec<f64> {
    with_margin(known, known.setting("tpo_l_gamma"))
}

fn with_margin(known: &Known<'_>, margin: f64) -> Vec<f64> {
    let (p, margin) = (2.0 / 3.0, margin.exp());
    let pull = (2.0 * p - 1.0) * margin;
    let x: f64 = (pull + (pull * pull + 4.0 * p * (1.0 - p)).sqrt()) / (2.0 * (1.0 - p));
    gap_by_token(known, x.ln() / known.beta())
}

/// Where the reverse KL of `σ(beta h)` from smoothed labels is least: `beta h = (2 p - 1) log((1 - ε) / ε)` (Ji et al. 2024).
pub(super) fn exo(known: &Known<'_>) -> Vec<f64> {
    let smoothing = known.setting("label_smoothing");
    gap(known, ((1.0 - smoothing) / smoothing).ln() / (3.0 * known.beta()))
}

/// Where the loss as Lu et al. 2024 print it is least for a completion that is preferred in 2 of 3 cases.
pub(super) fn discopop(known: &Known<'_>) -> Vec<f64> {
    let loss = |z: f64| {
        let share = sigmoid(z / known.setting("discopop_tau"));
        (1.0 - share) * (1.0 + (-z).exp()).ln() + share * (-z).exp()
    };
    let both = |z: f64| 2.0 * loss(z) + loss(-z);
    let best = (-4000..4000).map(|step| f64::from(step) * 1e-3).min_by(|a, b| both(*a).total_cmp(&both(*b))).unwrap();
    gap(known, best / known.beta())
}

/// Between sorted log-ratios of chosen and of rejected completions, the one difference at which `-(1 - ε) log σ(x) - ε log σ(-x)` is
/// least: where it holds for all of them, no quantile of the one is nearer to that of the other (Melnyk et al. 2024).
pub(super) fn smoothed(known: &Known<'_>) -> Vec<f64> {
    let error = known.setting("label_smoothing");
    gap(known, ((1.0 - error) / error).ln() / known.beta())
}

/// Noise-contrastive alignment: of a completion that wins `w` and loses `l` comparisons, `w log σ(x) + (w + l) / 2 log σ(-x)` is to
/// be largest, `x = beta u` (Chen et al. 2024).
pub(super) fn nca(known: &Known<'_>) -> Vec<f64> {
    known.of_slopes(|i, logp| {
        let ((won, lost), x) = (known.wins(i), known.beta() * (logp - known.reference[i]));
        known.beta() / 100.0 * (-won * sigmoid(-x) + 0.5 * (won + lost) * sigmoid(x))
    })
}

/// A classifier of chosen and rejected completions by `beta u` (Jung et al. 2024).
pub(super) fn bco(known: &Known<'_>) -> Vec<f64> {
    known.of_slopes(|i, logp| {
        let ((won, lost), x) = (known.wins(i), known.beta() * (logp - known.reference[i]));
        known.beta() / 100.0 * (-won * sigmoid(-x) + lost * sigmoid(x))
    })
}

/// A classifier of wanted and unwanted rows by how far `beta u` is above the mean that training has seen.
pub(super) fn classifier(known: &Known<'_>) -> Vec<f64> {
    let most = 1.0 + known.worths.iter().copied().fold(0.0, f64::max);
    known.of_slopes(|i, logp| {
        let (wanted, x) = (known.worths[i], known.beta() * (logp - known.reference[i]) - known.seen);
        known.beta() / 10.0 * (-wanted * sigmoid(-x) + (most - wanted) * sigmoid(x))
    })
}

/// What completions are worth above the mean, where they are.
fn above(known: &Known<'_>) -> Vec<f64> {
    let mean = known.worths.iter().sum::<f64>() / known.worths.len() as f64;
    known.all(|i| (known.worths[i] - mean).max(0.0))
}

/// In proportion to the advantage that is left over (Baheti et al. 2023, without a reference).
pub(super) fn leftover(known: &Known<'_>) -> Vec<f64> {
    shares(above(known))
}

/// The same less what the distance to the reference costs, where that is less than every advantage.
pub(super) fn leftover_less_distance(known: &Known<'_>) -> Vec<f64> {
    shares(above(known).into_iter().map(|advantage| (advantage - known.beta()).max(0.0)).collect())
}

/// `π = c A clip(π / ref)`: where the advantage counts for more than the reference has, the ratio ends above what counts, and elsewhere
/// below.
pub(super) fn clipped_by_whole(known: &Known<'_>) -> Vec<f64> {
    let reference = known.all(|i| known.reference[i].exp());
    clipped_shares(known, &above(known), &reference)
}

/// The same at each token, of the advantages of all that begins with it.
pub(super) fn clipped_by_token(known: &Known<'_>) -> Vec<f64> {
    let advantages = above(known);
    let next = |prefix: &[u32], token: u32| {
        let follow = known.follow(prefix);
        let of = |id: &u32| known.begun(&[prefix, &[*id]].concat(), |i| advantages[i]);
        let reference: Vec<f64> = follow.iter().map(|&id| known.next(&known.reference, prefix, id)).collect();
        let found = clipped_shares(known, &follow.iter().map(of).collect::<Vec<_>>(), &reference);
        found[follow.iter().position(|&id| id == token).unwrap()]
    };
    known.all(|i| {
        let ids = &known.completions[i];
        (0..ids.len()).take_while(|_| advantages[i] > 0.0).map(|place| next(&ids[..place], ids[place])).product::<f64>()
            * f64::from(u8::from(advantages[i] > 0.0))
    })
}

/// `p = c A (1 ± ε)`, with the sign of `c A - ref`.
fn clipped_shares(known: &Known<'_>, advantages: &[f64], reference: &[f64]) -> Vec<f64> {
    let epsilon = known.setting("epsilon");
    let at = |scale: f64| {
        let share = |(advantage, reference): (&f64, &f64)| {
            scale * advantage * if scale * advantage > *reference { 1.0 + epsilon } else { 1.0 - epsilon }
        };
        advantages.iter().zip(reference).map(share).collect::<Vec<f64>>()
    };
    at(root(0.0, 1e3, |scale| at(scale).iter().sum::<f64>() - 1.0))
}

fn shares(of: Vec<f64>) -> Vec<f64> {
    let total: f64 = of.iter().sum();
    of.into_iter().map(|one| one / total).collect()
}

/// The square of how far `u` is from `1 / (2 beta)` where a completion wins, and from the opposite where it loses (Wu et al. 2024).
pub(super) fn sppo(known: &Known<'_>) -> Vec<f64> {
    known.of_slopes(|i, logp| {
        let ((won, lost), u) = (known.wins(i), logp - known.reference[i]);
        let target = 0.5 / known.beta();
        (won * (u - target) + lost * (u + target)) / 500.0
    })
}

/// Where DPO-Positive has no slope along any other distribution: `z = beta (u_c - u_r - λ max(0, -u_c))` of each pair in both orders.
pub(super) fn dpop(known: &Known<'_>) -> Vec<f64> {
    let (beta, lambda, count) = (known.beta(), known.setting("dpop_lambda"), known.worths.len());
    known.of_risk(|logps| {
        let u = known.all(|i| logps[i] - known.reference[i]);
        let mut slopes = vec![0.0; count];
        for (i, j) in (0..count).flat_map(|i| (0..count).filter(move |&j| i != j).map(move |j| (i, j))) {
            let often = known.often(i, j) / 200.0;
            let pull = -often * beta * sigmoid(-beta * (u[i] - u[j] - lambda * (-u[i]).max(0.0)));
            slopes[i] += pull * if u[i] < 0.0 { 1.0 + lambda } else { 1.0 };
            slopes[j] -= pull;
        }
        slopes
    })
}

/// A hinge's margin between better and other completions, without a reference.
pub(super) fn slic(known: &Known<'_>) -> Vec<f64> {
    known.of_scores(|i| known.setting("slic_delta") * known.better(i), |_, score| score)
}

/// The one completion that is worth most.
pub(super) fn best(known: &Known<'_>) -> Vec<f64> {
    known.all(|i| known.better(i))
}

/// What is chosen, as often as it is.
pub(super) fn chosen(known: &Known<'_>) -> Vec<f64> {
    shares(known.all(|i| known.wins(i).0))
}

/// The distribution of the rows.
pub(super) fn rows(known: &Known<'_>) -> Vec<f64> {
    shares(known.worths.clone())
}

/// At each token, the one that rows have most often: what weighs tokens by their probability keeps to what is likeliest.
pub(super) fn likeliest_of_rows(known: &Known<'_>) -> Vec<f64> {
    let mut path = Vec::new();
    while !known.completions.contains(&path) {
        let often = |id: &u32| known.begun(&[&path[..], &[*id]].concat(), |i| known.worths[i]);
        let next = known.follow(&path).into_iter();
        let best = next.max_by(|a, b| often(a).total_cmp(&often(b)).then(b.cmp(a))).unwrap();
        path.push(best);
    }
    known.all(|i| f64::from(u8::from(known.completions[i] == path)))
}

/// `s = log w` but for a constant, where `s` is the mean log-probability of a token (Plackett 1975).
pub(super) fn plackett_luce(known: &Known<'_>) -> Vec<f64> {
    known.of_scores(|i| known.worths[i].ln(), |i, score| known.length(i) * score)
}

/// The same of pairs whose scores differ by a half, by which the loss multiplies `s`.
pub(super) fn pro(known: &Known<'_>) -> Vec<f64> {
    known.of_scores(|i| known.worths[i].ln() / 0.5, |i, score| known.length(i) * score)
}

/// At each token, `a / p - b / (1 - p)` is the same for all that can follow, of which `a` are wanted and `b` unwanted.
pub(super) fn unlikelihood(known: &Known<'_>) -> Vec<f64> {
    let most = known.worths.iter().copied().fold(0.0, f64::max) + 1.0;
    let counts =
        |prefix: &[u32]| (known.begun(prefix, |i| known.worths[i]), known.begun(prefix, |i| most - known.worths[i]));
    let share = |(a, b): (f64, f64), price: f64| root(0.0, 1.0, |p| price - a / p + b / (1.0 - p));
    let next = |prefix: &[u32], token: u32| {
        let follow = known.follow(prefix);
        let of = |id: u32| counts(&[prefix, &[id]].concat());
        let price = root(-1e6, 1e6, |price| 1.0 - follow.iter().map(|&id| share(of(id), price)).sum::<f64>());
        share(of(token), price)
    };
    known.all(|i| {
        let ids = &known.completions[i];
        (0..ids.len()).map(|place| next(&ids[..place], ids[place])).product()
    })
}
