//! What methods of rankings have in common: completions of one prompt, each with a score; a loss of how likely the policy finds
//! them puts them in that order, and the best is learned.
//!
//! Equal scores are no order: no loss sets completions with equal scores apart, and several that are the best are learned in equal
//! parts. So a loss does not hang on the order in which a row has them.

use crate::group::{Group, Member};
use crate::objective::{Objective, Reads, Said, Slopes, Step};
use crate::taught::{Compared, Taught};
use crate::{Hyperparameters, Metrics};
use groma_data::Shape;
use groma_kernels::Divergence;
use std::borrow::Cow;
use std::ops::Range;

/// Shapes of rows that rank.
pub(super) const DATA: &[Shape] = &[Shape::Ranked];

/// What they log.
pub(super) const METRICS: &[&str] = &["ranking/loss", "ranking/accuracy", TIES, "logps/best", "entropy"];

/// The share of pairs whose scores are equal, of which no order is learned.
pub(super) const TIES: &str = "ranking/ties";

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
    /// What the supervised weight is of, in place of the best completion's cross-entropy: this divergence of its tokens from the
    /// reference, the mean over them.
    pub(super) held_by: Option<Divergence>,
}

impl Ranking {
    /// A loss of means over tokens, and the best completion's cross-entropy beside it.
    pub(super) fn of(rank: Rank) -> Self {
        Ranking { rank, weight: 1.0, supervised: 1.0, length_penalty: 1.0, reference: false, held_by: None }
    }

    /// A number among a method's own settings.
    pub(super) fn number(settings: &Hyperparameters, name: &str) -> f64 {
        settings.values.get(name).and_then(serde_json::Value::as_f64).unwrap_or(1.0)
    }

    /// Value of one group, and slopes by member and token: for log-probabilities, and for divergences.
    fn group(&self, group: &Group, (logps, moved): (&[Vec<f32>], &[Vec<f32>]), metrics: &mut Metrics) -> Ranked {
        let length = |logps: &Vec<f32>| logps.len().max(1) as f64;
        let ratio = |(row, member): (&Vec<f32>, &Member)| {
            if self.reference { sum(row) - sum(&member.reference) } else { sum(row) }
        };
        let divided = |(row, member)| ratio((row, member)) / length(row).powf(self.length_penalty);
        let said: Vec<f64> = logps.iter().zip(&group.members).map(divided).collect();
        let scores: Vec<f64> = group.members.iter().map(score).collect();
        let (value, slopes) = (self.rank)(&said, &scores);
        let best = best(&scores);
        let held = self.held_by.is_some();
        let asked =
            |index: &usize| if held { sum(&moved[*index]) } else { -sum(&logps[*index]) } / length(&logps[*index]);
        let asked = best.iter().map(asked).sum::<f64>() / best.len().max(1) as f64;
        measure(
            metrics,
            (&said, &scores),
            value,
            best.iter().map(|&index| (sum(&logps[index]), length(&logps[index]))),
        );
        let share = |index: usize, row: &Vec<f32>| match best.contains(&index) {
            true => self.supervised / (length(row) * best.len() as f64),
            false => 0.0,
        };
        let slope = |(index, (row, slope)): (usize, (&Vec<f32>, f64))| {
            let learned = if held { 0.0 } else { share(index, row) };
            vec![self.weight * slope / length(row).powf(self.length_penalty) - learned; row.len()]
        };
        let logp_slopes = logps.iter().zip(slopes).enumerate().map(slope).collect();
        let pull = |(index, row)| vec![share(index, row); row.len()];
        let divergence_slopes = if held { logps.iter().enumerate().map(pull).collect() } else { Vec::new() };
        Ranked {
            value: self.weight * value + self.supervised * asked,
            logps: logp_slopes,
            divergences: divergence_slopes,
        }
    }
}

/// What a loss makes of a group.
struct Ranked {
    value: f64,
    logps: Vec<Vec<f64>>,
    divergences: Vec<Vec<f64>>,
}

fn sum(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value)).sum()
}

impl Objective for Ranking {
    fn reads(&self) -> Reads {
        Reads::PLAIN
    }

    fn needs_reference(&self) -> bool {
        self.reference
    }

    fn compared(&self) -> Option<(Compared, Taught)> {
        Some((Compared::Distributions(self.held_by?.into()), Taught::Reference))
    }

