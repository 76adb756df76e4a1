//! A preference pair, as losses see it.

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
pub(super) fn tokens(count: usize) -> f64 {
    count.max(1) as f64
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
