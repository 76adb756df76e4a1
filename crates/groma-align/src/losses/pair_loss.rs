//! What a loss says of a pair.

/// Value of one pair's loss, and its gradient with respect to the policy's log-probabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PairLoss {
    /// The loss.
    pub value: f64,
    /// With respect to [`super::Pair::policy_chosen`].
    pub d_chosen: f64,
    /// With respect to [`super::Pair::policy_rejected`].
    pub d_rejected: f64,
    /// With respect to [`super::Pair::chosen_plain`].
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
    pub(super) fn of_margin(value: f64, slope: f64) -> Self {
        PairLoss { value, d_chosen: slope, d_rejected: -slope, d_chosen_plain: 0.0 }
    }

    /// A loss of `dc` and `dr`.
    pub(super) fn of_ratios(value: f64, d_chosen: f64, d_rejected: f64) -> Self {
        PairLoss { value, d_chosen, d_rejected, d_chosen_plain: 0.0 }
    }
}
