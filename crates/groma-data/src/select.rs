//! Which rows, in which order: functions of the seed and of what the rows say, never of chance or of threads.

use groma_run::Seed;
use rand_core::Rng;

use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;

/// The order in which an epoch visits `n` rows: a permutation of `0..n`, uniform over permutations.
pub fn order(n: usize, seed: Seed, epoch: u64) -> Vec<usize> {
    let mut rng = seed.named("data order").index(epoch).rng();
    let mut indices: Vec<usize> = (0..n).collect();
    for last in (1..n).rev() {
        indices.swap(last, below(&mut rng, last as u64 + 1) as usize);
    }
    indices
}

/// `wanted` of `n` rows without repetition, in ascending order; all of them if there are no more.
pub fn sample(n: usize, wanted: usize, seed: Seed) -> Vec<usize> {
    let mut indices = order(n, seed.named("sample"), 0);
    indices.truncate(wanted);
    indices.sort_unstable();
    indices
}

/// A uniform number from 0 up to 1, which it is not.
pub fn uniform(rng: &mut impl Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// A uniform number in `0..bound` (Lemire 2019, "Fast random integer generation in an interval"); `bound` is not 0.
pub fn below(rng: &mut impl Rng, bound: u64) -> u64 {
    let threshold = bound.wrapping_neg() % bound;
    loop {
        let product = u128::from(rng.next_u64()) * u128::from(bound);
        if product as u64 >= threshold {
            return (product >> 64) as u64;
        }
    }
}

/// Indices of two parts of a set of rows, each ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The rows to train on.
    pub train: Vec<usize>,
    /// The rows held out.
    pub eval: Vec<usize>,
}

impl Split {
    /// Clones the rows of both parts, training first.
    pub fn apply<T: Clone>(&self, rows: &[T]) -> (Vec<T>, Vec<T>) {
        let part = |indices: &[usize]| indices.iter().filter_map(|index| rows.get(*index).cloned()).collect();
        (part(&self.train), part(&self.eval))
    }
}

/// Holds out `eval_share` of the rows, at least one.
///
/// Rows with the same prompt stay together, so nothing held out has its prompt in training. Which prompts are held out
/// depends on the seed and the prompts alone: the rows' order and the file's name do not matter. A group of rows that
/// would exceed the share is passed over, so the share is met from below.
///
/// # Errors
/// [`Error::Argument`] if the share is not between 0 and 1, or if one part would be empty.
pub fn split<T: Fingerprint>(rows: &[T], eval_share: f64, seed: Seed) -> Result<Split> {
    let wrong = |why: String| Error::Argument { name: "eval_share", value: eval_share.to_string(), why };
    if !(eval_share > 0.0 && eval_share < 1.0) {
        return Err(wrong("the held-out share lies between 0 and 1, both excluded".to_owned()));
    }
    let target = ((rows.len() as f64 * eval_share).round() as usize).max(1);
    let seed = seed.named("split");
    let mut keyed: Vec<([u8; 32], usize)> = rows.iter().enumerate().map(|(i, row)| (key(seed, row), i)).collect();
    keyed.sort_unstable();
    let mut parts = Split { train: Vec::new(), eval: Vec::new() };
    for group in keyed.chunk_by(|a, b| a.0 == b.0) {
        let part = if parts.eval.len() + group.len() <= target { &mut parts.eval } else { &mut parts.train };
        part.extend(group.iter().map(|(_, index)| *index));
    }
    if parts.eval.is_empty() || parts.train.is_empty() {
        return Err(wrong(format!(
            "{} with too few different prompts cannot be split without sharing a prompt",
            groma_run::counted(rows.len(), "row")
        )));
    }
    parts.train.sort_unstable();
    parts.eval.sort_unstable();
    Ok(parts)
}

