//! Token-level DPO: a completion's reward has in it how far the policy's whole distribution has moved at each of its tokens.
//!
//! Zeng et al. 2024, arXiv 2404.11999. With `u` the policy's minus the reference's log-probability of a completion, and `k` the sequential
//! forward divergence, the sum over its tokens of `KL(reference || policy)` over the vocabulary, the loss of a pair is (equations 16 and
//! 18) `-log σ(z)` with `z = β (u_c - u_r) - β (k_r - k_c)` (`tdpo1`), or `z = β (u_c - u_r) - α β (k_r - sg(k_c))` (`tdpo2`), where no
//! gradient goes through `k_c`. The mean over pairs is the loss.
//!
//! The reference runs beside the policy, over the same trees, and both distributions exist for a few rows at once. Rewards that are logged
//! are `β u`, as DPO's; the authors add `β k`.

use super::dpo::{Dpo, METRICS, SIDES, measure_pairs, measure_side, totals};
use crate::group::Group;
use crate::losses::{log_sigmoid, sigmoid};
use crate::method::{Masks, Method};
use crate::objective::{Objective, Reads, Said, Slopes, Step};
use crate::parameter::{Kind, Parameter, Range, Variant};
use crate::role::Role;
use crate::taught::{Compared, Taught};
use crate::{Error, Hyperparameters, Metrics, moving, reference};
use groma_data::Shape;
use groma_kernels::Divergence;
use groma_model::Head;
use serde::Deserialize;
use std::borrow::Cow;
use std::ops::Range as Span;

const LATER: &str = "tdpo2";

const ALPHA: Parameter = Parameter {
    name: "tdpo_alpha",
    kind: Kind::Float,
    default: "0.5",
    range: Some(Range::at_least(0.0)),
    doc: "α: by how much the difference of divergences counts.",
};

const VARIANTS: &[Variant] = &[
    Variant {
        id: "tdpo1",
        title: "With the difference of divergences",
        paper: "arXiv:2404.11999",
        doc: "-log σ(b (u_c - u_r) - b (k_r - k_c))",
        parameters: &[],
    },
    Variant {
        id: LATER,
        title: "With a share of it, and no gradient through that of the chosen completion",
        paper: "arXiv:2404.11999",
        doc: "-log σ(b (u_c - u_r) - α b (k_r - sg(k_c)))",
        parameters: &[ALPHA],
    },
];

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "tdpo",
    names: &["token-level-dpo", "tdpo1", "tdpo2"],
    title: "Token-level direct preference optimisation",
    paper: "arXiv:2404.11999",
    doc: "DPO that holds the policy's whole distribution at each token to the reference's, and not what was chosen alone.",
    data: &[Shape::Preference],
    roles: &[Role::Reference],
    heads: &[Head::UNEMBEDDING],
    parameters: &[
        &[
            reference::REF_MODEL,
            Parameter {
                name: "beta",
                kind: Kind::Float,
                default: "0.1",
                range: Some(Range::above(0.0)),
                doc: "Strength of the pull towards the reference.",
            },
            Parameter {
                name: "loss_type",
                kind: Kind::Variant(VARIANTS),
                default: "\"tdpo2\"",
                range: None,
                doc: "Kind of loss.",
            },
        ],
        moving::PARAMETERS,
    ],
    overrides: &[("learning_rate", "1e-6")],
    metrics: &[METRICS, &["kl/chosen", "kl/rejected"]],
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups,
    build: |settings| Ok(Box::new(Tdpo::new(settings)?)),
};

/// Values of the parameters above.
#[derive(Clone, Debug, Deserialize)]
struct Raw {
    beta: f64,
    loss_type: String,
    tdpo_alpha: Option<f64>,
}

#[derive(Clone, Debug)]
struct Tdpo {
    beta: f64,
    /// Share of the divergences' difference.
    alpha: f64,
    /// Whether a gradient goes through the chosen completion's divergence.
    both: bool,
    /// What pairs and rewards are made with.
    dpo: Dpo,
}

/// What a pair makes of the loss: its value, and slopes by log-probabilities and divergences of chosen and rejected tokens.
#[derive(Clone, Copy, Debug)]
struct Pulled {
    value: f64,
    logps: [f64; 2],
    divergences: [f64; 2],
}

impl Tdpo {
    fn new(settings: &Hyperparameters) -> Result<Self, Error> {
        let raw: Raw = settings.typed()?;
        let later = raw.loss_type == LATER;
        let dpo = Dpo::plain(raw.beta).ok_or_else(|| settings.invalid("beta", "there is no DPO to hold it"))?;
        let alpha = raw.tdpo_alpha.filter(|_| later).unwrap_or(1.0);
        Ok(Tdpo { beta: raw.beta, alpha, both: !later, dpo })
    }

    /// Of a margin of log-ratios, and divergences of chosen and rejected.
    fn pull(&self, margin: f64, [chosen, rejected]: [f64; 2]) -> Pulled {
        let z = self.beta * (margin - self.alpha * (rejected - chosen));
        let slope = -self.beta * sigmoid(-z);
        let through_chosen = if self.both { self.alpha * slope } else { 0.0 };
        Pulled { value: -log_sigmoid(z), logps: [slope, -slope], divergences: [through_chosen, -self.alpha * slope] }
    }
}

impl Objective for Tdpo {
    fn reads(&self) -> Reads {
        Reads::PLAIN
    }

    fn needs_reference(&self) -> bool {
        true
    }

    fn compared(&self) -> Option<(Compared, Taught)> {
        Some((Compared::Distributions(Divergence::ForwardKl.into()), Taught::Reference))
    }

    fn total(&self, groups: &[Cow<'_, Group>]) -> f64 {
        groups.len() as f64
    }

    fn loss(&mut self, step: Step<'_>, micro: Span<usize>, said: &Said<'_>, metrics: &mut Metrics) -> Slopes {
        let groups = &step.groups[micro];
        let logps: Vec<Vec<f32>> = (0..2 * groups.len()).map(|member| said.logps(member)).collect();
        let pairs = self.dpo.pairs(groups, &logps);
        measure_pairs(metrics, &pairs, &self.dpo.combination.evaluate(&pairs, &totals(&[])), false);
        let (mut sum, mut by_logp, mut by_divergence) = (0.0, Vec::new(), Vec::new());
        for (index, pair) in pairs.iter().enumerate() {
            let sides = [2 * index, 2 * index + 1];
            let moved = sides.map(|side| said.of(side, said.divergences).into_iter().map(f64::from).sum::<f64>());
            let pulled = self.pull(pair.margin(), moved);
            sum += pulled.value;
            for (place, side) in sides.into_iter().enumerate() {
                by_logp.push(vec![pulled.logps[place]; logps[side].len()]);
                by_divergence.push(vec![pulled.divergences[place]; logps[side].len()]);
                metrics.add(&format!("kl/{}", SIDES[place]), moved[place], 1.0);
                measure_side(metrics, said, side, SIDES[place]);
            }
        }
        let factor = 1.0 / step.total;
        let (logps, divergences) = (said.spread(&by_logp, factor), said.spread(&by_divergence, factor));
        Slopes { sum, logps, divergences, ..Slopes::default() }
    }

    /// Where the policy is the reference, nothing has moved.
    fn loss_at_start(&self, _: &[Cow<'_, Group>]) -> Option<f64> {
        Some(std::f64::consts::LN_2)
    }
}
