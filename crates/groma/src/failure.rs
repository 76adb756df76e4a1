//! How an error reaches the user: a message with its causes and a hint on standard error, and an exit code.

use std::process::ExitCode;

use groma_run::{Class, Classify};
use serde_json::json;

use crate::terminal;

/// Why a command ended without its result.
#[derive(Debug)]
pub(crate) struct Failure {
    class: Class,
    message: String,
    hint: Option<String>,
}

/// Shorthand of the commands.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// Wrong usage, with what to do about it.
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Failure { class: Class::Usage, message: message.into(), hint: Some(hint.into()) }
    }

    /// Prints the failure and gives its exit code.
    pub(crate) fn report(self) -> ExitCode {
        let (message, hint) = (safe_lines(&self.message), self.hint.as_deref().map(safe_lines));
        let hint_line = hint.as_ref().map_or(String::new(), |hint| format!("\nhint: {hint}"));
        let document = json!({ "error": message, "hint": hint, "exit_code": self.class.exit_code() });
        terminal::tell(&format!("error: {message}{hint_line}"), &document);
        ExitCode::from(self.class.exit_code())
    }
}

/// Each line as a terminal may show it: messages quote names and texts of files.
fn safe_lines(text: &str) -> String {
    text.lines().map(groma_report::for_terminal).collect::<Vec<_>>().join("\n")
}

impl<E: Classify> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !message.contains(&cause_text) {
                message = format!("{message}: {cause_text}");
            }
            source = cause.source();
        }
        Failure { class: error.class(), message, hint: error.hint() }
    }
}
