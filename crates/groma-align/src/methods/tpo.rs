//! Triple preference optimisation: a pair is told apart by the policy's own log-probabilities, and a third, gold answer is learned.
//!
//! Saeidi et al. 2024, arXiv 2405.16681, with names, kinds and defaults of TRL's TPO trainer. There is no reference model: the
//! `reference` of its rows is the gold answer. The loss is the mean over pairs of the kind's, and `tpo_alpha` times the cross-entropy of
//! gold answers, the mean over all their tokens in the optimizer's batch (TRL: in the micro-batch). `ipo` and `tpo-l` go by means over
//! tokens.
//!
//! Of a ranking the best answer is gold, the second chosen, the last rejected, as the paper takes them; of a pair the chosen one is gold,
//! too. Equal scores are no order, of which the papers say nothing: where the second is worth no more than the last, nothing is told apart
//! and the gold answer alone is learned; where all are worth the same, nothing is.

use super::dpo::{Dpo, METRICS, SIDES, measure_pairs, measure_side};
use super::ranking::{TIES, measure_ties, order};
use super::slic::scored;
use crate::group::Group;
use crate::losses::{self, Totals};
use crate::method::{Masks, Method};
use crate::objective::{Objective, Reads, Said, Slopes, Step};
use crate::parameter::{Kind, Parameter, Range};
use crate::{Error, Hyperparameters, Metrics};
use groma_data::Shape;
use groma_model::Head;
use serde::Deserialize;
use std::borrow::Cow;

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "tpo",
    names: &["triple-preference-optimisation", "tpo-l"],
    title: "Triple preference optimisation",
    paper: "arXiv:2405.16681",
    doc: "Moves the log-probabilities of chosen and rejected completions apart, without a reference model, and learns a gold answer beside them.",
    data: &[Shape::Ranked, Shape::Preference],
    roles: &[],
    heads: &[Head::UNEMBEDDING],
    parameters: &[&[
        Parameter {
            name: "beta",
            kind: Kind::Float,
            default: "0.01",
            range: Some(Range::above(0.0)),
            doc: "By how much log-probabilities count (τ of IPO).",
        },
        Parameter {
            name: "loss_type",
            kind: Kind::Variant(losses::TPO_VARIANTS),
            default: "\"sigmoid\"",
            range: None,
            doc: "Kind of loss.",
        },
        Parameter {
            name: "tpo_alpha",
            kind: Kind::Float,
            default: "1.0",
            range: Some(Range::at_least(0.0)),
            doc: "Weight of the cross-entropy on gold answers.",
        },
    ]],
    overrides: &[("learning_rate", "5e-7")],
    metrics: &[METRICS, &["logps/gold", TIES]],
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups.into_iter().map(scored).map(outermost).collect(),
    build: |settings| Ok(Box::new(Tpo::new(settings)?)),
};

/// Values of the parameters above, but `beta`.
#[derive(Deserialize)]
struct Raw {
    loss_type: String,
    tpo_alpha: f64,
}

#[derive(Clone, Debug)]
struct Tpo {
    pairs: Dpo,
    alpha: f64,
}

impl Tpo {
    fn new(settings: &Hyperparameters) -> Result<Self, Error> {
        let raw: Raw = settings.typed()?;
        Ok(Tpo { pairs: Dpo::reference_free(settings, &raw.loss_type, 0.0)?, alpha: raw.tpo_alpha })
    }

    /// Slope of the loss by each log-probability of a gold answer, as the sum of the losses of a step has it.
    fn gold(&self, step: Step<'_>) -> f64 {
        let gold = |group: &Cow<'_, Group>| {
            let three = Three::of(group);
            if three.is_best(group) { group.members[three.gold].sequence.scored_count() } else { 0 }
        };
        let tokens: usize = step.groups.iter().map(gold).sum();
        -self.alpha * step.total / tokens.max(1) as f64
    }

    /// By how much a pair counts, so that the mean is that of pairs that have an order.
    fn share(step: Step<'_>) -> f64 {
        let ordered = step.groups.iter().filter(|group| Three::of(group).has_order(group)).count();
        step.total / ordered.max(1) as f64
    }
}

