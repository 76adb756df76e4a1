//! DPO whose β goes by the batch: pairs that are further apart than those before are held to the reference more strongly, and pairs that
//! are unlike the others are left out.
//!
//! Wu et al. 2024, arXiv 2407.08639. Of each pair `D` is by how much the policy prefers the chosen completion more than the reference
//! does. `M` and `s` are running means of a step's mean and (sample) deviation of `D`: `M = m M + (1 - m) mean(D)`, and so `s`, both from
//! 0. Then (section 4.3) a share `1 - filter_ratio` of the pairs is drawn, without replacement, by `exp(-((D - M) / s)² / 2)`, and the
//! loss is DPO's mean over them with (section 4.2) `β = β_0 (1 + α (mean(D) - M))`, the mean over those drawn, and at least 1e-3. No
//! gradient goes through β or what is drawn. Order and bounds are those of the authors' code, whose `D`, unlike the paper's, is not multiplied by
//! `β_0`: published values of α belong to that. All is of the optimizer's batch, however it is cut.
//!
//! Rewards that are logged are by `β_0`. Held-out pairs all count, and move nothing that is carried on.

use super::dpo::{Dpo, METRICS, SIDES, measure_pairs, measure_side, totals};
use crate::collect::Collector;
use crate::group::Group;
use crate::losses::{Pair, PairResult};
use crate::method::{Masks, Method};
use crate::moments::mean_and_deviation;
use crate::objective::{Objective, Reads, Said, Slopes, Step};
use crate::parameter::{Kind, Parameter, Range};
use crate::rewarded::number;
use crate::role::Role;
use crate::{Error, Hyperparameters, Metrics, moving, reference};
use groma_data::{Shape, uniform};
use groma_model::Head;
use groma_run::Seed;
use serde::Deserialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::ops::Range as Span;

/// The least that β may become.
const LEAST: f64 = 1e-3;

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "beta_dpo",
    names: &["β-dpo", "dynamic-beta-dpo"],
    title: "Direct preference optimisation with a β of the batch",
    paper: "arXiv:2407.08639",
    doc: "DPO with a β for each batch, larger where its pairs are further apart than those before, and without pairs that are unlike the others.",
    data: &[Shape::Preference],
    roles: &[Role::Reference],
    heads: &[Head::UNEMBEDDING],
    parameters: &[
        reference::PARAMETERS,
        moving::PARAMETERS,
        &[
            Parameter {
                name: "beta",
                kind: Kind::Float,
                default: "0.1",
                range: Some(Range::above(0.0)),
                doc: "β_0: strength of the pull towards the reference where a batch is like those before.",
            },
            Parameter {
                name: "beta_alpha",
                kind: Kind::Float,
                default: "0.6",
                range: Some(Range::at_least(0.0)),
                doc: "α: by how much β grows for each nat that a batch's pairs are further apart; 0 for DPO.",
            },
            Parameter {
                name: "beta_momentum",
                kind: Kind::Float,
                default: "0.9",
                range: Some(Range::half_open(0.0, 1.0)),
                doc: "m: share that running means keep at a step.",
            },
            Parameter {
                name: "filter_ratio",
                kind: Kind::Float,
                default: "0.2",
                range: Some(Range::half_open(0.0, 1.0)),
                doc: "Share of a batch's pairs that is left out, drawn by the seed; 0 for none.",
            },
        ],
    ],
    overrides: &[("learning_rate", "1e-6")],
    metrics: &[METRICS, &["beta"]],
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups,
    build: |settings| Ok(Box::new(BetaDpo::new(settings)?)),
};

/// Values of the parameters above.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Raw {
    beta: f64,
    beta_alpha: f64,
    beta_momentum: f64,
    filter_ratio: f64,
}

#[derive(Clone, Debug)]
struct BetaDpo {
    raw: Raw,
    /// With the β of the step at hand.
    dpo: Dpo,
    mean: f64,
    deviation: f64,
    /// Whether the pairs at hand are held out.
    held_out: bool,
    /// Draws which pairs count.
    seed: Seed,
    /// Which pairs of the step at hand count.
    counts: Vec<bool>,
}

