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
    wants: |_| Some(wants_right_answer()),
    build: |_, _| Ok(Box::new(EachBy(score))),
};

fn score(rollout: &Rollout<'_>) -> Option<f64> {
    let answer = right_answer(rollout)?;
    Some(f64::from(u8::from(rollout.completion.trim() == answer.trim())))
}

/// What rows must have where an answer is held against the right one.
pub(super) fn wants_right_answer() -> Wanted {
    Wanted::new("answer, solution or ground_truth", |columns| answer(columns).is_some())
}

/// The answer that the row brings.
pub(super) fn right_answer(rollout: &Rollout<'_>) -> Option<String> {
    rollout.answer().and_then(written)
}

/// What a column holds, as a text; nothing where it is null.
pub(super) fn written(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::written;
    use serde_json::json;

    #[test]
    fn answers_are_texts_or_written_as_such() {
        let texts = [json!("two"), json!(2), json!(null)].map(|value| written(&value));
        assert_eq!(texts, [Some("two".to_owned()), Some("2".to_owned()), None]);
    }
}
