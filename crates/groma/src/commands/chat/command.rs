//! What a line that begins with a slash asks for.

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Help,
    /// Shows the system message, or sets it.
    System(Option<String>),
    Reset,
    Retry,
    Save(String),
    Quit,
}

/// What there is, for a reader.
pub(super) const HELP: &str = "\
/help         show this
/system TEXT  set the system message; without a text, show it
/reset        begin anew
/retry        ask the last question again
/save FILE    add the conversation to a file, as a row that `groma train` reads
/quit         end; so do Ctrl-D and Ctrl-C
A line that ends in \\ goes on in the next. Ctrl-C stops an answer.
";

impl Command {
    /// Reads a line, if it is meant as a command.
    pub(super) fn read(line: &str) -> Option<Result<Command, String>> {
        let (name, rest) = line.strip_prefix('/')?.split_once(char::is_whitespace).unwrap_or((&line[1..], ""));
        let rest = Some(rest.trim()).filter(|rest| !rest.is_empty());
        let command = match (name, rest) {
            ("help", None) => Command::Help,
            ("system", text) => Command::System(text.map(str::to_owned)),
            ("reset", None) => Command::Reset,
            ("retry", None) => Command::Retry,
            ("save", Some(file)) => Command::Save(file.to_owned()),
            ("save", None) => return Some(Err("/save needs the name of a file".to_owned())),
            ("quit", None) => Command::Quit,
            ("help" | "reset" | "retry" | "quit", Some(rest)) => {
                return Some(Err(format!("/{name} takes nothing behind it, and not `{rest}`")));
            }
            _ => return Some(Err(format!("there is no /{name}; /help shows what there is"))),
        };
        Some(Ok(command))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        assert_eq!(Command::read("What is / for?"), None);
        assert_eq!(Command::read("/quit"), Some(Ok(Command::Quit)));
        assert_eq!(Command::read("/system  Be brief. "), Some(Ok(Command::System(Some("Be brief.".to_owned())))));
        assert_eq!(Command::read("/system"), Some(Ok(Command::System(None))));
        assert_eq!(Command::read("/save a b.jsonl"), Some(Ok(Command::Save("a b.jsonl".to_owned()))));
        for wrong in ["/", "/exit", "/save", "/reset now", "/überall"] {
            assert!(Command::read(wrong).unwrap().is_err(), "{wrong}");
        }
    }
}
