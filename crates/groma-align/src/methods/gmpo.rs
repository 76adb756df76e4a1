//! Geometric-mean policy optimisation: GRPO, in which a completion is moved by the geometric mean of its tokens' ratios.
//!
//! Zhao et al. 2025, arXiv 2507.20673, equation 4, as TRL's GMPO trainer has it: ratios are clipped as logarithms, on one side by
//! the sign of the advantage, and the range is twice as wide as GRPO's, as outliers count less.

use super::grpo::{Grpo, SHARED};
use super::policy;
use crate::method::{Masks, Method};
use crate::parameter::{Kind, Range, parameter};
use crate::role::Role;
use crate::{constraint, moving, reference, rewarded, rollout};
use groma_data::Shape;
use groma_model::Head;

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "gmpo",
    names: &["geometric-mean-policy-optimisation"],
    title: "Geometric-mean policy optimisation",
    paper: "arXiv:2507.20673",
    doc: "GRPO whose completions are moved by the geometric mean of their tokens' ratios, which outliers move less.",
    data: &[Shape::PromptOnly],
    roles: &[Role::Reference, Role::Reward, Role::Cost],
    heads: &[Head::UNEMBEDDING],
    parameters: &[
        rollout::SAMPLING,
        rollout::GROUPS,
        rollout::REWARDS,
        moving::PARAMETERS,
        &[
            reference::REF_MODEL,
            parameter(
                "epsilon",
                Kind::Float,
                "0.4",
                Some(Range::above(0.0)),
                "How far the logarithm of a ratio may fall below 0 or, without epsilon_high, rise above it.",
            ),
            parameter(
                "epsilon_high",
                Kind::Float,
                "null",
                Some(Range::above(0.0)),
                "How far the logarithm of a ratio may rise above 0; epsilon where null.",
            ),
        ],
        SHARED,
        rewarded::DYNAMIC_SAMPLING,
        constraint::PARAMETERS,
    ],
    overrides: &[("learning_rate", "1e-6")],
    metrics: policy::METRICS,
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups,
    build: |settings| Ok(Box::new(Grpo::geometric_mean(settings)?)),
};