/// Who of a group's members is what.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Three {
    chosen: usize,
    rejected: usize,
    gold: usize,
}

impl Three {
    fn of(group: &Group) -> Self {
        let scores: Vec<f64> = group.members.iter().map(|member| member.score.unwrap_or(0.0)).collect();
        let order = order(&scores);
        let place = |place: usize| order.get(place).copied().unwrap_or(0);
        let last = order.len().saturating_sub(1);
        Three { chosen: place(1.min(last.saturating_sub(1))), rejected: place(last), gold: place(0) }
    }

    /// Whether the chosen one is worth more than the rejected one.
    fn has_order(&self, group: &Group) -> bool {
        group.members[self.chosen].score > group.members[self.rejected].score
    }

    /// Whether the gold one is worth more than some other.
    fn is_best(&self, group: &Group) -> bool {
        group.members[self.gold].score > group.members[self.rejected].score
    }
}

/// A group without those that are neither gold, nor chosen, nor rejected.
fn outermost(mut group: Group) -> Group {
    let Three { chosen, rejected, gold } = Three::of(&group);
    let mut place = 0..;
    group.members.retain(|_| place.next().is_some_and(|place| [chosen, rejected, gold].contains(&place)));
    group
}

impl Objective for Tpo {
    fn reads(&self) -> Reads {
        Reads::PLAIN
    }

