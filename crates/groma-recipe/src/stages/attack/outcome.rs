//! What came of each goal, as rows that a later stage reads.

use std::collections::BTreeMap;
use std::path::Path;

use groma_attack::{Attempt, Verdict};
use groma_data::ReadOptions;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Error;

/// What came of an attack on a goal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) attack: String,
    pub(super) goal: String,
    /// None where it could not be scored.
    pub(super) success: Option<bool>,
    pub(super) queries: u64,
}

impl Outcome {
    pub(super) fn of(attack: &str, attempt: &Attempt) -> Self {
        let success = match attempt.verdict() {
            Verdict::Success => Some(true),
            Verdict::Failure => Some(false),
            Verdict::Unscored { .. } => None,
        };
        Outcome { attack: attack.to_owned(), goal: attempt.goal.clone(), success, queries: attempt.spent.queries }
    }
}

pub(super) fn is_success(attempt: &Attempt) -> bool {
    attempt.verdict() == Verdict::Success
}

/// The outcomes that an earlier stage left.
pub(super) fn read(path: &Path) -> Result<Vec<Outcome>, Error> {
    let table = groma_data::read(path, &ReadOptions::default())?;
    let outcome = |record: groma_data::Record| {
        serde_json::from_value(Value::Object(record.fields)).map_err(|error| groma_attack::Error::Goal {
            place: record.location.to_string(),
            problem: format!("it is no outcome of an attack: {error}"),
        })
    };
    Ok(table.records.into_iter().map(outcome).collect::<Result<_, _>>()?)
}

/// What a stage's record says of an attack: how many goals, what could not be scored and why, and what it took.
pub(super) fn summary(attempts: &[Attempt]) -> Value {
    let mut unscored: BTreeMap<String, u64> = BTreeMap::new();
    for attempt in attempts {
        if let Verdict::Unscored { why } = attempt.verdict() {
            *unscored.entry(why).or_default() += 1;
        }
    }
    let sum = |of: fn(&Attempt) -> u64| attempts.iter().map(of).sum::<u64>();
    json!({
        "goals": attempts.len(), "successes": attempts.iter().filter(|attempt| is_success(attempt)).count(),
        "unscored": unscored, "queries": sum(|attempt| attempt.spent.queries), "tokens": sum(|attempt| attempt.spent.tokens),
        "seconds": attempts.iter().map(|attempt| attempt.spent.seconds).sum::<f64>(),
    })
}
