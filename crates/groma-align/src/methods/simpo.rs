//! Simple preference optimisation: CPO's loss `simpo` alone, with the paper's β.
//!
//! Meng et al. 2024, arXiv 2405.14734.

use super::dpo::{ALPHA, Dpo, METRICS};
use crate::losses;
use crate::method::{Masks, Method};
use crate::parameter::{Kind, Parameter, Range};
use groma_data::Shape;
use groma_model::Head;

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "simpo",
    names: &["simple-preference-optimisation"],
    title: "Simple preference optimisation",
    paper: "arXiv:2405.14734",
    doc: "Lifts the mean log-probability of chosen completions above that of rejected ones by a margin, without a reference.",
    data: &[Shape::Preference],
    roles: &[],
    heads: &[Head::UNEMBEDDING],
    parameters: &[
        &[
            Parameter {
                name: "beta",
                kind: Kind::Float,
                default: "2.0",
                range: Some(Range::above(0.0)),
                doc: "By how much the mean log-probability of a token counts.",
            },
            ALPHA,
        ],
        losses::SIMPO_PARAMETERS,
    ],
    overrides: &[("learning_rate", "1e-6")],
    metrics: &[METRICS],
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups,
    build: |settings| Ok(Box::new(Dpo::reference_free(settings, "simpo", 0.0)?)),
};
