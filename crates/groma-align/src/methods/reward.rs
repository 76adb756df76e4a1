//! Pairwise reward modelling: `-ls(r_c - r_r - margin)`, and `coefficient * (r_c + r_r)^2` where rewards are centred.
//!
//! Bradley and Terry 1952; Ouyang et al. 2022, arXiv 2203.02155, equation 1; margins as in Llama 2 (arXiv 2307.09288,
//! equation 2), centring as in Eisenstein et al. 2023, arXiv 2312.09244. The score is that of a scalar head at the last
//! token. The head starts at zero, so that training starts from the closed form; the embedding that the removed
//! unembedding may share stays.

use crate::forest::{Forest, Sequence};
use crate::losses::{log_sigmoid, sigmoid};
use crate::method::{DataShape, Method};
use crate::objective::{Context, Loss, Objective, plain};
use crate::parameter::{Kind, Parameter, Range};
use crate::polarity::{Polarity, sides, telling};
use crate::{Error, Example, Metrics, Settings};
use groma_kernels::{Cotangent, Tape};
use groma_model::Transformer;
use serde::Deserialize;

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "reward",
    names: &["reward-model", "rm", "bradley-terry"],
    title: "Pairwise reward model",
    paper: "arXiv:2203.02155",
    doc: "A scalar head that scores chosen completions above rejected ones (Bradley-Terry).",
    data: &[DataShape::Preference],
    needs_reference: false,
    needs_score_head: true,
    parameters: &[Parameter {
        name: "center_rewards_coefficient",
        kind: Kind::Float,
        default: "null",
        range: Some(Range::at_least(0.0)),
        doc: "Weight of the squared sum of both rewards, which centres them; 0.01 is usual, none where null.",
    }],
    overrides: &[("learning_rate", "1e-4"), ("truncation_mode", "\"drop\"")],
    metrics: &["accuracy", "margin", "min_reward", "mean_reward", "max_reward"],
};

/// Values of the parameters above.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct RewardSettings {
    pub(crate) center_rewards_coefficient: Option<f64>,
}

impl RewardSettings {
    pub(crate) fn new(settings: &Settings) -> Result<Self, Error> {
        settings.typed()
    }
}

/// Value of a pair, and its gradient with respect to the two rewards.
///
/// `margin` is by how much the chosen reward should be above the other.
pub fn pair_loss(chosen: f64, rejected: f64, margin: f64, centre: Option<f64>) -> (f64, f64, f64) {
    let gap = chosen - rejected - margin;
    let (sum, weight) = (chosen + rejected, centre.unwrap_or(0.0));
    let (pull, slope) = (2.0 * weight * sum, sigmoid(-gap));
    (-log_sigmoid(gap) + weight * sum * sum, pull - slope, pull + slope)
}

/// Preference pairs at hand.
#[derive(Debug)]
pub(crate) struct Reward<'a> {
    pub(crate) examples: &'a [Example],
    pub(crate) settings: RewardSettings,
}

impl Reward<'_> {
    fn forest(&self, units: &[usize], exchanged: bool) -> Forest {
        let sequences = units.iter().flat_map(|&unit| sides(self.examples[unit].pair(), exchanged));
        Forest::new(&sequences.collect::<Vec<&Sequence>>())
    }

    /// How the loss changes as the rows' own chosen completions gain reward against the rejected ones.
    fn slope(&self, model: &Transformer, units: &[usize], exchanged: bool) -> Result<f64, Error> {
        let mut tape = Tape::inference(model.backend().clone());
        let scores = self.forest(units, exchanged).forward_scores(model, &mut tape, plain(true))?;
        let rewards = model.backend().download(scores.buffer());
        let pair = |(&unit, pair): (&usize, &[f32])| {
            let margin = self.examples[unit].margin.unwrap_or(0.0);
            let centre = self.settings.center_rewards_coefficient;
            let (_, first, second) = pair_loss(f64::from(pair[0]), f64::from(pair[1]), margin, centre);
            let [chosen, rejected] = sides([first, second], exchanged);
            (chosen - rejected) / units.len() as f64
        };
        Ok(units.iter().zip(rewards.chunks_exact(2)).map(pair).sum())
    }
}

