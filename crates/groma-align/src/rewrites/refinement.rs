//! Refinement by language feedback: an answer, what is wrong with it, and a better one.

use super::rewrite::{Rewrite, typed};
use super::turns::{completion, conversation, with_messages};
use crate::parameter::{Kind, Parameter};
use groma_data::{Content, Message, Row, Shape};
use serde::Deserialize;

pub(super) const REWRITE: Rewrite = Rewrite {
    id: "refinement",
    title: "Imitation learning from language feedback",
    paper: "Scheurer et al. 2023, ILF (arXiv 2303.16755)",
    doc: "A conversation of a question, an answer and feedback on it. Of a pair a row for `sft`: the rejected answer is followed by the \
          chosen one, so that a model learns to refine. Of a question with a model's answer the prompt of a refinement \
          (`change = ask`); and of a refinement's row the question with the refinement alone (`change = undo`), to be rated and \
          learned. Differs from the paper: feedback is a text of the settings, or of a column, not of people.",
    data: &[Shape::Preference, Shape::PromptCompletion],
    parameters: &[
        Parameter {
            name: "feedback",
            kind: Kind::Text,
            default: "null",
            range: None,
            doc: "What is said of the answer; `{NAME}` is the row's column NAME. Must be given, but to undo.",
        },
        Parameter {
            name: "change",
            kind: Kind::Choice(&["ask", "undo"]),
            default: "\"ask\"",
            range: None,
            doc: "Whether a refinement is asked for, or taken for the answer.",
        },
    ],
    build: |settings| {
        let Refinement { feedback, change } = typed(settings)?;
        if change == "undo" {
            return Ok(Box::new(|row| Ok(vec![undone(row)?])));
        }
        let Some(feedback) = feedback else { return Err("the setting `feedback` must hold what is said".to_owned()) };
        Ok(Box::new(move |row| Ok(vec![asked(row, &said(row, &feedback)?)?])))
    },
};

#[derive(Debug, Deserialize)]
struct Refinement {
    feedback: Option<String>,
    change: String,
}

/// The feedback on a row's answer.
///
/// # Errors
/// In words, where it names a column that is not there.
fn said(row: &Row, feedback: &str) -> Result<String, String> {
    let mut text = String::new();
    let mut rest = feedback;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').ok_or("the setting `feedback` has a { without a }")?;
        let value = row.other.get(name).ok_or_else(|| format!("there is no column `{name}`"))?;
        text.push_str(before);
        text.push_str(&value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        rest = after;
    }
    Ok(text + rest)
}

/// Of a pair, how the rejected answer is refined; of an answer, what asks for its refinement.
fn asked(row: &Row, feedback: &str) -> Result<Row, String> {
    let of = |index: usize| row.answer(index).ok_or("there is no answer");
    let first = if row.shape == Shape::Preference { of(1)? } else { of(0)? };
    let turns = conversation(row.question());
    let mut messages = turns.messages.clone();
    messages.extend([Message::new("assistant", first.plain()), Message::new("user", feedback)]);
    let prompt = with_messages(&turns, messages);
    if row.shape == Shape::Preference {
        let refined = prompt.answered(&of(0)?.plain());
        return Ok(completion(row, prompt, refined));
    }
    Ok(Row { shape: Shape::PromptOnly, prompt: Some(prompt), answers: Vec::new(), ..row.clone() })
}

/// The question with the refinement alone.
///
/// # Errors
/// In words, where the prompt holds no answer.
fn undone(row: &Row) -> Result<Row, String> {
    let missing = || "the prompt holds no answer and feedback".to_owned();
    let Content::Messages(turns) = row.question() else { return Err(missing()) };
    let answer = turns.iter().rposition(Message::is_assistant).filter(|at| *at > 0).ok_or_else(missing)?;
    let prompt = with_messages(turns, turns.messages[..answer].to_vec());
    let refined = row.answer(0).cloned().ok_or_else(missing)?;
    Ok(completion(row, prompt, refined))
}
