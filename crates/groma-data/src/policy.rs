//! How many bad rows are too many.

use crate::error::{Error, Result};
use crate::problem::BadRows;

/// What to do when a row cannot be used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OnBadRow {
    /// Any bad row is an error (which still names up to ten of them).
    Stop,
    /// Bad rows are left out and counted, as long as they are at most this share of all rows.
    Skip {
        /// The largest accepted share, from 0 to 1.
        max_share: f64,
    },
}

impl Default for OnBadRow {
    /// Leaves out at most one row in a hundred.
    fn default() -> Self {
        OnBadRow::Skip { max_share: 0.01 }
    }
}

impl BadRows {
    /// Whether the policy accepts these rows.
    ///
    /// # Errors
    /// [`Error::BadRows`] or [`Error::TooManyBadRows`] if it does not.
    pub fn check(&self, policy: OnBadRow) -> Result<()> {
        match policy {
            OnBadRow::Stop if self.count > 0 => Err(Error::BadRows { bad: self.clone() }),
            OnBadRow::Skip { max_share } if !(0.0..=1.0).contains(&max_share) => Err(Error::Argument {
                name: "max_share",
                value: max_share.to_string(),
                why: "a share of rows lies between 0 and 1".to_owned(),
            }),
            OnBadRow::Skip { max_share } if self.share() > max_share => {
                Err(Error::TooManyBadRows { bad: self.clone(), max_share })
            }
            OnBadRow::Stop | OnBadRow::Skip { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(count: u64, total: u64) -> BadRows {
        BadRows { total, count, ..BadRows::default() }
    }

    #[test]
    fn the_policy_is_kept() {
        assert!(bad(0, 10).check(OnBadRow::Stop).is_ok());
        assert!(matches!(bad(1, 1000).check(OnBadRow::Stop), Err(Error::BadRows { .. })));
        assert!(bad(10, 1000).check(OnBadRow::default()).is_ok());
        assert!(matches!(bad(11, 1000).check(OnBadRow::default()), Err(Error::TooManyBadRows { .. })));
        assert!(matches!(bad(0, 1).check(OnBadRow::Skip { max_share: f64::NAN }), Err(Error::Argument { .. })));
    }
}
