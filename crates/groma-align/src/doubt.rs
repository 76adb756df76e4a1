//! What a reward model keeps of the comparisons that it learned from, so that whoever is rewarded by it can be held to what they support.
//!
//! Zhu, Jordan and Jiao 2023, arXiv 2301.11270 (pessimistic MLE): rewards `<θ, φ> - c ||φ - φ₀||` in the norm of `(Σ + λ I)⁻¹`, where `Σ` is
//! the mean over comparisons of `(φ_a - φ_b)(φ_a - φ_b)ᵀ`, of a ranking of `K` answers the mean over its pairs. `φ` are the hidden states
//! that the head reads behind the last token, and `φ₀` is their mean over all answers. What is kept is a head of its own,
//! [`Head::doubt`]: with the Cholesky factor `L` of `Σ + λ I`, the length of `L⁻¹ φ - L⁻¹ φ₀`. Differs from the paper: features are
//! learned, and are those of when training ended; an answer that is compared with none (labelled rows) counts as one compared with
//! nothing, `φ φᵀ`; and each answer is bounded by itself, where the paper bounds the mean over a policy's answers, which costs less.

use crate::Error;
use crate::group::Group;
use crate::hyperparameters::Hyperparameters;
use crate::parameter::{Kind, Parameter, Range};
use groma_model::rewards::features;
use groma_model::{Head, Transformer, View};
use groma_run::Cancel;
use serde_json::Value;

const KEEP: &str = "keep_covariance";
const RIDGE: &str = "covariance_ridge";
/// Comparisons whose features are held at once.
const AT_ONCE: usize = 256;

/// The settings of a reward model that keeps it.
pub(crate) const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: KEEP,
        kind: Kind::Boolean,
        default: "false",
        range: None,
        doc: "Keep the covariance of the comparisons' features as a head beside the score, for `pessimism` of what is rewarded.",
    },
    Parameter {
        name: RIDGE,
        kind: Kind::Float,
        default: "0.01",
        range: Some(Range::above(0.0)),
        doc: "What is added to the covariance in every direction (λ): how much is taken as seen where nothing was compared.",
    },
];

/// Whether settings ask for it.
pub(crate) fn is_kept(settings: &Hyperparameters) -> bool {
    settings.values.get(KEEP).and_then(Value::as_bool) == Some(true)
}

/// Gives a trained reward model's head of doubt what it tells, of the rows that the model learned from.
///
/// # Errors
/// [`Error::Setting`] where features vary so that their covariance has no inverse; those of the model, and a request to stop.
pub(crate) fn keep(
    model: &mut Transformer,
    groups: &[Group],
    settings: &Hyperparameters,
    cancel: &Cancel,
) -> Result<(), Error> {
    let head = Head::doubt(model.spec().hidden_size);
    let mut seen = Seen::new(head.width);
    for groups in groups.chunks(AT_ONCE) {
        let texts: Vec<&[u32]> =
            groups.iter().flat_map(|group| &group.members).map(|member| &member.sequence.ids[..]).collect();
        let mut found = features(model, &texts, View::plain(), &mut |_| !cancel.is_requested())?.into_iter();
        for group in groups {
            seen.add(&found.by_ref().take(group.members.len()).collect::<Vec<_>>());
        }
    }
    let ridge = settings.values.get(RIDGE).and_then(Value::as_f64).unwrap_or_default();
    let known = seen
        .known(ridge)
        .ok_or_else(|| settings.invalid(RIDGE, "is too small: the features' covariance has no inverse"))?;
    for (parameter, values) in head.parameters(model.spec()).iter().zip([known.map, known.shift]) {
        model.set_values(&parameter.name, &values)?;
    }
    model.freeze();
    Ok(())
}

/// Sums over comparisons.
struct Seen {
    width: usize,
    /// Of the differences' products, `[width, width]`.
    products: Vec<f64>,
    comparisons: f64,
    features: Vec<f64>,
    answers: f64,
}

/// `x ↦ L⁻¹ x - L⁻¹ φ₀`.
struct Known {
    map: Vec<f32>,
    shift: Vec<f32>,
}

impl Seen {
    fn new(width: usize) -> Self {
        Seen { width, products: vec![0.0; width * width], comparisons: 0.0, features: vec![0.0; width], answers: 0.0 }
    }

    /// Takes note of answers that were compared with each other.
    fn add(&mut self, answers: &[Vec<f32>]) {
        for answer in answers {
            self.features.iter_mut().zip(answer).for_each(|(sum, value)| *sum += f64::from(*value));
            self.answers += 1.0;
        }
        let wide = |answer: &Vec<f32>| answer.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
        let answers: Vec<Vec<f64>> = answers.iter().map(wide).collect();
        let pairs = answers.len() * answers.len().saturating_sub(1) / 2;
        match &answers[..] {
            [] => return,
            [alone] => self.product(alone, 1.0),
            _ => {
                for (index, one) in answers.iter().enumerate() {
                    for other in &answers[index + 1..] {
                        let difference: Vec<f64> = one.iter().zip(other).map(|(one, other)| one - other).collect();
                        self.product(&difference, 1.0 / pairs as f64);
                    }
                }
            }
        }
        self.comparisons += 1.0;
    }

