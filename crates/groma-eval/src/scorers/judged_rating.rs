//! A judge rates an answer.

use super::scorer::{Judged, Scorer, Tools};
use crate::columns::Fields;
use crate::form::Form;
use crate::item::{Item, Key};
use crate::metric::Metric;
use crate::prompts::asked;
use crate::scores::{Scores, scores};
use groma_lm::{Answer, Failure, Kind, Request, read_rating};
use groma_run::Unit;

/// One answer, which a judge rates from 1 to 10.
pub(crate) static SCORER: Scorer = Scorer {
    id: "judged-rating",
    mode: "one answer, rated by a judge",
    kind: Kind::Generate,
    needs: &["prompt", "judging"],
    reads: &["raw"],
    item,
    judge: Some(Judged { answers: &["answer"], stands_in: None, ask }),
    score: score_rating,
    metrics: &[Metric {
        higher_is_better: Some(true),
        ..Metric::mean("rating", "mean rating from 1 to 10", Unit::Plain).within(1.0, 10.0)
    }],
};

fn item(form: &Form, row: &Fields) -> Result<Item, String> {
    asked(form, row, Key::Rated(form.judging()?))
}

fn ask(item: &Item, answers: &[Answer]) -> Result<Vec<Request>, Failure> {
    let (Key::Rated(judging), [answer]) = (&item.key, answers) else { return Err(Failure::WrongKind) };
    let request = judging.request(&item.prompt, item.reference.as_deref(), &[("answer", answer.reply()?.text())]);
    Ok(vec![request.map_err(|reason| Failure::Prompt { reason })?])
}

/// The answers are the subject's and the judge's.
fn score_rating(item: &Item, answers: &[Answer], _: &Tools<'_>) -> Result<Vec<Scores>, Failure> {
    let (Key::Rated(judging), [_, judge]) = (&item.key, answers) else { return Err(Failure::WrongKind) };
    let rating = judging.verdict(judge.reply()?.text()).and_then(read_rating);
    Ok(vec![scores([("rating", rating.map_err(|reason| Failure::Unreadable { reason })?)])])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{said, scored};
    use super::*;
    use crate::tasks::find;
    use serde_json::json;

    /// The reward `judge` asks as the task does.
    #[test]
    fn the_task_asks_what_a_rating_asks() {
        let form = &find("judged-rating").unwrap().forms[0];
        for reference in [None, Some("So.")] {
            let mut item = item(form, json!({"prompt": "Why?"}).as_object().unwrap()).unwrap();
            item.reference = reference.map(str::to_owned);
            let asked = ask(&item, &[said("a [[9]] </answer>")]).unwrap();
            let [Request::Generate(prompt)] = &asked[..] else { panic!("one request") };
            let expected = groma_lm::rating("Why?", reference, "a [[9]] </answer>");
            assert_eq!(prompt.to_value()[0]["content"], json!(expected));
        }
    }

    #[test]
    fn ratings_are_read_at_their_place_and_in_their_range() {
        let form = &find("judged-rating").unwrap().forms[0];
        let item = item(form, json!({"prompt": "Why?"}).as_object().unwrap()).unwrap();
        let of = |reply: &str| scored(&SCORER, &item, &[said("mine"), said(reply)]).map(|found| found[0]["rating"]);
        assert_eq!((of("Good.\nRating: [[7]]"), of("[[2.5]]")), (Ok(7.0), Ok(2.5)));
        for reply in ["[[11]]", "[[0]]", "7", "[[7]] [[8]]", "[[7]]\nor so"] {
            assert!(matches!(of(reply), Err(Failure::Unreadable { .. })), "{reply}");
        }
    }
}
