//! Multiple choice by log-likelihood, scored as lm-evaluation-harness does.

use super::answers::log_likelihoods;
use super::questions::{after_one, delimiter};
use super::scorer::{Scorer, Tools};
use crate::columns::Fields;
use crate::form::Form;
use crate::item::{Item, Key};
use crate::metric::Metric;
use crate::scores::{Scores, scores, share};
use groma_lm::{Answer, Failure, Kind};
use groma_stats::formulas::MEAN;
use groma_stats::{MEAN_OF_GROUPS, below};

/// Each choice after one context; or, with `contexts`, one continuation after each context.
pub(crate) static SCORER: Scorer = Scorer {
    id: "choice",
    mode: "log-likelihood of each choice",
    kind: Kind::Continuation,
    needs: &["gold"],
    reads: &["prompt", "choices", "contexts", "continuation", "roles", "condition", "delimiter"],
    item,
    judge: None,
    score: score_choice,
    metrics: &[ACC_NORM, ACC, ACC_BYTES, ACC_SUBJECTS, RANDOM_CHOICE],
};

fn item(form: &Form, row: &Fields) -> Result<Item, String> {
    let mut item = match form.optional_list("contexts", row)? {
        Some(contexts) => {
            let gold = form.gold("gold", row, contexts.len())?;
            one_of_contexts(contexts, &[delimiter(form, row)?, form.text("continuation", row)?].concat(), gold)
        }
        None => {
            let choices = choices(form, row)?;
            let gold = form.gold("gold", row, choices.len())?;
            choice_item(form.filtered(form.text("prompt", row)?), choices, gold, &delimiter(form, row)?)
        }
    };
    if let Key::Choice { choices, roles, condition, .. } = &mut item.key {
        *condition = form.optional_text("condition", row)?;
        *roles = form.optional_text("roles", row)?.unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        if !roles.is_empty() && roles.len() != choices.len() {
            return Err(format!(
                "`roles` has {} for {}",
                groma_run::counted(roles.len(), "word"),
                groma_run::counted(choices.len(), "choice")
            ));
        }
    }
    Ok(item)
}

/// The choices of a row, at least one.
pub(crate) fn choices(form: &Form, row: &Fields) -> Result<Vec<String>, String> {
    let choices: Vec<String> = form.list("choices", row)?.into_iter().map(|choice| form.filtered(choice)).collect();
    if choices.is_empty() { Err("there is no choice".to_owned()) } else { Ok(choices) }
}

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

/// An item that asks for each choice after one context.
pub(crate) fn choice_item(context: String, choices: Vec<String>, gold: usize, delimiter: &str) -> Item {
    let continuations: Vec<String> = choices.iter().map(|choice| [delimiter, choice].concat()).collect();
    Item {
        reference: choices.get(gold).cloned(),
        answer: continuations.get(gold).cloned().unwrap_or_default(),
        requests: after_one(&context, continuations),
        prompt: context,
        key: Key::Choice { choices, gold, roles: Vec::new(), condition: None },
        ..Item::default()
    }
}

/// An item that asks for one continuation after each of several contexts.
fn one_of_contexts(contexts: Vec<String>, continuation: &str, gold: usize) -> Item {
    Item {
        requests: contexts.iter().flat_map(|context| after_one(context, [continuation.to_owned()])).collect(),
        reference: contexts.get(gold).cloned(),
        answer: continuation.to_owned(),
        prompt: contexts.get(gold).cloned().unwrap_or_default(),
        key: Key::Choice { choices: contexts, gold, roles: Vec::new(), condition: None },
        ..Item::default()
    }
}