    fn total(&self, groups: &[Cow<'_, Group>]) -> f64 {
        groups.len() as f64
    }

    fn loss(
        &mut self,
        step: Step<'_>,
        micro: std::ops::Range<usize>,
        said: &Said<'_>,
        metrics: &mut Metrics,
    ) -> Slopes {
        let (gold_slope, share) = (self.gold(step), Tpo::share(step));
        let (mut sum, mut slopes, mut first) = (0.0, Vec::new(), 0);
        for group in &step.groups[micro] {
            let three = Three::of(group);
            let logps: Vec<Vec<f32>> = (0..group.members.len()).map(|member| said.logps(first + member)).collect();
            let mut own: Vec<Vec<f64>> = logps.iter().map(|row| vec![0.0; row.len()]).collect();
            if three.has_order(group) {
                let sides = [three.chosen, three.rejected];
                let pair = self.pairs.pair(sides.map(|side| &logps[side][..]), [&[], &[]]);
                let results = self.pairs.combination.evaluate(&[pair], &Totals::of(&[pair]));
                for result in &results {
                    sum += share * result.loss.value;
                    let both = self.pairs.slopes(result, sides.map(|side| logps[side].len()));
                    sides.into_iter().zip(both).for_each(|(side, slopes)| add(&mut own[side], share, &slopes));
                }
                measure_pairs(metrics, &[pair], &results, self.pairs.combination.by_token);
            }
            let gold: f64 = logps[three.gold].iter().map(|&logp| f64::from(logp)).sum();
            if three.is_best(group) {
                sum += gold_slope * gold;
                own[three.gold].iter_mut().for_each(|slope| *slope += gold_slope);
            }
            slopes.extend(own);
            Tpo::measure(metrics, said, (first, three), gold);
            measure_ties(metrics, &group.members.iter().filter_map(|member| member.score).collect::<Vec<_>>());
            first += group.members.len();
        }
        Slopes { sum, logps: said.spread(&slopes, 1.0 / step.total.max(1.0)), ..Slopes::default() }
    }
}

impl Tpo {
    fn measure(metrics: &mut Metrics, said: &Said<'_>, (first, three): (usize, Three), gold: f64) {
        measure_side(metrics, said, first + three.chosen, SIDES[0]);
        measure_side(metrics, said, first + three.rejected, SIDES[1]);
        metrics.add("logps/gold", gold, 1.0);
        if three.gold != three.chosen {
            let entropy: f64 = said.of(first + three.gold, &said.output.entropy).into_iter().map(f64::from).sum();
            metrics.add("entropy", entropy, said.forest.slots(first + three.gold).len() as f64);
        }
    }
}

fn add(to: &mut [f64], share: f64, slopes: &[f64]) {
    to.iter_mut().zip(slopes).for_each(|(to, slope)| *to += share * slope);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;
    use crate::forest::Forest;
    use crate::group::Member;
    use crate::sequence::Sequence;
    use groma_kernels::HeadOutput;

    fn group(scores: &[f64]) -> Group {
        let member = |&score: &f64| Member { score: Some(score), ..Member::default() };
        Group { members: scores.iter().map(member).collect(), ..Group::default() }
    }

    #[test]
    fn the_best_is_gold_the_second_chosen_and_the_last_rejected() {
        assert_eq!(Three::of(&group(&[1.0, 0.0, 2.0])), Three { chosen: 0, rejected: 1, gold: 2 });
        assert_eq!(Three::of(&group(&[0.0, 1.0])), Three { chosen: 1, rejected: 0, gold: 1 });
        let left: Vec<_> = outermost(group(&[0.5, 3.0, 0.0, 2.0, 1.0])).members.iter().map(|m| m.score).collect();
        assert_eq!(left, [Some(3.0), Some(0.0), Some(2.0)]);
    }

    /// Of two rankings, one of which has ties: what is told apart is the pair that has an order, once, and what is learned is what is
    /// better than something.
    #[test]
    fn equal_scores_are_no_order() {
        let settings = Settings::resolve(&METHOD, &serde_json::Map::new()).unwrap();
        let with_tokens = |scores: &[f64], place: u32| {
            let mut group = group(scores);
            group.members.iter_mut().zip(0..).for_each(|(member, index): (_, u32)| {
                *member = Member {
                    score: member.score,
                    ..Member::new(Sequence::completion(&[0], &[10 * place + index + 1]))
                };
            });
            Cow::Owned(group)
        };
        let found = |scores: &[&[f64]]| {
            let groups: Vec<Cow<'_, Group>> =
                scores.iter().zip(1..).map(|(one, place)| with_tokens(one, place)).collect();
            let forest = Forest::new(&groups.iter().flat_map(|group| group.sequences()).collect::<Vec<_>>());
            let logp = (0..forest.slot_count()).map(|slot| -0.25 * (1 + slot) as f32).collect();
            let zeros = vec![0.0; forest.slot_count()];
            let (entropy, argmax) = (zeros.clone(), vec![0; zeros.len()]);
            let output = HeadOutput { logp, entropy, mean_logit: zeros, argmax, ..HeadOutput::default() };
            let (mut tpo, said) = (Tpo::new(&settings).unwrap(), Said::of_tokens(&forest, &output));
            let (step, mut metrics) = (Step { groups: &groups, total: tpo.total(&groups) }, Metrics::default());
            let found = tpo.loss(step, 0..groups.len(), &said, &mut metrics);
            let slopes: Vec<f32> = (0..3 * groups.len()).map(|member| said.of(member, &found.logps)[0]).collect();
            (slopes, found.sum / step.total, metrics.values("")[TIES])
        };
        let slopes = |others: &[f64]| found(&[&[3.0, 2.0, 1.0], others]);
        let (none, value, ties) = slopes(&[1.0; 3]);
        assert!(none[3..].iter().all(|slope| *slope == 0.0) && ties == 0.5, "{none:?} {ties}");
        let (_, alone, _) = found(&[&[3.0, 2.0, 1.0]]);
        assert!((value - alone).abs() < 1e-6, "as if the other were not there: {value} {alone}");
        let (second, _, ties) = slopes(&[2.0, 1.0, 1.0]);
        assert!(second[3] < 0.0 && second[4..] == [0.0, 0.0], "the gold one is learned: {second:?}");
        assert!((ties - 1.0 / 6.0).abs() < 1e-12);
        let (first, ..) = slopes(&[2.0, 2.0, 1.0]);
        assert!(first[3] < 0.0 && first[4] < 0.0 && first[5] > 0.0, "{first:?}");
    }
}
