//! What methods of rankings have in common: completions of one prompt, each with a score; a loss of how likely the policy finds
//! them puts them in that order, and the best is learned.

use crate::group::{Group, Member};
use crate::objective::{Objective, Reads, Said, Slopes, Step};
use crate::{Hyperparameters, Metrics};
use groma_data::Shape;
use std::borrow::Cow;
use std::ops::Range;

/// Shapes of rows that rank.
pub(super) const DATA: &[Shape] = &[Shape::Ranked];

/// What they log.
pub(super) const METRICS: &[&str] = &["ranking/loss", "ranking/accuracy", "logps/best", "entropy"];

/// A loss of what the policy says of each completion, and how good it is: its value, and its slopes with respect to the former.
pub(super) type Rank = Box<dyn Fn(&[f64], &[f64]) -> (f64, Vec<f64>)>;

/// The same where no setting shapes it.
pub(super) type PlainRank = fn(&[f64], &[f64]) -> (f64, Vec<f64>);

/// A loss of rankings at work.
pub(super) struct Ranking {
    pub(super) rank: Rank,
    /// Weight of the ranking.
    pub(super) weight: f64,
    /// Weight of the best completion's cross-entropy, the mean over its tokens.
    pub(super) supervised: f64,
    /// What the policy says of a completion is its log-probability, divided by its length to this power.
    pub(super) length_penalty: f64,
    /// Whether it is the log-probability less the reference's.
    pub(super) reference: bool,
}

impl Ranking {
    /// A loss of means over tokens, and the best completion's cross-entropy beside it.
    pub(super) fn of(rank: Rank) -> Self {
        Ranking { rank, weight: 1.0, supervised: 1.0, length_penalty: 1.0, reference: false }
    }

    /// A number among a method's own settings.
    pub(super) fn number(settings: &Hyperparameters, name: &str) -> f64 {
        settings.values.get(name).and_then(serde_json::Value::as_f64).unwrap_or(1.0)
    }

    /// Value of one group and slopes by member and token.
    fn group(&self, group: &Group, logps: &[Vec<f32>], metrics: &mut Metrics) -> (f64, Vec<Vec<f64>>) {
        let sum = |logps: &Vec<f32>| logps.iter().map(|&logp| f64::from(logp)).sum::<f64>();
        let length = |logps: &Vec<f32>| logps.len().max(1) as f64;
        let ratio = |(row, member): (&Vec<f32>, &Member)| {
            if self.reference { sum(row) - sum(&member.reference) } else { sum(row) }
        };
        let divided = |(row, member)| ratio((row, member)) / length(row).powf(self.length_penalty);
        let said: Vec<f64> = logps.iter().zip(&group.members).map(divided).collect();
        let scores: Vec<f64> = group.members.iter().map(score).collect();
        let (value, slopes) = (self.rank)(&said, &scores);
        let best = order(&scores).first().copied().unwrap_or(0);
        let nll = -sum(&logps[best]) / length(&logps[best]);
        measure(metrics, (&said, &scores), value, (sum(&logps[best]), length(&logps[best])));
        let slope = |(index, (row, slope)): (usize, (&Vec<f32>, f64))| {
            let learned = if index == best { self.supervised / length(row) } else { 0.0 };
            vec![self.weight * slope / length(row).powf(self.length_penalty) - learned; row.len()]
        };
        let slopes = logps.iter().zip(slopes).enumerate().map(slope).collect();
        (self.weight * value + self.supervised * nll, slopes)
    }
}

impl Objective for Ranking {
    fn reads(&self) -> Reads {
        Reads::PLAIN
    }

    fn needs_reference(&self) -> bool {
        self.reference
    }

    fn total(&self, groups: &[Cow<'_, Group>]) -> f64 {
        groups.len() as f64
    }

    fn loss(&mut self, step: Step<'_>, micro: Range<usize>, said: &Said<'_>, metrics: &mut Metrics) -> Slopes {
        let (mut sum, mut slopes, mut member) = (0.0, Vec::new(), 0);
        for group in &step.groups[micro] {
            let members = member..member + group.members.len();
            member = members.end;
            let logps: Vec<Vec<f32>> = members.clone().map(|member| said.logps(member)).collect();
            for member in members {
                let entropy: f64 = said.of(member, &said.output.entropy).into_iter().map(f64::from).sum();
                metrics.add("entropy", entropy, said.forest.slots(member).len() as f64);
            }
            let (value, own) = self.group(group, &logps, metrics);
            sum += value;
            slopes.extend(own);
        }
        Slopes { sum, logps: said.spread(&slopes, 1.0 / step.total.max(1.0)), ..Slopes::default() }
    }
}

fn score(member: &Member) -> f64 {
    member.score.unwrap_or(0.0)
}

fn measure(metrics: &mut Metrics, (said, scores): (&[f64], &[f64]), value: f64, (best, length): (f64, f64)) {
    metrics.add("ranking/loss", value, 1.0);
    metrics.add("logps/best", best, length);
    for (i, j) in ordered(scores) {
        metrics.add("ranking/accuracy", f64::from(u8::from(said[i] > said[j])), 1.0);
    }
}

/// Completions from the best to the worst; of equal ones the first.
pub(super) fn order(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    order
}

/// Pairs of a better and a worse completion.
pub(super) fn ordered(scores: &[f64]) -> impl Iterator<Item = (usize, usize)> + '_ {
    let worse = move |i: usize| (0..scores.len()).filter(move |&j| scores[i] > scores[j]).map(move |j| (i, j));
    (0..scores.len()).flat_map(worse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_the_first_of_the_highest() {
        assert_eq!((order(&[1.0, 3.0, 3.0, 2.0]), order(&[])), (vec![1, 2, 3, 0], vec![]));
        assert_eq!(ordered(&[1.0, 0.0, 1.0]).collect::<Vec<_>>(), [(0, 1), (2, 1)]);
    }
}