impl BetaDpo {
    fn new(settings: &Hyperparameters) -> Result<Self, Error> {
        reference::precompute(settings)?;
        let raw: Raw = settings.typed()?;
        let dpo = Dpo::plain(raw.beta).ok_or_else(|| settings.invalid("beta", "there is no DPO to hold it"))?;
        let (seed, counts) = (Seed::new(settings.training.seed), Vec::new());
        Ok(BetaDpo { raw, dpo, mean: 0.0, deviation: 0.0, held_out: false, seed, counts })
    }

    /// How many of so many pairs count.
    fn kept(&self, pairs: usize) -> usize {
        let kept = (pairs as f64 * (1.0 - self.raw.filter_ratio)) as usize;
        if self.held_out { pairs } else { kept.max(1) }
    }

    /// Sets which pairs count, and β, by how far apart pairs are.
    fn look(&mut self, apart: &[f64]) {
        if !self.held_out {
            let (mean, deviation) = mean_and_deviation(apart);
            let keep = self.raw.beta_momentum;
            self.mean = keep * self.mean + (1.0 - keep) * mean;
            self.deviation = keep * self.deviation + (1.0 - keep) * deviation;
        }
        self.counts = self.draw(apart);
        let counted: Vec<f64> =
            apart.iter().zip(&self.counts).filter(|(_, counts)| **counts).map(|(d, _)| *d).collect();
        let (mean, _) = mean_and_deviation(&counted);
        let beta = self.raw.beta * (1.0 + self.raw.beta_alpha * (mean - self.mean));
        self.dpo.combination.parameters.beta = beta.max(LEAST);
    }

    /// Draws pairs without replacement: those with the largest sums of a log-weight and Gumbel noise.
    fn draw(&self, apart: &[f64]) -> Vec<bool> {
        let noisy = |(index, d): (usize, &f64)| {
            let z = if self.deviation > 0.0 { (d - self.mean) / self.deviation } else { 0.0 };
            let unit = uniform(&mut self.seed.index(index as u64).rng()).max(f64::MIN_POSITIVE);
            -0.5 * z * z - (-unit.ln()).ln()
        };
        let noisy: Vec<f64> = apart.iter().enumerate().map(noisy).collect();
        let mut order: Vec<usize> = (0..apart.len()).collect();
        order.sort_by(|&a, &b| noisy[b].total_cmp(&noisy[a]));
        let mut counts = vec![false; apart.len()];
        order.into_iter().take(self.kept(apart.len())).for_each(|index| counts[index] = true);
        counts
    }

    /// What the loss makes of some pairs of the step, of which those that do not count have no slope, and rewards are by `β_0`.
    fn results(&self, pairs: &[Pair], counts: &[bool]) -> Vec<PairResult> {
        let mut results = self.dpo.combination.evaluate(pairs, &totals(&[]));
        for ((result, pair), counts) in results.iter_mut().zip(pairs).zip(counts) {
            result.chosen_reward = self.raw.beta * pair.chosen_ratio();
            result.rejected_reward = self.raw.beta * pair.rejected_ratio();
            result.loss.scale(f64::from(u8::from(*counts)));
        }
        results
    }
}

impl Objective for BetaDpo {
    fn reads(&self) -> Reads {
        Reads::PLAIN
    }

    fn needs_reference(&self) -> bool {
        true
    }

