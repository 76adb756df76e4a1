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
mod exo_pair;
mod hinge;
mod ipo;
mod maths;
mod nca_pair;
mod orpo;
mod robust;
mod sft;
mod sigmoid;
mod sigmoid_norm;
mod simpo;
mod sppo_hard;
mod weighting;

use crate::parameter::{Kind, Parameter, Range, Variant};
use std::collections::BTreeMap;

pub use combine::{Combination, PairResult};
pub use divergence::Divergence;
pub use maths::{log_sigmoid, sigmoid};
pub use weighting::weight;

/// Log-probabilities of one preference pair, each summed over the completion's tokens, in nats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// The policy's, of the chosen completion.
    pub policy_chosen: f64,
    /// The policy's, of the rejected completion.
    pub policy_rejected: f64,
    /// The reference's, of the chosen completion.
    pub reference_chosen: f64,
    /// The reference's, of the rejected completion.
    pub reference_rejected: f64,
    /// The policy's plain sum over the chosen completion; differs from `policy_chosen` only where `ld_alpha` weighs tokens.
    pub chosen_plain: f64,
    /// Scored tokens of the chosen completion.
    pub chosen_tokens: usize,
    /// Scored tokens of the rejected completion.
    pub rejected_tokens: usize,
}

impl Pair {
    /// `dc`.
    pub fn chosen_ratio(&self) -> f64 {
        self.policy_chosen - self.reference_chosen
    }

    /// `dr`.
    pub fn rejected_ratio(&self) -> f64 {
        self.policy_rejected - self.reference_rejected
    }

    /// `D`.
    pub fn margin(&self) -> f64 {
        self.chosen_ratio() - self.rejected_ratio()
    }

    /// `dc / len_c` and `dr / len_r`; an empty completion counts as one token.
    pub fn mean_ratios(&self) -> (f64, f64) {
        (self.chosen_ratio() / tokens(self.chosen_tokens), self.rejected_ratio() / tokens(self.rejected_tokens))
    }

    /// The pair with chosen and rejected exchanged (the plain sum then is the rejected completion's).
    pub fn swapped(&self) -> Pair {
        Pair {
            policy_chosen: self.policy_rejected,
            policy_rejected: self.policy_chosen,
            reference_chosen: self.reference_rejected,
            reference_rejected: self.reference_chosen,
            chosen_plain: self.policy_rejected,
            chosen_tokens: self.rejected_tokens,
            rejected_tokens: self.chosen_tokens,
        }
    }
}

/// Completion length as a divisor.
fn tokens(count: usize) -> f64 {
    count.max(1) as f64
}

/// Share of labels taken to be wrong, of the kinds that have a use for it.
const LABEL_SMOOTHING: Parameter = Parameter {
    name: "label_smoothing",
    kind: Kind::Float,
    default: "0.0",
    range: Some(Range::half_open(0.0, 0.5)),
    doc: "Share of labels taken to be wrong: conservative DPO for sigmoid, the noise rate for robust.",
};

/// Hyperparameters of a kind: `beta`, which all have, and those that it declares.
#[derive(Clone, Debug, PartialEq)]
pub struct LossParameters {
    /// Strength of the pull towards the reference; above 0.
    pub beta: f64,
    /// Values by name; a declared one that is not here has its default.
    pub own: BTreeMap<&'static str, f64>,
}

impl Default for LossParameters {
    fn default() -> Self {
        LossParameters { beta: 0.1, own: BTreeMap::new() }
    }
}

impl LossParameters {
    /// The value of a declared hyperparameter; NaN for one that has neither value nor default.
    pub fn get(&self, parameter: &Parameter) -> f64 {
        let default = || parameter.default_value().as_f64().unwrap_or(f64::NAN);
        self.own.get(parameter.name).copied().unwrap_or_else(default)
    }
}

