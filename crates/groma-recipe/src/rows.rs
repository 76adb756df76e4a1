//! The rows of a file, and what they ask.

use std::path::Path;

use groma_data::{Content, ReadOptions, Row, Rows, Shape, ShapeOptions, Turns, read};
use groma_run::Seed;

use crate::Error;
use crate::reading::Reading;

/// Reads the rows of a file in one of the `accepted` shapes, at most `limit` of them (drawn by `seed`).
///
/// # Errors
/// Those of reading and shaping.
pub fn read_rows(
    path: &Path,
    accepted: &[Shape],
    limit: Option<usize>,
    seed: Seed,
    reading: &Reading,
) -> Result<Rows, Error> {
    let rename = reading.rename.iter().map(|pair| pair.parse()).collect::<Result<_, groma_data::Error>>()?;
    let table = read(path, &ReadOptions { rename, drop: reading.drop.clone(), ..ReadOptions::default() })?;
    let table = table.limited(limit, seed);
    let options = ShapeOptions { layout: reading.layout.clone(), ..ShapeOptions::default() };
    Ok(table.into_rows(&options, accepted)?)
}

/// Of a row its id in the file, its prompt, and an answer that it has; of a text without turns, no prompt and the text.
pub(crate) fn question(row: &Row) -> (String, Option<Content>, Content) {
    let answer = row.answer(0).cloned().unwrap_or(Content::Text(String::new()));
    let (prompt, answer) = match &row.prompt {
        Some(prompt) => (Some(prompt.clone()), answer),
        None => last_turn(&answer),
    };
    (row.location.id(), prompt, answer)
}

/// A conversation up to the last turn of the assistant, and that turn.
fn last_turn(content: &Content) -> (Option<Content>, Content) {
    let Content::Messages(turns) = content else { return (None, content.clone()) };
    match turns.iter().rposition(|message| message.role == "assistant") {
        Some(last) if last > 0 => {
            let (before, after) = turns.split_at(last);
            let before = Turns { messages: before.to_vec(), ..turns.clone() };
            (Some(Content::Messages(before)), after[..1].to_vec().into())
        }
        _ => (Some(content.clone()), Content::Text(String::new())),
    }
}
