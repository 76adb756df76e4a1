//! Scales and ticks of charts.

/// A linear scale from values to places in a drawing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// Maps `low..high` to `from..to`; an empty range is widened.
    pub(super) fn new((low, high): (f64, f64), (from, to): (f64, f64)) -> Self {
        let pad = if low < high { 0.0 } else { (low.abs() * 0.1).max(1e-9) };
        Scale { low: low - pad, high: high + pad, from, to }
    }

    pub(super) fn place(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    pub(super) fn ticks(&self, about: usize) -> Vec<f64> {
        ticks(self.low, self.high, about)
    }
}

/// Round values between two bounds: of all steps of 1, 2 or 5 the one whose number of ticks comes closest to `about`.
pub(super) fn ticks(low: f64, high: f64, about: usize) -> Vec<f64> {
    let span = high - low;
    if !span.is_finite() || span <= 0.0 {
        return Vec::new();
    }
    let power = 10_f64.powf((span / about.max(1) as f64).log10().floor());
    let candidates = [0.5, 1.0, 2.0, 5.0, 10.0].map(|digit| multiples(low, high, digit * power, 4 * about));
    candidates.into_iter().min_by_key(|found| found.len().abs_diff(about)).unwrap_or_default()
}

fn multiples(low: f64, high: f64, step: f64, most: usize) -> Vec<f64> {
    let first = (low / step - 1e-9).ceil();
    (0..=most)
        .map(|i| (first + i as f64) * step)
        .take_while(|tick| *tick <= high + step * 1e-9)
        .map(|tick| if tick.abs() < step * 1e-9 { 0.0 } else { tick })
        .collect()
}

/// A tick's label: as few digits as tell the ticks apart.
pub(super) fn label(value: f64, step: f64) -> String {
    let tiny = step.abs() < 1e-3 && value.abs() < 0.1;
    let text = if value == 0.0 {
        "0".to_owned()
    } else if tiny || value.abs() >= 1e6 {
        format!("{value:.1e}").replace(".0e", "e")
    } else {
        let decimals = (-step.abs().log10().floor()).clamp(0.0, 6.0) as usize;
        format!("{value:.decimals$}")
    };
    text.replace('-', "−")
}

/// The range of finite values, or [`None`] where there are none.
pub(super) fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.filter(|v| v.is_finite()).fold(None, |range, value| {
        let (low, high) = range.unwrap_or((value, value));
        Some((low.min(value), high.max(value)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks(0.0, 1.0, 5), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(ticks(-3.0, 7.0, 4), [-2.0, 0.0, 2.0, 4.0, 6.0]);
        assert_eq!(ticks(0.05, 0.95, 4).len(), 4);
        assert_eq!(ticks(1.0, 240.0, 5), [50.0, 100.0, 150.0, 200.0]);
        assert!(ticks(1.0, 1.0, 4).is_empty() && ticks(0.0, f64::INFINITY, 4).is_empty());
        let labels = [label(0.2, 0.2), label(1e-3, 5e-4), label(-1500.0, 500.0), label(5.0002, 1e-4)];
        assert_eq!(labels, ["0.2", "1e−3", "−1500", "5.0002"]);
    }

    proptest! {
        #[test]
        fn ticks_lie_inside(low in -1e6..1e6_f64, span in 1e-6..1e6_f64, about in 2..10_usize) {
            let found = ticks(low, low + span, about);
            prop_assert!(found.len() <= 4 * about + 1);
            prop_assert!(found.iter().all(|t| *t >= low - span * 1e-6 && *t <= low + span * (1.0 + 1e-6)));
        }
    }
}
