//! CRINGE: wanted completions are learned, and each token of others is to be less likely than a good one that could stand in its place.
//!
//! Adolphs et al. 2022, arXiv 2211.05826, section 3. Of a token of an unwanted completion with logit `s`, and the logit `t` of another
//! token, the loss is `-log(e^t / (e^t + e^s))`. As in the authors' code the other one is drawn, by their probabilities, among the
//! `num_pos_predictions` likeliest others; of one nothing is drawn. What is drawn hangs on the seed, the step and the tokens before alone.
//! Logits and log-probabilities have the same differences.
//! The loss is the mean over all completion tokens of the optimizer's batch; pairs count as two rows.

use super::kto::apart;
use crate::collect::Collector;
use crate::group::Group;
use crate::losses::{log_sigmoid, sigmoid};
use crate::method::{Masks, Method};
use crate::objective::{Objective, Reads, Said, Slopes, Step};
use crate::parameter::{Kind, Parameter, Range};
use crate::rivals::Among;
use crate::{Error, Hyperparameters, Metrics};
use groma_data::Shape;
use groma_model::Head;
use groma_run::Seed;
use serde::Deserialize;
use std::borrow::Cow;

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "cringe",
    names: &["cringe-loss"],
    title: "Contrastive iterative negative generation",
    paper: "arXiv:2211.05826",
    doc: "Cross-entropy on wanted completions; each token of others is made less likely than a likely other token; no reference.",
    data: &[Shape::Labelled, Shape::Preference],
    roles: &[],
    heads: &[Head::UNEMBEDDING],
    parameters: &[&[
        Parameter {
            name: "ct_loss_weight",
            kind: Kind::Float,
            default: "1.0",
            range: Some(Range::at_least(0.0)),
            doc: "Weight of unwanted completions.",
        },
        Parameter {
            name: "num_pos_predictions",
            kind: Kind::Integer,
            default: "1",
            range: Some(Range::at_least(1.0)),
            doc: "k: the token that stands against an unwanted one is drawn among so many likeliest others.",
        },
    ]],
    overrides: &[("learning_rate", "2e-5")],
    metrics: &[&["logps/chosen", "logps/rejected", "entropy"]],
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| apart(groups),
    build: |settings: &Hyperparameters| Ok(Box::new(Cringe { raw: settings.typed()?, seed: Seed::new(0) })),
};

/// Values of the parameters above.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Raw {
    ct_loss_weight: f64,
    num_pos_predictions: usize,
}

#[derive(Clone, Copy, Debug)]
struct Cringe {
    raw: Raw,
    /// Of the step at hand.
    seed: Seed,
}

impl Cringe {
    /// Value of a token, and its slopes by its own log-probability and by that of its rival.
    fn token(self, wanted: bool, logp: f64, rival: f64) -> (f64, [f64; 2]) {
        if wanted {
            return (-logp, [-1.0, 0.0]);
        }
        let slope = self.raw.ct_loss_weight * sigmoid(logp - rival);
        (-self.raw.ct_loss_weight * log_sigmoid(rival - logp), [slope, -slope])
    }
}

impl Objective for Cringe {
    fn reads(&self) -> Reads {
        Reads::Rivals
    }

    fn rivals(&self) -> Among {
        Among { count: self.raw.num_pos_predictions, seed: self.seed }
    }

    fn collect<'a>(
        &mut self,
        collector: &mut Collector<'_>,
        rows: Vec<Cow<'a, Group>>,
    ) -> Result<Vec<Cow<'a, Group>>, Error> {
        self.seed = collector.seed.named("rivals");
        Ok(rows)
    }

    /// Completion tokens.
    fn total(&self, groups: &[Cow<'_, Group>]) -> f64 {
        let sequences = groups.iter().flat_map(|group| group.sequences());
        sequences.map(|sequence| sequence.scored_count()).sum::<usize>() as f64
    }

    fn loss(
        &mut self,
        step: Step<'_>,
        micro: std::ops::Range<usize>,
        said: &Said<'_>,
        metrics: &mut Metrics,
    ) -> Slopes {
        let (mut sum, mut own, mut rival) = (0.0, Vec::new(), Vec::new());
        for (index, member) in step.groups[micro].iter().flat_map(|group| &group.members).enumerate() {
            let wanted = member.label != Some(false);
            let (logps, rivals) = (said.logps(index), said.of(index, said.rivals));
            let each = logps.iter().zip(&rivals);
            let tokens: Vec<_> =
                each.map(|(&logp, &rival)| self.token(wanted, f64::from(logp), f64::from(rival))).collect();
            sum += tokens.iter().map(|(value, _)| value).sum::<f64>();
            own.push(tokens.iter().map(|(_, slopes)| slopes[0]).collect());
            rival.push(tokens.iter().map(|(_, slopes)| slopes[1]).collect());
            let side = if wanted { "logps/chosen" } else { "logps/rejected" };
            metrics.add(side, logps.iter().map(|&logp| f64::from(logp)).sum(), 1.0);
            let entropy: f64 = said.of(index, &said.output.entropy).into_iter().map(f64::from).sum();
            metrics.add("entropy", entropy, logps.len() as f64);
        }
        let factor = 1.0 / step.total.max(1.0);
        Slopes { sum, logps: said.spread(&own, factor), rivals: said.spread(&rival, factor), ..Slopes::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_value_and_slopes() {
        let cringe = Cringe { raw: Raw { ct_loss_weight: 1.0, num_pos_predictions: 1 }, seed: Seed::new(0) };
        assert!((cringe.token(false, 2.0, 1.0).0 - 1.3132616875182228).abs() < 1e-12);
        assert!(cringe.token(false, -1e4, 0.0).0 == 0.0);
        let h = 1e-6;
        for (wanted, logp, rival) in [(true, -1.0, -0.5), (false, -0.1, -2.5), (false, -3.0, -0.2)] {
            let at = |a: f64, b: f64| cringe.token(wanted, logp + a, rival + b).0;
            let slopes = cringe.token(wanted, logp, rival).1;
            assert!(((at(h, 0.0) - at(-h, 0.0)) / (2.0 * h) - slopes[0]).abs() < 1e-8);
            assert!(((at(0.0, h) - at(0.0, -h)) / (2.0 * h) - slopes[1]).abs() < 1e-8);
        }
    }
}
