//! The registry of formulas. To add one: a file here, a line in [`FORMULAS`].

mod all_right;
mod area;
mod bias;
mod calibration;
mod corrected_share;
mod difference;
mod gap_recovered;
mod icat;
mod mean;
mod quotient;
mod ratio;

pub use all_right::ALL_RIGHT;
pub use area::AUROC;
pub use bias::{BIAS, SCALED_BIAS};
pub use calibration::{CALIBRATION, CALIBRATION_BINS};
pub use corrected_share::CORRECTED_SHARE;
pub(crate) use corrected_share::error_of;
pub use difference::DIFFERENCE;
pub use gap_recovered::GAP_RECOVERED;
pub use icat::ICAT;
pub use mean::{MEAN, SHARE};
pub use ratio::{EXP_RATIO, RATIO};

use crate::Formula;

/// All formulas.
pub static FORMULAS: &[&Formula] = &[
    &SHARE,
    &MEAN,
    &RATIO,
    &EXP_RATIO,
    &DIFFERENCE,
    &ALL_RIGHT,
    &ICAT,
    &BIAS,
    &SCALED_BIAS,
    &CALIBRATION,
    &GAP_RECOVERED,
    &CORRECTED_SHARE,
    &AUROC,
];

impl Formula {
    /// The formula of this name.
    pub fn find(id: &str) -> Option<&'static Formula> {
        FORMULAS.iter().copied().find(|formula| formula.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sums;

    #[test]
    fn names_are_unique_and_nothing_is_not_a_number() {
        for (place, formula) in FORMULAS.iter().enumerate() {
            assert!(FORMULAS[..place].iter().all(|other| other.id != formula.id), "{}", formula.id);
            assert_eq!(Formula::find(formula.id), Some(*formula));
            let zeros = vec![0.0; formula.sums];
            assert_eq!((formula.of)(&Sums { of: &zeros, n: 0.0 }), None, "{}", formula.id);
        }
    }

    #[test]
    fn values() {
        let of = |formula: &Formula, of: &[f64], n| (formula.of)(&Sums { of, n }).unwrap();
        assert_eq!(of(&SHARE, &[3.0], 4.0), 0.75);
        assert_eq!(of(&RATIO, &[3.0, 2.0], 9.0), 1.5);
        assert_eq!(of(&EXP_RATIO, &[0.0, 2.0], 9.0), 1.0);
        assert_eq!(of(&DIFFERENCE, &[3.0, 4.0, 1.0, 8.0], 12.0), 0.625);
        assert_eq!((DIFFERENCE.of)(&Sums { of: &[3.0, 4.0, 0.0, 0.0], n: 4.0 }), None);
        assert_eq!((of(&ALL_RIGHT, &[4.0], 4.0), of(&ALL_RIGHT, &[3.0], 4.0)), (1.0, 0.0));
        assert_eq!((of(&BIAS, &[6.0, 2.0], 9.0), of(&BIAS, &[0.0, 0.0], 9.0)), (0.5, 0.0));
        assert_eq!(of(&SCALED_BIAS, &[6.0, 2.0, 6.0], 8.0), 0.125);
        // Two bins whose differences are of opposite sign do not make up for each other; the third is right on the whole.
        let bins = [1.0, -0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(of(&CALIBRATION, &bins, 10.0), 0.15);
        // golden.md, "pgr": .6, .75 and .8 of a hundred.
        assert_eq!(of(&GAP_RECOVERED, &[60.0, 75.0, 80.0], 100.0), 0.75);
        // 40 of 100 read, by an instrument that finds 90 % and takes 5 % for it.
        let read = [40.0, 90.0, 1e4, 95.0, 1e4];
        assert!((of(&CORRECTED_SHARE, &read, 100.0) - 0.35 / 0.85).abs() < 1e-12);
        // The paper's own corners: an ideal model, a fully stereotyped one, and one that guesses.
        assert_eq!((of(&ICAT, &[10.0, 5.0], 10.0), of(&ICAT, &[10.0, 10.0], 10.0)), (1.0, 0.0));
        assert_eq!(of(&ICAT, &[5.0, 5.0], 10.0), 0.5);
    }
}