/// Value of one pair's loss, and its gradient with respect to the policy's log-probabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PairLoss {
    /// The loss.
    pub value: f64,
    /// With respect to [`Pair::policy_chosen`].
    pub d_chosen: f64,
    /// With respect to [`Pair::policy_rejected`].
    pub d_rejected: f64,
    /// With respect to [`Pair::chosen_plain`].
    pub d_chosen_plain: f64,
}

impl PairLoss {
    /// Value and gradients times a factor.
    pub(crate) fn scale(&mut self, factor: f64) {
        for part in [&mut self.value, &mut self.d_chosen, &mut self.d_rejected, &mut self.d_chosen_plain] {
            *part *= factor;
        }
    }

    /// A loss of `D` alone.
    fn of_margin(value: f64, slope: f64) -> Self {
        PairLoss { value, d_chosen: slope, d_rejected: -slope, d_chosen_plain: 0.0 }
    }

    /// A loss of `dc` and `dr`.
    fn of_ratios(value: f64, d_chosen: f64, d_rejected: f64) -> Self {
        PairLoss { value, d_chosen, d_rejected, d_chosen_plain: 0.0 }
    }
}

/// Sizes of the batch of an optimizer step, of which the pairs at hand may be a part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Number of pairs.
    pub pairs: usize,
    /// Scored tokens of all chosen completions.
    pub chosen_tokens: usize,
}

impl Totals {
    /// Of these pairs alone.
    pub fn of(pairs: &[Pair]) -> Self {
        Totals { pairs: pairs.len(), chosen_tokens: pairs.iter().map(|pair| pair.chosen_tokens).sum() }
    }
}

/// How a kind looks at a batch.
#[derive(Clone, Copy)]
pub enum Evaluate {
    /// Each pair by itself.
    Pair(fn(&Pair, &LossParameters) -> PairLoss),
    /// Each pair by itself, given the sizes of the whole batch.
    Share(fn(&Pair, &Totals) -> PairLoss),
    /// All pairs of an optimizer step together; one result a pair, whose mean is the loss.
    Batch(fn(&[Pair], &LossParameters) -> Vec<PairLoss>),
}

/// The record of one kind of loss.
#[derive(Clone, Copy)]
pub struct LossKind {
    /// TRL's name in `loss_type`.
    pub id: &'static str,
    /// In words.
    pub title: &'static str,
    /// Where it was published.
    pub paper: &'static str,
    /// The value of one pair.
    pub formula: &'static str,
    /// Hyperparameters of its own; they exist where it is chosen.
    pub parameters: &'static [Parameter],
    /// Whether `f_divergence_type` may be other than `reverse_kl`.
    pub divergences: bool,
    /// The function.
    pub evaluate: Evaluate,
    /// Its value where the policy is the reference, in closed form; `None` where that depends on the model.
    pub at_reference: fn(&LossParameters) -> Option<f64>,
}

impl std::fmt::Debug for LossKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LossKind").field("id", &self.id).finish_non_exhaustive()
    }
}

impl LossKind {
    const fn variant(&self) -> Variant {
        Variant { id: self.id, title: self.title, paper: self.paper, doc: self.formula, parameters: self.parameters }
    }

    /// Values and gradients of all pairs; the mean of the values over the batch is the loss.
    pub fn evaluate(&self, pairs: &[Pair], totals: &Totals, parameters: &LossParameters) -> Vec<PairLoss> {
        match self.evaluate {
            Evaluate::Pair(one) => pairs.iter().map(|pair| one(pair, parameters)).collect(),
            Evaluate::Share(one) => pairs.iter().map(|pair| one(pair, totals)).collect(),
            Evaluate::Batch(all) => all(pairs, parameters),
        }
    }
}

/// All kinds, in the order of TRL's documentation.
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
];

/// Those that TRL's CPO trainer has, as choices of `loss_type`.
pub(crate) const CPO_VARIANTS: &[Variant] =
    &[sigmoid::KIND.variant(), hinge::KIND.variant(), ipo::KIND.variant(), simpo::KIND.variant()];

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
