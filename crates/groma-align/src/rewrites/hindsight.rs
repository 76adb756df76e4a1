//! Chain of hindsight: answers behind each other, each asked for as good or bad as it is.

use super::rewrite::{Rewrite, typed};
use super::turns::{asked_with, completion, conversation, with_messages};
use crate::parameter::{Kind, Parameter};
use groma_data::{Content, Message, Row, Shape};
use serde::Deserialize;

pub(super) const REWRITE: Rewrite = Rewrite {
    id: "hindsight",
    title: "Chain of hindsight",
    paper: "Liu et al. 2023 (arXiv 2302.02676)",
    doc: "Of pairs and rankings, one conversation in which all answers follow each other, each behind a request for an answer as \
          good as it is; `sft` learns from the answers alone. Later, the request for a good one gets one: it goes behind the \
          question, on a line of its own, which is what is made of prompts alone. Differs from the paper: rows are conversations, so that the model needs a chat \
          template; past tokens are masked where `sft` is told so (`fcm_max_ratio`).",
    data: &[Shape::Preference, Shape::Ranked, Shape::PromptOnly],
    parameters: &[
        Parameter {
            name: "good",
            kind: Kind::Text,
            default: "\"Give a good answer.\"",
            range: None,
            doc: "The request for the best answer.",
        },
        Parameter {
            name: "bad",
            kind: Kind::Text,
            default: "\"Give a bad answer.\"",
            range: None,
            doc: "The request for any other.",
        },
        Parameter {
            name: "order",
            kind: Kind::Choice(&["both", "best_first", "best_last"]),
            default: "\"both\"",
            range: None,
            doc: "In which order the answers come; both makes two rows.",
        },
    ],
    build: |settings| {
        let hindsight: Hindsight = typed(settings)?;
        Ok(Box::new(move |row| hindsight.rows(row)))
    },
};

#[derive(Debug, Deserialize)]
struct Hindsight {
    good: String,
    bad: String,
    order: String,
}

impl Hindsight {
    /// # Errors
    /// In words, of answers with equal scores, none of which is better.
    fn rows(&self, row: &Row) -> Result<Vec<Row>, String> {
        if row.shape == Shape::PromptOnly {
            let asked = conversation(row.question());
            return Ok(vec![Row {
                prompt: Some(with_messages(&asked, asked_with(&asked, &self.good))),
                ..row.clone()
            }]);
        }
        let best_first = best_first(row);
        let as_good = as_good_as_the_best(row);
        if as_good == best_first.len() {
            return Err("all answers have the same score, so that none is better than another".to_owned());
        }
        let told: Vec<(&Content, &str)> = best_first
            .into_iter()
            .enumerate()
            .map(|(place, answer)| (answer, if place < as_good { self.good.as_str() } else { self.bad.as_str() }))
            .collect();
        let reversed: Vec<_> = told.iter().rev().copied().collect();
        Ok(match self.order.as_str() {
            "best_first" => vec![chain(row, &told)],
            "best_last" => vec![chain(row, &reversed)],
            _ => vec![chain(row, &told), chain(row, &reversed)],
        })
    }
}

/// Answers in an order, each behind what asks for it.
fn chain(row: &Row, told: &[(&Content, &str)]) -> Row {
    let asked = conversation(row.question());
    let mut said = Vec::new();
    for (index, (answer, request)) in told.iter().enumerate() {
        if index > 0 {
            said.push(Message::new("user", *request));
        }
        match answer {
            Content::Messages(turns) => said.extend(turns.iter().cloned()),
            Content::Text(text) => said.push(Message::new("assistant", text.as_str())),
        }
    }
    let request = told.first().map_or("", |(_, request)| *request);
    completion(row, with_messages(&asked, asked_with(&asked, request)), said.into())
}

/// How many answers no other is better than; of a pair one.
fn as_good_as_the_best(row: &Row) -> usize {
    let scores = || row.answers.iter().filter_map(|answer| answer.score);
    let most = scores().fold(f64::NEG_INFINITY, f64::max);
    scores().filter(|score| *score == most).count().max(1)
}

/// The answers, the best first; of equally good ones the earlier.
pub(super) fn best_first(row: &Row) -> Vec<&Content> {
    let mut answers: Vec<_> = row.answers.iter().collect();
    answers.sort_by(|a, b| b.score.unwrap_or(0.0).total_cmp(&a.score.unwrap_or(0.0)));
    answers.into_iter().map(|answer| &answer.content).collect()
}
