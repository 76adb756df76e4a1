//! What may be said about a difference.

use crate::change::Change;
use serde::Serialize;

/// What may be said about a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    /// Clearly better: the interval lies on the good side of zero.
    Better,
    /// Clearly worse.
    Worse,
    /// Clearly higher, where neither way is good.
    Higher,
    /// Clearly lower, where neither way is good.
    Lower,
    /// The interval holds zero.
    NoClearChange,
    /// Fewer items than anything can be said from.
    TooFew,
    /// No interval, or one side is missing or not finite.
    Unknown,
}

impl Reading {
    /// Whether it says which way.
    pub fn is_clear(self) -> bool {
        matches!(self, Reading::Better | Reading::Worse | Reading::Higher | Reading::Lower)
    }
}

/// Below so many items nothing is said about a difference.
pub(crate) const FEWEST_ITEMS: u64 = 10;

/// What may be said about one difference.
pub(crate) fn read(change: Option<&Change>, n: u64, higher_is_better: Option<bool>) -> Reading {
    let Some(change) = change else { return Reading::Unknown };
    if n.min(change.n) < FEWEST_ITEMS {
        return Reading::TooFew;
    }
    let Some(interval) = change.interval.as_ref().filter(|i| i.low.is_finite() && i.high.is_finite()) else {
        return Reading::Unknown;
    };
    let rose = match (interval.low > 0.0, interval.high < 0.0) {
        (true, _) => true,
        (_, true) => false,
        _ => return Reading::NoClearChange,
    };
    match higher_is_better {
        None if rose => Reading::Higher,
        None => Reading::Lower,
        Some(good) if good == rose => Reading::Better,
        Some(_) => Reading::Worse,
    }
}

impl Reading {
    /// A mark, so that colour is never alone.
    pub fn mark(self) -> &'static str {
        match self {
            Reading::Better => "▲",
            Reading::Worse => "▼",
            Reading::Higher => "↑",
            Reading::Lower => "↓",
            Reading::NoClearChange => "≈",
            Reading::TooFew | Reading::Unknown => "?",
        }
    }

    /// In a word or two, for narrow tables.
    pub fn short(self) -> &'static str {
        match self {
            Reading::NoClearChange => "unclear",
            Reading::TooFew => "few items",
            other => other.words(),
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Reading::Better => "better",
            Reading::Worse => "worse",
            Reading::Higher => "higher",
            Reading::Lower => "lower",
            Reading::NoClearChange => "no clear change",
            Reading::TooFew => "too few items",
            Reading::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use groma_run::Interval;

    fn change(low: f64, high: f64, n: u64) -> Change {
        let interval = Interval { low, high, level: 0.95, method: String::new() };
        Change {
            difference: (low + high) / 2.0,
            interval: Some(interval),
            p_value: None,
            n,
            method: String::new(),
            paired: true,
            detectable: None,
        }
    }

    #[test]
    fn readings() {
        let read = |low, high, n, good| read(Some(&change(low, high, n)), n, good);
        assert_eq!(read(0.1, 0.2, 50, Some(true)), Reading::Better);
        assert_eq!(read(0.1, 0.2, 50, Some(false)), Reading::Worse);
        assert_eq!(read(-0.2, -0.1, 50, Some(false)), Reading::Better);
        assert_eq!(read(-0.2, -0.1, 50, None), Reading::Lower);
        assert_eq!(read(-0.1, 0.1, 50, Some(true)), Reading::NoClearChange);
        assert_eq!(read(0.0, 0.1, 50, Some(true)), Reading::NoClearChange);
        assert_eq!(read(0.1, 0.2, 9, Some(true)), Reading::TooFew);
        assert_eq!(read(f64::NEG_INFINITY, f64::INFINITY, 50, Some(true)), Reading::Unknown);
        assert_eq!(super::read(None, 50, Some(true)), Reading::Unknown);
    }
}
