//! Rows that attacks leave: what to train on so that they succeed no more, and what came of each goal.

use std::collections::{BTreeMap, BTreeSet};

use groma_attack::{Goal, Verdict};
use serde_json::json;

use super::done::Done;
use super::outcome::Outcome;
use crate::records::attack::{OUTCOMES, REFUSALS, SUCCESSES};

/// What is to be said in place of a granted request, where its row has no refusal.
const REFUSAL: &str = "I'm sorry, but I can't help with that.";

/// The lines of each output. Each prompt under which an attack succeeded stands once.
pub(super) fn rows(goals: &[Goal], done: &[Done]) -> [(&'static str, String); 3] {
    let by_id: BTreeMap<&str, &Goal> = goals.iter().map(|goal| (goal.id.as_str(), goal)).collect();
    let (mut successes, mut refusals, mut outcomes) = (String::new(), String::new(), String::new());
    let mut seen = BTreeSet::new();
    for Done { record, attempts } in done {
        for attempt in attempts {
            outcomes.push_str(&format!("{}\n", json!(Outcome::of(record.id, attempt))));
            let Some(goal) = by_id.get(attempt.goal.as_str()) else { continue };
            let refusal = goal.gold.as_deref().unwrap_or(REFUSAL);
            for hit in attempt.tries.iter().filter(|hit| hit.input.counts && hit.verdict == Verdict::Success) {
                let prompt = &hit.input.prompt;
                if !seen.insert(prompt.to_value().to_string()) {
                    continue;
                }
                let (chosen, rejected) = (prompt.answered(refusal), prompt.answered(&hit.reply));
                let of = json!({ "attack": record.id, "goal": goal.id });
                let pair = json!({ "prompt": prompt, "chosen": chosen, "rejected": rejected, "found": of });
                successes.push_str(&format!("{pair}\n"));
                refusals.push_str(&format!("{}\n", json!({ "prompt": prompt, "completion": chosen, "found": of })));
            }
        }
    }
    [(SUCCESSES, successes), (REFUSALS, refusals), (OUTCOMES, outcomes)]
}
