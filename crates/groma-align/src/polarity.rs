//! The swap test: with chosen and rejected exchanged, the gradient of a preference loss must turn round.
//!
//! Where it does not, what trains does not hear what the rows prefer, however well the loss falls.

use crate::{Error, Example};

/// Changes of the loss of a batch as the log-probabilities or scores of the rows' chosen sides grow against those of their
/// rejected sides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Polarity {
    /// With the rows as they are labelled.
    pub(crate) labelled: f64,
    /// With chosen and rejected exchanged in what the loss is given.
    pub(crate) exchanged: f64,
}

impl Polarity {
    /// # Errors
    /// [`Error::Polarity`] unless both are of opposite sign.
    pub(crate) fn check(self) -> Result<(), Error> {
        let Polarity { labelled, exchanged } = self;
        if labelled * exchanged < 0.0 { Ok(()) } else { Err(Error::Polarity { labelled, exchanged }) }
    }
}

/// Pairs that the swap test looks at.
const PAIRS: usize = 2;

/// The first of the units whose sides differ: no loss tells others apart.
pub(crate) fn telling(examples: &[Example], units: &[usize]) -> Vec<usize> {
    let differs = |&unit: &usize| {
        let [chosen, rejected] = examples[unit].pair();
        chosen.ids != rejected.ids
    };
    units.iter().copied().filter(differs).take(PAIRS).collect()
}

/// The first half of each pair behind the second, where `exchanged`.
pub(crate) fn sides<T>([chosen, rejected]: [T; 2], exchanged: bool) -> [T; 2] {
    if exchanged { [rejected, chosen] } else { [chosen, rejected] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sign_that_turns_round_passes() {
        let passes = |labelled, exchanged| Polarity { labelled, exchanged }.check().is_ok();
        assert!(passes(-0.1, 0.2) && passes(0.1, -0.2));
        assert!(!passes(-0.1, -0.1) && !passes(0.1, 0.1) && !passes(0.0, 0.0) && !passes(f64::NAN, 1.0));
    }
}
