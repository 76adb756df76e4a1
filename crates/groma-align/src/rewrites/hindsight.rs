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
        Ok(Box::new(move |row| Ok(hindsight.rows(row))))
    },
};

#[derive(Debug, Deserialize)]
struct Hindsight {
    good: String,
    bad: String,
    order: String,
}

impl Hindsight {
    fn rows(&self, row: &Row) -> Vec<Row> {
        if row.shape == Shape::PromptOnly {
            let asked = conversation(row.question());
            return vec![Row { prompt: Some(with_messages(&asked, asked_with(&asked, &self.good))), ..row.clone() }];
        }
        let best_first = best_first(row);
        let best_last: Vec<&Content> = best_first.iter().rev().copied().collect();
        let of = |answers: &[&Content], best: usize| self.row(row, answers, best);
        match self.order.as_str() {
            "best_first" => vec![of(&best_first, 0)],
            "best_last" => vec![of(&best_last, best_last.len() - 1)],
            _ => vec![of(&best_first, 0), of(&best_last, best_last.len() - 1)],
        }
    }

    /// The answers in that order, the best being the one of that index.
    fn row(&self, row: &Row, answers: &[&Content], best: usize) -> Row {
        let asked = conversation(row.question());
        let request = |index: usize| if index == best { &self.good } else { &self.bad };
        let mut said = Vec::new();
        for (index, answer) in answers.iter().enumerate() {
            if index > 0 {
                said.push(Message::new("user", request(index).as_str()));
            }
            match answer {
                Content::Messages(turns) => said.extend(turns.iter().cloned()),
                Content::Text(text) => said.push(Message::new("assistant", text.as_str())),
            }
        }
        let prompt = with_messages(&asked, asked_with(&asked, request(0)));
        completion(row, prompt, said.into())
    }
}

/// The answers, the best first; of equally good ones the earlier.
pub(super) fn best_first(row: &Row) -> Vec<&Content> {
    let mut answers: Vec<_> = row.answers.iter().collect();
    answers.sort_by(|a, b| b.score.unwrap_or(0.0).total_cmp(&a.score.unwrap_or(0.0)));
    answers.into_iter().map(|answer| &answer.content).collect()
}
