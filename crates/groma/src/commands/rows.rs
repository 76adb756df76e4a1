//! How rows are shown: what they were read as, what was found about them, their tokens.

use groma_align::Piece;
use groma_data::{Layout, Rows};
use groma_model::ChatTemplate;
use groma_run::{Finding, Severity};
use serde_json::{Value, json};

use crate::terminal::colours;

/// Places that a line names.
const PLACES: usize = 3;

/// How many rows there are, how they were read, and what was left out.
pub(crate) fn read_as(rows: &Rows) -> String {
    let doc = Layout::find(rows.layout).map_or("", |layout| layout.doc);
    let mut text =
        format!("{} by the layout `{}` ({doc})", groma_run::counted(rows.rows.len() as u64, "row"), rows.layout);
    if rows.bad.count > 0 {
        text.push_str(&format!("; {} of {} were left out", rows.bad.count, rows.bad.total));
        if let Some(first) = rows.bad.shown.first() {
            text.push_str(&format!(": {}", safe(&first.to_string())));
        }
    }
    text
}

/// Which chat template turns are put into, and whether that was a guess.
pub(crate) fn template(chat: &ChatTemplate) -> String {
    let guess = if chat.guessed {
        " (a guess: under it the model finds a short conversation most likely; --chat-template names another)"
    } else {
        ""
    };
    format!("chat template {}{guess}", chat.name)
}

/// The same as a record.
pub(crate) fn template_record(chat: &ChatTemplate) -> Value {
    json!({ "name": chat.name, "guessed": chat.guessed })
}

/// A finding in a line.
pub(crate) fn finding(finding: &Finding) -> String {
    let kind = match finding.severity {
        Severity::Passed => "passed",
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    let mut text = format!("{kind}: {}", safe(&finding.message));
    if !finding.places.is_empty() {
        let more = if finding.count > PLACES as u64 { ", ..." } else { "" };
        let places: Vec<&str> = finding.places.iter().take(PLACES).map(String::as_str).collect();
        text.push_str(&format!(" ({}{more})", safe(&places.join(", "))));
    }
    if let Some(remedy) = &finding.remedy {
        text.push_str(&format!("; {remedy}"));
    }
    text
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
