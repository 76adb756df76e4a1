//! Preference losses: pure functions from the log-probabilities of pairs to values and gradients, one kind a file.
//!
//! Notation in all files: `dc` and `dr` are the policy's minus the reference's summed log-probability of the chosen and
//! the rejected completion, `D = dc - dr`, `b` is beta, `s` the logistic function, `ls` its logarithm, `ε` the label
//! smoothing, `len` the number of completion tokens. Everything is computed in f64. Conventions and defaults are those of
//! TRL's DPO trainer; each file says where the paper differs.

mod aot;
mod aot_unpaired;
mod apo_down;
mod apo_zero;
mod bco_pair;
mod combine;
mod discopop;
mod divergence;
mod dpop;
mod exo_pair;
mod hinge;
mod ipo;
mod kind;
mod maths;
mod nca_pair;
mod orpo;
mod pair;
mod pair_loss;
mod robust;
mod sft;
mod sigmoid;
mod sigmoid_length;
mod sigmoid_norm;
mod simpo;
mod sppo_hard;
mod tpo_l;
mod weighting;

use crate::parameter::{Parameter, Variant};

pub use combine::{Combination, PairResult};
pub use divergence::Divergence;
pub use kind::{Evaluate, LossKind, LossParameters};
pub use maths::{log_sigmoid, sigmoid};
pub use pair::{Pair, Totals};
pub use pair_loss::PairLoss;
pub use weighting::weight;

/// All kinds: those of TRL in the order of its documentation, then others.
pub const KINDS: &[LossKind] = &[
    sigmoid::KIND,
    hinge::KIND,
    ipo::KIND,
    exo_pair::KIND,
    nca_pair::KIND,
    robust::KIND,
    bco_pair::KIND,
    sppo_hard::KIND,
    aot::KIND,
    aot_unpaired::KIND,
    apo_zero::KIND,
    apo_down::KIND,
    discopop::KIND,
    sft::KIND,
    sigmoid_norm::KIND,
    dpop::KIND,
    sigmoid_length::KIND,
];

/// [`KINDS`] as choices of `loss_type`.
pub const VARIANTS: &[Variant] = &{
    let mut variants = [Variant::NONE; KINDS.len()];
    let mut i = 0;
    while i < variants.len() {
        variants[i] = KINDS[i].variant();
        i += 1;
    }
    variants
};

/// The kind of that name.
pub fn kind(id: &str) -> Option<&'static LossKind> {
    KINDS.iter().find(|kind| kind.id == id)
}

/// Kinds that can do without a reference, which then says 0 of everything.
pub const REFERENCE_FREE: &[ReferenceFree] = &[
    ReferenceFree { kind: sigmoid::KIND, by_token: false },
    ReferenceFree { kind: hinge::KIND, by_token: false },
    ReferenceFree { kind: ipo::KIND, by_token: true },
    ReferenceFree { kind: simpo::KIND, by_token: true },
    ReferenceFree { kind: orpo::KIND, by_token: true },
    ReferenceFree { kind: tpo_l::KIND, by_token: true },
];

/// Those that TRL's CPO trainer has, as choices of `loss_type`.
pub(crate) const CPO_VARIANTS: &[Variant] =
    &[sigmoid::KIND.variant(), hinge::KIND.variant(), ipo::KIND.variant(), simpo::KIND.variant()];

/// Those of triple preference optimisation, as choices of `loss_type`.
pub(crate) const TPO_VARIANTS: &[Variant] =
    &[sigmoid::KIND.variant(), hinge::KIND.variant(), ipo::KIND.variant(), tpo_l::KIND.variant()];

/// Those of pairs that were just sampled, as choices of `loss_type`.
pub(crate) const ONLINE_VARIANTS: &[Variant] = &[sigmoid::KIND.variant(), hinge::KIND.variant(), ipo::KIND.variant()];

/// Hyperparameters of SimPO's own.
pub(crate) const SIMPO_PARAMETERS: &[Parameter] = simpo::KIND.parameters;

/// A kind without a reference.
#[derive(Clone, Copy, Debug)]
pub struct ReferenceFree {
    /// The kind.
    pub kind: LossKind,
    /// Whether it goes by means over a completion's tokens.
    pub by_token: bool,
}

/// The kind of that name without a reference.
pub fn reference_free(id: &str) -> Option<&'static ReferenceFree> {
    REFERENCE_FREE.iter().find(|free| free.kind.id == id)
}
