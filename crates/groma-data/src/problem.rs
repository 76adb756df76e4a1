//! Bad rows: named, counted, and never dropped in silence.

use std::fmt;

use crate::error::{Error, Result};
use crate::location::Location;
use crate::message::Content;
use crate::row::Row;

/// The most bad rows that a message names; the rest is counted.
pub const MAX_PROBLEMS_SHOWN: usize = 10;

/// Characters of a row that a message quotes.
const EXCERPT_CHARACTERS: usize = 60;

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

/// One row that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowProblem {
    /// Where the row begins.
    pub location: Location,
    /// The byte in the line at which it went wrong, from 1, where that is known.
    pub column: Option<u64>,
    /// What is wrong.
    pub why: String,
    /// The text around the place, shortened, without control characters.
    pub excerpt: String,
}

impl RowProblem {
    /// A row that was read and shaped, and cannot be used all the same.
    pub fn of(row: &Row, why: String) -> Self {
        let said = row.prompt.as_ref().or(row.answer(0)).map(Content::plain).unwrap_or_default();
        let excerpt = excerpt(said.as_bytes(), 0);
        RowProblem { location: row.location.clone(), column: None, why, excerpt }
    }
}

impl fmt::Display for RowProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.location)?;
        if let Some(column) = self.column {
            write!(f, "{column}:")?;
        }
        write!(f, " {}", self.why)?;
        if !self.excerpt.is_empty() {
            write!(f, ", near `{}`", self.excerpt)?;
        }
        Ok(())
    }
}

/// The bad rows of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BadRows {
    /// Rows looked at, good and bad.
    pub total: u64,
    /// Bad rows.
    pub count: u64,
    /// The first [`MAX_PROBLEMS_SHOWN`] of them.
    pub shown: Vec<RowProblem>,
}

impl BadRows {
    /// The share of bad rows, 0 for an empty table.
    pub fn share(&self) -> f64 {
        if self.total == 0 { 0.0 } else { self.count as f64 / self.total as f64 }
    }

    /// None of so many.
    pub fn of(total: usize) -> Self {
        BadRows { total: total as u64, ..BadRows::default() }
    }

    /// Counts a bad row, and keeps it if it is one of the first.
    pub fn push(&mut self, problem: RowProblem) {
        self.count += 1;
        if self.shown.len() < MAX_PROBLEMS_SHOWN {
            self.shown.push(problem);
        }
    }

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

impl fmt::Display for BadRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} rows {} bad", self.count, self.total, if self.count == 1 { "is" } else { "are" })?;
        for problem in &self.shown {
            write!(f, "\n  {problem}")?;
        }
        let rest = self.count - self.shown.len() as u64;
        if rest > 0 {
            write!(f, "\n  and {rest} more")?;
        }
        Ok(())
    }
}

/// The text of a row around byte `at`, fit for a terminal: control, bidirectional and line-breaking characters escaped.
pub(crate) fn excerpt(bytes: &[u8], at: usize) -> String {
    let at = at.min(bytes.len());
    let start = at.saturating_sub(EXCERPT_CHARACTERS / 2);
    let end = bytes.len().min(start + 4 * EXCERPT_CHARACTERS);
    let text = String::from_utf8_lossy(&bytes[start..end]);
    let mut shown = String::new();
    let mut kept = 0;
    for (count, character) in text.trim_start_matches('\u{fffd}').trim().chars().enumerate() {
        if count == EXCERPT_CHARACTERS {
            shown.push('…');
            break;
        }
        kept += 1;
        if is_plain(character) { shown.push(character) } else { shown.extend(character.escape_unicode()) }
    }
    if start > 0 && kept > 0 { format!("…{shown}") } else { shown }
}

/// Whether a character can be shown in a terminal without side effects.
fn is_plain(character: char) -> bool {
    !character.is_control()
        && !matches!(character, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(count: u64, total: u64) -> BadRows {
        let mut bad = BadRows { total, ..BadRows::default() };
        for line in 0..count {
            bad.push(RowProblem {
                location: Location::new("rows.jsonl", line + 1),
                column: Some(3),
                why: "broken".to_owned(),
                excerpt: "{\"a".to_owned(),
            });
        }
        bad
    }

    #[test]
    fn names_ten_and_counts_the_rest() {
        let text = bad(14, 20).to_string();
        assert!(text.starts_with("14 of 20 rows are bad\n  rows.jsonl:1:3: broken, near `{\"a`"), "{text}");
        assert!(text.ends_with("and 4 more"), "{text}");
        assert_eq!(text.lines().count(), 12);
        assert!(!bad(1, 20).to_string().contains("more"));
    }

    #[test]
    fn the_policy_is_kept() {
        assert!(bad(0, 10).check(OnBadRow::Stop).is_ok());
        assert!(matches!(bad(1, 1000).check(OnBadRow::Stop), Err(Error::BadRows { .. })));
        assert!(bad(10, 1000).check(OnBadRow::default()).is_ok());
        assert!(matches!(bad(11, 1000).check(OnBadRow::default()), Err(Error::TooManyBadRows { .. })));
        assert!(matches!(bad(0, 1).check(OnBadRow::Skip { max_share: f64::NAN }), Err(Error::Argument { .. })));
    }

    #[test]
    fn excerpts_are_short_and_harmless() {
        assert_eq!(excerpt(b"", 7), "");
        assert_eq!(excerpt("a\u{1b}[2Kb\u{202e}c".as_bytes(), 0), "a\\u{1b}[2Kb\\u{202e}c");
        let long = "ä".repeat(500);
        assert!(excerpt(long.as_bytes(), 301).chars().count() <= EXCERPT_CHARACTERS + 2);
    }
}
