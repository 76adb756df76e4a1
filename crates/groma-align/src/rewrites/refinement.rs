//! Refinement by language feedback: an answer, what is wrong with it, and a better one; and who says what is wrong.

use super::rewrite::{Rewrite, typed};
use super::turns::{completion, conversation, with_messages};
use crate::parameter::{Kind, Parameter};
use groma_data::{Content, Message, Row, Shape};
use serde::Deserialize;

pub(super) const REWRITE: Rewrite = Rewrite {
    id: "refinement",
    title: "Imitation learning from language feedback",
    paper: "Scheurer et al. 2023, ILF (arXiv 2303.16755); Akyürek et al. 2023, RL4F (arXiv 2305.08844)",
    doc: "A conversation of a question, an answer and feedback on it. Of a pair a row for `sft`: the rejected answer is followed by the \
          chosen one, so that a model learns to refine. Of a question with a model's answer the prompt of a refinement \
          (`change = ask`); and of a refinement's row the question with the refinement alone (`change = undo`), to be rated and \
          learned. For a critic, a pair becomes a row whose answer is the feedback, behind a `request` for it (`change = critique`), and \
          a critic's row the prompt of a refinement that has read what it said (`change = heed`). Differs from the papers: feedback \
          that is taught is a text of the settings, or of a column, not of people.",
    data: &[Shape::Preference, Shape::PromptCompletion],
    parameters: &[
        Parameter {
            name: "feedback",
            kind: Kind::Text,
            default: "null",
            range: None,
            doc: "What is said of the answer; `{NAME}` is the row's column NAME. Must be given, but to undo and to heed.",
        },
        Parameter {
            name: "change",
            kind: Kind::Choice(&["ask", "undo", "critique", "heed"]),
            default: "\"ask\"",
            range: None,
            doc: "Whether a refinement is asked for or taken for the answer, feedback is learned, or what was said as feedback is to be heeded.",
        },
        Parameter {
            name: "request",
            kind: Kind::Text,
            default: "\"What is wrong?\"",
            range: None,
            doc: "What asks for feedback that is learned.",
        },
    ],
    build: |settings| {
        let Refinement { feedback, change, request } = typed(settings)?;
        match change.as_str() {
            "undo" => return Ok(Box::new(|row| Ok(vec![undone(row)?]))),
            "heed" => return Ok(Box::new(|row| Ok(vec![heeded(row)?]))),
            _ => {}
        }
        let Some(feedback) = feedback else { return Err("the setting `feedback` must hold what is said".to_owned()) };
        Ok(match change.as_str() {
            "critique" => Box::new(move |row| Ok(vec![criticised(row, &request, said(row, &feedback)?)?])),
            _ => Box::new(move |row| Ok(vec![asked(row, &said(row, &feedback)?)?])),
        })
    },
};

#[derive(Debug, Deserialize)]
struct Refinement {
    feedback: Option<String>,
    change: String,
    request: String,
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

/// What is said after a row's answer (of a pair, the rejected one).
fn after_answer(row: &Row, text: &str) -> Result<Content, String> {
    let index = usize::from(row.shape == Shape::Preference);
    let answer = row.answer(index).ok_or("there is no answer")?;
    let turns = conversation(row.question());
    let mut messages = turns.messages.clone();
    messages.extend([Message::new("assistant", answer.plain()), Message::new("user", text)]);
    Ok(with_messages(&turns, messages))
}

fn prompt_alone(row: &Row, prompt: Content) -> Row {
    Row { shape: Shape::PromptOnly, prompt: Some(prompt), answers: Vec::new(), ..row.clone() }
}

/// Of a pair, how the rejected answer is refined; of an answer, what asks for its refinement.
fn asked(row: &Row, feedback: &str) -> Result<Row, String> {
    let prompt = after_answer(row, feedback)?;
    match row.answer(0).filter(|_| row.shape == Shape::Preference) {
        Some(chosen) => {
            let refined = prompt.answered(&chosen.plain());
            Ok(completion(row, prompt, refined))
        }
        None => Ok(prompt_alone(row, prompt)),
    }
}

/// An answer, a request for feedback, and the feedback.
fn criticised(row: &Row, request: &str, feedback: String) -> Result<Row, String> {
    let prompt = after_answer(row, request)?;
    let said = prompt.answered(&feedback);
    Ok(completion(row, prompt, said))
}

/// The prompt with what a critic said in the place of what asked for it.
///
/// # Errors
/// In words, where nothing was asked or said.
fn heeded(row: &Row) -> Result<Row, String> {
    let critique = row.answer(0).ok_or("there is no critique")?;
    let mut turns = conversation(row.question());
    turns.messages.pop().filter(|_| !turns.messages.is_empty()).ok_or("the prompt holds no answer and request")?;
    let messages = [turns.messages.clone(), vec![Message::new("user", critique.plain())]].concat();
    Ok(prompt_alone(row, with_messages(&turns, messages)))
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
