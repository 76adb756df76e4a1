//! Natural language policy optimisation: PPO whose actions are the tokens that a copy of the policy, taken some time ago, finds
//! likely.
//!
//! Ramamurthy et al. 2022, arXiv 2210.01241, section 4. Of the copy's distribution a top-p set (or top-k, as in the authors' code)
//! says which tokens may be chosen; others have probability 0, and no gradient goes to them, in sampling as in learning. The copy is
//! taken anew before every `mask_update` collections. The rest is [`ppo`]'s.
//!
//! Otherwise than in the authors' code, the distance to the reference is that of the policy under its mask, which is what is
//! sampled; the copy's distribution has no temperature. What is exported knows no mask: ask it with the same `top_p`.

use super::ppo::{self, Ppo};
use crate::method::{Masks, Method};
use crate::objective::Lag;
use crate::parameter::{Kind, Parameter, Range, parameter};
use crate::role::Role;
use crate::{Error, Hyperparameters, constraint, rewards, rollout, scaling};
use groma_data::Shape;
use groma_model::Head;
use groma_model::guidance::ActionMask;
use serde::Deserialize;

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "nlpo",
    names: &["natural-language-policy-optimisation"],
    title: "Natural language policy optimisation",
    paper: "arXiv:2210.01241",
    doc: "PPO among the tokens that a copy of the policy, taken anew now and then, finds likely: what it never would say is neither sampled nor learned.",
    data: &[Shape::PromptOnly],
    roles: &[Role::Reference, Role::Reward, Role::Critic, Role::Cost],
    heads: &[Head::UNEMBEDDING, Head::VALUE],
    parameters: &[
        rollout::SAMPLING,
        ppo::PASSES,
        rollout::REWARDS,
        rewards::GRANULARITY,
        PARAMETERS,
        ppo::PARAMETERS,
        scaling::PARAMETERS,
        constraint::PARAMETERS,
    ],
    overrides: &[("learning_rate", "3e-6"), ("max_completion_length", "53"), ("temperature", "0.7")],
    metrics: ppo::METRICS,
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups,
    build: |settings| Ok(Box::new(Ppo::new(settings, Some(lag(settings)?))?)),
};

const PARAMETERS: &[Parameter] = &[
    parameter(
        "mask_top_p",
        Kind::Float,
        "0.9",
        Some(Range { min: 0.0, min_excluded: true, max: 1.0, max_excluded: false }),
        "Tokens may be chosen that are the copy's likeliest and reach this probability together; 1 for all.",
    ),
    parameter(
        "mask_top_k",
        Kind::Integer,
        "0",
        Some(Range::at_least(0.0)),
        "Of these, so many of the likeliest at most; 0 for all.",
    ),
    parameter(
        "mask_update",
        Kind::Integer,
        "5",
        Some(Range::at_least(1.0)),
        "The copy is taken anew before every so many collections.",
    ),
];

#[derive(Deserialize)]
struct Raw {
    mask_top_p: f32,
    mask_top_k: usize,
    mask_update: u64,
}

/// Which actions may be taken.
fn lag(settings: &Hyperparameters) -> Result<Lag, Error> {
    let raw: Raw = settings.typed()?;
    Ok(Lag { mask: ActionMask { top_p: raw.mask_top_p, top_k: raw.mask_top_k }, every: raw.mask_update })
}