    fn product(&mut self, difference: &[f64], weight: f64) {
        for (row, value) in self.products.chunks_exact_mut(self.width).zip(difference) {
            row.iter_mut().zip(difference).for_each(|(sum, other)| *sum += weight * value * other);
        }
    }

    /// `None` where the covariance with its ridge has no inverse in this arithmetic, or nothing was seen.
    fn known(&self, ridge: f64) -> Option<Known> {
        let n = self.width;
        let mut covariance: Vec<f64> = self.products.iter().map(|sum| sum / self.comparisons).collect();
        (0..n).for_each(|index| covariance[index * n + index] += ridge);
        let inverse = inverse_of_lower(&cholesky(&covariance, n)?, n);
        let centre: Vec<f64> = self.features.iter().map(|sum| sum / self.answers).collect();
        let of_centre = |row: &[f64]| -row.iter().zip(&centre).map(|(a, b)| a * b).sum::<f64>() as f32;
        let shift = inverse.chunks_exact(n).map(of_centre).collect();
        Some(Known { map: inverse.iter().map(|&value| value as f32).collect(), shift })
    }
}

/// The lower triangular `L` with `L Lᵀ` the symmetric matrix, row by row; `None` where it is not positive definite.
fn cholesky(matrix: &[f64], n: usize) -> Option<Vec<f64>> {
    let mut lower = vec![0.0; n * n];
    for row in 0..n {
        for column in 0..=row {
            let (done, of_row) = lower.split_at(row * n);
            let other = if column == row { &of_row[..n] } else { &done[column * n..(column + 1) * n] };
            let sum: f64 = of_row[..column].iter().zip(other).map(|(a, b)| a * b).sum();
            let left = matrix[row * n + column] - sum;
            lower[row * n + column] = if column < row { left / other[column] } else { left.sqrt() };
        }
        if !(lower[row * n + row] > 0.0 && lower[row * n + row].is_finite()) {
            return None;
        }
    }
    Some(lower)
}

