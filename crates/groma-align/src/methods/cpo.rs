//! Contrastive preference optimisation and its relatives without a reference: pairs are told apart by the policy's own
//! log-probabilities, and a supervised term holds the chosen completions.
//!
//! Xu et al. 2024, arXiv 2401.08417, equation 5 (`sigmoid`), and the kinds that TRL's CPO trainer has beside it. The supervised
//! term is the mean over the chosen completions' tokens in the optimizer's batch. `ipo` and `simpo` go by means over tokens. With
//! `alpha` rewards have another shape (AlphaPO, Gupta et al. 2025, arXiv 2501.03884); those that are logged keep that of `alpha` 0.

use super::dpo::{ALPHA, Dpo, METRICS};
use crate::losses;
use crate::method::{Masks, Method};
use crate::parameter::{Kind, Parameter, Range};
use groma_data::Shape;
use groma_model::Head;
use serde::Deserialize;

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "cpo",
    names: &["contrastive-preference-optimisation"],
    title: "Contrastive preference optimisation",
    paper: "arXiv:2401.08417",
    doc: "Moves the log-probabilities of chosen and rejected completions apart, without a reference, and learns the chosen ones.",
    data: &[Shape::Preference],
    roles: &[],
    heads: &[Head::UNEMBEDDING],
    parameters: &[&[
        Parameter {
            name: "beta",
            kind: Kind::Float,
            default: "0.1",
            range: Some(Range::above(0.0)),
            doc: "By how much log-probabilities count (τ of IPO).",
        },
        Parameter {
            name: "loss_type",
            kind: Kind::Variant(losses::CPO_VARIANTS),
            default: "\"sigmoid\"",
            range: None,
            doc: "Kind of loss.",
        },
        Parameter {
            name: "cpo_alpha",
            kind: Kind::Float,
            default: "1.0",
            range: Some(Range::at_least(0.0)),
            doc: "Weight of the cross-entropy on chosen completions; 0 for SimPO as it was published.",
        },
        ALPHA,
    ]],
    overrides: &[("learning_rate", "1e-6")],
    metrics: &[METRICS],
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups,
    build: |settings| {
        let raw: Raw = settings.typed()?;
        Ok(Box::new(Dpo::reference_free(settings, &raw.loss_type, raw.cpo_alpha)?))
    },
};

/// Values of the parameters above, but `beta`.
#[derive(Deserialize)]
struct Raw {
    loss_type: String,
    cpo_alpha: f64,
}
