//! What is written to the terminal, or to where it is led.

use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

/// Columns of the terminal that standard output goes to: as `COLUMNS` says, else as the terminal says, else 80.
pub(crate) fn columns() -> usize {
    const USUAL: usize = 80;
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.trim().parse().ok());
    let asked = || Some(usize::from(terminal_size::terminal_size_of(std::io::stdout())?.0.0));
    said.or_else(asked).filter(|columns| *columns > 0).unwrap_or(USUAL)
}

/// A text in lines of at most so many characters, each begun by `indent`; what has no space in it is left whole.
pub(crate) fn folded(text: &str, indent: &str, columns: usize) -> String {
    let room = columns.saturating_sub(indent.chars().count());
    let mut lines = String::new();
    for line in text.lines() {
        let mut used = 0;
        lines.push_str(indent);
        for word in line.split(' ') {
            let long = word.chars().count();
            if used > 0 && used + 1 + long > room {
                lines.push('\n');
                lines.push_str(indent);
                used = 0;
            } else if used > 0 {
                lines.push(' ');
                used += 1;
            }
            lines.push_str(word);
            used += long;
        }
        lines.push('\n');
    }
    lines
}

/// Whether all that is written is JSON.
static SPEAKS_JSON: AtomicBool = AtomicBool::new(false);

/// From now on all that is written is JSON, or text.
pub(crate) fn speak_json(json: bool) {
    SPEAKS_JSON.store(json, Ordering::Relaxed);
}

/// Whether standard output takes colours: a terminal, unless `NO_COLOR` is set.
pub(crate) fn colours() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
}

/// Writes a note to standard error.
pub(crate) fn say(text: &str) {
    tell(text, &json!({ "note": text }));
}

/// Writes a text, or a line of JSON in its place, to standard error; that nobody reads it is no failure.
pub(crate) fn tell(text: &str, document: &Value) {
    let mut out = std::io::stderr().lock();
    let _ = if SPEAKS_JSON.load(Ordering::Relaxed) { writeln!(out, "{document}") } else { writeln!(out, "{text}") };
}

/// Why standard output first did not take what was written.
static LOST: Mutex<Option<std::io::Error>> = Mutex::new(None);

/// Writes data to standard output. A reader that went away is no failure, as with other filters; what else goes wrong is
/// kept for [`lost`].
pub(crate) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            LOST.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
        _ => {}
    }
}

/// Why not all that was printed has arrived, as on a full device; `None` where it has.
pub(crate) fn lost() -> Option<std::io::Error> {
    LOST.lock().unwrap_or_else(PoisonError::into_inner).take()
}
