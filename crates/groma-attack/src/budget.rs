//! What an attack on one goal may take, and what it took.

use serde::{Deserialize, Serialize};

/// What an attack may take for one goal. What is not given is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Questions to the target: replies, and texts whose likelihood or gradient is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queries: Option<u64>,
    /// Tokens that the target works through; exceeded by what was on its way when it is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Seconds of work. Where they end an attack, another machine ends it elsewhere; the other two limits do not depend on that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

/// What was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// See [`Budget::queries`].
    pub queries: u64,
    /// See [`Budget::tokens`].
    pub tokens: u64,
    /// See [`Budget::seconds`].
    pub seconds: f64,
}

impl Budget {
    /// What is wrong with it, in words: with nothing to spend, nothing can be attacked.
    pub fn problem(&self) -> Option<String> {
        let nothing = |name: &str| Some(format!("a budget of no {name} leaves nothing to attack with"));
        match self {
            Budget { queries: Some(0), .. } => nothing("queries"),
            Budget { tokens: Some(0), .. } => nothing("tokens"),
            Budget { seconds: Some(seconds), .. } if !(seconds.is_finite() && *seconds > 0.0) => nothing("seconds"),
            _ => None,
        }
    }

    /// Queries that are left; none once tokens or seconds are spent.
    pub fn left(&self, spent: &Spent) -> u64 {
        let over = self.tokens.is_some_and(|most| spent.tokens >= most)
            || self.seconds.is_some_and(|most| spent.seconds >= most);
        if over { 0 } else { self.queries.map_or(u64::MAX, |most| most.saturating_sub(spent.queries)) }
    }

    /// In words, as a factor of results.
    pub fn words(&self) -> String {
        let count = |number: Option<u64>, unit: &str| number.map(|number| format!("{number} {unit}"));
        let seconds = self.seconds.map(|seconds| format!("{seconds} s"));
        let parts: Vec<String> =
            [count(self.queries, "queries"), count(self.tokens, "tokens"), seconds].into_iter().flatten().collect();
        if parts.is_empty() { "unlimited".to_owned() } else { parts.join(", ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_what_no_limit_forbids() {
        let spent = Spent { queries: 3, tokens: 50, seconds: 1.0 };
        assert_eq!(Budget::default().left(&spent), u64::MAX);
        assert_eq!(Budget { queries: Some(5), ..Budget::default() }.left(&spent), 2);
        assert_eq!(Budget { queries: Some(2), ..Budget::default() }.left(&spent), 0);
        assert_eq!(Budget { queries: Some(5), tokens: Some(50), seconds: None }.left(&spent), 0);
        assert_eq!(Budget { queries: Some(5), tokens: None, seconds: Some(0.5) }.left(&spent), 0);
        assert!(Budget { tokens: Some(0), ..Budget::default() }.problem().is_some());
        assert!(Budget { seconds: Some(f64::NAN), ..Budget::default() }.problem().is_some());
        assert_eq!(Budget { queries: Some(9), tokens: None, seconds: Some(2.5) }.words(), "9 queries, 2.5 s");
    }
}
