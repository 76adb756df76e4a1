//! 1 where an expression matches: formats, words that ought to be said. The expressions cannot backtrack.

use super::parts::Part;
use super::reward::{Reward, Rollout};
use super::rule::Rule;
use crate::parameter::{Kind, Parameter};
use crate::{Error, Hyperparameters};
use groma_run::Cancel;

pub(super) const RULE: Rule = Rule {
    id: "regex",
    title: "A pattern",
    paper: "arXiv:2501.12948",
    doc: "1 where the pattern matches somewhere in the completion, else 0.",
    parameters: &[Parameter {
        name: PATTERN,
        kind: Kind::Text,
        default: "null",
        range: None,
        doc: "A regular expression of the Rust crate regex, such as (?s)<think>.*</think>.",
    }],
    wants: |_| None,
    build: |settings, _| {
        let pattern =
            regex::Regex::new(wanted(settings)).map_err(|error| settings.invalid(PATTERN, error.to_string()))?;
        if wanted(settings).is_empty() {
            return Err(settings.invalid(PATTERN, "must be given"));
        }
        Ok(Box::new(Pattern(pattern)))
    },
};

const PATTERN: &str = "regex_pattern";

fn wanted(settings: &Hyperparameters) -> &str {
    settings.values.get(PATTERN).and_then(serde_json::Value::as_str).unwrap_or_default()
}

struct Pattern(regex::Regex);

impl Reward for Pattern {
    fn score(&self, rollouts: &[Rollout<'_>], _: &Cancel) -> Result<Vec<Option<f64>>, Error> {
        let one = |rollout: &Rollout<'_>| Some(f64::from(u8::from(self.0.is_match(rollout.completion))));
        Ok(rollouts.iter().map(one).collect())
    }

    fn judges_parts(&self) -> bool {
        true
    }

    /// The first match.
    fn parts(&self, rollouts: &[Rollout<'_>], _: &Cancel) -> Result<Vec<Option<Vec<Part>>>, Error> {
        let first = |rollout: &Rollout<'_>| self.0.find(rollout.completion).map(|found| found.end());
        let part = |end: Option<usize>| Some(end.into_iter().map(|end| Part { end, worth: 1.0 }).collect());
        Ok(rollouts.iter().map(|rollout| part(first(rollout))).collect())
    }
}
