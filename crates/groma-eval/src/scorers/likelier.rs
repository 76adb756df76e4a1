//! Which of two texts is the likelier one?

use super::answers::log_likelihoods;
use super::questions::{after_one, delimiter};
use super::scorer::{Scorer, Tools};
use crate::columns::Fields;
use crate::form::Form;
use crate::item::Item;
use crate::metric::Metric;
use crate::scores::{Scores, scores, share};
use groma_lm::{Answer, Failure, Kind};
use groma_run::Unit;

/// Two choices after one context, which may be empty; none is the right one.
pub(crate) static SCORER: Scorer = Scorer {
    id: "likelier",
    mode: "log-likelihood of both texts",
    kind: Kind::Continuation,
    needs: &["prompt", "choices"],
    reads: &["delimiter"],
    item,
    judge: None,
    score: score_both,
    metrics: &[
        Metric {
            higher_is_better: None,
            ..Metric::share("first", "share of pairs whose first text is the likelier one")
        }
        .with_chance("chance"),
        Metric::mean("distance", "mean distance of the two log-likelihoods", Unit::Nats),
        Metric { higher_is_better: None, ..Metric::share("ties", "share of pairs that are exactly equally likely") },
    ],
};

fn item(form: &Form, row: &Fields) -> Result<Item, String> {
    let (prompt, choices) = (form.text("prompt", row)?, form.list("choices", row)?);
    if choices.len() != 2 {
        return Err(format!("there are {} texts, not 2", choices.len()));
    }
    let delimiter = delimiter(form, row)?;
    let continuations = choices.iter().map(|choice| [delimiter.as_str(), choice].concat());
    Ok(Item {
        requests: after_one(&prompt, continuations),
        prompt,
        reference: choices.into_iter().next(),
        ..Item::default()
    })
}

fn score_both(_: &Item, answers: &[Answer], _: &Tools<'_>) -> Result<Vec<Scores>, Failure> {
    let [first, second] = log_likelihoods(answers)?[..] else { return Err(Failure::WrongKind) };
    Ok(vec![scores([
        ("first", share(first > second)),
        ("distance", (first - second).abs()),
        ("ties", share(first == second)),
        ("chance", 0.5),
        ("logp_0", first),
        ("logp_1", second),
    ])])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{likelihood, scored};
    use super::*;

    #[test]
    fn swapped_texts_are_the_other_way_round() {
        let of = |first, second| {
            let answers = [first, second].map(|logp| Answer::Scored(likelihood(logp, 3)));
            scored(&SCORER, &Item::default(), &answers).unwrap().remove(0)
        };
        let (one, other, tie) = (of(-5.0, -7.5), of(-7.5, -5.0), of(-5.0, -5.0));
        assert_eq!((one["first"], one["distance"], one["ties"]), (1.0, 2.5, 0.0));
        assert_eq!((other["first"], other["distance"], other["ties"]), (0.0, 2.5, 0.0));
        assert_eq!((tie["first"], tie["ties"]), (0.0, 1.0));
    }
}
