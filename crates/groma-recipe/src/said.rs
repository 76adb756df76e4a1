//! What is said, in a line each, of rows, chat templates and findings: by commands and in runs alike.

use groma_data::{Layout, Rows};
use groma_model::ChatTemplate;
use groma_run::{EventKind, Finding, Level, Progress, Recorder, Severity, counted, is_or_are};

/// Places that a line names.
const PLACES: usize = 3;

/// How many rows there are, how they were read, and what was left out.
pub fn read_as(rows: &Rows) -> String {
    let doc = Layout::find(rows.layout).map_or("", |layout| layout.doc);
    let mut text = format!("{} by the layout `{}` ({doc})", counted(rows.rows.len() as u64, "row"), rows.layout);
    if rows.bad.count > 0 {
        text.push_str(&format!(
            "; {} of {} {} left out",
            rows.bad.count,
            counted(rows.bad.total, "row"),
            is_or_are(rows.bad.count)
        ));
        if let Some(first) = rows.bad.shown.first() {
            text.push_str(&format!(": {first}"));
        }
    }
    text
}

/// Which chat template turns are put into, and whether that was a guess.
pub fn template(chat: &ChatTemplate) -> String {
    let guess = if chat.guessed {
        " (a guess: under it the model finds a short conversation most likely; --chat-template names another)"
    } else {
        ""
    };
    format!("chat template {}{guess}", chat.name)
}

/// A finding.
pub fn finding(finding: &Finding) -> String {
    let kind = match finding.severity {
        Severity::Passed => "passed",
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    let mut text = format!("{kind}: {}", finding.message);
    if !finding.places.is_empty() {
        let more = if finding.count > PLACES as u64 { ", ..." } else { "" };
        let places: Vec<&str> = finding.places.iter().take(PLACES).map(String::as_str).collect();
        text.push_str(&format!(" ({}{more})", places.join(", ")));
    }
    if let Some(remedy) = &finding.remedy {
        text.push_str(&format!("; {remedy}"));
    }
    text
}

/// Says something about the rows of a stage, and keeps it among what happened.
pub(crate) fn note(progress: &dyn Progress, recorder: &Recorder, text: &str) {
    progress.message(Level::Info, &format!("{}: {text}", recorder.stage()));
    recorder.message(EventKind::Note, text);
}

/// Says findings of a stage while it works.
pub(crate) fn say<'f>(progress: &dyn Progress, stage: &str, findings: impl IntoIterator<Item = &'f Finding>) {
    findings.into_iter().for_each(|found| progress.message(Level::Info, &format!("{stage}: {}", finding(found))));
}
