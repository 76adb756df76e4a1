//! Multiple choice by log-likelihood, scored as lm-evaluation-harness does.

use crate::item::{Item, Key, Scores, scores};
use crate::request::{Answer, Failure, Request};
use crate::task::{Metric, Tools};
use groma_stats::formulas::MEAN;
use groma_stats::{MEAN_OF_GROUPS, below};
use std::sync::Arc;

/// How tasks ask that take worked examples; the number of these is added where a result is told.
pub(crate) const MODE: &str = "log-likelihood of each choice";

/// Between a question and its answer.
const DELIMITER: &str = " ";

/// What a set of choice scores gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChoicePrediction {
    /// The most likely choice; the first of equals.
    pub plain: usize,
    /// The choice with the highest log-likelihood a character (delimiter aside).
    pub by_characters: usize,
    /// The choice with the highest log-likelihood a UTF-8 byte.
    pub by_bytes: usize,
}

/// Predictions from the log-likelihoods of `choices`.
pub fn predict(log_likelihoods: &[f64], choices: &[String]) -> ChoicePrediction {
    let over = |length: fn(&str) -> usize| {
        let normalised: Vec<f64> =
            log_likelihoods.iter().zip(choices).map(|(value, choice)| value / length(choice) as f64).collect();
        first_largest(&normalised)
    };
    ChoicePrediction {
        plain: first_largest(log_likelihoods),
        by_characters: over(|choice| choice.chars().count()),
        by_bytes: over(str::len),
    }
}

/// Index of the largest value, the first of equals. As with numpy's argmax, the first NaN wins.
pub(crate) fn first_largest(values: &[f64]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if values[best].is_nan() {
            break;
        }
        if *value > values[best] || value.is_nan() {
            best = index;
        }
    }
    best
}

/// An item that asks for each choice after one context, with a space between.
pub(crate) fn choice_item(context: String, choices: Vec<String>, gold: usize) -> Item {
    let mut item = Item {
        reference: choices.get(gold).cloned(),
        prompt: context,
        key: Key::Choice { choices, gold },
        ..Item::default()
    };
    ask(&mut item, "");
    item
}

/// Makes a choice item's requests: each choice after the preamble, `examples` and the question.
pub(crate) fn ask(item: &mut Item, examples: &str) {
    if let Key::Choice { choices, .. } = &item.key {
        let context: Arc<str> = [&item.preamble, examples, &item.prompt].concat().into();
        let request = |choice: &String| Request::Continuation {
            context: context.clone(),
            continuation: [DELIMITER, choice].concat(),
        };
        item.requests = choices.iter().map(request).collect();
    }
}

/// A choice item with its answer, as it stands among worked examples.
pub(crate) fn worked(item: &Item) -> String {
    [&item.prompt, DELIMITER, item.reference.as_deref().unwrap_or_default(), "\n\n"].concat()
}

/// Scores of a [`Key::Choice`] item: `acc`, `acc_norm`, `acc_bytes`, `chance` (1 / choices), `random_choice` (the null
/// control: a seeded guess), `choice` (the index of the prediction) and `logp_0`, `logp_1`, ...
pub(crate) fn score_choice(item: &Item, answers: &[Answer], tools: &Tools<'_>) -> Result<Vec<Scores>, Failure> {
    let Key::Choice { choices, gold } = &item.key else { return Err(Failure::WrongKind) };
    let logps = log_likelihoods(answers)?;
    let predicted = predict(&logps, choices);
    let is_gold = |choice: usize| f64::from(u8::from(choice == *gold));
    let name = item.id.as_deref().unwrap_or(&item.prompt);
    let guess = below(choices.len(), &mut tools.seed.named("random choice").named(name).rng());
    let mut found = scores([
        ("acc", is_gold(predicted.plain)),
        ("acc_norm", is_gold(predicted.by_characters)),
        ("acc_bytes", is_gold(predicted.by_bytes)),
        ("chance", 1.0 / choices.len() as f64),
        ("random_choice", is_gold(guess)),
        ("choice", predicted.plain as f64),
    ]);
    found.extend(logps.iter().enumerate().map(|(index, logp)| (format!("logp_{index}"), *logp)));
    Ok(vec![found])
}

pub(crate) fn log_likelihoods(answers: &[Answer]) -> Result<Vec<f64>, Failure> {
    answers.iter().map(|answer| Ok(answer.scored()?.logp)).collect()
}

pub(crate) const ACC: Metric =
    Metric::share("acc", "share of items whose most likely choice is the right one").with_chance("chance");
pub(crate) const ACC_NORM: Metric =
    Metric::share("acc_norm", "the same by log-likelihood a character").with_chance("chance");
pub(crate) const ACC_BYTES: Metric =
    Metric::share("acc_bytes", "the same by log-likelihood a byte").with_chance("chance");
pub(crate) const ACC_SUBJECTS: Metric = Metric::share("acc_subjects", "mean over subjects of the subject's acc")
    .of(&["acc"], &MEAN)
    .across(&MEAN_OF_GROUPS)
    .with_chance("chance");
pub(crate) const RANDOM_CHOICE: Metric =
    Metric::share("random_choice", "null control: a seeded guess instead of the model").with_chance("chance").control();

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::RefusalReader;
    use crate::request::Scored;
    use groma_run::Seed;

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn normalisations_differ_as_they_should() {
        let choices = strings(&["no", "very long choice", "ééé"]);
        let found = predict(&[-4.0, -16.0, -4.5], &choices);
        assert_eq!(found, ChoicePrediction { plain: 0, by_characters: 1, by_bytes: 2 });
    }

    #[test]
    fn ties_go_to_the_first() {
        assert_eq!(first_largest(&[-2.0, -1.0, -1.0]), 1);
        assert_eq!(first_largest(&[f64::NEG_INFINITY, f64::NEG_INFINITY]), 0);
        assert_eq!(first_largest(&[1.0, f64::NAN, 2.0]), 1);
        assert_eq!(predict(&[-1.0, -1.0], &strings(&["", ""])).by_characters, 0);
    }

    #[test]
    fn an_item_is_scored_whole_or_not_at_all() {
        let item = choice_item("Q:".to_owned(), strings(&["a", "b"]), 1);
        let reader = RefusalReader::built_in().unwrap();
        let tools = Tools { refusals: &reader, seed: Seed::new(0) };
        let answer = |logp| Answer::Scored(Scored { logp, tokens: 1, is_greedy: false, was_cut: false });
        let found = score_choice(&item, &[answer(-2.0), answer(-1.0)], &tools).unwrap().remove(0);
        assert_eq!((found["acc"], found["chance"], found["choice"], found["logp_0"]), (1.0, 0.5, 1.0, -2.0));
        assert_eq!(score_choice(&item, &[answer(-2.0), answer(f64::NAN)], &tools), Err(Failure::NotFinite));
    }

    #[test]
    fn the_random_guess_is_at_chance() {
        let reader = RefusalReader::built_in().unwrap();
        let tools = Tools { refusals: &reader, seed: Seed::new(0) };
        let answer = Answer::Scored(Scored { logp: -1.0, tokens: 1, is_greedy: false, was_cut: false });
        let hits: f64 = (0..4000)
            .map(|number| {
                let item = choice_item(format!("Q{number}"), strings(&["a", "b", "c", "d"]), number % 4);
                score_choice(&item, &vec![answer.clone(); 4], &tools).unwrap()[0]["random_choice"]
            })
            .sum();
        assert!((900.0..1100.0).contains(&hits), "{hits}");
    }
}
