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

/// Round values between two bounds, about so many.
pub(super) fn ticks(low: f64, high: f64, about: usize) -> Vec<f64> {
    let span = high - low;
    if !span.is_finite() || span <= 0.0 {
        return Vec::new();
    }
    let raw = span / about.max(1) as f64;
    let power = 10_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(|m| m * power >= raw * 0.999).unwrap_or(10.0) * power;
    let first = (low / step - 1e-9).ceil();
    (0..=2 * about.max(1))
        .map(|i| (first + i as f64) * step)
        .take_while(|tick| *tick <= high + step * 1e-9)
        // Zero comes out of the product as it is; all else as the nearest short decimal.
        .map(|tick| if tick.abs() < step * 1e-9 { 0.0 } else { tick })
        .collect()
}

/// A tick's label: as few digits as tell the ticks apart.
pub(super) fn label(value: f64, step: f64) -> String {
    let size = value.abs().max(step.abs());
    let text = if value == 0.0 {
        "0".to_owned()
    } else if !(1e-3..1e6).contains(&size) {
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
        assert_eq!(ticks(-3.0, 7.0, 4).len(), 2);
        assert_eq!(ticks(0.0, 5e-6, 4)[1], 2e-6);
        assert!(ticks(1.0, 1.0, 4).is_empty() && ticks(0.0, f64::INFINITY, 4).is_empty());
        assert_eq!([label(0.2, 0.2), label(5e-6, 5e-6), label(-1500.0, 500.0)], ["0.2", "5e−6", "−1500"]);
    }

    proptest! {
        #[test]
        fn ticks_lie_inside(low in -1e6..1e6_f64, span in 1e-6..1e6_f64, about in 2..10_usize) {
            let found = ticks(low, low + span, about);
            prop_assert!(found.len() <= 2 * about + 1);
            prop_assert!(found.iter().all(|t| *t >= low - span * 1e-6 && *t <= low + span * (1.0 + 1e-6)));
        }
    }
}