/// Scores of a [`Key::Choice`] item: `acc`, `acc_norm`, `acc_bytes`, `chance` (1 / choices), `random_choice` (the null
/// control: a seeded guess), `choice` (the index of the prediction) and `logp_0`, `logp_1`, ... Where choices have roles,
/// there is a score for each role: whether the prediction has it. Where the item is of a condition, they stand under
/// its name, such as `ambig.biased`, and so does `acc` once more.
fn score_choice(item: &Item, answers: &[Answer], tools: &Tools<'_>) -> Result<Vec<Scores>, Failure> {
    let Key::Choice { choices, gold, roles, condition } = &item.key else { return Err(Failure::WrongKind) };
    let logps = log_likelihoods(answers)?;
    let predicted = predict(&logps, choices);
    let is_gold = |choice: usize| share(choice == *gold);
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
    let under = |name: &str| condition.as_ref().map_or(name.to_owned(), |condition| format!("{condition}.{name}"));
    found.insert(under("acc"), is_gold(predicted.plain));
    for role in roles {
        found.insert(under(role), share(roles[predicted.plain] == *role));
    }
    Ok(vec![found])
}

const ACC: Metric =
    Metric::share("acc", "share of items whose most likely choice is the right one").with_chance("chance");
const ACC_NORM: Metric = Metric::share("acc_norm", "the same by log-likelihood a character").with_chance("chance");
const ACC_BYTES: Metric = Metric::share("acc_bytes", "the same by log-likelihood a byte").with_chance("chance");
const ACC_SUBJECTS: Metric = Metric::share("acc_subjects", "mean over subjects of the subject's acc")
    .of(&["acc"], &MEAN)
    .across(&MEAN_OF_GROUPS)
    .with_chance("chance");
pub(crate) const RANDOM_CHOICE: Metric =
    Metric::share("random_choice", "null control: a seeded guess instead of the model").with_chance("chance").control();

#[cfg(test)]
mod tests {
    use super::super::testing::{likelihood, scored};
    use super::*;

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
        let item = choice_item("Q:".to_owned(), strings(&["a", "b"]), 1, " ");
        let answer = |logp| Answer::Scored(likelihood(logp, 1));
        let found = scored(&SCORER, &item, &[answer(-2.0), answer(-1.0)]).unwrap().remove(0);
        assert_eq!((found["acc"], found["chance"], found["choice"], found["logp_0"]), (1.0, 0.5, 1.0, -2.0));
        assert_eq!(scored(&SCORER, &item, &[answer(-2.0), answer(f64::NAN)]), Err(Failure::NotFinite));
    }

    #[test]
    fn roles_are_scored_under_their_condition() {
        let mut item = choice_item("Q:".to_owned(), strings(&["a", "b", "c"]), 2, " ");
        let key = |roles: &[&str], condition: Option<&str>| Key::Choice {
            choices: strings(&["a", "b", "c"]),
            gold: 2,
            roles: strings(roles),
            condition: condition.map(str::to_owned),
        };
        let answers = [-1.0, -3.0, -2.0].map(|logp| Answer::Scored(likelihood(logp, 1)));
        item.key = key(&["biased", "counter", "unknown"], Some("ambig"));
        let found = scored(&SCORER, &item, &answers).unwrap().remove(0);
        let roles = ["ambig.biased", "ambig.counter", "ambig.unknown", "ambig.acc", "acc"].map(|name| found[name]);
        assert_eq!(roles, [1.0, 0.0, 0.0, 0.0, 0.0]);
        item.key = key(&["x", "y", "x"], None);
        let found = scored(&SCORER, &item, &answers).unwrap().remove(0);
        assert_eq!((found["x"], found["y"]), (1.0, 0.0));
    }

    #[test]
    fn the_random_guess_is_at_chance() {
        let answer = Answer::Scored(likelihood(-1.0, 1));
        let hits: f64 = (0..4000)
            .map(|number| {
                let item = choice_item(format!("Q{number}"), strings(&["a", "b", "c", "d"]), number % 4, " ");
                scored(&SCORER, &item, &vec![answer.clone(); 4]).unwrap()[0]["random_choice"]
            })
            .sum();
        assert!((900.0..1100.0).contains(&hits), "{hits}");
    }
}