impl Objective for Reward<'_> {
    fn units(&self) -> usize {
        self.examples.len()
    }

    fn places(&self, unit: usize) -> Vec<String> {
        vec![self.examples[unit].place.clone()]
    }

    fn tokens(&self, unit: usize) -> usize {
        self.examples[unit].pair().iter().map(|sequence| sequence.ids.len()).sum()
    }

    fn batch(&self, context: &mut Context, units: &[usize]) -> Result<Loss, Error> {
        let mut sum = 0.0;
        for (number, micro) in units.chunks(context.micro).enumerate() {
            let forest = self.forest(micro, false);
            let mut tape = context.tape();
            let scores = forest.forward_scores(context.model, &mut tape, context.policy(number))?;
            let rewards = context.model.backend().download(scores.buffer());
            let mut d_rewards = Vec::with_capacity(rewards.len());
            for (&unit, pair) in micro.iter().zip(rewards.chunks_exact(2)) {
                let (chosen, rejected) = (f64::from(pair[0]), f64::from(pair[1]));
                let margin = self.examples[unit].margin.unwrap_or(0.0);
                let (value, d_chosen, d_rejected) =
                    pair_loss(chosen, rejected, margin, self.settings.center_rewards_coefficient);
                sum += value;
                d_rewards.extend([d_chosen, d_rejected].map(|d| (d / units.len() as f64) as f32));
                measure(context.metrics, chosen, rejected);
            }
            if let Some(gradients) = context.gradients.as_deref_mut() {
                let cotangent = context.model.backend().upload(&d_rewards);
                tape.backward(vec![Cotangent::Value(&scores, cotangent)], gradients);
            }
        }
        Ok(Loss { value: sum / units.len().max(1) as f64, weight: units.len() as f64 })
    }

    /// With a zero head all rewards are 0, so the loss is that of the margins alone.
    fn loss_at_start(&self, units: &[usize]) -> Option<f64> {
        let margins = units.iter().map(|&unit| self.examples[unit].margin.unwrap_or(0.0));
        Some(margins.map(|margin| -log_sigmoid(-margin)).sum::<f64>() / units.len().max(1) as f64)
    }

    fn polarity(&self, model: &Transformer, units: &[usize]) -> Result<Option<Polarity>, Error> {
        let units = &telling(self.examples, units);
        if units.is_empty() {
            return Ok(None);
        }
        let labelled = self.slope(model, units, false)?;
        Ok(Some(Polarity { labelled, exchanged: self.slope(model, units, true)? }))
    }
}

fn measure(metrics: &mut Metrics, chosen: f64, rejected: f64) {
    metrics.add("accuracy", f64::from(u8::from(chosen > rejected)), 1.0);
    metrics.add("margin", chosen - rejected, 1.0);
    for reward in [chosen, rejected] {
        metrics.add("mean_reward", reward, 1.0);
        metrics.smallest("min_reward", reward);
        metrics.largest("max_reward", reward);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_values_and_slopes() {
        assert!((pair_loss(1.0, 0.5, 0.0, None).0 - 0.4740769841801067).abs() < 1e-12);
        assert!((pair_loss(1.0, 0.5, 0.2, None).0 - 0.5543552444685271).abs() < 1e-12);
        for (c, r, m, centre) in [(0.3, -0.4, 0.1, None), (2.0, 3.0, 0.0, Some(0.01)), (-1.0, 0.0, 0.5, Some(0.3))] {
            let (_, d_chosen, d_rejected) = pair_loss(c, r, m, centre);
            let h = 1e-6;
            let numeric_chosen = (pair_loss(c + h, r, m, centre).0 - pair_loss(c - h, r, m, centre).0) / (2.0 * h);
            let numeric_rejected = (pair_loss(c, r + h, m, centre).0 - pair_loss(c, r - h, m, centre).0) / (2.0 * h);
            assert!((d_chosen - numeric_chosen).abs() < 1e-8 && (d_rejected - numeric_rejected).abs() < 1e-8);
        }
        // The gradient of the contrast is -(1 - s(Δ)).
        assert!((pair_loss(1.0, 0.5, 0.0, None).1 + 1.0 - sigmoid(0.5)).abs() < 1e-15);
    }
}
