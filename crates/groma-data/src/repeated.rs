//! Prompts that answers repeat, in plain text.
//!
//! Of turns, roles tell whether an answer holds its prompt. A plain answer may begin with the words of its prompt by chance
//! ("hello", "hello there"), so the rows of a file are looked at together: where nearly all answers begin so, they are whole texts.

use std::collections::BTreeMap;

use crate::{Content, Row, Shape};

/// The share of rows from which on answers are whole texts.
const NEARLY_ALL: f64 = 0.95;

/// Takes prompts off the answers that repeat them where those of nearly all rows do, and else notes how many do.
pub(crate) fn take_off(rows: &mut [Row], notes: &mut BTreeMap<String, u64>) {
    let plain = rows.iter().filter(|row| prompt(row).is_some()).count();
    let repeating: Vec<&mut Row> = rows.iter_mut().filter(|row| repeats(row)).collect();
    let count = repeating.len();
    if count == 0 {
        return;
    }
    let whole = count as f64 >= NEARLY_ALL * plain as f64;
    let note = match whole {
        true => "the answers begin with the text of the prompt, which was taken off",
        false => "the answers begin with the text of the prompt, as those of most rows do not; it is read twice",
    };
    notes.insert(note.to_owned(), count as u64);
    if whole {
        repeating.into_iter().for_each(without);
    }
}

/// The prompt of a row of plain texts.
fn prompt(row: &Row) -> Option<&str> {
    match &row.prompt {
        Some(Content::Text(prompt)) if row.shape != Shape::Stepwise && !row.answers.is_empty() => Some(prompt),
        _ => None,
    }
}

/// Whether all answers begin with the prompt, and go on.
fn repeats(row: &Row) -> bool {
    let Some(prompt) = prompt(row).filter(|prompt| !prompt.trim().is_empty()) else { return false };
    let begins = |text: &str| text.strip_prefix(prompt).is_some_and(|rest| !rest.trim().is_empty());
    row.answers.iter().all(|answer| matches!(&answer.content, Content::Text(text) if begins(text)))
}

fn without(row: &mut Row) {
    let Some(length) = prompt(row).map(str::len) else { return };
    for answer in &mut row.answers {
        if let Content::Text(text) = &mut answer.content {
            text.drain(..length);
        }
    }
}
