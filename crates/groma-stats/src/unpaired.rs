//! Two numbers that were measured on different items.

use crate::interval::{Interval, Method};

/// The interval of `after - before` from the intervals of both, which are of one level (Newcombe 1998, method 10): each end
/// takes the arms of the two intervals that point its way.
pub fn newcombe(before: (f64, Interval), after: (f64, Interval)) -> Interval {
    let ((a, a_interval), (b, b_interval)) = (before, after);
    let difference = b - a;
    Interval {
        low: difference - (b - b_interval.low).hypot(a_interval.high - a),
        high: difference + (b_interval.high - b).hypot(a - a_interval.low),
        level: a_interval.level,
        method: Method::Newcombe,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wilson;

    /// Newcombe 1998, table II: 56/70 - 48/80 = 0.2, [0.0524, 0.3339].
    #[test]
    fn published_figure() {
        let (first, second) = (wilson(48, 80, 0.95).unwrap(), wilson(56, 70, 0.95).unwrap());
        let found = newcombe((0.6, first), (0.8, second));
        assert!((found.low - 0.0524).abs() < 1e-4 && (found.high - 0.3339).abs() < 1e-4, "{found:?}");
    }
}
