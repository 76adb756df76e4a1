//! Is what follows just what the model would say, and how likely does it find it?

use super::questions::{after_one, delimiter};
use super::scorer::{Scorer, Tools};
use crate::columns::Fields;
use crate::form::Form;
use crate::item::Item;
use crate::metric::Metric;
use crate::scores::{Scores, scores, share};
use groma_lm::{Answer, Failure, Kind};
use groma_run::Unit;
use groma_stats::formulas::EXP_RATIO;

/// One target after a context.
pub(crate) static SCORER: Scorer = Scorer {
    id: "target",
    mode: "log-likelihood of the target",
    kind: Kind::Continuation,
    needs: &["prompt", "target"],
    reads: &["delimiter"],
    item,
    judge: None,
    score: score_target,
    metrics: &[
        Metric::share("acc", "share of targets of which every token is the likeliest one"),
        Metric::mean("perplexity", "exp(-mean log-likelihood of a target)", Unit::Plain)
            .of(&["nats", "one"], &EXP_RATIO)
            .lower_is_better(),
    ],
};

fn item(form: &Form, row: &Fields) -> Result<Item, String> {
    let (prompt, target) = (form.text("prompt", row)?, form.text("target", row)?);
    let answer = [delimiter(form, row)?, target.clone()].concat();
    Ok(Item {
        requests: after_one(&prompt, [answer.clone()]),
        prompt,
        answer,
        reference: Some(target),
        ..Item::default()
    })
}

fn score_target(_: &Item, answers: &[Answer], _: &Tools<'_>) -> Result<Vec<Scores>, Failure> {
    let [answer] = answers else { return Err(Failure::WrongKind) };
    let found = answer.scored()?;
    Ok(vec![scores([("acc", share(found.is_greedy)), ("nats", -found.sum()), ("one", 1.0)])])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{likelihood, scored};
    use super::*;
    use groma_lm::Scored;

    #[test]
    fn greedy_targets_are_right() {
        let of = |is_greedy| {
            let answer = Answer::Scored(Scored { is_greedy, ..likelihood(-2.5, 2) });
            scored(&SCORER, &Item::default(), &[answer]).unwrap().remove(0)
        };
        assert_eq!((of(true)["acc"], of(false)["acc"], of(false)["nats"]), (1.0, 0.0, 2.5));
    }
}
