//! Prepared rows as people look at them: token by token, with what is learned.

use crate::Group;
use groma_model::Tokenizer;
use serde::Serialize;

/// A row.
#[derive(Clone, Debug, Serialize)]
pub struct RowView {
    /// `file:line`.
    pub place: String,
    /// Its sequences, each the tokens of prompt and answer.
    pub sequences: Vec<Vec<Piece>>,
}

/// A token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Piece {
    /// Its id.
    pub id: u32,
    /// What it adds to the text; a character of several tokens is with the last of them.
    pub text: String,
    /// Whether it is learned from.
    pub learned: bool,
}

/// Groups with the texts of their tokens.
///
/// # Errors
/// Where the tokenizer fails.
pub fn look(groups: &[Group], tokenizer: &Tokenizer) -> Result<Vec<RowView>, groma_model::Error> {
    let view = |group: &Group| {
        let sequences = group.sequences().map(|sequence| {
            let mut stream = tokenizer.stream(false);
            let piece = |(place, &id): (usize, &u32)| {
                // Nothing predicts the first token, so that nothing is learned from it.
                let learned = place > 0 && sequence.supervised[place];
                Ok(Piece { id, text: stream.push(id)?, learned })
            };
            sequence.ids.iter().enumerate().map(piece).collect()
        });
        Ok(RowView { place: group.place.clone(), sequences: sequences.collect::<Result<_, groma_model::Error>>()? })
    };
    groups.iter().map(view).collect()
}
