//! Where questions come from: lines that are edited in a terminal, or lines of a pipe.

use std::io::{BufRead, IsTerminal, Read};

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Config, Editor, Helper};

use crate::failure::{Failure, Result};

/// Questions that one can go back to.
const HISTORY: usize = 1000;

/// The longest question that is read from a pipe, in bytes.
const LINE_BYTES: u64 = 4 << 20;

/// The source of lines.
pub(super) enum Input {
    Terminal(Box<Editor<Continued, MemHistory>>),
    Pipe,
}

/// What was read.
pub(super) enum Line {
    Text(String),
    End,
    /// Ctrl-C.
    Stop,
}

/// A line that ends in a backslash goes on.
pub(super) struct Continued;

impl Input {
    /// A terminal's lines are edited where the answers go to one too.
    pub(super) fn open() -> Result<Self> {
        if !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
            return Ok(Input::Pipe);
        }
        let config = Config::builder().auto_add_history(true);
        let config = config.max_history_size(HISTORY).map_err(|error| unreadable(&error))?.build();
        let history = MemHistory::with_config(&config);
        let mut editor = Editor::with_history(config, history).map_err(|error| unreadable(&error))?;
        editor.set_helper(Some(Continued));
        Ok(Input::Terminal(Box::new(editor)))
    }

    pub(super) fn read(&mut self) -> Result<Line> {
        match self {
            Input::Terminal(editor) => match editor.readline("> ") {
                Ok(line) => Ok(Line::Text(line.replace("\\\n", "\n"))),
                Err(ReadlineError::Eof) => Ok(Line::End),
                Err(ReadlineError::Interrupted) => Ok(Line::Stop),
                Err(error) => Err(unreadable(&error)),
            },
            Input::Pipe => {
                let mut line = String::new();
                let mut stdin = std::io::stdin().lock().take(LINE_BYTES + 1);
                let read = stdin.read_line(&mut line).map_err(|error| unreadable(&error))?;
                if read as u64 > LINE_BYTES {
                    let what = format!("a question is longer than {LINE_BYTES} bytes");
                    return Err(Failure::usage(what, "ask for less at once"));
                }
                let text = line.trim_end_matches(['\n', '\r']).to_owned();
                Ok(if read == 0 { Line::End } else { Line::Text(text) })
            }
        }
    }
}

fn unreadable(error: &dyn std::error::Error) -> Failure {
    Failure::usage(format!("cannot read the question: {error}"), "give UTF-8 text")
}

impl Validator for Continued {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let goes_on = context.input().ends_with('\\');
        Ok(if goes_on { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

impl Completer for Continued {
    type Candidate = String;
}

impl Hinter for Continued {
    type Hint = String;
}

impl Highlighter for Continued {}

impl Helper for Continued {}
