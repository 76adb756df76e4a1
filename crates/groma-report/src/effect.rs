//! How large a change is, apart from how certain it is.

use groma_run::Unit;
use serde::Serialize;

/// The size of a change, by the rule of its unit ([`RULE`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Size {
    /// Too small to matter by itself, however certain.
    Negligible,
    /// Noticeable.
    Small,
    /// Large.
    Large,
}

/// The rule, for readers.
pub const RULE: &str = "Size: of shares, negligible below 2 points, small below 10, else large; of nats and bits, below \
                        0.02 and 0.2; of other measures, below 5% and 20% of the earlier value.";

impl Size {
    /// That of a difference; `None` where it cannot be told, as of a percentage of nothing.
    pub(crate) fn of(difference: f64, before: f64, unit: Unit) -> Option<Self> {
        let (small, large) = match unit {
            Unit::Share => (0.02, 0.1),
            Unit::Nats | Unit::Bits => (0.02, 0.2),
            Unit::Plain => (0.05 * before.abs(), 0.2 * before.abs()),
        };
        // Differences of shares are quotients: 0.3 - 0.2 is to be 0.1.
        let size = difference.abs() * (1.0 + 1e-9);
        match size {
            size if !size.is_finite() || large <= 0.0 => None,
            size if size < small => Some(Size::Negligible),
            size if size < large => Some(Size::Small),
            _ => Some(Size::Large),
        }
    }

    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Size::Negligible => "negligible",
            Size::Small => "small",
            Size::Large => "large",
        }
    }

    /// With "clearly", before "better" or "higher".
    pub(crate) fn adverb(self) -> &'static str {
        match self {
            Size::Negligible => "clearly but negligibly",
            Size::Small => "clearly a little",
            Size::Large => "clearly much",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_has_its_rule() {
        let of = |difference, before, unit| Size::of(difference, before, unit).map(Size::word);
        assert_eq!(of(0.019, 0.5, Unit::Share), Some("negligible"));
        assert_eq!(of(-0.05, 0.5, Unit::Share), Some("small"));
        assert_eq!(of(0.3 - 0.2, 0.5, Unit::Share), Some("large"));
        assert_eq!(of(0.1, 9.0, Unit::Nats), Some("small"));
        // 2.5 % of a perplexity, whatever it is.
        assert_eq!(of(-4.5e5, 1.8e7, Unit::Plain), Some("negligible"));
        assert_eq!(of(3.0, 12.0, Unit::Plain), Some("large"));
        assert_eq!((of(3.0, 0.0, Unit::Plain), of(f64::NAN, 1.0, Unit::Share)), (None, None));
    }
}
