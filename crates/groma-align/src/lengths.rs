//! How long rows are, in tokens.

use crate::Group;
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
    /// Of these groups: of pairs by side, of others with all members behind the first as the rejected ones.
    pub fn of(groups: &[Group]) -> Self {
        let learned = |mask: &[bool]| mask.iter().filter(|&&counts| counts).count();
        let longest = |group: &Group| group.sequences().map(|sequence| sequence.ids.len()).max().unwrap_or(0);
        let first = || groups.iter().filter_map(|group| group.sequences().next());
        let others = groups.iter().flat_map(|group| group.sequences().skip(1));
        LengthStatistics {
            prompt: Lengths::of(first().map(|s| s.ids.len() - learned(&s.supervised)).collect()),
            completion: Lengths::of(first().map(|s| learned(&s.supervised)).collect()),
            rejected: Lengths::of(others.map(|s| learned(&s.supervised)).collect()),
            total: Lengths::of(groups.iter().map(longest).collect()),
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
