//! 1 for the right answer, 0 for another one: the rule behind reinforcement learning with verifiable rewards.
//!
//! Lambert et al. 2024, arXiv 2411.15124. The answer is the row's `answer`, `solution` or `ground_truth`; white space at both
//! ends does not count. Rows without one get no value.

use super::reward::{Rollout, answer};
use super::rule::{EachBy, Rule, Wanted};
use serde_json::Value;

pub(super) const RULE: Rule = Rule {
    id: "exact_match",
    title: "The right answer",
    paper: "arXiv:2411.15124",
    doc: "1 where the completion is the row's answer, solution or ground_truth, else 0.",
    parameters: &[],
    wants: |_| Some(RIGHT_ANSWER),
    build: |_, _| Ok(Box::new(EachBy(score))),
};

fn score(rollout: &Rollout<'_>) -> Option<f64> {
    let answer = right_answer(rollout)?;
    Some(f64::from(u8::from(rollout.completion.trim() == answer.trim())))
}

/// What rows must have where an answer is held against the right one.
pub(super) const RIGHT_ANSWER: Wanted =
    Wanted { columns: "answer, solution or ground_truth", has: |columns| answer(columns).is_some() };

/// The answer that the row brings.
pub(super) fn right_answer(rollout: &Rollout<'_>) -> Option<String> {
    match rollout.answer()? {
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}