    fn total(&self, groups: &[Cow<'_, Group>]) -> f64 {
        groups.len() as f64
    }

    fn loss(&mut self, step: Step<'_>, micro: Range<usize>, said: &Said<'_>, metrics: &mut Metrics) -> Slopes {
        let (mut sum, mut slopes, mut pulls, mut member) = (0.0, Vec::new(), Vec::new(), 0);
        for group in &step.groups[micro] {
            let members = member..member + group.members.len();
            member = members.end;
            let logps: Vec<Vec<f32>> = members.clone().map(|member| said.logps(member)).collect();
            let moved: Vec<Vec<f32>> = match self.held_by {
                Some(_) => members.clone().map(|member| said.of(member, said.divergences)).collect(),
                None => Vec::new(),
            };
            for member in members {
                let entropy: f64 = said.of(member, &said.output.entropy).into_iter().map(f64::from).sum();
                metrics.add("entropy", entropy, said.forest.slots(member).len() as f64);
            }
            let found = self.group(group, (&logps, &moved), metrics);
            sum += found.value;
            slopes.extend(found.logps);
            pulls.extend(found.divergences);
        }
        let factor = 1.0 / step.total.max(1.0);
        let divergences = if pulls.is_empty() { Vec::new() } else { said.spread(&pulls, factor) };
        Slopes { sum, logps: said.spread(&slopes, factor), divergences, ..Slopes::default() }
    }
}

fn score(member: &Member) -> f64 {
    member.score.unwrap_or(0.0)
}

/// Logs of a group what is said and the scores, the loss, and the log-probability and length of each that is the best.
fn measure(
    metrics: &mut Metrics,
    (said, scores): (&[f64], &[f64]),
    value: f64,
    best: impl Iterator<Item = (f64, f64)>,
) {
    metrics.add("ranking/loss", value, 1.0);
    best.for_each(|(logp, length)| metrics.add("logps/best", logp, length));
    measure_ties(metrics, scores);
    for (i, j) in ordered(scores) {
        metrics.add("ranking/accuracy", f64::from(u8::from(said[i] > said[j])), 1.0);
    }
}

/// Logs how many pairs have no order.
pub(super) fn measure_ties(metrics: &mut Metrics, scores: &[f64]) {
    for (place, one) in scores.iter().enumerate() {
        let tied = scores[place + 1..].iter().filter(|other| *other == one).count();
        metrics.add(TIES, tied as f64, (scores.len() - place - 1) as f64);
    }
}

/// Those that no other is better than.
pub(super) fn best(scores: &[f64]) -> Vec<usize> {
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (0..scores.len()).filter(|&index| scores[index] == most).collect()
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
    use crate::forest::Forest;
    use crate::sequence::Sequence;
    use crate::{Method, Settings};
    use groma_kernels::HeadOutput;
    use serde_json::json;

    #[test]
    fn the_best_is_the_first_of_the_highest() {
        assert_eq!((order(&[1.0, 3.0, 3.0, 2.0]), order(&[])), (vec![1, 2, 3, 0], vec![]));
        assert_eq!(ordered(&[1.0, 0.0, 1.0]).collect::<Vec<_>>(), [(0, 1), (2, 1)]);
        assert_eq!((best(&[1.0, 3.0, 3.0]), best(&[])), (vec![1, 2], vec![]));
    }

    /// What each method of rankings makes of completions hangs on their scores alone: with equal ones in another order, or with
    /// nothing to tell any apart.
    #[test]
    fn equal_scores_are_no_order() {
        let logps: [Vec<f32>; 4] = [vec![-0.5, -1.0], vec![-2.5], vec![-0.25, -0.5, -0.75], vec![-1.25]];
        let group = |scores: &[f64], places: &[usize]| {
            let member = |&place: &usize| Member {
                score: Some(scores[place]),
                reference: vec![-0.5; logps[place].len()],
                ..Member::new(Sequence::completion(&[0], &vec![1 + place as u32; logps[place].len()]))
            };
            Group { members: places.iter().map(member).collect(), ..Group::default() }
        };
        let found = |kind: (&str, Option<&str>), scores: &[f64], places: [usize; 4]| {
            let mut given = json!({});
            kind.1.iter().for_each(|kind| given["loss_type"] = json!(kind));
            let settings = Settings::resolve(Method::find(kind.0).unwrap(), given.as_object().unwrap()).unwrap();
            let mut objective = (settings.method.build)(&settings).unwrap();
            let groups: [Cow<'_, Group>; 1] = [Cow::Owned(group(scores, &places))];
            let forest = Forest::new(&groups[0].sequences().collect::<Vec<_>>());
            let mut output = HeadOutput { entropy: vec![0.0; forest.slot_count()], ..HeadOutput::default() };
            output.logp = output.entropy.clone();
            for (member, &place) in places.iter().enumerate() {
                forest.slots(member).iter().zip(&logps[place]).for_each(|(&at, &logp)| output.logp[at as usize] = logp);
            }
            let said = Said::of_tokens(&forest, &output);
            let mut metrics = Metrics::default();
            let total = objective.total(&groups);
            let slopes = objective.loss(Step { groups: &groups, total }, 0..1, &said, &mut metrics);
            let of = |wanted| said.of(places.iter().position(|&place| place == wanted).unwrap(), &slopes.logps);
            (slopes.sum, [0, 1, 2, 3].map(of), metrics.values("")[TIES])
        };
        let kinds = [
            ("rrhf", None),
            ("pro", Some("pro")),
            ("pro", Some("plackett_luce")),
            ("listwise_dpo", None),
            ("slic", Some("rank")),
            ("slic", Some("margin")),
            ("slic", Some("list")),
            ("slic", Some("reward")),
            ("stable_alignment", None),
        ];
        for kind in kinds {
            for (scores, ties) in [([2.0, 1.0, 2.0, 1.0], 2.0 / 6.0), ([1.0, 3.0, 1.0, 1.0], 0.5), ([1.0; 4], 1.0)] {
                let (value, slopes, tied) = found(kind, &scores, [0, 1, 2, 3]);
                let (other_value, other_slopes, _) = found(kind, &scores, [3, 2, 1, 0]);
                assert!((value - other_value).abs() < 1e-6 && (tied - ties).abs() < 1e-12, "{kind:?} {value}");
                let pairs = slopes.iter().flatten().zip(other_slopes.iter().flatten());
                assert!(pairs.clone().all(|(a, b)| (a - b).abs() < 1e-6), "{kind:?} {slopes:?} {other_slopes:?}");
            }
            // Beside what is learned of all, nothing pulls them apart.
            let (_, slopes, _) = found(kind, &[1.0; 4], [0, 1, 2, 3]);
            let sums = slopes.map(|row| row.iter().sum::<f32>());
            assert!(sums.windows(2).all(|pair| (pair[0] - pair[1]).abs() < 1e-6), "{kind:?} {sums:?}");
        }
    }
}
