//! Shares that were read by an instrument with known errors.

use crate::cluster::clustered_standard_error;
use crate::interval::{Interval, Method};
use crate::special::normal_quantile;

/// How often an instrument reads right, as it was measured where the truth is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReaderError {
    /// Share of what has the property that is read as having it.
    pub sensitivity: f64,
    /// How many independent readings that rests on.
    pub sensitivity_n: f64,
    /// Share of what lacks the property that is read as lacking it.
    pub specificity: f64,
    /// How many independent readings that rests on.
    pub specificity_n: f64,
}

/// A share and how many independent items it is worth, from `(right, all)` of groups whose items are alike.
///
/// Items divided by Kish's design effect (Kish 1965, Survey Sampling, 8.2), which is the variance with clustered errors over
/// that without; never more than there are. `None` of no items.
pub fn pooled_share(groups: &[(usize, usize)]) -> Option<(f64, f64)> {
    let n: usize = groups.iter().map(|(_, all)| all).sum();
    let share = groups.iter().map(|(right, _)| right).sum::<usize>() as f64 / n as f64;
    let items = |(group, &(right, all)): (usize, &(usize, usize))| {
        (0..all).map(move |item| (f64::from(u8::from(item < right)), group))
    };
    let (values, keys): (Vec<f64>, Vec<usize>) = groups.iter().enumerate().flat_map(items).unzip();
    (n > 0).then(|| (share, effective(share, n as f64, clustered_standard_error(&values, &keys))))
}

/// The number of independent items in which a share would have this standard error; at most `n`.
pub(crate) fn effective(share: f64, n: f64, standard_error: Option<f64>) -> f64 {
    let found = standard_error.map(|error| share * (1.0 - share) / (error * error));
    found.filter(|found| found.is_finite() && *found > 0.0).map_or(n, |found| found.min(n))
}

impl ReaderError {
    /// From the sensitivity with its number of readings, and the specificity with its.
    pub fn new((sensitivity, sensitivity_n): (f64, f64), (specificity, specificity_n): (f64, f64)) -> Self {
        ReaderError { sensitivity, sensitivity_n, specificity, specificity_n }
    }

    /// Youden's J: what is left of a difference of true shares in shares that were read.
    pub fn discrimination(&self) -> f64 {
        self.sensitivity + self.specificity - 1.0
    }

    /// The true share behind one that was read (Rogan and Gladen 1978, American Journal of Epidemiology 107, 71-76):
    /// `(p + specificity - 1) / (sensitivity + specificity - 1)`, within 0 and 1; `None` of an instrument that does not tell.
    pub fn corrected(&self, read: f64) -> Option<f64> {
        let share = (read - (1.0 - self.specificity)) / self.discrimination();
        (self.discrimination() > 0.0 && share.is_finite()).then(|| share.clamp(0.0, 1.0))
    }

    /// An interval of the true share behind one that was read of `n` independent items; sensitivity and specificity are
    /// uncertain too. `None` of an instrument that hardly tells.
    ///
    /// Lang and Reiczigel 2014 (Preventive Veterinary Medicine 113, 13-22): Wald's interval of Rogan and Gladen's share, in
    /// which the read share is Agresti and Coull's, sensitivity and specificity have one success and one failure more, and
    /// the centre is moved by `2 z^2 (P v_sensitivity - (1 - P) v_specificity)`; cut to what a share can be.
    pub fn interval(&self, read: f64, n: f64, level: f64) -> Option<Interval> {
        let z = normal_quantile(0.5 + level / 2.0);
        let total = n + z * z;
        let read = (n * read + z * z / 2.0) / total;
        let one_more = |share: f64, n: f64| (n * share + 1.0) / (n + 2.0);
        let sensitivity = one_more(self.sensitivity, self.sensitivity_n);
        let specificity = one_more(self.specificity, self.specificity_n);
        let of_sensitivity = sensitivity * (1.0 - sensitivity) / (self.sensitivity_n + 2.0);
        let of_specificity = specificity * (1.0 - specificity) / (self.specificity_n + 2.0);
        let tells = sensitivity + specificity - 1.0;
        let share = (read + specificity - 1.0) / tells;
        let moved = 2.0 * z * z * (share * of_sensitivity - (1.0 - share) * of_specificity);
        let variance =
            read * (1.0 - read) / total + share * share * of_sensitivity + (1.0 - share).powi(2) * of_specificity;
        let found = Interval::around(share + moved, z * variance.sqrt() / tells, level, Method::LangReiczigel);
        let can_be = Interval { low: found.low.clamp(0.0, 1.0), high: found.high.clamp(0.0, 1.0), ..found };
        (tells > 0.0 && found.low.is_finite() && found.high.is_finite()).then_some(can_be)
    }

