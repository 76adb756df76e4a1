//! How long rows are, in tokens.

use crate::Example;
use serde::Serialize;

/// Lengths of one part of the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Lengths {
    /// Number of rows.
    pub count: usize,
    /// Shortest.
    pub min: usize,
    /// Half are at most this long.
    pub median: usize,
    /// Average.
    pub mean: f64,
    /// 95 of 100 are at most this long.
    pub p95: usize,
    /// Longest.
    pub max: usize,
}

/// Lengths of prompts (or what else is not learned from), first and rejected completions, and whole sequences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct LengthStatistics {
    /// Tokens that are not learned from.
    pub prompt: Lengths,
    /// Learned tokens of the only or the chosen sequence.
    pub completion: Lengths,
    /// Learned tokens of the rejected sequence.
    pub rejected: Lengths,
    /// All tokens of the longer sequence.
    pub total: Lengths,
}

impl Lengths {
    fn of(mut lengths: Vec<usize>) -> Self {
        lengths.sort_unstable();
        let count = lengths.len();
        let at = |share: f64| lengths.get(((count as f64 * share).ceil() as usize).max(1) - 1).copied().unwrap_or(0);
        let mean = lengths.iter().sum::<usize>() as f64 / count.max(1) as f64;
        Lengths { count, min: at(0.0), median: at(0.5), mean, p95: at(0.95), max: at(1.0) }
    }
}

impl LengthStatistics {
    /// Of these examples.
    pub fn of(examples: &[Example]) -> Self {
        let learned = |mask: &[bool]| mask.iter().filter(|&&counts| counts).count();
        let longer = |example: &Example| example.pair().iter().map(|s| s.ids.len()).max().unwrap_or(0);
        let prompt = |example: &Example| example.sequence.ids.len() - learned(&example.sequence.supervised);
        let rejected = examples.iter().filter_map(|example| example.rejected.as_ref());
        LengthStatistics {
            prompt: Lengths::of(examples.iter().map(prompt).collect()),
            completion: Lengths::of(examples.iter().map(|example| learned(&example.sequence.supervised)).collect()),
            rejected: Lengths::of(rejected.map(|sequence| learned(&sequence.supervised)).collect()),
            total: Lengths::of(examples.iter().map(longer).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_ranks() {
        let lengths = Lengths::of((1..=100).rev().collect());
        assert_eq!((lengths.min, lengths.median, lengths.p95, lengths.max), (1, 50, 95, 100));
        assert_eq!(lengths.mean, 50.5);
        assert_eq!(Lengths::of(vec![]), Lengths::default());
        assert_eq!(Lengths::of(vec![7]).median, 7);
    }
}
