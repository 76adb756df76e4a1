//! How rows are shown: what they were read as, what was found about them, their tokens.

use groma_align::Piece;
use groma_data::Rows;
use groma_model::ChatTemplate;
use groma_recipe::{say_finding, say_rows, say_template};
use groma_run::Finding;
use serde_json::{Value, json};

use crate::terminal::colours;

/// How many rows there are, how they were read, and what was left out.
pub(crate) fn read_as(rows: &Rows) -> String {
    safe(&say_rows(rows))
}

/// Which chat template turns are put into, and whether that was a guess.
pub(crate) fn template(chat: &ChatTemplate) -> String {
    safe(&say_template(chat))
}

/// The same as a record.
pub(crate) fn template_record(chat: &ChatTemplate) -> Value {
    json!({ "name": chat.name, "guessed": chat.guessed })
}

/// A finding in a line.
pub(crate) fn finding(finding: &Finding) -> String {
    safe(&say_finding(finding))
}

/// Tokens as text, those that are learned from in colour, or without colours between `[[` and `]]`.
pub(crate) fn tokens(pieces: &[Piece]) -> String {
    let mut shown = String::new();
    for run in pieces.chunk_by(|a, b| a.learned == b.learned) {
        let text: String = run.iter().map(|piece| piece.text.as_str()).collect();
        let text: Vec<String> = text.split('\n').map(safe).collect();
        let text = text.join("\n    ");
        let learned = run.first().is_some_and(|piece| piece.learned);
        shown.push_str(&match (learned, colours()) {
            (false, _) => text,
            (true, true) => format!("\u{1b}[1;32m{text}\u{1b}[0m"),
            (true, false) => format!("[[{text}]]"),
        });
    }
    shown
}

/// As a terminal may show it.
pub(crate) fn safe(text: &str) -> String {
    groma_report::for_terminal(text)
}
