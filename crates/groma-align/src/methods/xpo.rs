//! Exploratory preference optimisation: online DPO against the reference's completions, which are made less likely beside.
//!
//! Xie et al. 2024, arXiv 2405.21046, algorithm 1, as in TRL: one completion of the policy and one of the reference make a pair,
//! and the loss is `L_DPO + alpha log π(y_ref)`, the latter being the optimism that leads the policy away from what is known.

use super::online_dpo::{OnlineDpo, Other, PAIRS, PARAMETERS};
use super::policy;
use crate::collect;
use crate::method::{Masks, Method};
use crate::parameter::{Kind, Parameter, Range};
use crate::rewarded::MISSING_EOS_PENALTY;
use crate::role::Role;
use crate::{Error, Hyperparameters, constraint, moving, rollout};
use groma_data::Shape;
use groma_model::Head;
use serde::Deserialize;

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "xpo",
    names: &["exploratory-preference-optimisation"],
    title: "Exploratory preference optimisation",
    paper: "arXiv:2405.21046",
    doc: "Online DPO of the policy's completions against the reference's, with a term that leads away from what the reference says.",
    data: &[Shape::PromptOnly],
    roles: &[Role::Reference, Role::Reward, Role::Cost],
    heads: &[Head::UNEMBEDDING],
    parameters: &[
        rollout::SAMPLING,
        rollout::PASSES,
        rollout::REWARDS,
        &[MISSING_EOS_PENALTY],
        PARAMETERS,
        moving::PARAMETERS,
        &[Parameter {
            name: "alpha",
            kind: Kind::Float,
            default: "1e-5",
            range: Some(Range::at_least(0.0)),
            doc: "What the log-probability of the reference's completion counts.",
        }],
        constraint::PARAMETERS,
    ],
    overrides: &[("learning_rate", "5e-7"), ("max_completion_length", "64"), ("temperature", "0.9")],
    metrics: &[policy::REWARDS, collect::COMPLETIONS, policy::TOKENS, PAIRS],
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups,
    build: |settings| Ok(Box::new(build(settings)?)),
};

#[derive(Deserialize)]
struct Raw {
    alpha: f64,
}

fn build(settings: &Hyperparameters) -> Result<OnlineDpo, Error> {
    OnlineDpo::new(settings, Other::Reference, settings.typed::<Raw>()?.alpha)
}
