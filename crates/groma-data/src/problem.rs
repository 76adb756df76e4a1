//! Bad rows: named, counted, and never dropped in silence.

use std::fmt;

use crate::location::Location;
use groma_run::{counted, is_or_are};

/// The most bad rows that a message names; the rest is counted.
pub const MAX_PROBLEMS_SHOWN: usize = 10;

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
}

impl fmt::Display for BadRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} {} bad", self.count, counted(self.total, "row"), is_or_are(self.count))?;
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
}
