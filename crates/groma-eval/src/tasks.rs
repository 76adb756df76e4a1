//! The tasks, one file each.
//!
//! A new task is a new file with one record, and a line in [`TASKS`].

mod arc;
mod boolq;
mod exact_answers;
mod hellaswag;
mod mmlu;
mod perplexity;
mod politeness;
mod preference;
mod refusal;
mod truthfulqa;
mod xstest;

use crate::Error;
use crate::task::Task;

/// All tasks, in the order in which they are listed.
pub static TASKS: &[&Task] = &[
    &perplexity::TASK,
    &preference::TASK,
    &arc::EASY,
    &arc::CHALLENGE,
    &hellaswag::TASK,
    &boolq::TASK,
    &mmlu::TASK,
    &truthfulqa::MC1,
    &truthfulqa::MC2,
    &xstest::TASK,
    &refusal::HARMFUL,
    &refusal::HARMLESS,
    &exact_answers::TASK,
    &politeness::TASK,
];

/// Names that are closer than this are suggested.
const SIMILAR: f64 = 0.6;

/// The task of this name or other name; case does not matter, and `_` and `-` are the same.
///
/// # Errors
/// [`Error::UnknownTask`], with the closest name.
pub fn find(name: &str) -> Result<&'static Task, Error> {
    let wanted = plain(name);
    let named = TASKS.iter().flat_map(|task| names(task).map(move |name| (name, *task)));
    if let Some((_, task)) = named.clone().find(|(name, _)| plain(name) == wanted) {
        return Ok(task);
    }
    let closeness = |name: &str| strsim::jaro_winkler(&plain(name), &wanted);
    let best = named.map(|(name, _)| (closeness(name), name)).max_by(|a, b| a.0.total_cmp(&b.0));
    let suggestion = best.filter(|(closeness, _)| *closeness > SIMILAR).map(|(_, name)| name.to_owned());
    Err(Error::UnknownTask { name: name.to_owned(), suggestion })
}

fn names(task: &'static Task) -> impl Iterator<Item = &'static str> + Clone {
    std::iter::once(task.id).chain(task.aliases.iter().copied())
}

fn plain(name: &str) -> String {
    name.trim().to_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_records_complete() {
        let mut seen = BTreeSet::new();
        for task in TASKS {
            for name in names(task) {
                assert!(seen.insert(plain(name)), "{name} twice");
            }
            let metrics: BTreeSet<&str> = task.metrics.iter().map(|metric| metric.id).collect();
            assert!(!metrics.is_empty() && metrics.len() == task.metrics.len(), "{}", task.id);
            for text in [task.title, task.paper, task.source, task.mode, &task.expected()] {
                assert!(!text.is_empty(), "{}", task.id);
            }
        }
    }

    #[test]
    fn tasks_are_found_or_suggested() {
        assert_eq!(find("TruthfulQA_mc1").unwrap().id, "truthfulqa-mc1");
        assert_eq!(find("arc_easy").unwrap().id, "arc-easy");
        let error = find("helaswag").unwrap_err().to_string();
        assert!(error.contains("did you mean `hellaswag`?"), "{error}");
        assert!(!find("zzzzzz").unwrap_err().to_string().contains("did you mean"));
    }
}
