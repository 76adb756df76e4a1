//! What an answer is worth by the truth that its row brings: the gold of a world that was generated.
//!
//! The row's `truth` says what an answer can be found to do, and by which phrases; its `worth` says what each of that is worth.
//! The reward is their sum. As it is exact, what a learned reward is worth can be held against it.

use super::reward::Rollout;
use super::rule::{EachBy, Rule};
use groma_data::Truth;
use std::collections::BTreeMap;

pub(super) const RULE: Rule = Rule {
    id: "truth",
    title: "The truth of the row",
    paper: "arXiv:2210.10760",
    doc: "The sum of the row's worth {name: number} over what its truth {name: check} finds the completion to do: the gold of rows such as `village:train/prompts`.",
    parameters: &[],
    build: |_, _| Ok(Box::new(EachBy(score))),
};

/// Nothing of rows that lack either.
fn score(rollout: &Rollout<'_>) -> Option<f64> {
    let truth: Truth = serde_json::from_value(rollout.columns.get("truth")?.clone()).ok()?;
    let worth: BTreeMap<String, f64> = serde_json::from_value(rollout.columns.get("worth")?.clone()).ok()?;
    Some(truth.worth(&worth, rollout.completion))
}
