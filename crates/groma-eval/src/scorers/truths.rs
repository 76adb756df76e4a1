//! Several true choices: how much of the probability is on them?

use super::answers::log_likelihoods;
use super::choice::{choice_item, choices};
use super::questions::delimiter;
use super::scorer::{Scorer, Tools};
use crate::columns::Fields;
use crate::form::Form;
use crate::item::{Item, Key};
use crate::metric::Metric;
use crate::scores::{Scores, scores};
use groma_lm::{Answer, Failure, Kind};
use groma_run::Unit;

/// Each choice after one context, several of them true.
pub(crate) static SCORER: Scorer = Scorer {
    id: "truths",
    mode: "log-likelihood of each choice",
    kind: Kind::Continuation,
    needs: &["prompt"],
    reads: &["choices", "truths", "true_choices", "false_choices", "delimiter"],
    item,
    judge: None,
    score: score_truths,
    metrics: &[
        Metric {
            higher_is_better: Some(true),
            ..Metric::mean("acc", "mean over questions of the probability of all true answers (mc2)", Unit::Share)
                .with_chance("chance")
        },
        Metric::mean("mc3", "mean share of true answers that are likelier than every false one", Unit::Share),
    ],
};

/// The true choices and then the false ones; or choices of which a column says which are true.
fn item(form: &Form, row: &Fields) -> Result<Item, String> {
    let (choices, truths) = match form.optional_list("true_choices", row)? {
        Some(mut choices) => {
            let others = form.list("false_choices", row)?;
            let truths = [vec![true; choices.len()], vec![false; others.len()]].concat();
            choices.extend(others);
            (choices, truths)
        }
        None => {
            let choices = choices(form, row)?;
            let truths = form.truths(row, choices.len())?.ok_or("its form has neither `truths` nor `true_choices`")?;
            (choices, truths)
        }
    };
    if !truths.contains(&true) || !truths.contains(&false) {
        return Err("there must be true and false answers".to_owned());
    }
    let gold = truths.iter().position(|truth| *truth).unwrap_or(0);
    Ok(Item {
        key: Key::Truths(truths),
        ..choice_item(form.text("prompt", row)?, choices, gold, &delimiter(form, row)?)
    })
}

/// `acc`: the true answers' share of all probability, by log-sum-exp, so that long answers do not underflow; `mc3`: the
/// share of true answers that beat every false one; `chance`: the share of true answers.
fn score_truths(item: &Item, answers: &[Answer], _: &Tools<'_>) -> Result<Vec<Scores>, Failure> {
    let Key::Truths(truths) = &item.key else { return Err(Failure::WrongKind) };
    let logps = log_likelihoods(answers)?;
    let of = |wanted: bool| logps.iter().zip(truths).filter(move |(_, truth)| **truth == wanted).map(|(logp, _)| *logp);
    let count = of(true).count() as f64;
    let best_false = of(false).fold(f64::NEG_INFINITY, f64::max);
    let mut found = scores([
        ("acc", (log_sum_exp(of(true)) - log_sum_exp(logps.iter().copied())).exp()),
        ("mc3", of(true).filter(|logp| *logp > best_false).count() as f64 / count),
        ("chance", count / truths.len() as f64),
    ]);
    found.extend(logps.iter().enumerate().map(|(index, logp)| (format!("logp_{index}"), *logp)));
    Ok(vec![found])
}

fn log_sum_exp(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = values.clone().fold(f64::NEG_INFINITY, f64::max);
    largest + values.map(|value| (value - largest).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{likelihood, scored};
    use super::*;

    #[test]
    fn probabilities_do_not_underflow() {
        let item = Item { key: Key::Truths(vec![true, true, false, false]), ..Item::default() };
        let answers = [-2000.0, -2001.0, -2000.5, -1999.5].map(|logp| Answer::Scored(likelihood(logp, 9)));
        let found = scored(&SCORER, &item, &answers).unwrap().remove(0);
        let weights = [0.0f64, -1.0, -0.5, 0.5].map(f64::exp);
        let expected = (weights[0] + weights[1]) / weights.iter().sum::<f64>();
        assert!((found["acc"] - expected).abs() < 1e-12);
        assert_eq!((found["mc3"], found["chance"]), (0.0, 0.5));
    }
}
