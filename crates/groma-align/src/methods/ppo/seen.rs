//! What is logged of policy and critic.

use crate::Metrics;

/// Sums over the tokens of a completion, under TRL's names.
#[derive(Default)]
pub(super) struct Seen {
    sums: [f64; 6],
    tokens: f64,
}

impl Seen {
    const NAMES: [&str; 6] = [
        "policy/approxkl_avg",
        "val/ratio",
        "loss/policy_avg",
        "policy/clipfrac_avg",
        "loss/value_avg",
        "val/clipfrac_avg",
    ];

    pub(super) fn add(&mut self, ratio: f64, policy: (f64, bool), critic: (f64, bool)) {
        let share = |is: bool| f64::from(u8::from(is));
        let of_token = [0.5 * ratio * ratio, ratio.exp(), policy.0, share(policy.1), critic.0, share(critic.1)];
        self.sums.iter_mut().zip(of_token).for_each(|(sum, value)| *sum += value);
        self.tokens += 1.0;
    }

    pub(super) fn measure(&self, metrics: &mut Metrics) {
        Seen::NAMES.iter().zip(self.sums).for_each(|(name, sum)| metrics.add(name, sum, self.tokens));
    }
}