/// A pseudo-random key of a row's prompt.
fn key<T: Fingerprint>(seed: Seed, row: &T) -> [u8; 32] {
    let mut hasher = groma_run::Hasher::default();
    hasher.part(&seed.bits().to_le_bytes());
    hasher.part(row.prompt_fingerprint().as_bytes());
    *hasher.finish().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use groma_run::Digest;
    use proptest::prelude::*;

    struct Item(u64, u64);

    impl Fingerprint for Item {
        fn fingerprint(&self) -> Digest {
            Digest::of_bytes(&[self.0.to_le_bytes(), self.1.to_le_bytes()].concat())
        }

        fn prompt_fingerprint(&self) -> Digest {
            Digest::of_bytes(&self.0.to_le_bytes())
        }
    }

    #[test]
    fn orders_differ_by_epoch_and_seed_and_repeat() {
        let seed = Seed::new(42);
        assert_eq!(order(100, seed, 3), order(100, seed, 3));
        assert_ne!(order(100, seed, 3), order(100, seed, 4));
        assert_ne!(order(100, seed, 3), order(100, Seed::new(43), 3));
        assert!(order(0, seed, 0).is_empty());
        assert_eq!(order(1, seed, 0), [0]);
    }

    /// Each of the six orders of three rows comes up a sixth of the time: chi-squared with 5 degrees of freedom stays
    /// below its 99.99 % quantile, 25.7.
    #[test]
    fn orders_are_uniform() {
        let mut counts = std::collections::BTreeMap::new();
        for epoch in 0..6000 {
            *counts.entry(order(3, Seed::new(1), epoch)).or_insert(0_u32) += 1;
        }
        assert_eq!(counts.len(), 6);
        let chi: f64 = counts.values().map(|count| (f64::from(*count) - 1000.0).powi(2) / 1000.0).sum();
        assert!(chi < 25.7, "{counts:?}");
    }

    #[test]
    fn shares_are_met() {
        let rows: Vec<Item> = (0..1000).map(|i| Item(i, 0)).collect();
        let parts = split(&rows, 0.1, Seed::new(42)).unwrap();
        assert_eq!((parts.train.len(), parts.eval.len()), (900, 100));
        for share in [0.0, 1.0, -0.5, f64::NAN] {
            assert!(matches!(split(&rows, share, Seed::new(1)), Err(Error::Argument { .. })), "{share}");
        }
        assert!(split(&rows[..1], 0.5, Seed::new(1)).is_err());
        assert!(split(&[Item(1, 1), Item(1, 2)], 0.5, Seed::new(1)).is_err(), "one prompt cannot be split");
        assert_eq!(split(&rows[..2], 0.01, Seed::new(1)).unwrap().eval.len(), 1);
    }

    proptest! {
        #[test]
        fn splits_partition_and_ignore_order(prompts in prop::collection::vec(0..40_u64, 2..80), seed in 0..50_u64) {
            let rows: Vec<Item> = prompts.iter().enumerate().map(|(i, p)| Item(*p, i as u64)).collect();
            let Ok(parts) = split(&rows, 0.3, Seed::new(seed)) else { return Ok(()) };
            let mut all = [parts.train.clone(), parts.eval.clone()].concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..rows.len()).collect::<Vec<_>>());
            prop_assert!(parts.eval.len() <= (rows.len() as f64 * 0.3).round() as usize + 1);
            let held: std::collections::BTreeSet<u64> = parts.eval.iter().map(|i| prompts[*i]).collect();
            prop_assert!(parts.train.iter().all(|i| !held.contains(&prompts[*i])), "a prompt on both sides");
            let reversed: Vec<Item> = rows.iter().rev().map(|r| Item(r.0, r.1)).collect();
            let again = split(&reversed, 0.3, Seed::new(seed)).unwrap();
            let held_again: std::collections::BTreeSet<u64> = again.eval.iter().map(|i| reversed[*i].0).collect();
            prop_assert_eq!(held, held_again);
        }

        #[test]
        fn samples_are_ascending_and_distinct(n in 0..200_usize, wanted in 0..250_usize, seed in 0..9_u64) {
            let drawn = sample(n, wanted, Seed::new(seed));
            prop_assert_eq!(drawn.len(), wanted.min(n));
            prop_assert!(drawn.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(drawn.iter().all(|index| *index < n));
        }
    }
}
