//! Unlikelihood: wanted completions are learned, and the tokens of others unlearned: `-log(1 - p)` of each.
//!
//! Welleck et al. 2020, arXiv 1908.04319, equation 5 on whole completions. The loss is the mean over all completion tokens of
//! the optimizer's batch; pairs count as two rows.

use super::kto::apart;
use crate::group::Group;
use crate::method::{Masks, Method};
use crate::objective::{Objective, Reads, Said, Slopes, Step};
use crate::parameter::{Kind, Parameter, Range};
use crate::{Error, Hyperparameters, Metrics};
use groma_data::Shape;
use groma_model::Head;
use serde::Deserialize;
use std::borrow::Cow;

/// Nearest to 0 that a log-probability is taken to be: what is certain cannot be unlearned at a finite price.
const NEAREST: f64 = -1e-6;

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "unlikelihood",
    names: &["unlikelihood-training"],
    title: "Unlikelihood training",
    paper: "arXiv:1908.04319",
    doc: "Cross-entropy on wanted completions, and -log(1 - p) of each token of others; no reference.",
    data: &[Shape::Labelled, Shape::Preference],
    roles: &[],
    heads: &[Head::UNEMBEDDING],
    parameters: &[&[Parameter {
        name: "unlikelihood_alpha",
        kind: Kind::Float,
        default: "1.0",
        range: Some(Range::at_least(0.0)),
        doc: "Weight of unwanted completions.",
    }]],
    overrides: &[("learning_rate", "2e-5")],
    metrics: &[&["logps/chosen", "logps/rejected", "entropy"]],
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| apart(groups),
    build: |settings| Ok(Box::new(Unlikelihood::new(settings)?)),
};

/// Values of the parameters above.
#[derive(Clone, Debug, Deserialize)]
struct Unlikelihood {
    unlikelihood_alpha: f64,
}

impl Unlikelihood {
    fn new(settings: &Hyperparameters) -> Result<Self, Error> {
        settings.typed()
    }

    /// Value of a token of that log-probability, and its derivative.
    fn token(&self, wanted: bool, logp: f64) -> (f64, f64) {
        if wanted {
            return (-logp, -1.0);
        }
        let logp = logp.min(NEAREST);
        let rest = -logp.exp_m1();
        (-self.unlikelihood_alpha * rest.ln(), self.unlikelihood_alpha * logp.exp() / rest)
    }
}

impl Objective for Unlikelihood {
    fn reads(&self) -> Reads {
        Reads::PLAIN
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
        let (mut sum, mut slopes) = (0.0, Vec::new());
        for (index, member) in step.groups[micro].iter().flat_map(|group| &group.members).enumerate() {
            let wanted = member.label != Some(false);
            let logps = said.logps(index);
            let tokens: Vec<(f64, f64)> = logps.iter().map(|&logp| self.token(wanted, f64::from(logp))).collect();
            sum += tokens.iter().map(|(value, _)| value).sum::<f64>();
            slopes.push(tokens.into_iter().map(|(_, slope)| slope).collect());
            let side = if wanted { "logps/chosen" } else { "logps/rejected" };
            metrics.add(side, logps.iter().map(|&logp| f64::from(logp)).sum(), 1.0);
            let entropy: f64 = said.of(index, &said.output.entropy).into_iter().map(f64::from).sum();
            metrics.add("entropy", entropy, logps.len() as f64);
        }
        Slopes { sum, logps: said.spread(&slopes, 1.0 / step.total.max(1.0)), ..Slopes::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_value_and_slopes() {
        let unlikelihood = Unlikelihood { unlikelihood_alpha: 0.5 };
        assert!((2.0 * unlikelihood.token(false, 0.3_f64.ln()).0 - 0.35667494393873234).abs() < 1e-12);
        let h = 1e-6;
        for (wanted, logp) in [(true, -1.0), (false, -1.0), (false, -0.01), (false, -9.0)] {
            let at = |logp| unlikelihood.token(wanted, logp).0;
            let numeric = (at(logp + h) - at(logp - h)) / (2.0 * h);
            assert!((unlikelihood.token(wanted, logp).1 - numeric).abs() < 1e-6 * numeric.abs().max(1.0));
        }
        let (value, slope) = unlikelihood.token(false, 0.0);
        assert!(value.is_finite() && slope.is_finite());
    }
}