    fn collect<'a>(
        &mut self,
        collector: &mut Collector<'_>,
        rows: Vec<Cow<'a, Group>>,
    ) -> Result<Vec<Cow<'a, Group>>, Error> {
        self.held_out = collector.rows.is_empty();
        self.seed = collector.seed.named("pairs that count");
        collector.referenced(rows)
    }

    /// Pairs that count.
    fn total(&self, groups: &[Cow<'_, Group>]) -> f64 {
        self.kept(groups.len()) as f64
    }

    fn needs_whole_step(&self) -> bool {
        true
    }

    fn survey(&mut self, step: Step<'_>, logps: &[Vec<f32>]) {
        let apart: Vec<f64> = self.dpo.pairs(step.groups, logps).iter().map(Pair::margin).collect();
        self.look(&apart);
    }

    fn loss(&mut self, step: Step<'_>, micro: Span<usize>, said: &Said<'_>, metrics: &mut Metrics) -> Slopes {
        let groups = &step.groups[micro.clone()];
        let logps: Vec<Vec<f32>> = (0..2 * groups.len()).map(|member| said.logps(member)).collect();
        let pairs = self.dpo.pairs(groups, &logps);
        let results = self.results(&pairs, &self.counts[micro]);
        measure_pairs(metrics, &pairs, &results, false);
        metrics.add("beta", self.dpo.combination.parameters.beta * groups.len() as f64, groups.len() as f64);
        (0..2 * groups.len()).for_each(|member| measure_side(metrics, said, member, SIDES[member % 2]));
        let slopes =
            |(result, logps): (&PairResult, &[Vec<f32>])| self.dpo.slopes(result, [logps[0].len(), logps[1].len()]);
        let slopes: Vec<Vec<f64>> = results.iter().zip(logps.chunks_exact(2)).flat_map(slopes).collect();
        let sum = results.iter().map(|result| result.loss.value).sum();
        Slopes { sum, logps: said.spread(&slopes, 1.0 / step.total), ..Slopes::default() }
    }

    fn loss_at_start(&self, _: &[Cow<'_, Group>]) -> Option<f64> {
        Some(std::f64::consts::LN_2)
    }

    fn state(&self) -> Value {
        json!({"mean": self.mean, "deviation": self.deviation})
    }

    fn restore(&mut self, state: &Value) -> Result<(), String> {
        (self.mean, self.deviation) = (number(state, "mean")?, number(state, "deviation")?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    fn built(given: Value) -> BetaDpo {
        BetaDpo::new(&Settings::resolve(&METHOD, given.as_object().unwrap()).unwrap()).unwrap()
    }

    /// By hand: of D = 1, 3 the mean is 2 and the deviation √2; after one step from 0 with m = 1/2, M = 1.
    #[test]
    fn beta_goes_by_how_far_pairs_are_apart() {
        let mut found = built(json!({"beta": 0.2, "beta_alpha": 0.5, "beta_momentum": 0.5, "filter_ratio": 0.0}));
        found.look(&[1.0, 3.0]);
        assert!((found.mean - 1.0).abs() < 1e-15 && (found.deviation - 0.5 * 2f64.sqrt()).abs() < 1e-15);
        assert!((found.dpo.combination.parameters.beta - 0.2 * 1.5).abs() < 1e-15);
        // M = 1/2 + 1, and the next batch is 2 below it: β would be 0.
        found.look(&[-0.5, 2.5]);
        assert!((found.mean - 1.0).abs() < 1e-15 && (found.dpo.combination.parameters.beta - 0.2).abs() < 1e-15);
        found.look(&[-9.0]);
        assert_eq!(found.dpo.combination.parameters.beta, LEAST);
        found.held_out = true;
        let mean = found.mean;
        found.look(&[7.0]);
        assert_eq!((found.mean, found.counts.len(), found.kept(5)), (mean, 1, 5));
    }

    /// Of three pairs two are drawn: a pair is left out with the probability that two draws without replacement pass it by.
    #[test]
    fn pairs_unlike_the_others_are_left_out_more_often() {
        let mut found = built(json!({"filter_ratio": 0.3}));
        (found.mean, found.deviation) = (0.0, 1.0);
        let apart = [0.0, 1.0, 2.0];
        let weights = apart.map(|d: f64| (-0.5 * d * d).exp());
        let total: f64 = weights.iter().sum();
        let both = |a: usize, b: usize| weights[a] / total * weights[b] / (total - weights[a]);
        let draws = 4000;
        let mut left_out = [0.0; 3];
        for draw in 0..draws {
            found.seed = Seed::new(7).index(draw);
            let counts = found.draw(&apart);
            assert_eq!(counts.iter().filter(|counts| **counts).count(), 2);
            left_out
                .iter_mut()
                .zip(counts)
                .for_each(|(out, counts)| *out += f64::from(u8::from(!counts)) / draws as f64);
        }
        for (left, (a, b)) in left_out.iter().zip([(1, 2), (0, 2), (0, 1)]) {
            let expected = both(a, b) + both(b, a);
            assert!(
                (left - expected).abs() < 4.0 * (expected * (1.0 - expected) / draws as f64).sqrt(),
                "{left_out:?}"
            );
        }
    }
}
