//! Does an answer hold a phrase that it should, and none that it should not?

use super::answers::only_text;
use super::scorer::{Scorer, Tools};
use crate::columns::Fields;
use crate::form::Form;
use crate::item::{Item, Key};
use crate::metric::Metric;
use crate::prompts::asked;
use crate::scores::{Scores, scores, share};
use groma_lm::{Answer, Failure, Kind};

/// One answer, in which phrases are looked for word by word, whatever the case and punctuation.
pub(crate) static SCORER: Scorer = Scorer {
    id: "phrases",
    mode: "one answer, phrase matching",
    kind: Kind::Generate,
    needs: &["prompt", "accepted"],
    reads: &["wrong"],
    item,
    judge: None,
    score: score_phrases,
    metrics: &[
        Metric::share("right", "share of answers with an accepted phrase and no wrong one"),
        Metric::share("no_answer", "share of answers without a word").lower_is_better(),
    ],
};

fn item(form: &Form, row: &Fields) -> Result<Item, String> {
    let wrong = form.optional_list("wrong", row)?.unwrap_or_default();
    asked(form, row, Key::Phrases { accepted: form.list("accepted", row)?, wrong })
}

/// `right`: an accepted phrase is there and no wrong one, word by word, whatever the case and punctuation.
fn score_phrases(item: &Item, answers: &[Answer], _: &Tools<'_>) -> Result<Vec<Scores>, Failure> {
    let text = only_text(answers)?;
    let Key::Phrases { accepted, wrong } = &item.key else { return Err(Failure::WrongKind) };
    let said = words(text);
    let any = |phrases: &[String]| phrases.iter().any(|phrase| has_phrase(&said, &words(phrase)));
    Ok(vec![scores([("right", share(any(accepted) && !any(wrong))), ("no_answer", share(said.is_empty()))])])
}

/// Runs of letters and digits, in lower case; apostrophes inside a word stay.
fn words(text: &str) -> Vec<String> {
    let apart = |character: char| !(character.is_alphanumeric() || character == '\'' || character == '\u{2019}');
    let word = |word: &str| word.replace('\u{2019}', "'").trim_matches('\'').to_lowercase();
    text.split(apart).map(word).filter(|word| !word.is_empty()).collect()
}

fn has_phrase(said: &[String], phrase: &[String]) -> bool {
    !phrase.is_empty() && said.windows(phrase.len()).any(|window| window == phrase)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{said, scored};
    use super::*;
    use crate::prompts::prompt_item;

    fn score(accepted: &[&str], wrong: &[&str], text: &str) -> Scores {
        let owned = |phrases: &[&str]| phrases.iter().map(|phrase| (*phrase).to_owned()).collect();
        let item = prompt_item("?", Key::Phrases { accepted: owned(accepted), wrong: owned(wrong) });
        scored(&SCORER, &item, &[said(text)]).unwrap().remove(0)
    }

    #[test]
    fn phrases_are_whole_words() {
        let right = |text: &str| score(&["the mill", "Tom's barn"], &["well"], text)["right"];
        assert_eq!(right("She lives near The Mill!"), 1.0);
        assert_eq!(right("In Tom\u{2019}s barn."), 1.0);
        assert_eq!(right("Near the windmill."), 0.0);
        assert_eq!(right("The mill or the well."), 0.0);
        assert_eq!(score(&["a"], &[], " ...")["no_answer"], 1.0);
    }
}
