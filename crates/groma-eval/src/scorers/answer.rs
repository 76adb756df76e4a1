//! Is what was said, as it is read, an accepted answer?

use super::answers::only_text;
use super::questions::delimiter;
use super::scorer::{Scorer, Tools};
use crate::columns::Fields;
use crate::form::Form;
use crate::item::{Item, Key};
use crate::metric::Metric;
use crate::prompts::asked;
use crate::scores::{Scores, share};
use groma_lm::{Answer, Failure, Kind};

/// One answer, compared with what is accepted, in each of the ways in which the task reads it.
pub(crate) static SCORER: Scorer = Scorer {
    id: "answer",
    mode: "one answer, exact match",
    kind: Kind::Generate,
    needs: &["prompt", "reading"],
    reads: &["target", "accepted", "delimiter", "raw"],
    item,
    judge: None,
    score: score_answer,
    metrics: &[
        Metric::share("exact_match", "share of answers that are accepted ones"),
        Metric::share("no_answer", "share of answers in which nothing could be read").lower_is_better(),
    ],
};

fn item(form: &Form, row: &Fields) -> Result<Item, String> {
    let mut accepted = form.optional_list("accepted", row)?.unwrap_or_default();
    accepted.extend(form.optional_text("target", row)?);
    let first = accepted.first().cloned().ok_or("there is no accepted answer")?;
    let reading = form.reading()?;
    let answer = [delimiter(form, row)?, first.clone()].concat();
    Ok(Item { reference: Some(first), answer, ..asked(form, row, Key::Answer { accepted, reading })? })
}

/// A score for each way of reading: 1 where what is read is accepted. `no_answer`: no way finds anything.
fn score_answer(item: &Item, answers: &[Answer], _: &Tools<'_>) -> Result<Vec<Scores>, Failure> {
    let Key::Answer { accepted, reading } = &item.key else { return Err(Failure::WrongKind) };
    let read = reading.read(only_text(answers)?);
    let accepted: Vec<String> = accepted.iter().map(|answer| reading.normalised(answer)).collect();
    let mut found: Scores = read
        .iter()
        .map(|(name, text)| (name.clone(), share(text.as_ref().is_some_and(|text| accepted.contains(text)))))
        .collect();
    found.insert("no_answer".to_owned(), share(read.values().all(Option::is_none)));
    Ok(vec![found])
}
