//! Questions about answers, with yes and no for answers: rows that teach a model to diagnose texts, or measure whether it can.

use super::rewrite::{Rewrite, typed};
use super::turns::completion;
use crate::parameter::{Kind, Parameter};
use crate::template::{PROMPT_PLACE, filled};
use groma_data::{Answer, Content, Row, Shape};
use serde::Deserialize;

pub(super) const REWRITE: Rewrite = Rewrite {
    id: "diagnosis",
    title: "Self-diagnosis",
    paper: "Schick et al. 2021 (arXiv 2103.00453)",
    doc: "Of every answer a question whether it has an attribute, as a plain text, with ` Yes` or ` No` for its answer: no of the chosen \
          answer of a pair, yes of the rejected one; of labelled rows, what the label denies. The task `self-diagnosis` measures on \
          such rows, and `sft` learns from them. Differs from the paper, which only asks: a model that never saw such questions \
          can be taught them first.",
    data: &[Shape::Preference, Shape::Labelled],
    parameters: &[
        Parameter {
            name: "attribute",
            kind: Kind::Text,
            default: "null",
            range: None,
            doc: "What unwanted answers contain, in words, such as `rude language`. Must be given.",
        },
        Parameter {
            name: "question",
            kind: Kind::Text,
            default: r#""\"{answer}\"\nQuestion: Does the above text contain {attribute}?\nAnswer:""#,
            range: None,
            doc: "What is asked, with {answer} and {attribute}, and {prompt} where that is to be seen, too.",
        },
    ],
    build: |settings| {
        let Diagnosis { attribute, question } = typed(settings)?;
        let Some(attribute) = attribute else {
            return Err("the setting `attribute` must hold what is asked about".to_owned());
        };
        if !question.contains(ANSWER) {
            return Err(format!("the setting `question` must hold {ANSWER}"));
        }
        Ok(Box::new(move |row| Ok(rows(row, &question, &attribute))))
    },
};

const ANSWER: &str = "{answer}";
const ATTRIBUTE: &str = "{attribute}";

#[derive(Debug, Deserialize)]
struct Diagnosis {
    attribute: Option<String>,
    question: String,
}

fn rows(row: &Row, question: &str, attribute: &str) -> Vec<Row> {
    let prompt = row.question().plain();
    let one = |(index, answer): (usize, &Answer)| {
        let wanted = answer.label.unwrap_or(index == 0);
        let said = answer.content.plain();
        let places = [(ANSWER, said.trim()), (ATTRIBUTE, attribute), (PROMPT_PLACE, prompt.as_str())];
        let asked = Content::Text(filled(question, &places));
        completion(row, asked, Content::Text(if wanted { " No" } else { " Yes" }.to_owned()))
    };
    row.answers.iter().enumerate().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use groma_data::Location;

    #[test]
    fn texts_that_look_like_places_are_none() {
        let text = |text: &str| Content::Text(text.to_owned());
        let row = Row::completion(text("{answer}?"), text(" {attribute} "), Location::new("rows.jsonl", 1));
        let made = rows(&row, "{prompt}|{answer}|{attribute}", "{answer} {prompt}");
        assert_eq!(made[0].question().plain(), "{answer}?|{attribute}|{answer} {prompt}");
    }
}
