//! Which answers changed from one run to the other.

use std::collections::BTreeMap;

use groma_run::{Item, Measurement, Pairs, RunRecords, Sample, said_file};
use serde::Serialize;

/// Changed answers of one task that are kept as examples.
const MOST_EXAMPLES: usize = 200;

/// The answers of one task that are not the same in both runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChangedAnswers {
    /// The task.
    pub task: String,
    /// The metric by which they are better or worse.
    pub metric: String,
    /// Items that both runs have.
    pub shared: u64,
    /// Of those, items whose text changed, or whose score did where it is 0 or 1.
    pub changed: u64,
    /// Changed items with a better score.
    pub better: u64,
    /// Changed items with a worse score.
    pub worse: u64,
    /// The first of them, those with another score before the others.
    pub examples: Vec<ChangedAnswer>,
}

/// An answer that changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChangedAnswer {
    /// The item.
    pub id: String,
    /// What was asked, where the run kept it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// What the first run has.
    pub left: Option<String>,
    /// What the second run has.
    pub right: Option<String>,
    /// The metric's score of both, where it is made of one.
    pub scores: Option<(f64, f64)>,
    /// Whether it became better; none where the score is the same, or neither way is good.
    pub better: Option<bool>,
}

/// What changed in a task, of which these are the measurements of its headline metric; `None` where nothing can be said to
/// change: texts that are only scored.
pub(crate) fn answers(
    (first, left, before): (&RunRecords, &Measurement, &[Item]),
    (right, after): (&Measurement, &[Item]),
) -> Option<ChangedAnswers> {
    let score = match &left.statistic {
        Some(statistic) => statistic.scores.as_slice(),
        None => std::slice::from_ref(&left.metric),
    };
    let pairs = Pairs::of(before, after).items;
    let has_texts = pairs.iter().any(|(before, after)| before.output.is_some() || after.output.is_some());
    let mut changed: Vec<ChangedAnswer> = Vec::new();
    for (before, after) in &pairs {
        let of = |item: &Item| Some(item.scores_of(score.iter().map(String::as_str))?[0]).filter(|_| score.len() == 1);
        let scores = of(before).zip(of(after));
        let is_plain = |(a, b): (f64, f64)| [a, b].iter().all(|score| *score == 0.0 || *score == 1.0);
        let moved = scores.is_some_and(|(a, b)| a != b && (has_texts || is_plain((a, b))));
        if before.output == after.output && !moved {
            continue;
        }
        let better = right.higher_is_better.and_then(|up| scores.filter(|(a, b)| a != b).map(|(a, b)| (b > a) == up));
        changed.push(ChangedAnswer {
            id: before.id.clone(),
            prompt: None,
            left: before.output.clone(),
            right: after.output.clone(),
            scores,
            better,
        });
    }
    if !has_texts && changed.is_empty() && !all_plain(&pairs, score) {
        return None;
    }
    let count = |way| changed.iter().filter(|answer| answer.better == Some(way)).count() as u64;
    let (better, worse, total) = (count(true), count(false), changed.len() as u64);
    changed.sort_by_key(|answer| answer.better.is_none()); // stable
    changed.truncate(MOST_EXAMPLES);
    add_prompts(first, left, &mut changed);
    Some(ChangedAnswers {
        task: left.task.clone(),
        metric: left.metric.clone(),
        shared: pairs.len() as u64,
        changed: total,
        better,
        worse,
        examples: changed,
    })
}

type Pair<'a> = (std::borrow::Cow<'a, Item>, std::borrow::Cow<'a, Item>);

fn all_plain(pairs: &[Pair<'_>], score: &[String]) -> bool {
    let plain = |item: &Item| score.iter().all(|name| item.scores.get(name).is_none_or(|s| *s == 0.0 || *s == 1.0));
    !pairs.is_empty() && pairs.iter().all(|(before, after)| plain(before) && plain(after))
}

/// Prompts from the file with what was said, where there is one.
fn add_prompts(records: &RunRecords, about: &Measurement, changed: &mut [ChangedAnswer]) {
    let Ok(rows) = records.samples(&said_file(&about.subject, &about.task)) else { return };
    let prompts: BTreeMap<String, String> =
        rows.filter_map(Result::ok).map(|Sample { id, prompt, .. }| (id, prompt)).collect();
    changed.iter_mut().for_each(|answer| answer.prompt = prompts.get(&answer.id).cloned());
}