/// The inverse of a lower triangular matrix, itself one: row by row, of rows that are done.
fn inverse_of_lower(lower: &[f64], n: usize) -> Vec<f64> {
    let mut inverse = vec![0.0; n * n];
    for row in 0..n {
        let (done, rest) = inverse.split_at_mut(row * n);
        let own = &mut rest[..n];
        own[row] = 1.0;
        for (column, of_column) in done.chunks_exact(n).enumerate() {
            let factor = lower[row * n + column];
            own.iter_mut().zip(&of_column[..=column]).for_each(|(sum, value)| *sum -= factor * value);
        }
        let pivot = lower[row * n + row];
        own[..=row].iter_mut().for_each(|value| *value /= pivot);
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::losses::sigmoid;

    fn length(known: &Known, feature: &[f32]) -> f64 {
        let width = feature.len();
        let row = |(row, shift): (&[f32], &f32)| row.iter().zip(feature).map(|(a, b)| a * b).sum::<f32>() + shift;
        known
            .map
            .chunks_exact(width)
            .zip(&known.shift)
            .map(row)
            .map(|value| f64::from(value).powi(2))
            .sum::<f64>()
            .sqrt()
    }

    fn seen(groups: &[Vec<Vec<f32>>]) -> Seen {
        let mut seen = Seen::new(groups[0][0].len());
        groups.iter().for_each(|group| seen.add(group));
        seen
    }

    fn drawn(seed: u64, width: usize) -> Vec<f32> {
        (0..width as u64).map(|place| ((seed * 37 + place * 11 + seed * place) % 23) as f32 / 11.5 - 1.0).collect()
    }

    /// The length is the norm of the paper: `(Σ + λ I) x = φ - φ₀`, solved by elimination, and then `xᵀ (φ - φ₀)`.
    #[test]
    fn the_length_is_the_norm_of_the_inverse() {
        let (n, ridge) = (5, 0.1);
        let groups: Vec<Vec<Vec<f32>>> = (0..7).map(|pair| vec![drawn(2 * pair, n), drawn(2 * pair + 1, n)]).collect();
        let known = seen(&groups).known(ridge).unwrap();
        let mut matrix = vec![vec![0.0f64; n + 1]; n];
        for group in &groups {
            let difference: Vec<f64> = (0..n).map(|i| f64::from(group[0][i]) - f64::from(group[1][i])).collect();
            (0..n).for_each(|i| (0..n).for_each(|j| matrix[i][j] += difference[i] * difference[j] / 7.0));
        }
        let mean = |i: usize| groups.iter().flatten().map(|answer| f64::from(answer[i])).sum::<f64>() / 14.0;
        let feature = drawn(99, n);
        let apart: Vec<f64> = (0..n).map(|i| f64::from(feature[i]) - mean(i)).collect();
        (0..n).for_each(|i| (matrix[i][i], matrix[i][n]) = (matrix[i][i] + ridge, apart[i]));
        for pivot in 0..n {
            let own = matrix[pivot].clone();
            for (_, row) in matrix.iter_mut().enumerate().filter(|(row, _)| *row != pivot) {
                let factor = row[pivot] / own[pivot];
                row.iter_mut().zip(&own).for_each(|(value, other)| *value -= factor * other);
            }
        }
        let square: f64 = (0..n).map(|i| matrix[i][n] / matrix[i][i] * apart[i]).sum();
        assert!((length(&known, &feature) - square.sqrt()).abs() < 1e-4 * square.sqrt(), "{square}");
    }

    /// A ranking of two is a pair, and of three the mean of its pairs; of nothing, and of what has no inverse, nothing is known.
    #[test]
    fn rankings_are_means_of_pairs() {
        let of = |groups: &[Vec<Vec<f32>>]| seen(groups).products.iter().sum::<f64>();
        let [a, b, c] = [1, 2, 3].map(|seed| drawn(seed, 3));
        let pairs = [[&a, &b], [&a, &c], [&b, &c]].map(|pair| of(&[pair.map(Clone::clone).to_vec()]));
        assert!((of(&[vec![a.clone(), b.clone(), c]]) - pairs.iter().sum::<f64>() / 3.0).abs() < 1e-12);
        assert_eq!(pairs[0], of(&[vec![b, a]]), "exchanging the answers of a pair changes nothing");
        assert!(seen(&[vec![vec![1.0, 1.0], vec![0.0, 0.0]]]).known(0.0).is_none());
        assert!(Seen::new(2).known(0.1).is_none());
    }

    /// After theorem 3.9 of the paper: two arms are compared often, a third one once, with the better of them, which it beats or not.
    /// Whoever believes the estimate takes the third arm where it won, and loses by that however often the others are compared;
    /// whoever takes off what was not seen loses nothing.
    #[test]
    fn pessimism_succeeds_where_the_estimate_fails() {
        let (truth, chance) = ([1.0f64, 0.0, 0.0], |gap: f64| 1.0 / (1.0 + (-gap).exp()));
        let arm = |index: usize| (0..3).map(|place| f32::from(u8::from(place == index))).collect::<Vec<_>>();
        let lost = |often: usize, pessimism: f64| -> f64 {
            let of_third = [(true, chance(truth[2] - truth[0])), (false, chance(truth[0] - truth[2]))];
            let one = |(won, probability): (bool, f64)| {
                let mut groups: Vec<Vec<Vec<f32>>> = vec![vec![arm(0), arm(1)]; often];
                groups.push(vec![arm(0), arm(2)]);
                let rewards = fitted(often as f64, chance(truth[0] - truth[1]), won);
                let known = seen(&groups).known(1.0 / often as f64).unwrap();
                let bound = |index: usize| rewards[index] - pessimism * length(&known, &arm(index));
                let taken = (0..3).max_by(|&a, &b| bound(a).total_cmp(&bound(b))).unwrap();
                probability * (truth[0] - truth[taken])
            };
            of_third.into_iter().map(one).sum()
        };
        for often in [20, 100, 500] {
            let (plain, held) = (lost(often, 0.0), lost(often, 2.0));
            println!("{often}: {plain} {held}");
            assert!(
                (plain - chance(-1.0)).abs() < 1e-12,
                "the share of lucky draws, however often the others are compared"
            );
            assert_eq!(held, 0.0);
        }
    }

    /// The estimate of three rewards, which add up to 0: the first beats the second in its share of comparisons, and the third has one
    /// comparison with the first. Rewards are kept within 3, as the paper keeps parameters.
    fn fitted(often: f64, share: f64, won: bool) -> [f64; 3] {
        let mut rewards = [0.0f64; 3];
        for _ in 0..20_000 {
            // Slopes of the mean log-likelihood: how often the one wins, less how often it should.
            let second = share - sigmoid(rewards[0] - rewards[1]);
            let third = (f64::from(u8::from(won)) - sigmoid(rewards[2] - rewards[0])) / often;
            let slopes = [second - third, -second, third];
            rewards
                .iter_mut()
                .zip(slopes)
                .for_each(|(reward, slope)| *reward = (*reward + 2.0 * slope).clamp(-3.0, 3.0));
            let mean = rewards.iter().sum::<f64>() / 3.0;
            rewards.iter_mut().for_each(|reward| *reward -= mean);
        }
        rewards
    }
}
