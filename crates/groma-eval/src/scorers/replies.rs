//! What replies look like, whatever they say: how long they are, and how much they repeat.

use std::collections::BTreeSet;

use super::scorer::{Scorer, Tools};
use crate::columns::Fields;
use crate::form::Form;
use crate::item::{Item, Key};
use crate::metric::Metric;
use crate::prompts::asked;
use crate::scores::{Scores, scores, share};
use groma_lm::{Answer, Failure, Kind};
use groma_run::Unit;
use groma_stats::formulas::RATIO;

/// Words that are looked at together (seq-rep-4 of Welleck et al. 2020, arXiv 1908.04319).
const SPAN: usize = 4;

/// One reply to each prompt.
pub(crate) static SCORER: Scorer = Scorer {
    id: "replies",
    mode: "one reply",
    kind: Kind::Generate,
    needs: &["prompt"],
    reads: &["raw"],
    item,
    judge: None,
    score: score_reply,
    metrics: &[
        Metric::mean("repetition", "share of runs of four words that the reply has said before", Unit::Share)
            .of(&["repeated_spans", "spans"], &RATIO)
            .lower_is_better(),
        Metric::mean("words", "mean length of a reply in words", Unit::Plain).within(0.0, f64::INFINITY),
        Metric { higher_is_better: None, ..Metric::share("cut", "share of replies cut off at the length limit") },
        Metric { higher_is_better: None, ..Metric::share("empty", "share of replies without a word") },
    ],
};

fn item(form: &Form, row: &Fields) -> Result<Item, String> {
    asked(form, row, Key::None)
}

fn score_reply(_: &Item, answers: &[Answer], _: &Tools<'_>) -> Result<Vec<Scores>, Failure> {
    let [answer] = answers else { return Err(Failure::WrongKind) };
    let reply = answer.reply()?;
    let words: Vec<&str> = reply.text().split_whitespace().collect();
    let spans: Vec<&[&str]> = words.windows(SPAN).collect();
    let different = spans.iter().collect::<BTreeSet<_>>().len();
    Ok(vec![scores([
        ("spans", spans.len() as f64),
        ("repeated_spans", (spans.len() - different) as f64),
        ("words", words.len() as f64),
        ("cut", share(reply.is_truncated())),
        ("empty", share(words.is_empty())),
    ])])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{said, scored};
    use super::*;

    #[test]
    fn what_is_said_twice_is_repeated() {
        let of = |text: &str| scored(&SCORER, &Item::default(), &[said(text)]).unwrap().remove(0);
        let plain = of("one two three four five six");
        assert_eq!((plain["words"], plain["spans"], plain["repeated_spans"]), (6.0, 3.0, 0.0));
        // Runs of four among eight equal words: five, all of one kind.
        let stuck = of("no no no no no no no no");
        assert_eq!((stuck["spans"], stuck["repeated_spans"]), (5.0, 4.0));
        let silent = of(" \n");
        assert_eq!((silent["words"], silent["spans"], silent["empty"]), (0.0, 0.0, 1.0));
    }
}
