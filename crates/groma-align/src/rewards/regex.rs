//! 1 where an expression matches: formats, words that ought to be said. The expressions cannot backtrack.

use super::reward::Rollout;
use super::rule::{EachBy, Rule};
use crate::Hyperparameters;
use crate::parameter::{Kind, Parameter};

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
    build: |settings, _| {
        let pattern =
            regex::Regex::new(wanted(settings)).map_err(|error| settings.invalid(PATTERN, error.to_string()))?;
        if wanted(settings).is_empty() {
            return Err(settings.invalid(PATTERN, "must be given"));
        }
        Ok(Box::new(EachBy(move |rollout: &Rollout<'_>| {
            Some(f64::from(u8::from(pattern.is_match(rollout.completion))))
        })))
    },
};

const PATTERN: &str = "regex_pattern";

fn wanted(settings: &Hyperparameters) -> &str {
    settings.values.get(PATTERN).and_then(serde_json::Value::as_str).unwrap_or_default()
}
