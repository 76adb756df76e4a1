//! What an answer is worth by the truth that its row brings: the gold of a world that was generated.
//!
//! The row's `truth` says what an answer can be found to do, and by which phrases; its `worth` says what each of that is worth.
//! The reward is their sum. As it is exact, what a learned reward is worth can be held against it.

use super::reward::Rollout;
use super::rule::{EachBy, Rule, Wanted};
use groma_data::Truth;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

pub(super) const RULE: Rule = Rule {
    id: "truth",
    title: "The truth of the row",
    paper: "arXiv:2210.10760",
    doc: "The sum of the row's worth {name: number} over what its truth {name: check} finds the completion to do: the gold of rows such as `village:train/prompts`.",
    parameters: &[],
    wants: |_| Some(Wanted::new("truth and worth", |columns| read(columns).is_some())),
    build: |_, _| Ok(Box::new(EachBy(score))),
};

/// Nothing of rows that lack either.
fn score(rollout: &Rollout<'_>) -> Option<f64> {
    let (truth, worth) = read(rollout.columns)?;
    Some(truth.worth(&worth, rollout.completion))
}

/// What an answer can be found to do, and what that is worth.
fn read(columns: &Map<String, Value>) -> Option<(Truth, BTreeMap<String, f64>)> {
    let truth = Truth::deserialize(columns.get("truth")?).ok()?;
    let worth = BTreeMap::deserialize(columns.get("worth")?).ok()?;
    Some((truth, worth))
}