    /// Half the width of the interval of a difference of true shares, from that of the difference as it was read, which
    /// both sides' one instrument makes smaller: by the delta method, `d = d_read / J`, so `J` is uncertain in `d` alone.
    pub(crate) fn widened(&self, difference: f64, half_width: f64, level: f64) -> f64 {
        let z = normal_quantile(0.5 + level / 2.0);
        let variance = |share: f64, n: f64| {
            let share = (n * share + 1.0) / (n + 2.0);
            share * (1.0 - share) / (n + 2.0)
        };
        let of_j = variance(self.sensitivity, self.sensitivity_n) + variance(self.specificity, self.specificity_n);
        (half_width * half_width + z * z * difference * difference * of_j).sqrt() / self.discrimination()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A separate program of the paper's equations 2, 4, 6, 7 and 17, without cutting.
    #[test]
    fn published_formulas() {
        let check = |read: f64, n: f64, error: ReaderError, expected: [f64; 3]| {
            let found = error.interval(read, n, 0.95).unwrap();
            let found = [error.corrected(read).unwrap(), found.low, found.high];
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected.clamp(0.0, 1.0)).abs() < 1e-9, "{found} for {expected}");
            }
        };
        let error = ReaderError::new((0.9, 100.0), (0.95, 150.0));
        check(0.4, 200.0, error, [0.411764705882353, 0.32559105613968087, 0.5047067925810722]);
        let error = ReaderError::new((0.77, 40.0), (0.97, 120.0));
        check(0.0416, 1000.0, error, [0.01567567567567575, -0.04396404132191903, 0.05566298318050353]);
        let error = ReaderError::new((0.9, 24.0), (0.94, 312.0));
        check(0.02, 50.0, error, [-0.04761904761904767, -0.09465476968759274, 0.06981246782167833]);
    }

    #[test]
    fn an_instrument_that_does_not_tell_corrects_nothing() {
        let guesses = ReaderError::new((0.5, 100.0), (0.5, 100.0));
        assert_eq!((guesses.corrected(0.3), guesses.interval(0.3, 50.0, 0.95)), (None, None));
        let turned = ReaderError::new((0.2, 100.0), (0.3, 100.0));
        assert_eq!((turned.corrected(0.3), turned.interval(0.3, 50.0, 0.95)), (None, None));
        let sure = ReaderError::new((1.0, 1e12), (1.0, 1e12));
        assert_eq!(sure.corrected(0.3), Some(0.3));
        let (mine, plain) = (sure.interval(0.3, 200.0, 0.95).unwrap(), crate::wilson(60, 200, 0.95).unwrap());
        assert!((mine.low - plain.low).abs() < 0.003 && (mine.high - plain.high).abs() < 0.003, "{mine:?} {plain:?}");
    }

    #[test]
    fn groups_that_differ_are_worth_fewer_items() {
        assert_eq!(pooled_share(&[(45, 50), (45, 50)]), Some((0.9, 100.0)), "no more than there are");
        let (share, n) = pooled_share(&[(99, 100), (60, 100), (81, 100)]).unwrap();
        assert!((share - 0.8).abs() < 1e-12 && n < 20.0, "{n}");
        assert_eq!((pooled_share(&[]), pooled_share(&[(0, 0)])), (None, None));
        assert_eq!(pooled_share(&[(7, 7)]), Some((1.0, 7.0)));
    }
}
